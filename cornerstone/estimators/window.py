"""The estimator of Zhang, Dong and Kawaguchi (2024), section 3: early truncation and neighbourhood sampling.

Player i's value is the plain mean of v(with i) - v(without i) over
- the full model against the removal of i alone, and
- each window W of 2..K neighbours that has i at its first or last position: v(N - (W - i)) - v(N - W).

A player at least K - 1 places from both ends has 2K - 1 terms, the first and the last player have K. The estimator
is linear in v, but neither efficient nor symmetric: the values do not sum to v(N) - v(empty), and players that could be
exchanged may get different values, anywhere: it depends on who their neighbours are.

This reads the paper, which gives no weights and says of the windows on one side only ("only samples subsequent
layers"), in the way that treats both sides alike, as the authors' code does (llm_dissect, scripts/estimate_shapley.py:
windows with the layer at either end, and their plain mean; of at most three layers by default).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import Field

from cornerstone.estimators.base import Estimator, Key
from cornerstone.estimators.values import Values
from cornerstone.game.coalitions import window_coalitions, windows, without
from cornerstone.game.game import Game
from cornerstone.game.players import Player


class WindowEstimator(Estimator):
    """The paper's estimator. Biased, cheap."""

    kind: Literal["window"]
    removed: int = Field(4, ge=1, description="The paper's K: windows of at most K neighbours are removed.")

    @property
    def name(self) -> str:
        """As in file names."""
        return f"window-k{self.removed}"

    def problem(self, players: int) -> str | None:
        """A window can't be longer than the model."""
        return "choose a smaller `removed`" if self.removed > players else None

    def windows(self, players: int) -> int:
        """The paper's K."""
        return self.removed

    def coalitions(self, players: tuple[Player, ...], seed: int) -> list[int]:
        """All windows of at most K players, removed."""
        return window_coalitions(players, self.removed)

    def estimate(self, games: Mapping[Key, Game], seed: int, bootstrap: int) -> dict[Key, Values]:
        """See `Estimator`."""
        return {key: Values(estimate(game, self.removed)) for key, game in games.items()}

    def columns(self, players: int) -> dict[str, list[float]]:
        """`terms`: how many differences are averaged for each player."""
        return {"terms": [len(pairs) for pairs in terms(players, self.removed)]}


def terms(count: int, largest: int) -> list[list[tuple[tuple[int, ...], tuple[int, ...]]]]:
    """For each of `count` players: pairs (removed with the player present, removed with it absent).

    >>> terms(3, largest=2)[0]
    [((), (0,)), ((1,), (0, 1))]
    """
    found: list[list[tuple[tuple[int, ...], tuple[int, ...]]]] = [[] for _ in range(count)]
    for window in windows(count, largest):
        for player in {window[0], window[-1]}:
            rest = tuple(position for position in window if position != player)
            found[player].append((rest, tuple(window)))
    return found


def estimate(game: Game, largest: int) -> np.ndarray:
    """Values of all players on each document.

    Args:
        game: holds every window of at most `largest` removed players.
        largest: the paper's K.

    Returns:
        float64 [D, N]; its mean over documents is the paper's value.

    Raises:
        StoreError: when the game lacks a coalition.
    """

    def value(removed: tuple[int, ...]) -> np.ndarray:
        return game(without(removed, game.players))

    columns = [
        np.mean([value(present) - value(absent) for present, absent in pairs], axis=0)
        for pairs in terms(len(game.players), largest)
    ]
    return np.stack(columns, axis=1)
