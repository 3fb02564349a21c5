from __future__ import annotations

import math
from itertools import pairwise

import pytest

from cornerstone.engine.sweep import work
from cornerstone.game.coalitions import full, without
from cornerstone.game.players import players_of, stages_of
from cornerstone.plan.plan import (
    ablation_coalitions,
    baseline_coalitions,
    chunks,
    deletion_steps,
    in_sweep_order,
    plan,
    window_coalitions,
    windows,
)
from tests.helpers import some_players


def test_windows_of_a_small_model() -> None:
    assert [tuple(w) for w in windows(4, 3)] == [
        (0,), (0, 1), (0, 1, 2), (1,), (1, 2), (1, 2, 3), (2,), (2, 3), (3,)
    ]  # fmt: skip


@pytest.mark.parametrize(("blocks", "count"), [(30, 235), (32, 251), (80, 635)])
def test_published_counts_of_the_window_estimator(blocks: int, count: int) -> None:
    coalitions = window_coalitions(players_of(blocks, "ffn"), 4)
    assert len(coalitions) == len(set(coalitions)) == count


@pytest.mark.parametrize("largest", [1, 2, 3, 4, 7])
def test_count_by_formula(largest: int) -> None:
    for blocks in (4, 12):
        coalitions = window_coalitions(players_of(blocks, "moe"), largest)
        assert len(set(coalitions)) == 1 + largest * 2 * blocks - largest * (largest - 1) // 2


def test_each_window_is_contiguous_and_short() -> None:
    players = players_of(6, "ffn")
    for coalition in window_coalitions(players, 3):
        removed = [p.position for p in players if not coalition >> p.position & 1]
        assert len(removed) <= 3
        assert removed == list(range(removed[0], removed[0] + len(removed))) if removed else coalition == full(players)


def test_ablation_and_baselines() -> None:
    players = players_of(2, "ffn")
    assert set(ablation_coalitions(players)) == {0b1111, 0b1110, 0b1101, 0b1011, 0b0111}
    assert set(baseline_coalitions(players)) == {0b1111, 0}


def test_the_plan_adds_only_the_empty_coalition() -> None:
    players = players_of(30, "ffn")
    planned = plan(players, [window_coalitions(players, 4)])
    assert len(planned) == len(set(planned)) == 236
    assert set(planned) - set(window_coalitions(players, 4)) == {0}


def test_smaller_windows_are_part_of_larger_ones() -> None:
    players = players_of(30, "ffn")
    assert (
        plan(players, [window_coalitions(players, 3), window_coalitions(players, 4)])
        == plan(players, [window_coalitions(players, 4), window_coalitions(players, 3)])
        == plan(players, [window_coalitions(players, 4)])
    )


def test_the_window_of_all_players_is_the_empty_coalition() -> None:
    assert sorted(plan(some_players(2), [window_coalitions(some_players(2), 2)])) == [0, 1, 2, 3]


def test_sweep_order_keeps_shared_beginnings_together() -> None:
    players = players_of(3, "ffn")
    ordered = in_sweep_order([*range(64), 5, 5], players)
    assert len(ordered) == 64
    for depth in range(1, 7):  # coalitions that agree on the first players stand in one run
        beginnings = [coalition & (1 << depth) - 1 for coalition in ordered]
        runs = 1 + sum(a != b for a, b in pairwise(beginnings))
        assert runs == 1 << depth


def test_sweep_order_does_not_depend_on_the_order_given() -> None:
    players = players_of(3, "ffn")
    assert in_sweep_order([3, 60, 7, 1], players) == in_sweep_order([1, 7, 60, 3], players)


@pytest.mark.parametrize("blocks", [4, 30, 80])
@pytest.mark.parametrize("count", [1, 2, 3, 8, 9999])
def test_chunks_are_a_partition_into_runs(blocks: int, count: int) -> None:
    players = players_of(blocks, "ffn")
    planned = plan(players, [window_coalitions(players, 3)])
    parts = chunks(planned, count, players)
    assert [c for part in parts for c in part] == planned
    assert len(parts) == min(count, len(planned))
    assert all(parts)


@pytest.mark.parametrize("blocks", [30, 32, 80])
@pytest.mark.parametrize("count", [2, 4, 8])
def test_chunks_are_of_equal_work_and_share_almost_as_much(blocks: int, count: int) -> None:
    players = players_of(blocks, "ffn")
    planned, stages = plan(players, [window_coalitions(players, 4)]), stages_of(players, blocks, parallel=False)
    costs = [work(part, stages) for part in chunks(planned, count, players)]
    assert max(costs) < 1.1 * sum(costs) / count
    assert work(planned, stages) < sum(costs) < 1.03 * work(planned, stages)


def test_chunks_by_hand() -> None:
    players = some_players(4)
    # what is removed first decides the work: the two that lack player 0 cost as much as the other four
    coalitions = [0b0000, 0b1110, 0b1101, 0b1011, 0b0111, 0b1111]
    assert chunks(coalitions, 2, players) == [coalitions[:2], coalitions[2:]]
    assert chunks(coalitions, 9, players) == [[c] for c in coalitions]
    assert chunks([0b1111], 3, players) == [[0b1111]]


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


def test_every_coalition_of_the_plan_is_a_subset_of_the_players() -> None:
    players = players_of(5, "moe")
    assert all(0 <= c <= full(players) for c in plan(players, [window_coalitions(players, 4)]))
    assert without(range(10), players) == 0
