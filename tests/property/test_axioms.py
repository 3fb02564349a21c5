from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cornerstone.estimators import ablation, window
from cornerstone.game.game import Game
from tests.helpers import game, some_players

Table = np.ndarray


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, int, Callable[[], Table]]:
    """Number of players, K, and a maker of random value tables [2^N, 3 documents] of whole numbers."""
    count = draw(st.integers(1, 7))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return count, draw(st.integers(1, count)), lambda: rng.integers(-9, 10, (1 << count, 3)).astype(float)


def of(table: Table) -> Game:
    return game(some_players(len(table).bit_length() - 1), table.__getitem__)


def kept(count: int) -> Table:
    return (np.arange(1 << count)[:, None] >> np.arange(count) & 1).astype(float)


@given(tables(), st.data())
def test_additive_games_are_exact(drawn: tuple[int, int, Callable[[], Table]], data: st.DataObject) -> None:
    count, largest, _ = drawn
    weights = np.array(data.draw(st.lists(st.integers(-99, 99), min_size=count, max_size=count)), float)
    additive = kept(count) @ weights
    found = window.estimate(of(additive[:, None] + np.array([0.0, 5.0])), largest)
    assert np.array_equal(found, [weights, weights])


@given(tables(), st.data())
def test_a_dummy_gets_nothing(drawn: tuple[int, int, Callable[[], Table]], data: st.DataObject) -> None:
    count, largest, make = drawn
    dummy = data.draw(st.integers(0, count - 1))
    table = make()[np.arange(1 << count) & ~(1 << dummy)]
    assert np.array_equal(window.estimate(of(table), largest)[:, dummy], np.zeros(3))


@given(tables(), st.integers(-5, 5), st.integers(-5, 5))
def test_linear(drawn: tuple[int, int, Callable[[], Table]], a: int, b: int) -> None:
    _, largest, make = drawn
    first, second = make(), make()
    parts = a * window.estimate(of(first), largest) + b * window.estimate(of(second), largest)
    np.testing.assert_allclose(window.estimate(of(a * first + b * second), largest), parts, atol=1e-11)


@given(tables())
def test_the_mean_over_documents_may_be_taken_before(drawn: tuple[int, int, Callable[[], Table]]) -> None:
    _, largest, make = drawn
    table = make()
    before = window.estimate(of(table.mean(axis=1, keepdims=True)), largest)[0]
    np.testing.assert_allclose(window.estimate(of(table), largest).mean(axis=0), before, atol=1e-11)


@given(tables())
def test_running_backwards_mirrors_the_values(drawn: tuple[int, int, Callable[[], Table]]) -> None:
    count, largest, make = drawn
    table = make()
    mirrored = table[[int(f"{c:0{count}b}"[::-1], 2) for c in range(1 << count)]]
    found = window.estimate(of(mirrored), largest)
    np.testing.assert_allclose(found[:, ::-1], window.estimate(of(table), largest), atol=1e-11)


@given(tables())
def test_an_equal_shift_of_all_coalitions_changes_nothing(drawn: tuple[int, int, Callable[[], Table]]) -> None:
    _, largest, make = drawn
    table = make()
    assert np.array_equal(window.estimate(of(table + 7), largest), window.estimate(of(table), largest))


@given(tables())
def test_every_value_lies_between_its_smallest_and_largest_term(drawn: tuple[int, int, Callable[[], Table]]) -> None:
    count, largest, make = drawn
    some = of(make())
    everyone = (1 << count) - 1

    def value(removed: tuple[int, ...]) -> Table:
        return some(everyone & ~sum(1 << position for position in removed))

    found = window.estimate(some, largest)
    for player, pairs in enumerate(window.terms(count, largest)):
        terms = np.array([value(present) - value(absent) for present, absent in pairs])
        assert (terms.min(axis=0) - 1e-12 <= found[:, player]).all()
        assert (found[:, player] <= terms.max(axis=0) + 1e-12).all()


@given(tables())
def test_the_ablation_is_the_window_of_one(drawn: tuple[int, int, Callable[[], Table]]) -> None:
    _, _, make = drawn
    some = of(make())
    assert np.array_equal(ablation.estimate(some), window.estimate(some, 1))
