"""Interactions of pairs of players: what removing both costs beyond what removing each of them costs.

The second difference of players i and j, with the players in B removed before:

    I_ij(B) = v(N - B) - v(N - B - i) - v(N - B - j) + v(N - B - i - j).

Below 0 the players are *redundant*: each can stand in for the other, so the second removal costs more. Above 0 they
are *synergistic*: they need each other, so once one is gone, the other is worth less. 0: they do not interact.
Indices such as k-SII and FSII average such differences over B (Bordt and von Luxburg 2023; Tsai et al. 2023).
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from cornerstone.estimators import replayed
from cornerstone.estimators.base import Asked, Key
from cornerstone.estimators.exact import MOST_WINDOWS, too_many
from cornerstone.estimators.values import Values
from cornerstone.game.coalitions import full, without
from cornerstone.game.game import Game
from cornerstone.game.players import Player

Pair = tuple[int, int]


def window_pairs(count: int, largest: int) -> list[Pair]:
    """Pairs of positions that are the ends of a window of at most `largest` players."""
    return [(i, j) for i in range(count) for j in range(i + 1, min(i + largest, count))]


class Interactions(Asked):
    """Interactions of pairs of players."""

    def pairs(self, players: int, seed: int) -> list[Pair]:
        """The pairs of positions that it says something of, on all tasks the same; seed: of the run."""
        return list(itertools.combinations(range(players), 2))

    @abstractmethod
    def estimate(self, games: Mapping[Key, Game], seed: int, bootstrap: int) -> dict[Key, Values]:
        """The interactions of `pairs` in each game.

        Raises:
            StoreError: when a game lacks a coalition.
            ConfigError: the installed shapiq does not have this index.
        """


class PairInteractions(Interactions):
    """Second differences at the whole model: v(N) - v(N-i) - v(N-j) + v(N-ij)."""

    drawn: ClassVar[bool] = True
    kind: Literal["pairs"]
    per_distance: int | None = Field(
        None, ge=1, description="So many randomly chosen pairs at each distance; null: all N(N-1)/2 pairs."
    )

    @property
    def name(self) -> str:
        """As in file names."""
        return "pairs" if self.per_distance is None else f"pairs-{self.per_distance}"

    def pairs(self, players: int, seed: int) -> list[Pair]:
        """All pairs, or some at each distance."""
        if self.per_distance is None:
            return super().pairs(players, seed)
        rng = self.random(seed)
        pairs = []
        for distance in range(1, players):
            starts = rng.choice(players - distance, min(self.per_distance, players - distance), replace=False)
            pairs += [(int(start), int(start) + distance) for start in sorted(starts)]
        return pairs

    def coalitions(self, players: tuple[Player, ...], seed: int) -> list[int]:
        """Full, each player removed, each pair removed."""
        single = [without([player.position], players) for player in players]
        pairs = self.pairs(len(players), seed)
        return [full(players), *single, *(without(pair, players) for pair in pairs)]

    def estimate(self, games: Mapping[Key, Game], seed: int, bootstrap: int) -> dict[Key, Values]:
        """See `Interactions`."""
        pairs = self.pairs(len(next(iter(games.values())).players), seed)
        return {
            key: Values(np.stack([_difference(game, pair) for pair in pairs], axis=1)) for key, game in games.items()
        }


class ExactInteractions(Interactions):
    """An interaction index from all 2^N coalitions."""

    kind: Literal["exact"]
    index: Literal["k-SII", "FSII"] = Field("k-SII", description="k-Shapley values, or the faithful index.")

    @property
    def name(self) -> str:
        """As in file names."""
        return f"exact-{self.index.lower()}"

    def problem(self, players: int) -> str | None:
        """2^N coalitions are soon too many."""
        return too_many(players)

    def windows(self, players: int) -> int:
        """All coalitions are there."""
        return min(MOST_WINDOWS, players)

    def coalitions(self, players: tuple[Player, ...], seed: int) -> list[int]:
        """All of them."""
        return list(range(1 << len(players)))

    def estimate(self, games: Mapping[Key, Game], seed: int, bootstrap: int) -> dict[Key, Values]:
        """See `Interactions`."""
        return {key: Values(exact(game, self.index)) for key, game in games.items()}


class SampledInteractions(replayed.Replayed, Interactions):
    """An interaction index from sampled coalitions; replayed on shapiq."""

    pooled: ClassVar[str] = "interactions of pairs take all coalitions on all documents"
    kind: Literal["sampled"]
    index: Literal["k-SII", "FSII"] = Field(
        "k-SII", description="Both by regression (KernelSHAP-IQ, faithful KernelSHAP)."
    )
    replicates: int = Field(4, ge=2, description="Independent runs of budget / replicates coalitions each.")

    @property
    def title(self) -> str:
        """Its index."""
        return self.index.lower()

    @property
    def approximator(self) -> replayed.Approximator:
        """The one of its index."""
        return replayed.APPROXIMATORS[self.index]

    def least_budget(self, players: int) -> int:
        """Three equations for each player and pair."""
        return replayed.equations_of_pairs(players)

    def estimate(self, games: Mapping[Key, Game], seed: int, bootstrap: int) -> dict[Key, Values]:
        """See `Interactions`."""
        return replayed.replayed(self, games, seed, bootstrap)


def windows(game: Game, largest: int) -> tuple[list[Pair], Values]:
    """I_ij with what lies between i and j removed, from the windows of at most `largest` players: exact, and free.

    Raises:
        StoreError: when the game lacks a window.
    """
    pairs = window_pairs(len(game.players), largest)
    return pairs, Values(np.stack([_difference(game, pair, range(pair[0] + 1, pair[1])) for pair in pairs], axis=1))


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
            return column[replayed.masks_of(kept)]

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
        The coalition S (bitmask), the player's position i, and v(S) - v(S - i) on each document [D].
    """
    count = len(game.players)
    for coalition, score in game.values.items():
        for position in range(count):
            if coalition >> position & 1 and coalition ^ 1 << position in game.values:
                yield coalition, position, score - game.values[coalition ^ 1 << position]
