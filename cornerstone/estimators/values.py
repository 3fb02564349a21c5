"""What an estimator returns: values with all that is needed to say how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cornerstone.game.game import Game


@dataclass(frozen=True)
class Values:
    """Estimated values of N quantities (players, or pairs of players) over D documents.

    Attributes:
        documents: [D, N] value of each quantity on each document. For an estimator that is not linear in the game
            these are no estimates by themselves: each row is the value over all documents.
        replicates: [R, D, N] the same from each of R independent samples of coalitions, of which `documents` is the
            mean; None when no coalitions were sampled.
        resampled: [B, N] values over B bootstrap samples of the documents, for an estimator that is not linear;
            None for one that is.
        shared: whether other tasks have the same samples of coalitions, so that their errors are common to all.
        clusters: [D] labels, where documents depend on each other by the coalitions that they were scored on (a nested
            design), whatever they are; None: only documents that are alike do.
    """

    documents: np.ndarray
    replicates: np.ndarray | None = None
    resampled: np.ndarray | None = None
    shared: bool = False
    clusters: np.ndarray | None = None

    @classmethod
    def averaged(cls, replicates: Sequence[np.ndarray]) -> Values:
        """The mean of independent replicates, each [D, N]."""
        stacked = np.stack(replicates)
        return cls(stacked.mean(axis=0), stacked)

    def contrasts(self, weights: np.ndarray) -> Values:
        """The values of M weighted sums of the quantities; weights: [N, M]."""
        return replace(
            self,
            documents=self.documents @ weights,
            replicates=None if self.replicates is None else self.replicates @ weights,
            resampled=None if self.resampled is None else self.resampled @ weights,
        )

    def halves(self) -> tuple[Values, Values] | None:
        """The values from one half of the replicates and from the other; twice the same where nothing was sampled.

        None for an estimator that is not linear, and with fewer than four replicates: two say how far apart they are.
        """
        if self.resampled is not None:
            return None
        if self.replicates is None:
            return self, self
        middle = len(self.replicates) // 2
        parts = self.replicates[:middle], self.replicates[middle:]
        if middle < 2:
            return None
        first, second = (replace(self, documents=part.mean(axis=0), replicates=part) for part in parts)
        return first, second

    def of(self, chosen: np.ndarray) -> Values:
        """The values on some of the documents; chosen: indices [M]. Only for linear estimators."""
        if self.resampled is not None:
            raise ValueError("an estimator that is not linear has no values on some of its documents")
        replicates = None if self.replicates is None else self.replicates[:, chosen]
        clusters = None if self.clusters is None else self.clusters[chosen]
        return replace(self, documents=self.documents[chosen], replicates=replicates, clusters=clusters)


def scores(game: Game, coalitions: Sequence[int]) -> np.ndarray:
    """[D, C] the score of each document under each coalition.

    Raises:
        StoreError: when the game lacks a coalition.
    """
    return np.stack([game(coalition) for coalition in coalitions], axis=1)
