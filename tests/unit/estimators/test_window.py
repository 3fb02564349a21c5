from __future__ import annotations

import re

import numpy as np
import pytest

from cornerstone.errors import StoreError
from cornerstone.estimators import ablation, window
from cornerstone.game.coalitions import window_coalitions, without
from cornerstone.game.game import Game
from cornerstone.game.players import alike, players_of
from cornerstone.plan.plan import union
from tests.helpers import game, some_players


def by_removal(count: int, removed: dict[str, float | list[float]]) -> Game:
    """A game by what is removed: {"": 10, "0": 4, "01": 3}."""
    players = some_players(count)
    values = {without(map(int, key), players): value for key, value in removed.items()}
    return game(players, values.__getitem__, values)


def test_three_players_by_hand() -> None:
    found = window.estimate(by_removal(3, {"": 10, "0": 4, "1": 7, "2": 9, "01": 3, "12": 5}), 2)
    first = [10 - 4, 7 - 3]
    second = [10 - 7, 4 - 3, 9 - 5]
    third = [10 - 9, 7 - 5]
    assert found.shape == (1, 3)
    assert found[0] == pytest.approx([np.mean(first), np.mean(second), np.mean(third)])
    assert found[0] == pytest.approx([5, 8 / 3, 1.5])


FOUR = {"": 20, "0": 15, "1": 18, "2": 13, "3": 19, "01": 9, "12": 11, "23": 10, "012": 4, "123": 6}


def test_four_players_by_hand() -> None:
    found = window.estimate(by_removal(4, {**FOUR}), 3)[0]
    # player 0: alone 20-15; first of 01: 18-9; first of 012: 11-4
    # player 1: alone 20-18; last of 01: 15-9; first of 12: 13-11; first of 123: 10-6
    # player 2: alone 20-13; last of 12: 18-11; first of 23: 19-10; last of 012: 9-4
    # player 3: alone 20-19; last of 23: 13-10; last of 123: 11-6
    assert found == pytest.approx([(5 + 9 + 7) / 3, (2 + 6 + 2 + 4) / 4, (7 + 7 + 9 + 5) / 4, (1 + 3 + 5) / 3])


def test_values_need_not_add_up() -> None:
    values = window.estimate(by_removal(4, {**FOUR}), 3)[0]
    assert values.sum() == pytest.approx(20.5)


def test_each_document_is_estimated_by_itself() -> None:
    twice = {key: [float(value), 2.0 * value + 3] for key, value in FOUR.items()}
    found = window.estimate(by_removal(4, {**twice}), 3)
    assert found.shape == (2, 4)
    assert found[1] == pytest.approx(2 * found[0])


def test_two_interchangeable_players_at_the_start_differ() -> None:
    """Asymmetry, the estimator's known bias: 0 and 1 are of use only together, 2 and 3 never."""
    four = some_players(4)
    together = game(four, lambda c: c & 0b11 == 0b11)
    exchanged = game(four, lambda c: (c >> 1 & 1 | (c & 1) << 1) & 0b11 == 0b11)
    assert all(np.array_equal(together(c), exchanged(c)) for c in range(16))  # interchangeable
    # player 0: alone 1-0; first of 01: 0-0.   player 1: alone 1-0; last of 01: 0-0; first of 12: 1-0.
    assert window.estimate(together, 2)[0] == pytest.approx([1 / 2, 2 / 3, 0, 0])
    # K = 3 adds 012 to player 0 (0-0), 123 to player 1 (1-0)
    assert window.estimate(together, 3)[0] == pytest.approx([1 / 3, 3 / 4, 0, 0])


@pytest.mark.parametrize(("blocks", "largest"), [(30, 4), (32, 4), (80, 4), (30, 3), (8, 1)])
def test_terms_per_player(blocks: int, largest: int) -> None:
    counts = [len(pairs) for pairs in window.terms(2 * blocks, largest)]
    assert counts[0] == counts[-1] == largest
    assert set(counts[largest - 1 : 1 - largest or None]) == {2 * largest - 1}
    assert counts[:largest] == [largest + i for i in range(largest)]
    assert counts == counts[::-1]


def test_terms_differ_by_the_player_alone() -> None:
    for player, pairs in enumerate(window.terms(9, 4)):
        assert len(set(pairs)) == len(pairs)
        assert ((), (player,)) in pairs
        for present, absent in pairs:
            assert set(absent) - set(present) == {player}
            assert len(absent) <= 4


def test_windows_of_one_are_the_ablation() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(256, 3))
    some = game(some_players(8), table.__getitem__)
    assert np.array_equal(window.estimate(some, 1), ablation.estimate(some))


@pytest.mark.parametrize("key", list(FOUR))
def test_a_missing_coalition_is_an_error(key: str) -> None:
    incomplete = by_removal(4, {k: v for k, v in FOUR.items() if k != key})
    names = [player.name for player in some_players(4)]
    text = "-".join(["drop", *(names[int(digit)] for digit in key)]) if key else "full"
    with pytest.raises(StoreError, match=rf"coalition {re.escape(text)} was not evaluated"):
        window.estimate(incomplete, 3)


def test_the_plan_suffices_and_the_smaller_one_does_not() -> None:
    players = players_of(alike(30))
    assert window.estimate(
        game(players, int.bit_count, union(players, [window_coalitions(players, 4)])), 3
    ) == pytest.approx(np.ones((1, 60)))
    with pytest.raises(StoreError):
        window.estimate(game(players, int.bit_count, union(players, [window_coalitions(players, 3)])), 4)
    assert window.estimate(game(players, int.bit_count, window_coalitions(players, 4)), 4).shape == (1, 60)


def test_players_that_could_be_exchanged_differ_also_in_the_middle() -> None:
    """v is 1 while two of players 12, 13 and 18 are there: each has the Shapley value 1/3."""
    players = some_players(30)

    def value(c: int) -> float:
        return float((c >> 12 & 1) + (c >> 13 & 1) + (c >> 18 & 1) >= 2)

    found = window.estimate(game(players, value, union(players, [window_coalitions(players, 4)])), 4)[0]
    assert found[[12, 13, 18]] == pytest.approx([3 / 7, 3 / 7, 0])
