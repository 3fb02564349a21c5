"""Exact Shapley values: the definition, from all 2^N coalitions (Shapley 1953)."""

from __future__ import annotations

from collections.abc import Mapping
from math import comb
from typing import Literal

import numpy as np

from cornerstone.estimators.base import Estimator, Key
from cornerstone.estimators.values import Values
from cornerstone.game.game import Game
from cornerstone.game.players import Player

MOST_EXACT = 16
"""Players up to which all coalitions are evaluated."""
MOST_WINDOWS = 4
"""Windows up to this length are looked at where all coalitions are there: as long as the paper's."""


class ExactEstimator(Estimator):
    """Shapley values from all 2^N coalitions."""

    kind: Literal["exact"]

    @property
    def name(self) -> str:
        """As in file names."""
        return "exact"

    def problem(self, players: int) -> str | None:
        """2^N coalitions are soon too many."""
        return too_many(players)

    def windows(self, players: int) -> int:
        """All coalitions are there; the windows that the paper looks at are looked at."""
        return min(MOST_WINDOWS, players)

    def coalitions(self, players: tuple[Player, ...], seed: int) -> list[int]:
        """All of them."""
        return list(range(1 << len(players)))

    def estimate(self, games: Mapping[Key, Game], seed: int, bootstrap: int) -> dict[Key, Values]:
        """See `Estimator`."""
        return {key: Values(estimate(game)) for key, game in games.items()}


def too_many(players: int) -> str | None:
    """Why all coalitions of so many players are not evaluated; None where they are few enough."""
    return (
        f"`exact` takes at most {MOST_EXACT}: group them with the model's `players`" if players > MOST_EXACT else None
    )


def estimate(game: Game) -> np.ndarray:
    """phi_i = sum over S without i of (v(S + i) - v(S)) / (N * C(N - 1, |S|)), on each document: float64 [D, N].

    Raises:
        StoreError: when the game lacks a coalition.
    """
    count = len(game.players)
    values = np.stack([game(coalition) for coalition in range(1 << count)])
    masks = np.arange(1 << count)
    sizes = np.array([int(mask).bit_count() for mask in masks])
    weight = np.array([1 / (count * comb(count - 1, size)) if size < count else 0 for size in range(count + 1)])
    columns = []
    for i in range(count):
        without = masks[masks >> i & 1 == 0]
        columns.append(weight[sizes[without]] @ (values[without | 1 << i] - values[without]))
    return np.stack(columns, axis=1)
