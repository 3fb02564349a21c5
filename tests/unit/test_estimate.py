from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cornerstone import estimate, intervals, paper
from cornerstone.coalitions import full, without
from cornerstone.config import Config
from cornerstone.errors import StoreError
from cornerstone.estimators import ablation, window
from cornerstone.game import Game
from cornerstone.plan import plan, window_coalitions
from cornerstone.players import players_of
from tests.helpers import configured, documents, game

PLAYERS = players_of(2, "ffn")
PER_PLAYER = ["model", "task", "metric", "player", "position", "kind", "block"]
INTERVAL = ["se", "low", "high", "documents"]


def small(changes: dict[str, Any] | None = None) -> Config:
    return configured({"models.tiny.blocks": 2, **(changes or {})})


@pytest.fixture
def games() -> dict[str, Game]:
    """Two tasks of different size, every coalition known, answers right or wrong."""
    rng = np.random.default_rng(0)
    tables = {task: (rng.random((16, count)) < 0.5).astype(float) for task, count in (("alpha", 12), ("beta", 30))}
    for table in tables.values():
        table[15] = 1.0
        table[15, ::4] = 0.0
    return {task: game(PLAYERS, table.__getitem__) for task, table in tables.items()}


def rows(frame: pd.DataFrame, task: str) -> pd.DataFrame:
    return frame[frame["task"] == task].reset_index(drop=True)


def test_shapley_has_a_row_for_each_task_and_player(games: dict[str, Game]) -> None:
    frame = estimate.shapley(small(), "tiny", games, 2)
    assert list(frame.columns) == [*PER_PLAYER[:3], "estimator", *PER_PLAYER[3:], "value", *INTERVAL, "terms"]
    assert frame["task"].tolist() == ["alpha"] * 4 + ["beta"] * 4 + ["mean"] * 4
    assert frame["player"].tolist() == ["attn0", "ffn0", "attn1", "ffn1"] * 3
    assert frame["position"].tolist() == [0, 1, 2, 3] * 3
    assert frame["kind"].tolist() == ["attn", "ffn"] * 6
    assert frame["block"].tolist() == [0, 0, 1, 1] * 3
    assert set(frame["estimator"]) == {"window-k2"}
    assert set(frame["model"]) == {"tiny"}
    assert frame["terms"].tolist() == [2, 3, 3, 2] * 3
    assert frame["metric"].tolist() == ["acc"] * 4 + ["acc_norm"] * 4 + ["acc+acc_norm"] * 4
    assert frame["documents"].tolist() == [12] * 4 + [30] * 4 + [42] * 4


def test_shapley_values_are_the_estimators_with_their_intervals(games: dict[str, Game]) -> None:
    frame = estimate.shapley(small({"intervals.level": 0.8}), "tiny", games, 3)
    parts = []
    for task, some in games.items():
        scores = window.estimate(some, 3)
        parts.append(intervals.over_documents(scores, some.clusters, 0.8))
        assert rows(frame, task)["value"].to_numpy() == pytest.approx(scores.mean(axis=0))
        assert rows(frame, task)["low"].to_numpy() == pytest.approx(parts[-1].low)
    together = intervals.over_tasks(parts, 0.8)
    mean = rows(frame, "mean")
    assert mean["value"].to_numpy() == pytest.approx(
        (rows(frame, "alpha")["value"] + rows(frame, "beta")["value"]).to_numpy() / 2
    )
    for column in ("se", "low", "high"):
        assert mean[column].to_numpy() == pytest.approx(getattr(together, column))


def test_clusters_of_the_documents_are_used(games: dict[str, Game]) -> None:
    plain = estimate.shapley(small(), "tiny", games, 2)
    doubled = {
        task: game(PLAYERS, lambda c, g=some: np.repeat(g(c), 2), clusters=np.repeat(some.clusters, 2).tolist())
        for task, some in games.items()
    }
    clustered = estimate.shapley(small(), "tiny", doubled, 2)
    for column in ("value", "se", "low", "high"):
        assert clustered[column].to_numpy() == pytest.approx(plain[column].to_numpy())


def test_ablations_by_hand() -> None:
    right = {
        0b1111: [1, 1, 1, 0],
        0b1110: [0, 0, 1, 0],
        0b1101: [1, 1, 1, 1],
        0b1011: [1, 1, 1, 0],
        0b0111: [1, 1, 0, 0],
    }
    some = game(PLAYERS, right.__getitem__, right)
    frame = estimate.ablations(small({"run_tasks": ["alpha"]}), "tiny", {"alpha": some})
    assert list(frame.columns) == [*PER_PLAYER, "accuracy", "drop", *INTERVAL]
    alpha, mean = rows(frame, "alpha"), rows(frame, "mean")
    assert alpha["drop"].tolist() == [0.5, -0.25, 0, 0.25]
    assert alpha["accuracy"].tolist() == [0.25, 1.0, 0.75, 0.5]
    assert mean["drop"].tolist() == alpha["drop"].tolist()
    assert mean["metric"].unique().tolist() == ["acc"]
    # paired: drops are 1, 1, 0, 0 for attn0
    assert alpha["se"][0] == pytest.approx(np.std([1, 1, 0, 0], ddof=1) / 2)


def test_ablations_over_tasks_are_the_mean(games: dict[str, Game]) -> None:
    frame = estimate.ablations(small(), "tiny", games)
    for column in ("drop", "accuracy"):
        both = (rows(frame, "alpha")[column] + rows(frame, "beta")[column]).to_numpy() / 2
        assert rows(frame, "mean")[column].to_numpy() == pytest.approx(both)
    for task, some in games.items():
        without_each = [some(without([i], PLAYERS)).mean() for i in range(4)]
        assert rows(frame, task)["accuracy"].to_numpy() == pytest.approx(without_each)
        assert rows(frame, task)["drop"].to_numpy() == pytest.approx(ablation.estimate(some).mean(axis=0))


def test_baselines(games: dict[str, Game]) -> None:
    data = {
        "alpha": documents([[("q", " a"), ("q", " b")]] * 12),
        "beta": documents([[("q", " a"), ("q", " b")], [("q", " a"), ("q", " b"), ("q", " c"), ("q", " d")]] * 15),
    }
    frame = estimate.baselines(small(), "tiny", games, data)
    assert list(frame.columns) == [
        "model", "task", "metric", "documents", "split", "source", "original", "original_se", "empty", "chance"
    ]  # fmt: skip
    assert frame["task"].tolist() == ["alpha", "beta"]
    assert frame["documents"].tolist() == [12, 30]
    assert frame["metric"].tolist() == ["acc", "acc_norm"]
    assert frame["chance"].tolist() == [0.5, pytest.approx(0.375)]
    assert frame["original"].tolist() == pytest.approx([games[t].full.mean() for t in games])
    assert frame["empty"].tolist() == pytest.approx([games[t](0).mean() for t in games])
    assert frame["original_se"][0] == pytest.approx(games["alpha"].full.std(ddof=1) / np.sqrt(12))


def test_the_empty_coalition_is_measured_not_assumed(games: dict[str, Game]) -> None:
    del games["alpha"].values[0]
    data = {task: documents([[("q", " a"), ("q", " b")]]) for task in games}
    with pytest.raises(StoreError, match="was not evaluated"):
        estimate.baselines(small(), "tiny", games, data)


def values_of(*values: float, model: str = "tiny", width: float = 0.01, column: str = "value") -> pd.DataFrame:
    """A table with the mean rows of these values, and rows of a task that say the opposite."""
    players = players_of(-(-len(values) // 2), "ffn")[: len(values)]
    frames = []
    for task, sign in (("alpha", -1), ("mean", 1)):
        frame = pd.DataFrame({column: sign * np.array(values)})
        frame.insert(0, "task", task)
        frame["model"], frame["se"] = model, width / 2
        frame["player"] = [player.name for player in players]
        frame["position"] = range(len(values))
        frame["low"], frame["high"] = frame[column] - width, frame[column] + width
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def test_cornerstones_rank_the_mean_over_tasks() -> None:
    found = estimate.cornerstones(values_of(0.5, 0.1, 0.0, 0.4, 0.1, 0.0, 0.0, 0.2), "tiny")
    assert list(found.columns) == [
        "model", "player", "value", "se", "low", "high", "rank", "top_three", "clear", "published"
    ]  # fmt: skip
    assert found["player"].tolist()[:5] == ["attn0", "ffn1", "ffn3", "ffn0", "attn2"]
    assert found["rank"].tolist() == list(range(1, 9))
    assert found["top_three"].tolist() == [True] * 3 + [False] * 5
    assert found["clear"].tolist() == [True] * 2 + [False] * 6
    assert not found["published"].any()
    assert estimate.top_players(found, "tiny") == ["attn0", "ffn1", "ffn3"]


def test_the_papers_models_have_the_papers_cornerstones() -> None:
    found = estimate.cornerstones(values_of(0.1, 0.2, 0.5, 0.4, 0.3, 0, 0, 0, model="llama3-8b"), "llama3-8b")
    assert set(found.loc[found["published"], "player"]) == {"attn0", "ffn0", "ffn1"}
    assert found.loc[found["top_three"], "player"].tolist() == ["attn1", "ffn1", "attn2"]
    assert estimate.top_players(found, "llama3-8b") == list(paper.CORNERSTONES["llama3-8b"])


VALUES = values_of(0.3, 0.1, 0.4, 0.1)
DROPS = values_of(0.0, 0.2, -0.1, 0.2, column="drop")


@pytest.mark.parametrize(
    ("order", "direction", "positions"),
    [
        ("shapley", "least", [1, 3, 0, 2]),
        ("shapley", "most", [2, 0, 1, 3]),
        ("ablation", "least", [2, 0, 1, 3]),
        ("ablation", "most", [1, 3, 0, 2]),
        ("depth", "least", [3, 2, 1, 0]),
        ("depth", "most", [0, 1, 2, 3]),
    ],
)
def test_deletion_orders_by_hand(order: str, direction: str, positions: list[int]) -> None:
    found = estimate.deletion_order(order, direction, VALUES, DROPS)
    assert found == positions
    assert all(type(position) is int for position in found)


@pytest.mark.parametrize("order", ["shapley", "ablation", "depth"])
@pytest.mark.parametrize("direction", ["least", "most"])
def test_orders_do_not_depend_on_the_order_of_rows(order: str, direction: str) -> None:
    shuffled = [frame.sample(frac=1, random_state=1, ignore_index=True) for frame in (VALUES, DROPS)]
    assert estimate.deletion_order(order, direction, *shuffled) == estimate.deletion_order(
        order, direction, VALUES, DROPS
    )


def test_deletion_points_by_hand() -> None:
    config = small({"deletion": {"share": 0.5, "points": 2, "orders": ["shapley", "depth"]}})
    found = estimate.deletion_points(config, PLAYERS, VALUES, DROPS)
    assert list(found.columns) == ["order", "direction", "removed", "coalition"]
    assert found.to_numpy().tolist() == [
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
    players = players_of(blocks, "ffn")
    config = configured({"models.tiny.blocks": blocks, "deletion": {"share": 1, "points": 7}})
    rng = np.random.default_rng(blocks)
    values, drops = values_of(*rng.normal(size=2 * blocks)), values_of(*rng.normal(size=2 * blocks), column="drop")
    found = estimate.deletion_points(config, players, values, drops)
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
    players = players_of(40, "ffn")
    config = configured({"models.tiny.blocks": 40, "deletion": {"share": 0.3, "points": 2}})
    drawn = np.random.default_rng(1).normal(size=80)
    points = estimate.deletion_points(config, players, values_of(*drawn), values_of(*drawn, column="drop"))
    wanted = points["coalition"].tolist()
    kept_share = {c: c.bit_count() / 80 for c in wanted}
    games = {
        task: game(players, lambda c, n=n: np.full(n, kept_share[c]), wanted) for task, n in (("alpha", 4), ("beta", 6))
    }
    found = estimate.deletion_curves(config, "tiny", points, games)
    assert found["accuracy"].to_numpy() == pytest.approx(1 - found["removed"].to_numpy() / 80)


def test_deletion_curves_by_hand(games: dict[str, Game]) -> None:
    config = small()
    points = estimate.deletion_points(config, PLAYERS, VALUES, DROPS)
    found = estimate.deletion_curves(config, "tiny", points, games)
    assert list(found.columns) == [
        "model", "task", "metric", "order", "direction", "removed", "players_total", "accuracy", "se", "low", "high",
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


def test_every_curve_starts_at_the_original(games: dict[str, Game]) -> None:
    config = small()
    points = estimate.deletion_points(config, PLAYERS, VALUES, DROPS)
    found = estimate.deletion_curves(config, "tiny", points, games)
    for task, some in games.items():
        start = found[(found["task"] == task) & (found["removed"] == 0)]
        assert len(start) == 6
        assert start["accuracy"].to_numpy() == pytest.approx(some.full.mean())


def test_a_curve_needs_every_point(games: dict[str, Game]) -> None:
    config = small()
    points = estimate.deletion_points(config, PLAYERS, VALUES, DROPS)
    del games["beta"].values[points["coalition"].iloc[-1]]
    with pytest.raises(StoreError, match="was not evaluated"):
        estimate.deletion_curves(config, "tiny", points, games)


def test_the_plan_suffices_for_all_tables(games: dict[str, Game]) -> None:
    planned = plan(PLAYERS, [window_coalitions(PLAYERS, 2)])
    lean = {task: game(PLAYERS, some.values.__getitem__, planned) for task, some in games.items()}
    assert all(len(some.values) == len(planned) < 16 for some in lean.values())
    config, data = small(), {task: documents([[("q", " a"), ("q", " b")]]) for task in games}
    pd.testing.assert_frame_equal(estimate.shapley(config, "tiny", lean, 2), estimate.shapley(config, "tiny", games, 2))
    pd.testing.assert_frame_equal(estimate.ablations(config, "tiny", lean), estimate.ablations(config, "tiny", games))
    assert len(estimate.baselines(config, "tiny", lean, data)) == 2
