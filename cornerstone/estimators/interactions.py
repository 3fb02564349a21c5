"""Interactions of pairs of players: what removing both costs beyond what removing each of them costs.

The second difference of players i and j, with the players in B removed before:

    I_ij(B) = v(N - B) - v(N - B - i) - v(N - B - j) + v(N - B - i - j).

Below 0 the players are *redundant*: each can stand in for the other, so the second removal costs more. Above 0 they
are *synergistic*: they need each other, so once one is gone, the other is worth less. 0: they do not interact.
Indices such as k-SII and FSII average such differences over B (Bordt and von Luxburg 2023; Tsai et al. 2023).
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np

from cornerstone import estimators
from cornerstone.config.estimators import ExactInteractions, Interactions, PairInteractions, SampledInteractions
from cornerstone.estimators.values import Values
from cornerstone.game.coalitions import full, without
from cornerstone.game.game import Game
from cornerstone.game.players import Player

Pair = tuple[int, int]


def window_pairs(count: int, largest: int) -> list[Pair]:
    """Pairs of positions that are the ends of a window of at most `largest` players."""
    return [(i, j) for i in range(count) for j in range(i + 1, min(i + largest, count))]


def chosen_pairs(entry: PairInteractions, count: int, seed: int) -> list[Pair]:
    """The pairs whose second difference at the whole model is asked for: all, or some at each distance."""
    if entry.per_distance is None:
        return list(itertools.combinations(range(count), 2))
    rng = np.random.default_rng([seed, zlib.crc32(entry.name.encode())])
    pairs = []
    for distance in range(1, count):
        starts = rng.choice(count - distance, min(entry.per_distance, count - distance), replace=False)
        pairs += [(int(start), int(start) + distance) for start in sorted(starts)]
    return pairs


def coalitions_of(entry: Interactions, players: tuple[Player, ...], seed: int) -> list[int]:
    """The distinct coalitions that are needed.

    Raises:
        ConfigError: the installed shapiq does not have this index.
    """
    match entry:
        case PairInteractions():
            pairs = chosen_pairs(entry, len(players), seed)
            single = [without([player.position], players) for player in players]
            return [full(players), *single, *(without(pair, players) for pair in pairs)]
        case ExactInteractions():
            return list(range(1 << len(players)))
        case SampledInteractions():
            requested = estimators.replayed.requested(entry, len(players), seed)
            return list(dict.fromkeys(coalition for part in requested for coalition in part))


def windows(game: Game, largest: int) -> tuple[list[Pair], Values]:
    """I_ij with what lies between i and j removed, from the windows of at most `largest` players: exact, and free.

    Raises:
        StoreError: when the game lacks a window.
    """
    pairs = window_pairs(len(game.players), largest)
    return pairs, Values(np.stack([_difference(game, pair, range(pair[0] + 1, pair[1])) for pair in pairs], axis=1))


def estimate(
    entry: Interactions, games: Mapping[str, Game], seed: int, bootstrap: int
) -> tuple[list[Pair], dict[str, Values]]:
    """The pairs, and their interactions in each game.

    Raises:
        StoreError: when a game lacks a coalition.
        ConfigError: the installed shapiq does not have this index.
    """
    count = len(next(iter(games.values())).players)
    match entry:
        case PairInteractions():
            pairs = chosen_pairs(entry, count, seed)
            return pairs, {
                key: Values(np.stack([_difference(game, pair) for pair in pairs], axis=1))
                for key, game in games.items()
            }
        case ExactInteractions():
            pairs = list(itertools.combinations(range(count), 2))
            return pairs, {key: Values(exact(game, entry.index)) for key, game in games.items()}
        case SampledInteractions():
            pairs = list(itertools.combinations(range(count), 2))
            return pairs, estimators.replay(entry, games, seed, bootstrap)


def exact(game: Game, index: Literal["k-SII", "FSII"]) -> np.ndarray:
    """An index of all pairs on each document from all coalitions, by shapiq: float64 [D, pairs].

    Raises:
        StoreError: when the game lacks a coalition.
    """
    from shapiq import ExactComputer  # heavy: never while the workflow is parsed

    count = len(game.players)
    values = np.stack([game(coalition) for coalition in range(1 << count)])
    rows = []
    for column in values.T:

        def lookup(kept: np.ndarray, column: np.ndarray = column) -> np.ndarray:
            return column[estimators.replayed.masks_of(kept)]

        found = ExactComputer(n_players=count, game=lookup)(index, 2)
        rows.append([found[pair] for pair in itertools.combinations(range(count), 2)])
    return np.array(rows, np.float64)


def _difference(game: Game, pair: Pair, before: range | tuple[int, ...] = ()) -> np.ndarray:
    def value(*removed: int) -> np.ndarray:
        return game(without([*before, *removed], game.players))

    i, j = pair
    return value() - value(i) - value(j) + value(i, j)


def marginals(game: Game) -> Iterator[tuple[int, int, np.ndarray]]:
    """Every marginal contribution that the evaluated coalitions hold.

    Yields:
        The number of players removed before, the player's position, and v(S) - v(S - i) on each document [D].
    """
    count = len(game.players)
    for coalition, score in game.values.items():
        for position in range(count):
            if coalition >> position & 1 and coalition ^ 1 << position in game.values:
                yield count - coalition.bit_count(), position, score - game.values[coalition ^ 1 << position]
