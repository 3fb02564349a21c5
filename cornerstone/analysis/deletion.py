"""Deletion curves: accuracy as players are removed one after another, in orders that estimates give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from cornerstone.analysis import intervals
from cornerstone.analysis.shapley import LOG_DROP, documents_of, metric_of
from cornerstone.config.config import Config
from cornerstone.game.coalitions import without
from cornerstone.game.game import MEAN, Game
from cornerstone.game.players import Player

_DROPS = {"ablation": "drop", "perplexity": LOG_DROP, "influence": "influence"}
"""Orders that come from the table of single removals: the column."""


def deletion_steps(count: int, share: float, points: int) -> list[int]:
    """How many players are removed at each point of a deletion curve.

    Evenly spaced up to floor(share * count), rounded to whole players, at least 1, each number once.

    >>> deletion_steps(60, share=0.3, points=4)
    [4, 9, 14, 18]
    """
    most = max(1, int(share * count))
    return sorted({max(1, round(most * (i + 1) / points)) for i in range(points)})


def deletion_order(order: str, direction: str, values: pd.DataFrame, drops: pd.DataFrame, seed: int = 0) -> list[int]:
    """Positions of the players in the order in which they are removed.

    Args:
        order: `shapley` (mean value over tasks), `ablation` (mean drop over tasks), `perplexity` (mean drop of the
            log-probability over tasks), `influence` (mean block influence over tasks), `depth` or `random`.
        direction: `least` important first, or `most`. For `depth`, the first sublayers count as the most
            important, as the paper finds them to be.
        values: what `shapley` returned.
        drops: what `ablations` returned; for `influence` what `with_influence` made of it.
        seed: of the random order.
    """
    frame, column = (drops, _DROPS[order]) if order in _DROPS else (values, "value")
    frame = frame[frame["task"] == MEAN]
    if order in ("depth", "random"):
        positions = sorted(frame["position"])
        if order == "random":
            positions = np.random.default_rng(seed).permutation(positions).tolist()
        positions = positions[::-1] if direction == "least" else positions
    else:
        sign = 1 if direction == "least" else -1
        positions = frame.iloc[np.lexsort((frame["position"], sign * frame[column]))]["position"].tolist()
    return [int(position) for position in positions]


def with_influence(drops: pd.DataFrame, tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Single removals with the mean block influence over tasks in their `mean` rows.

    Args:
        drops: what `ablations` returned.
        tables: of each task, a row per player with `position` and `influence`; none: nothing is added.
    """
    if not tables:
        return drops
    mean = pd.concat(tables).groupby("position")["influence"].mean()
    made = drops.copy()
    made["influence"] = made["position"].map(mean).where(made["task"] == MEAN)
    return made


def deletion_points(
    config: Config, players: tuple[Player, ...], values: pd.DataFrame, drops: pd.DataFrame
) -> pd.DataFrame:
    """The coalitions of all deletion curves: order, direction, removed (count), layers (names), coalition (bitmask)."""
    steps = [0, *deletion_steps(len(players), config.deletion.share, config.deletion.points)]
    rows = [
        {
            "order": order,
            "direction": direction,
            "removed": n,
            "layers": " ".join(players[position].name for position in positions[:n]),
            "coalition": without(positions[:n], players),
        }
        for order in config.deletion.orders
        for direction in ("least", "most")
        for positions in [deletion_order(order, direction, values, drops, config.seed)]
        for n in steps
    ]
    return pd.DataFrame(rows).astype({"coalition": object})  # masks exceed 64 bits


def deletion_curves(config: Config, model: str, points: pd.DataFrame, games: Mapping[str, Game]) -> pd.DataFrame:
    """Accuracy along the curves of `deletion_points`, per task and over tasks, with intervals."""
    level = config.intervals.level
    coalitions = points["coalition"].tolist()
    parts = {
        task: intervals.over_documents(np.stack([game(c) for c in coalitions], axis=1), game.clusters, level)
        for task, game in games.items()
    }
    frames = []
    for task, estimate in [*parts.items(), (MEAN, intervals.over_tasks(list(parts.values()), level))]:
        frame = points.drop(columns="coalition")
        frame.insert(0, "model", model)
        frame.insert(1, "task", task)
        frame.insert(2, "metric", metric_of(config, task))
        frame["players_total"] = len(config.models[model].all_players())
        frame["accuracy"] = estimate.value
        frame["se"], frame["low"], frame["high"] = estimate.se, estimate.low, estimate.high
        frame["documents"] = documents_of(games, task)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def order_quality(config: Config, model: str, points: pd.DataFrame, games: Mapping[str, Game]) -> pd.DataFrame:
    """How well each order ranks the players: what its two curves lose, on average over their points.

    A good order loses little where the least important players go first, and much where the most important ones do.
    Losses are paired: on each document, the original's score less that of the smaller model.

    Returns:
        A row per task (and `mean`) and order: `least_loss`, `most_loss`, and their difference `separation` with `se`,
        `low` and `high` (of an order without information it is 0 on average).
    """
    level = config.intervals.level
    shown = points[points["removed"] > 0]
    orders = list(dict.fromkeys(shown["order"]))
    losses: dict[str, np.ndarray] = {}
    estimates = {}
    for task, game in games.items():
        curves = [
            np.mean([game.full - game(c) for c in rows["coalition"]], axis=0)
            for order in orders
            for direction in ("least", "most")
            for rows in [shown[(shown["order"] == order) & (shown["direction"] == direction)]]
        ]
        both = np.stack(curves, axis=1).reshape(len(game.documents), len(orders), 2)
        losses[task] = both.mean(axis=0)
        estimates[task] = intervals.over_documents((both[:, :, 1] - both[:, :, 0]) / 2, game.clusters, level)
    losses[MEAN] = np.mean([losses[task] for task in games], axis=0)
    frames = []
    for task, estimate in [*estimates.items(), (MEAN, intervals.over_tasks(list(estimates.values()), level))]:
        frame = pd.DataFrame({"model": model, "task": task, "metric": metric_of(config, task), "order": orders})
        frame["least_loss"], frame["most_loss"] = losses[task].T
        frame["separation"] = 2 * estimate.value
        frame["se"], frame["low"], frame["high"] = 2 * estimate.se, 2 * estimate.low, 2 * estimate.high
        frame["documents"] = documents_of(games, task)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)
