from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cornerstone.forecast.walk_time import WalkTime, walk_time

times = st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=1, max_size=30)


def test_by_hand() -> None:
    # reads    0-2  2-4      4-6 (slot of unit 0 is free at 3)
    # computes    2-3  4-9       9-10
    assert walk_time([2, 2, 2], [1, 5, 1], 2) == WalkTime(10, 3)
    # the third read waits for the first slot: computing unit 0 ends at 11, the third read at 13, unit 1 at 12
    assert walk_time([1, 1, 2], [10, 1, 1], 2) == WalkTime(14, 2)


def test_the_slower_of_the_two_decides_in_the_long_run() -> None:
    assert walk_time([2.0] * 100, [1.0] * 100, 2).seconds == 201
    assert walk_time([1.0] * 100, [2.0] * 100, 2).seconds == 201
    assert walk_time([2.0] * 100, [1.0] * 100, 2).share_waited == pytest.approx(0.5, abs=0.01)


def test_nothing() -> None:
    assert walk_time([], [], 2).share_waited == 0


@given(times, st.integers(1, 5))
def test_bounds(units: list[tuple[float, float]], slots: int) -> None:
    reads, computes = zip(*units, strict=True)
    found = walk_time(reads, computes, slots)
    assert found.seconds >= max(sum(reads), sum(computes)) - 1e-6
    assert found.seconds <= sum(reads) + sum(computes) + 1e-6
    assert found.waited == pytest.approx(found.seconds - sum(computes))
    assert walk_time(reads, computes, slots + 1).seconds <= found.seconds + 1e-6
    if slots == 1:
        assert found.seconds == pytest.approx(sum(reads) + sum(computes))
