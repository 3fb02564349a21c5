"""Few walks: each reads all weights."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cornerstone.errors import ConfigError
from cornerstone.schedule.groups import Grouping, fewest_walks, walks

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
