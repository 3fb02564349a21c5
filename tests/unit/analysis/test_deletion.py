from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cornerstone.analysis.deletion import (
    deletion_curves,
    deletion_order,
    deletion_points,
    deletion_steps,
    order_quality,
    with_influence,
)
from cornerstone.config.config import Config
from cornerstone.errors import ConfigError, StoreError
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


def values_of(*values: float, column: str = "value") -> pd.DataFrame:
    """A table with the mean rows of these values, and rows of a task that say the opposite."""
    frames = []
    for task, sign in (("alpha", -1), ("mean", 1)):
        frame = pd.DataFrame({column: sign * np.array(values)})
        frame.insert(0, "task", task)
        frame["position"] = range(len(values))
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


VALUES = values_of(0.3, 0.1, 0.4, 0.1)
DROPS = values_of(0.0, 0.2, -0.1, 0.2, column="drop")
DROPS["log_probability_drop"] = values_of(1.5, 2.5, 9.0, -1.0)["value"]


@pytest.mark.parametrize(
    ("order", "direction", "positions"),
    [
        ("shapley", "least", [1, 3, 0, 2]),
        ("shapley", "most", [2, 0, 1, 3]),
        ("ablation", "least", [2, 0, 1, 3]),
        ("ablation", "most", [1, 3, 0, 2]),
        ("depth", "least", [3, 2, 1, 0]),
        ("depth", "most", [0, 1, 2, 3]),
        ("perplexity", "least", [3, 0, 1, 2]),
        ("perplexity", "most", [2, 1, 0, 3]),
    ],
)
def test_deletion_orders_by_hand(order: str, direction: str, positions: list[int]) -> None:
    found = deletion_order(order, direction, VALUES, DROPS)
    assert found == positions
    assert all(type(position) is int for position in found)


@pytest.mark.parametrize("order", ["shapley", "ablation", "depth"])
@pytest.mark.parametrize("direction", ["least", "most"])
def test_orders_do_not_depend_on_the_order_of_rows(order: str, direction: str) -> None:
    shuffled = [frame.sample(frac=1, random_state=1, ignore_index=True) for frame in (VALUES, DROPS)]
    assert deletion_order(order, direction, shuffled[0], shuffled[1]) == deletion_order(order, direction, VALUES, DROPS)


def test_deletion_points_by_hand() -> None:
    config = small({"deletion": {"share": 0.5, "points": 2, "orders": ["shapley", "depth"]}})
    found = deletion_points(config, PLAYERS, VALUES, DROPS)
    assert list(found.columns) == ["order", "direction", "removed", "layers", "coalition"]
    assert found["layers"].tolist()[:6] == ["", "ffn0", "ffn0 ffn1", "", "attn1", "attn1 attn0"]
    assert found.drop(columns="layers").to_numpy().tolist() == [
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


@pytest.mark.parametrize("blocks", [30, 31, 32, 33, 40, 80])
def test_masks_of_any_size_survive(blocks: int) -> None:
    players = players_of(alike(blocks))
    config = configured({"models.tiny.blocks": blocks, "deletion": {"share": 1, "points": 7}})
    rng = np.random.default_rng(blocks)
    values, drops = values_of(*rng.normal(size=2 * blocks)), values_of(*rng.normal(size=2 * blocks), column="drop")
    found = deletion_points(config, players, values, drops)
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
    points = deletion_points(config, players, values_of(*drawn), values_of(*drawn, column="drop"))
    wanted = points["coalition"].tolist()
    kept_share = {c: c.bit_count() / 80 for c in wanted}

    def same(documents: int) -> Game:
        return game(players, lambda c: np.full(documents, kept_share[c]), wanted)

    games = {"alpha": same(4), "beta": same(6)}
    found = deletion_curves(config, "tiny", points, games)
    assert found["accuracy"].to_numpy() == pytest.approx(1 - found["removed"].to_numpy() / 80)


def test_deletion_curves_by_hand(games: dict[str, Game]) -> None:
    config = small()
    points = deletion_points(config, PLAYERS, VALUES, DROPS)
    found = deletion_curves(config, "tiny", points, games)
    assert list(found.columns) == [
        "model", "task", "metric", "order", "direction", "removed", "layers", "players_total", "accuracy", "se", "low",
        "high", "documents",
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


def test_every_curve_starts_at_the_original(games: dict[str, Game]) -> None:
    config = small()
    points = deletion_points(config, PLAYERS, VALUES, DROPS)
    found = deletion_curves(config, "tiny", points, games)
    for task, some in games.items():
        start = found[(found["task"] == task) & (found["removed"] == 0)]
        assert len(start) == 6
        assert start["accuracy"].to_numpy() == pytest.approx(some.full.mean())


def test_a_curve_needs_every_point(games: dict[str, Game]) -> None:
    config = small()
    points = deletion_points(config, PLAYERS, VALUES, DROPS)
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


def test_a_random_order_is_that_of_its_seed_from_both_ends() -> None:
    drawn = {seed: deletion_order("random", "most", VALUES, DROPS, seed) for seed in range(8)}
    assert all(sorted(positions) == [0, 1, 2, 3] for positions in drawn.values())
    assert len({tuple(positions) for positions in drawn.values()}) > 4
    assert all(deletion_order("random", "least", VALUES, DROPS, seed) == p[::-1] for seed, p in drawn.items())


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
    points = deletion_points(config, PLAYERS, values_of(4.0, 3.0, 2.0, 1.0), DROPS)
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
    found = with_influence(DROPS, [frame.sample(frac=1, random_state=0) for frame in tables])
    assert deletion_order("influence", "least", VALUES, found) == [1, 0, 3, 2]
    assert deletion_order("influence", "most", VALUES, found) == [2, 3, 0, 1]
    assert with_influence(DROPS, []) is DROPS
    assert deletion_order("ablation", "least", VALUES, found) == deletion_order("ablation", "least", VALUES, DROPS)
