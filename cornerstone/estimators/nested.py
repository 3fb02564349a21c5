"""Nested designs: each sample of coalitions is scored on its own part of the documents, and on no other.

Documents stand in blocks of the task's order, which are dealt out to the samples in turn. So a larger limit leaves to
each sample the documents that it has.

The estimate is the mean over documents of what each document's own sample says of it. Documents of one sample share its
luck, so they count as one cluster: the spread between clusters holds both sources, other documents and other
coalitions, and needs no model of either (statisticians call such samples nested, those on all documents crossed).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cornerstone.errors import CornerstoneError, StoreError
from cornerstone.estimators.base import Key
from cornerstone.estimators.values import Values
from cornerstone.game.coalitions import name
from cornerstone.game.game import Game

if TYPE_CHECKING:
    from cornerstone.estimators.budget import Budgeted

BLOCK = 16
"""Documents of a block."""


def dealt(clusters: Sequence[str], samples: int, first: int = 0) -> list[int]:
    """The sample of each document, in the task's order.

    A block stops at the first multiple of `BLOCK` at which no cluster is cut, or at the next place that cuts none.

    Args:
        clusters: of each document, in the task's order; those of a cluster are neighbours.
        samples: how many there are.
        first: the first block's number: subtasks of a group begin with different samples.

    >>> found = dealt([*"acdefghijklmnop", "b", "b", *map(str, range(20))], 2)
    >>> found.index(1), found.index(0, 17), len(found)
    (17, 32, 37)
    """
    found: list[int] = []
    number, aim = first, BLOCK
    for place, cluster in enumerate(clusters):
        if place >= aim and cluster != clusters[place - 1]:
            number, aim = number + 1, (place // BLOCK + 1) * BLOCK
        found.append(number % samples)
    return found


@dataclass(frozen=True)
class NestedGame(Game):
    """A game of which some coalitions were evaluated on a part of the documents only.

    Attributes:
        samples: [D] the sample of coalitions that each document belongs to.
        partial: coalition -> float64 [D], not a number where it was not evaluated; they are not among `values`.
    """

    samples: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    partial: Mapping[int, np.ndarray] = field(default_factory=dict)

    def __call__(self, coalition: int) -> np.ndarray:
        """The coalition's score on each document, float64 [D].

        Raises:
            StoreError: when it was not evaluated, or not on all documents.
        """
        if coalition in self.partial:
            raise StoreError(
                f"coalition {name(coalition, self.players)} was evaluated on some documents only, for an estimator "
                "with `design: nested`; what needs it on all documents has to ask for it, too"
            )
        return super().__call__(coalition)

    def of(self, sample: int) -> Game:
        """The game on the documents of one sample, with all that was evaluated on each of them."""
        chosen = np.flatnonzero(self.samples == sample)
        values = {coalition: scores[chosen] for coalition, scores in self.values.items()}
        for coalition, scores in self.partial.items():
            if not np.isnan(scores[chosen]).any():
                values[coalition] = scores[chosen]
        return Game(self.players, values, self.clusters[chosen], self.documents[chosen])


def units(game: Game) -> np.ndarray:
    """[D] labels of what must not be cut in halves: the clusters, or the samples of coalitions of a nested design."""
    return game.samples.astype(str) if isinstance(game, NestedGame) else game.clusters


def estimate(entry: Budgeted, games: Mapping[Key, Game], seed: int) -> dict[Key, Values]:
    """`Estimator.estimate` of a nested design, whatever the estimator: sample by sample.

    Raises:
        StoreError: a coalition was not evaluated on its documents, or the game does not say which these are.
    """
    inner: Any = entry.inner
    found: dict[Key, Values] = {}
    rows = {key: np.empty((len(game.documents), len(game.players))) for key, game in games.items()}
    nested: dict[Key, NestedGame] = {}
    for key, game in games.items():
        if isinstance(game, NestedGame) and len(np.unique(game.samples)) < 2:
            raise CornerstoneError(
                f"{entry.name}: these {len(game.documents)} documents are one block, so all have the same coalitions, "
                "and nothing says how far others are. Raise `limit`, or leave `design` at crossed."
            )
        if not isinstance(game, NestedGame):
            raise StoreError(f"{entry.name}: the values do not say which documents belong to which sample (`design`)")
        nested[key] = game
    for sample, own in enumerate(entry.seeds(seed)):
        parts = {key: game.of(sample) for key, game in nested.items() if (game.samples == sample).any()}
        for key, values in inner.estimate(parts, own, 0).items() if parts else ():
            rows[key][nested[key].samples == sample] = values.documents
    for key, game in nested.items():
        found[key] = Values(rows[key], clusters=units(game))
    return found
