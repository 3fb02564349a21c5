from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from cornerstone.analysis.deletion import deletion_steps
from cornerstone.engine.stages import stages_of
from cornerstone.engine.sweep import work
from cornerstone.estimators import window
from cornerstone.game.coalitions import ablation_coalitions, full, in_sweep_order, window_coalitions, without
from cornerstone.game.players import alike, players_of
from cornerstone.plan.plan import chunks, union
from tests.helpers import SEQUENTIAL

BLOCKS = st.integers(1, 40)


@given(BLOCKS, st.integers(1, 8))
def test_window_count(blocks: int, largest: int) -> None:
    count = 2 * blocks
    largest = min(largest, count)
    coalitions = window_coalitions(players_of(alike(blocks)), largest)
    assert len(coalitions) == len(set(coalitions)) == 1 + largest * count - largest * (largest - 1) // 2


@given(BLOCKS, st.lists(st.integers(1, 8), min_size=1, max_size=3))
def test_the_plan_is_the_union_once(blocks: int, largest: list[int]) -> None:
    players = players_of(alike(blocks, "moe"))
    planned = union(players, [window_coalitions(players, min(k, len(players))) for k in largest])
    wanted = {full(players), 0, *ablation_coalitions(players)}
    for k in largest:
        wanted |= set(window_coalitions(players, k))
    assert len(planned) == len(set(planned))
    assert set(planned) == wanted


@given(BLOCKS, st.integers(1, 8))
def test_the_plan_holds_what_the_estimator_asks_for(blocks: int, largest: int) -> None:
    players = players_of(alike(blocks))
    planned = set(union(players, [window_coalitions(players, largest)]))
    for pairs in window.terms(len(players), largest):
        assert all(without(removed, players) in planned for pair in pairs for removed in pair)


@given(BLOCKS, st.integers(1, 100), st.data())
def test_chunks_partition(blocks: int, count: int, data: st.DataObject) -> None:
    players = players_of(alike(blocks))
    drawn = data.draw(st.lists(st.integers(0, full(players)), unique=True, min_size=1, max_size=60))
    coalitions = in_sweep_order(drawn, players)
    parts = chunks(coalitions, count, players)
    assert [c for part in parts for c in part] == coalitions
    assert len(parts) == min(count, len(coalitions))
    assert all(parts)


@given(st.integers(1, 6), st.data())
def test_walking_together_costs_least_in_any_order(blocks: int, data: st.DataObject) -> None:
    players = players_of(alike(blocks))
    stages = stages_of(players, [SEQUENTIAL] * blocks)
    drawn = data.draw(st.lists(st.integers(0, full(players)), unique=True, min_size=2, max_size=12))
    ordered, size = in_sweep_order(drawn, players), data.draw(st.integers(1, len(drawn)))

    def cost(coalitions: list[int]) -> int:
        return sum(work(coalitions[i : i + size], stages) for i in range(0, len(coalitions), size))

    assert work(ordered, stages) == work(drawn, stages)  # together, the order is free
    for order in (ordered, drawn):
        assert work(order, stages) <= cost(order) <= sum(c.bit_count() for c in drawn)


@given(st.integers(1, 160), st.integers(1, 100), st.integers(1, 50))
def test_deletion_steps(count: int, percent: int, points: int) -> None:
    steps = deletion_steps(count, percent / 100, points)
    exact = Fraction(percent, 100) * count
    assert steps == sorted(set(steps))
    assert 1 <= steps[0] <= steps[-1] == max(1, int(percent / 100 * count))
    assert abs(steps[-1] - max(Fraction(1), exact)) <= 1
    assert len(steps) <= points
