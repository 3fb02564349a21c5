"""A cooperative game that is looked up, not computed: the value of a coalition on each document."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cornerstone.errors import StoreError
from cornerstone.game.coalitions import name
from cornerstone.game.players import Player

ACCURACY = "accuracy"
"""The value function that is the task's own metric."""
MEAN = "mean"
"""In tables, the plain mean over tasks."""


@dataclass(frozen=True)
class Game:
    """The values of evaluated coalitions, per document.

    Attributes:
        players: the model's players.
        values: coalition (bitmask of kept players) -> float64 [D], its score on each document.
        clusters: [D] label of each document's cluster; documents of one cluster are not independent.
        documents: [D] doc_id.
    """

    players: tuple[Player, ...]
    values: dict[int, np.ndarray]
    clusters: np.ndarray
    documents: np.ndarray

    def __call__(self, coalition: int) -> np.ndarray:
        """The coalition's score on each document, float64 [D].

        Raises:
            StoreError: when it was not evaluated. Nothing is ever put in its place.
        """
        try:
            return self.values[coalition]
        except KeyError:
            raise StoreError(
                f"coalition {name(coalition, self.players)} was not evaluated; the plan and the estimator disagree"
            ) from None

    @cached_property
    def full(self) -> np.ndarray:
        """The original model's score on each document, [D]."""
        return self((1 << len(self.players)) - 1)
