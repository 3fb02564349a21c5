from __future__ import annotations

import itertools
from typing import Literal, get_args

import numpy as np
import pytest
from shapiq import ExactComputer

from cornerstone.errors import StoreError
from cornerstone.estimators import interactions
from cornerstone.estimators.interactions import (
    ExactInteractions,
    Interactions,
    Pair,
    PairInteractions,
    SampledInteractions,
    marginals,
    window_pairs,
    windows,
)
from cornerstone.estimators.values import Values
from cornerstone.game.coalitions import window_coalitions
from cornerstone.game.game import Game
from tests.helpers import game, some_players

ALL = PairInteractions(kind="pairs")
Index = Literal["k-SII", "FSII"]
INDICES: tuple[Index, ...] = get_args(Index)
PLAYERS = some_players(3)


def estimated(entry: Interactions, some: Game, seed: int = 0) -> tuple[list[Pair], Values]:
    """Its pairs, and what it says of them in one game."""
    return entry.pairs(len(some.players), seed), entry.estimate({"a": some}, seed, 100)["a"]


def both(coalition: int) -> list[float]:
    """Players 0 and 1 need each other; on the second document twice as much."""
    works = float(coalition & 0b11 == 0b11)
    return [works, 2 * works]


def either(coalition: int) -> list[float]:
    """One of players 0 and 1 is enough."""
    works = float(coalition & 0b11 != 0)
    return [works, 2 * works]


def test_players_that_need_each_other_are_synergistic_by_hand() -> None:
    pairs, found = estimated(ALL, game(PLAYERS, both))
    assert pairs == [(0, 1), (0, 2), (1, 2)]
    assert found.documents.tolist() == [[1, 0, 0], [2, 0, 0]]  # v(N) - v(-0) - v(-1) + v(-01) = 1 - 0 - 0 + 0


def test_players_that_replace_each_other_are_redundant_by_hand() -> None:
    _, found = estimated(ALL, game(PLAYERS, either))
    assert found.documents.tolist() == [[-1, 0, 0], [-2, 0, 0]]  # 1 - 1 - 1 + 0


def test_windows_remove_what_lies_between() -> None:
    values = {0b111: 9.0, 0b110: 7, 0b101: 6, 0b011: 8, 0b100: 2, 0b001: 5, 0b000: 1}
    pairs, found = windows(game(PLAYERS, values.__getitem__, values), 3)
    assert pairs == [(0, 1), (0, 2), (1, 2)]
    assert found.documents.tolist() == [[9 - 7 - 6 + 2, 6 - 2 - 5 + 1, 9 - 6 - 8 + 5]]
    assert found.replicates is None


@pytest.mark.parametrize("largest", [2, 3, 5])
def test_windows_need_no_more_than_the_windows(largest: int) -> None:
    players, table = some_players(5), np.random.default_rng(0).normal(size=(32, 2))
    pairs, found = windows(game(players, table.__getitem__, window_coalitions(players, largest)), largest)
    assert pairs == [(i, j) for i, j in itertools.combinations(range(5), 2) if j - i < largest]
    for column, (i, j) in enumerate(pairs):
        most, one, other = (
            31 & ~sum(1 << p for p in gone) for gone in (range(i + 1, j), range(i, j), range(i + 1, j + 1))
        )
        expected = table[most] - table[one] - table[other] + table[one & other]
        assert found.documents[:, column] == pytest.approx(expected)


def test_windows_have_the_pairs_at_their_ends() -> None:
    assert window_pairs(4, 3) == [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)]
    assert window_pairs(5, 1) == []


def test_a_missing_coalition_is_an_error() -> None:
    some = game(PLAYERS, both, [c for c in range(8) if c != 0b100])
    for ask in (lambda: windows(some, 2), lambda: estimated(ALL, some)):
        with pytest.raises(StoreError, match="drop-attn0-ffn0 was not evaluated"):
            ask()
    with pytest.raises(StoreError, match="drop-attn0-ffn0 was not evaluated"):
        interactions.exact(some, "k-SII")


def test_pairs_at_each_distance() -> None:
    entry = PairInteractions(kind="pairs", per_distance=2)
    pairs = entry.pairs(6, seed=1)
    assert len(set(pairs)) == len(pairs)
    assert [j - i for i, j in pairs] == [1, 1, 2, 2, 3, 3, 4, 4, 5]
    assert all(0 <= i < j < 6 for i, j in pairs)
    assert pairs == entry.pairs(6, seed=1)
    assert len({tuple(entry.pairs(6, seed)) for seed in range(6)}) > 1
    everything = PairInteractions(kind="pairs", per_distance=5)
    assert sorted(everything.pairs(6, 0)) == ALL.pairs(6, 0) == list(itertools.combinations(range(6), 2))


@pytest.mark.parametrize("per_distance", [None, 2])
def test_pairs_need_the_coalitions_they_ask_for(per_distance: int | None) -> None:
    entry, players = PairInteractions(kind="pairs", per_distance=per_distance), some_players(6)
    planned = entry.coalitions(players, 3)
    assert len(set(planned)) == len(planned) == 1 + 6 + (15 if per_distance is None else 9)
    table = np.random.default_rng(0).normal(size=(64, 2))
    pairs, found = estimated(entry, game(players, table.__getitem__, planned), 3)
    expected = [table[63] - table[63 - 2**i] - table[63 - 2**j] + table[63 - 2**i - 2**j] for i, j in pairs]
    assert pytest.approx(np.array(expected)) == found.documents.T


@pytest.mark.parametrize("index", INDICES)
def test_exact_indices_are_shapiqs(index: Index) -> None:
    players, table = some_players(5), np.random.default_rng(1).normal(size=(32, 2))
    entry = ExactInteractions(kind="exact", index=index)
    pairs, found = estimated(entry, game(players, table.__getitem__))
    assert pairs == list(itertools.combinations(range(5), 2))
    for document in range(2):

        def value(kept: np.ndarray, document: int = document) -> np.ndarray:
            return np.array([table[sum(2**i for i in range(5) if row[i]), document] for row in np.atleast_2d(kept)])

        expected = ExactComputer(n_players=5, game=value)(index, 2)
        assert found.documents[document] == pytest.approx([expected[pair] for pair in pairs])


def test_exact_k_sii_is_the_mean_second_difference_by_hand() -> None:
    """The pairs of k-SII of order 2 are those of SII: weights (n - s - 2)! s! / (n - 1)! over what stays."""
    table = np.random.default_rng(2).normal(size=(8, 1))
    found = interactions.exact(game(PLAYERS, table.__getitem__), "k-SII")
    v = table[:, 0]
    first = ((v[0b111] - v[0b110] - v[0b101] + v[0b100]) + (v[0b011] - v[0b010] - v[0b001] + v[0b000])) / 2
    assert found[0, 0] == pytest.approx(first)


@pytest.mark.parametrize("index", INDICES)
def test_gates_by_exact_indices(index: Index) -> None:
    for gate, sign in ((both, 1), (either, -1)):
        found = interactions.exact(game(PLAYERS, gate), index)
        assert found == pytest.approx(np.array([[sign, 0, 0], [2 * sign, 0, 0]]), abs=1e-6)


@pytest.mark.parametrize("index", INDICES)
def test_sampled_indices_come_close_to_the_exact_ones(index: Index) -> None:
    players, rng = some_players(7), np.random.default_rng(4)
    kept = np.arange(128)[:, None] >> np.arange(7) & 1
    pairs = list(itertools.combinations(range(7), 2))
    weights = rng.normal(size=21)
    smooth = np.stack([kept[:, i] * kept[:, j] for i, j in pairs], axis=1) @ weights
    table = (smooth + 0.05 * rng.normal(size=128))[:, None]
    some = game(players, table.__getitem__)
    entry = SampledInteractions(kind="sampled", index=index, budget=400, replicates=4)
    asked, found = estimated(entry, some)
    assert asked == pairs
    assert found.replicates is not None
    assert found.replicates.shape == (4, 1, 21)
    exact = interactions.exact(some, index)
    assert np.abs(found.documents - exact).max() < 0.2
    assert np.corrcoef(found.documents[0], exact[0])[0, 1] > 0.99


def test_all_coalitions_are_planned_for_exact_indices() -> None:
    assert ExactInteractions(kind="exact").coalitions(PLAYERS, 0) == list(range(8))


def test_marginals_are_all_that_the_coalitions_hold() -> None:
    values: dict[int, list[float]] = {0b111: [9.0, 1], 0b110: [7, 1], 0b101: [6, 0], 0b100: [2, 0], 0b000: [1, 1]}
    found = {
        (coalition, player, tuple(gain.tolist()))
        for coalition, player, gain in marginals(game(PLAYERS, values.__getitem__, values))
    }
    assert found == {(7, 0, (2, 0)), (7, 1, (3, 1)), (5, 0, (4, 0)), (6, 1, (5, 1)), (4, 2, (1, -1))}


def test_marginals_of_all_coalitions_are_all_edges_of_the_cube() -> None:
    some = game(some_players(4), lambda c: float(c.bit_count() ** 2))
    found = list(marginals(some))
    assert len(found) == 4 * 2**3
    assert all(gain[0] == c.bit_count() ** 2 - (c.bit_count() - 1) ** 2 for c, _, gain in found)
