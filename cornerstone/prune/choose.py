"""Which layers are removed: named ones, or the least important ones of an order that the results give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from cornerstone import reading
from cornerstone.analysis.deletion import ALL, deletion_order, with_plain
from cornerstone.analysis.shapley import LOG_DROP
from cornerstone.config.config import Config
from cornerstone.errors import ConfigError, ModelError, StoreError, UnreadableError
from cornerstone.files import read_csv
from cornerstone.game import coalitions
from cornerstone.game.game import MEAN
from cornerstone.game.players import Kinds, player_named, players_of, runs_of
from cornerstone.plan import fingerprint
from cornerstone.plan.layout import Layout

ORDERS = ("shapley", "ablation", "perplexity", "influence", "depth", "random")
"""In which players can be removed, the least important first."""


@dataclass(frozen=True)
class Choice:
    """What is removed, and why.

    Attributes:
        places: of the sublayers that are removed, in execution order.
        names: their names.
        coalition: name of the coalition of the model's players that is left; None where it is none of them.
        order: by which the layers were chosen; None where they were named.
        players: names of the players that are removed, in that order.
        results: fingerprint of the estimates that the order came from.
        doubts: sentences on why the order may be worth little, by the results.
    """

    places: tuple[int, ...]
    names: tuple[str, ...]
    coalition: str | None
    order: str | None
    players: tuple[str, ...]
    results: str | None = None
    doubts: tuple[str, ...] = ()


def named(config: Config, model: str, layers: Sequence[str]) -> Choice:
    """The layers of these names: the model's players, its sublayers (`attn3`) or its blocks (`block3`).

    Raises:
        ConfigError: none are named, the model's players are parts of sublayers, or the model's removal is not `zero`.
        CoalitionError: the model has no such layer.
    """
    _need_sublayers(config, model)
    entry = config.models[model]
    known = {player.name: player for player in (*runs_of(entry.kinds(), 1), *players_of(entry.kinds()))}
    known |= {player.name: player for player in entry.all_players()}
    found = [known[name] if name in known else player_named(name, entry.all_players()) for name in layers]
    if not found:
        raise ConfigError("--layers names no layer. Write some, such as --layers ffn3,attn5.")
    places = {place for player in found for place, _ in player.parts}
    return _choice(config, model, places, None, [player.name for player in found], None)


def ranked(config: Config, model: str, count: int, order: str) -> Choice:
    """The `count` players that an order ranks as the least important.

    Args:
        config: the configuration.
        model: its name.
        count: how many players are removed.
        order: one of `ORDERS`; all but `depth` and `random` come from the results.

    Raises:
        ConfigError: no such order, the model's players are parts of sublayers, its removal is not `zero`, or there are
            not so many players.
        StoreError: the results are missing, or were made by other settings or code.
    """
    _need_sublayers(config, model)
    if order not in ORDERS:
        raise ConfigError(f"--order: there is no '{order}'; choose {', '.join(ORDERS)}.")
    players = config.models[model].all_players()
    if not 1 <= count < len(players):
        raise ConfigError(f"--remove {count}: {model} has {len(players)} players; remove 1 to {len(players) - 1}.")
    shown = Layout(config).shown(model)
    table = read_csv(Path(shown["orders"])) if "orders" in shown else _without_curves(shown)
    if order == "perplexity" and order not in set(table["order"]):
        raise ConfigError(
            "--order perplexity needs `log-probability` among `value_functions` of the configuration; add it and run "
            "the workflow, or choose another order."
        )
    made = _made_by(config, model)
    tables: list[str] = []
    if order == "influence":
        tables = Layout(config).influences(model)
        if not tables:
            raise ConfigError(
                "--order influence needs `influence` among `deletion.orders` of the configuration; add it and run the "
                "workflow, or choose another order."
            )
    every = with_plain(config, players, table, [read_csv(Path(path)) for path in tables])
    by = every[(every["order"] == order) & (every["fold"] == ALL)]
    positions = deletion_order("least", by)[:count]
    places = {place for position in positions for place, _ in players[position].parts}
    chosen = _choice(config, model, places, order, [players[position].name for position in positions], made)
    return replace(chosen, doubts=tuple(_doubts(config, model, order)))


def _doubts(config: Config, model: str, order: str) -> Iterator[str]:
    """Why an order may be worth little: nothing to lose, or no clear difference between its two ends."""
    layout = Layout(config)
    baselines, quality = (Path(layout.csv(model, stem)) for stem in ("baselines", "order_quality"))
    if baselines.is_file():
        known = read_csv(baselines).dropna(subset=["chance"])
        if len(known) and (whole := known["original"].mean()) <= (chance := known["chance"].mean()):
            yield (
                f"the whole model is at chance or below in the mean over tasks ({100 * whole:.1f} against "
                f"{100 * chance:.1f} points of accuracy), so the order says little."
            )
    if config.deletion.orders and quality.is_file():
        rows = read_csv(quality)
        for row in rows[(rows["task"] == MEAN) & (rows["order"] == order)].to_dict("records"):
            if not row["low"] > 0:
                yield (
                    f"the order `{order}` is not clearly better than one at random: its separation in {quality} is "
                    f"{row['separation']:.3f} ({row['low']:.3f} to {row['high']:.3f}), not clearly above 0."
                )


def _without_curves(shown: Mapping[str, str]) -> pd.DataFrame:
    """What `orders` returns of all documents, where the config asks for no deletion curves."""
    frames = []
    for order, stem, column in (
        ("shapley", "shapley", "value"),
        ("ablation", "ablation", "drop"),
        ("perplexity", "ablation", LOG_DROP),
    ):
        rows = read_csv(Path(shown[stem]))
        rows = rows[rows["task"] == MEAN]
        if column in rows:
            frames.append(rows[["player", "position"]].assign(order=order, fold=ALL, value=rows[column]))
    return pd.concat(frames, ignore_index=True)


def _need_sublayers(config: Config, model: str) -> None:
    if model not in config.models:
        raise ConfigError(f"there is no model '{model}' in the configuration; there are {', '.join(config.models)}")
    entry = config.models[model]
    if entry.players in ("experts", "heads"):
        raise ConfigError(
            f"models.{model}: its players are {entry.players}, parts of sublayers, and a checkpoint is pruned by whole "
            "sublayers. Name an entry whose players are sublayers, blocks or groups."
        )
    if entry.reference is not None:
        raise ConfigError(
            f"models.{model}: with `removal: mean` a constant vector stands in a removed layer's place, which a "
            "checkpoint has no place for. Name an entry with `removal: zero`, and rank by its results."
        )


def _made_by(config: Config, model: str) -> str:
    """The fingerprint of the estimates, which must be those of this configuration."""
    path = Path(Layout(config).provenance(model))
    try:
        found = str(reading.parsed(path)["fingerprint"])
    except (UnreadableError, OSError, ValueError, KeyError, TypeError) as error:
        raise reading.unread(path, error, "Run the workflow to make it.") from error
    wanted = fingerprint.of_estimates(config, model)
    if found != wanted:
        raise StoreError(
            f"the estimates of {model} were made by other settings or code (fingerprint {found} in {path}, now "
            f"{wanted}). Run the workflow again, or name the layers: --layers."
        )
    return found


def _choice(
    config: Config, model: str, places: set[int], order: str | None, players: Sequence[str], made: str | None
) -> Choice:
    entry = config.models[model]
    names = tuple(player.name for player in players_of(entry.kinds()) if player.position in places)
    theirs = entry.all_players()
    gone = {p.position for p in theirs if {place for place, _ in p.parts} <= places}
    covered = {place for p in theirs if p.position in gone for place, _ in p.parts}
    name = coalitions.name(coalitions.without(gone, theirs), theirs) if covered == places else None
    return Choice(tuple(sorted(places)), names, name, order, tuple(players), made)


def need_kinds(said: Kinds, found: Kinds, model: str) -> None:
    """Check that a model has the sublayers that the configuration says, so that names mean the same.

    Raises:
        ModelError: it has others.
    """
    if said != found:
        raise ModelError(
            f"models.{model} says {len(said)} blocks of other kinds than the weights have ({len(found)} blocks). "
            "Correct `blocks`, `feed_forward` or `sublayers` of the entry; `cornerstone add` writes them."
        )
