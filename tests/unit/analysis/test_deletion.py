from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cornerstone.analysis import ranks, shapley
from cornerstone.analysis.deletion import (
    FOLDS,
    deletion_curves,
    deletion_order,
    deletion_points,
    deletion_size,
    deletion_steps,
    order_quality,
    orders,
)
from cornerstone.analysis.intervals import over_documents
from cornerstone.config.config import Config
from cornerstone.errors import ConfigError, StoreError
from cornerstone.estimators import window
from cornerstone.estimators.values import Values
from cornerstone.game.coalitions import full
from cornerstone.game.game import Game
from cornerstone.game.players import alike, players_of
from tests.helpers import configured, game, right_or_wrong

PLAYERS = players_of(alike(2))


def small(changes: dict[str, Any] | None = None) -> Config:
    return configured({"models.tiny.blocks": 2, **(changes or {})})


@pytest.fixture
def games() -> dict[str, Game]:
    return right_or_wrong(PLAYERS)


def rows(frame: pd.DataFrame, task: str) -> pd.DataFrame:
    return frame[frame["task"] == task].reset_index(drop=True)


def orders_of(values: Sequence[float], drops: Sequence[float], folds: Sequence[str] = ("all",)) -> pd.DataFrame:
    """What `orders` returns, the same for each fold."""
    frames = [
        pd.DataFrame({"order": order, "fold": fold, "position": range(len(part)), "value": part})
        for order, part in (("shapley", values), ("ablation", drops))
        for fold in dict.fromkeys(("all", *folds))
    ]
    return pd.concat(frames, ignore_index=True)


ORDERS = orders_of([0.3, 0.1, 0.4, 0.1], [0.0, 0.2, -0.1, 0.2])


@pytest.mark.parametrize(
    ("order", "direction", "positions"),
    [
        ("shapley", "least", [1, 3, 0, 2]),
        ("shapley", "most", [2, 0, 1, 3]),
        ("ablation", "least", [2, 0, 1, 3]),
        ("ablation", "most", [1, 3, 0, 2]),
    ],
)
def test_deletion_orders_by_hand(order: str, direction: str, positions: list[int]) -> None:
    rows = ORDERS[ORDERS["order"] == order]
    assert deletion_order(direction, rows) == positions
    assert deletion_order(direction, rows.sample(frac=1, random_state=1)) == positions
    assert all(type(position) is int for position in deletion_order(direction, rows))


def test_deletion_points_by_hand() -> None:
    config = small({"deletion": {"share": 0.5, "points": 2, "orders": ["shapley", "depth"]}})
    found = deletion_points(config, PLAYERS, ORDERS)
    assert list(found.columns) == ["order", "fold", "direction", "removed", "layers", "coalition"]
    assert found["layers"].tolist()[:6] == ["", "ffn0", "ffn0 ffn1", "", "attn1", "attn1 attn0"]
    assert found.drop(columns=["fold", "layers"]).to_numpy().tolist() == [
        ["shapley", "least", 0, 0b1111],
        ["shapley", "least", 1, 0b1101],
        ["shapley", "least", 2, 0b0101],
        ["shapley", "most", 0, 0b1111],
        ["shapley", "most", 1, 0b1011],
        ["shapley", "most", 2, 0b1010],
        ["depth", "least", 0, 0b1111],
        ["depth", "least", 1, 0b0111],
        ["depth", "least", 2, 0b0011],
        ["depth", "most", 0, 0b1111],
        ["depth", "most", 1, 0b1110],
        ["depth", "most", 2, 0b1100],
    ]


def test_each_half_has_an_order_of_its_own() -> None:
    config = small({"deletion": {"share": 0.5, "points": 2, "orders": ["ablation", "depth"]}})
    table = orders_of([0.3, 0.1, 0.4, 0.1], [0.0, 0.2, -0.1, 0.2], FOLDS)
    table.loc[table["fold"] == "second", "value"] *= -1
    found = deletion_points(config, PLAYERS, table).set_index(["order", "fold", "direction", "removed"])["coalition"]
    assert found["ablation", "first", "least", 1] == 0b1011
    assert found["ablation", "second", "least", 1] == 0b1101
    assert set(found["depth"].index.get_level_values("fold")) == {"all"}
    assert len(found) - 3 * 2 == deletion_size(config, 4) == 2 * 2 * 3


@pytest.mark.parametrize("blocks", [30, 31, 32, 33, 40, 80])
def test_masks_of_any_size_survive(blocks: int) -> None:
    players = players_of(alike(blocks))
    config = configured({"models.tiny.blocks": blocks, "deletion": {"share": 1, "points": 7}})
    rng = np.random.default_rng(blocks)
    found = deletion_points(config, players, orders_of(*rng.normal(size=(2, 2 * blocks)).tolist()))
    assert len(found) == 3 * 2 * 8
    for removed, coalition in zip(found["removed"], found["coalition"], strict=True):
        assert type(coalition) is int
        assert coalition.bit_count() == 2 * blocks - removed
    assert found["coalition"].iloc[0] == full(players)
    assert found["coalition"].iloc[7] == 0
    for _, curve in found.groupby(["order", "direction"]):
        chain = curve["coalition"].tolist()
        assert all(later & earlier == later for earlier, later in pairwise(chain))


def test_deletion_curves_of_a_model_with_more_than_64_players() -> None:
    players = players_of(alike(40))
    config = configured({"models.tiny.blocks": 40, "deletion": {"share": 0.3, "points": 2}})
    drawn = np.random.default_rng(1).normal(size=80)
    points = deletion_points(config, players, orders_of(drawn.tolist(), drawn.tolist()))
    wanted = points["coalition"].tolist()
    kept_share = {c: c.bit_count() / 80 for c in wanted}

    def same(documents: int) -> Game:
        return game(players, lambda c: np.full(documents, kept_share[c]), wanted)

    games = {"alpha": same(4), "beta": same(6)}
    found = deletion_curves(config, "tiny", points, games)
    assert found["accuracy"].to_numpy() == pytest.approx(1 - found["removed"].to_numpy() / 80)


def test_deletion_curves_by_hand(games: dict[str, Game]) -> None:
    config = small()
    points = deletion_points(config, PLAYERS, ORDERS)
    found = deletion_curves(config, "tiny", points, games)
    assert list(found.columns) == [
        "model", "task", "metric", "order", "direction", "removed", "layers", "players_total", "accuracy", "se", "low",
        "high", "loss", "loss_low", "loss_high", "above_depth", "above_depth_low", "above_depth_high", "cross_fitted",
        "documents",
    ]  # fmt: skip
    assert found["task"].tolist() == ["alpha"] * 18 + ["beta"] * 18 + ["mean"] * 18
    assert set(found["players_total"]) == {4}
    for task, some in games.items():
        scores = [some(c) for c in points["coalition"]]
        assert rows(found, task)["accuracy"].to_numpy() == pytest.approx([s.mean() for s in scores])
        se = [s.std(ddof=1) / np.sqrt(len(s)) for s in scores]
        assert rows(found, task)["se"].to_numpy() == pytest.approx(se)
    both = (rows(found, "alpha")["accuracy"] + rows(found, "beta")["accuracy"]).to_numpy() / 2
    assert rows(found, "mean")["accuracy"].to_numpy() == pytest.approx(both)
    assert rows(found, "mean")["order"].tolist() == points["order"].tolist()
    assert set(rows(found, "mean")["documents"]) == {42}
    assert not found["cross_fitted"].any()
    for task, some in games.items():
        part = rows(found, task)
        chosen = points.set_index(["order", "direction", "removed"])["coalition"].to_dict()
        for row in part.to_dict("records"):
            order, direction, removed = row["order"], row["direction"], row["removed"]
            if removed == 0:
                assert np.isnan([row["loss"], row["loss_low"], row["loss_high"]]).all()
            else:
                lost = some.full - some(chosen[order, direction, removed])
                alone = over_documents(lost[:, None], some.clusters, 0.95)
                assert row["loss"] == pytest.approx(lost.mean())
                assert (row["loss_low"], row["loss_high"]) == pytest.approx((alone.low[0], alone.high[0]))
            if order == "depth" or removed == 0:
                assert np.isnan(row["above_depth"])
                continue
            gap = some(chosen[order, direction, removed]) - some(chosen["depth", direction, removed])
            assert row["above_depth"] == pytest.approx(gap.mean())
            alone = over_documents(gap[:, None], some.clusters, 0.95)
            assert (row["above_depth_low"], row["above_depth_high"]) == pytest.approx((alone.low[0], alone.high[0]))


def test_a_document_counts_under_the_order_of_the_other_half(games: dict[str, Game]) -> None:
    config = small({"deletion": {"share": 0.5, "points": 2, "orders": ["shapley"]}})
    table = orders_of([0.3, 0.1, 0.4, 0.1], [0.0] * 4, FOLDS)
    table.loc[table["fold"] == "second", "value"] *= -1
    points = deletion_points(config, PLAYERS, table)
    found = deletion_curves(config, "tiny", points, games)
    assert found["cross_fitted"].all()
    assert found["above_depth"].isna().all()
    halves = ranks.split({task: some.clusters for task, some in games.items()}, config.seed)
    assert halves is not None
    by = points.set_index(["fold", "direction", "removed"])["coalition"]
    for task, some in games.items():
        first, second = halves[task]
        expected = (some(by["second", "least", 2])[first].sum() + some(by["first", "least", 2])[second].sum()) / len(
            some.documents
        )
        row = found[(found["task"] == task) & (found["direction"] == "least") & (found["removed"] == 2)]
        assert row["accuracy"].item() == pytest.approx(expected)


def test_orders_are_those_of_the_halves(games: dict[str, Game]) -> None:
    config = small()
    values = {task: shapley.sample(Values(window.estimate(some, 2)), some) for task, some in games.items()}
    removed = shapley.drops(games)
    table = orders(config, PLAYERS, {"shapley": values, "ablation": removed})
    halves = ranks.split({task: some.clusters for task, some in games.items()}, config.seed)
    assert halves is not None
    for order, samples in (("shapley", values), ("ablation", removed)):
        for side, fold in enumerate(FOLDS):
            parts = [sample.values.documents[halves[task][side]].mean(axis=0) for task, sample in samples.items()]
            rows = table[(table["order"] == order) & (table["fold"] == fold)]
            assert rows["value"].to_numpy() == pytest.approx(np.mean(parts, axis=0))
            assert rows["player"].tolist() == [player.name for player in PLAYERS]
    few = {task: sample.of(sample.values, np.arange(3)) for task, sample in values.items()}
    assert set(
        orders(config, PLAYERS, {"shapley": few, "ablation": removed})[lambda t: t["order"] == "shapley"]["fold"]
    ) == {"all"}


def test_in_pure_noise_an_order_is_worth_nothing() -> None:
    """Of six players none matters. The order of the same documents seems to be worth something, that of others not."""
    players = players_of(alike(3))
    deletion = {"share": 0.5, "points": 1, "orders": ["ablation", "depth"]}
    config = configured({"models.tiny.blocks": 3, "deletion": deletion})
    rng = np.random.default_rng(0)
    above: dict[str, list[float]] = {"all": [], "cross": []}
    for _ in range(40):
        noise = dict(zip(("alpha", "beta"), rng.normal(0, 0.3, (2, 6, 24)), strict=True))

        def value(c: int, rows: np.ndarray) -> np.ndarray:
            return 0.5 + rows[[i for i in range(6) if c >> i & 1]].sum(axis=0)

        played = {task: game(players, partial(value, rows=rows)) for task, rows in noise.items()}
        removed = shapley.drops(played)
        fitted = orders(config, players, {"shapley": removed, "ablation": removed})
        same = fitted[fitted["fold"] == "first"].assign(fold="all")
        same["value"] = ranks.estimates(removed, 0.95)["mean"].value.tolist() * 2
        for name, table in (("all", same), ("cross", fitted)):
            curves = deletion_curves(config, "tiny", deletion_points(config, players, table), played)
            row = curves.query("task == 'mean' and order == 'ablation' and direction == 'least' and removed == 3")
            above[name].append(row["above_depth"].item())
    error = np.std(above["cross"]) / np.sqrt(40)
    assert abs(np.mean(above["cross"])) < 2.5 * error
    assert np.mean(above["all"]) > 4 * error


def test_every_curve_starts_at_the_original(games: dict[str, Game]) -> None:
    config = small()
    points = deletion_points(config, PLAYERS, ORDERS)
    found = deletion_curves(config, "tiny", points, games)
    for task, some in games.items():
        start = found[(found["task"] == task) & (found["removed"] == 0)]
        assert len(start) == 6
        assert start["accuracy"].to_numpy() == pytest.approx(some.full.mean())


def test_a_curve_needs_every_point(games: dict[str, Game]) -> None:
    config = small()
    points = deletion_points(config, PLAYERS, ORDERS)
    del games["beta"].values[points["coalition"].iloc[-1]]
    with pytest.raises(StoreError, match="was not evaluated"):
        deletion_curves(config, "tiny", points, games)


def test_deletion_steps_by_hand() -> None:
    assert deletion_steps(60, 0.3, 6) == [3, 6, 9, 12, 15, 18]
    assert deletion_steps(60, 0.3, 5) == [4, 7, 11, 14, 18]
    assert deletion_steps(8, 0.5, 10) == [1, 2, 3, 4]
    assert deletion_steps(8, 0.01, 3) == [1]
    assert deletion_steps(8, 1, 1) == [8]


@pytest.mark.parametrize("count", [2, 8, 60, 64, 160])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("points", [1, 3, 10, 200])
def test_deletion_steps_rise_to_the_share(count: int, share: float, points: int) -> None:
    steps = deletion_steps(count, share, points)
    assert steps == sorted(set(steps))
    assert steps[0] >= 1
    assert steps[-1] == max(1, math.floor(share * count))
    assert len(steps) <= points


def walked(config: Config, order: str, direction: str, influence: Sequence[pd.DataFrame] = ()) -> list[str]:
    """The players in the order in which they go, all of them."""
    found = deletion_points(config, PLAYERS, ORDERS, influence)
    rows = found[(found["order"] == order) & (found["direction"] == direction)]
    return str(rows.sort_values("removed")["layers"].iloc[-1]).split()


def test_a_random_order_is_that_of_its_seed_from_both_ends() -> None:
    drawn = {}
    for seed in range(8):
        config = small({"seed": seed, "deletion": {"share": 1.0, "points": 4, "orders": ["random"]}})
        drawn[seed] = walked(config, "random", "most")
        assert sorted(drawn[seed]) == sorted(player.name for player in PLAYERS)
        assert walked(config, "random", "least") == drawn[seed][::-1]
    assert len({tuple(names) for names in drawn.values()}) > 4


def test_perplexity_needs_log_probabilities() -> None:
    with pytest.raises(
        ConfigError, match=r"`deletion\.orders`: perplexity needs log-probability among `value_functions`"
    ):
        small({"deletion.orders": ["perplexity"]})
    small({"deletion.orders": ["perplexity"], "value_functions": ["log-probability"]})
    with pytest.raises(ConfigError, match="influence has no meaning where heads are players"):
        small({"deletion.orders": ["influence"], "models.tiny.players": "heads", "models.tiny.heads": 4})


def test_an_order_is_as_good_as_its_two_curves_are_apart() -> None:
    """Each kept player is worth its own number of documents, so both losses are sums."""
    worth = [1, 2, 3, 4]
    rights = [np.repeat(np.arange(4), worth) == player for player in range(4)]
    made = {"alpha": game(PLAYERS, lambda c: sum((rights[p] for p in range(4) if c >> p & 1), np.zeros(10)))}
    config = small({"run_tasks": ["alpha"], "deletion": {"share": 0.5, "points": 2, "orders": ["shapley", "depth"]}})
    points = deletion_points(config, PLAYERS, orders_of([4.0, 3.0, 2.0, 1.0], [0.0] * 4))
    found = order_quality(config, "tiny", points, made)
    assert found["task"].tolist() == ["alpha", "alpha", "mean", "mean"]
    # the values say the opposite of what is so: least first removes 4, then 3 of ten documents; most first 1, then 2
    assert found["least_loss"].to_numpy() == pytest.approx([(0.4 + 0.7) / 2] * 4)
    assert found["most_loss"].to_numpy() == pytest.approx([(0.1 + 0.3) / 2] * 4)
    assert found["separation"].to_numpy() == pytest.approx([-0.35] * 4)
    per_document = np.repeat([1.0, 0.5, -0.5, -1.0], worth)
    assert found["se"].to_numpy()[:2] == pytest.approx(per_document.std(ddof=1) / np.sqrt(10))
    assert ((found["low"] < -0.35) & (found["high"] > -0.35)).all()


def test_the_order_of_influence_is_that_of_its_mean_over_tasks() -> None:
    tables = [pd.DataFrame({"position": range(4), "influence": values}) for values in ([4, 1, 2, 3], [0, 1, 6, 3])]
    shuffled = [frame.sample(frac=1, random_state=0) for frame in tables]
    config = small({"deletion": {"share": 1.0, "points": 4, "orders": ["influence"]}})
    names = [player.name for player in PLAYERS]
    assert walked(config, "influence", "least", shuffled) == [names[place] for place in (1, 0, 3, 2)]
    assert walked(config, "influence", "most", shuffled) == [names[place] for place in (2, 3, 0, 1)]
