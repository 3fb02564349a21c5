"""Few walks: each reads all weights."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cornerstone.config.config import load_files
from cornerstone.engine import sweep
from cornerstone.engine.stages import stages_of
from cornerstone.errors import ConfigError
from cornerstone.game.coalitions import in_sweep_order, parse
from cornerstone.plan.plan import Plan
from cornerstone.schedule.groups import Division, Grouping, divided, fewest_walks, walks
from cornerstone.schedule.memory import Room
from tests.helpers import ROOT, SEQUENTIAL

batches = st.lists(st.integers(1, 20), min_size=1, max_size=6)


def test_everything_in_one_walk_where_it_fits() -> None:
    assert fewest_walks(10, [3, 4], 70) == Grouping(10, 7, 1)
    assert fewest_walks(10, [3, 4], 69).count(10) == 2


def test_files_come_sooner_where_that_costs_no_walk() -> None:
    """Four walks either way: each of four groups with all documents, or one group in four walks over documents."""
    assert fewest_walks(8, [5, 5, 5, 5], 40, lambda together: 100) == Grouping(2, 20, 1)


def test_but_not_where_the_coalitions_then_share_too_little() -> None:
    assert fewest_walks(8, [5, 5, 5, 5], 40, lambda together: 100 + 100 / together) == Grouping(8, 5, 4)


def test_no_room() -> None:
    with pytest.raises(ConfigError, match=r"no room for the hidden states of one batch\. Give the job more memory"):
        fewest_walks(3, [5, 9], 8)


@given(st.integers(1, 40), batches, st.floats(1, 20))
def test_every_pair_is_walked_once_within_the_room(count: int, sizes: list[int], factor: float) -> None:
    room = int(factor * max(sizes))
    grouping = fewest_walks(count, sizes, room)
    groups = grouping.groups(range(count))
    assert [c for group in groups for c in group] == list(range(count))
    runs = grouping.runs(sizes)
    assert [batch for run in runs for batch in run] == list(range(len(sizes)))
    assert len(runs) == grouping.walks
    assert grouping.count(count) == len(groups) * len(runs)
    for run in runs:
        assert grouping.together * sum(sizes[batch] for batch in run) <= room


@given(st.integers(1, 12), batches, st.floats(1, 20))
def test_no_equal_groups_make_fewer_walks(count: int, sizes: list[int], factor: float) -> None:
    room = int(factor * max(sizes))
    found = fewest_walks(count, sizes, room).count(count)
    assert found >= math.ceil(count * sum(sizes) / room - 1e-9)
    for together in range(1, count + 1):
        if together * max(sizes) <= room:
            assert found <= math.ceil(count / together) * len(walks(sizes, room // together))


@pytest.mark.parametrize("name", ["llama3-8b", "llama3-70b"])
def test_a_job_that_is_stopped_keeps_about_half_of_its_work(name: str) -> None:
    """Each job of the paper's models has several groups, none of which is half of it, though all fit into one walk."""
    config = load_files([ROOT / "config.yaml"]).model_copy(update={"run": [name]})
    model = config.models[name]
    players, stages = model.all_players(), stages_of(model.all_players(), [SEQUENTIAL] * model.blocks)
    division = Division((1,), 1, Room("resident", 0, 0, 10**9))
    for names in Plan(config, name, config.scored_tasks[0]).chunks:
        planned = in_sweep_order([parse(each, players) for each in names], players)
        groups = division.grouping(planned, stages).groups(planned)
        assert [coalition for group in groups for coalition in group] == planned
        assert max(map(len, groups)) <= 64
        work = [sweep.work(group, stages) for group in groups]
        kept = [sum(work[:i]) / sum(work) for i in range(len(work))]  # by a job that is stopped in group i
        assert sum(share * before for share, before in zip(work, kept, strict=True)) / sum(work) > 0.3
        assert max(work) < 0.5 * sum(work)
        together = sweep.work(planned, stages) if len(planned) <= 64 else 0
        assert not together or sum(work) <= 1.05 * together


def test_no_more_groups_than_cost_little() -> None:
    assert divided(12, 64, lambda together: 100) == 3
    assert divided(12, 64, lambda together: 100 + (together < 6)) == 3
    assert divided(12, 64, lambda together: 100 + 20 * (together < 6)) == 6
    assert divided(12, 64, lambda together: 100 + 20 * (together < 12)) == 12
    assert divided(65, 64, lambda together: 100 + 20 * (together < 33)) == 33  # not 64 and 1
    assert [divided(count, 64, lambda together: 100) for count in (0, 1, 4, 5)] == [1, 1, 4, 2]
