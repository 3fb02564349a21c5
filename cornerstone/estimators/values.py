"""What an estimator returns: values with all that is needed to say how sure they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
    """

    documents: np.ndarray
    replicates: np.ndarray | None = None
    resampled: np.ndarray | None = None

    def contrasts(self, weights: np.ndarray) -> Values:
        """The values of M weighted sums of the quantities; weights: [N, M]."""
        return Values(
            self.documents @ weights,
            None if self.replicates is None else self.replicates @ weights,
            None if self.resampled is None else self.resampled @ weights,
        )

    def of(self, chosen: np.ndarray) -> Values:
        """The values on some of the documents; chosen: indices [M]. Only for linear estimators."""
        if self.resampled is not None:
            raise ValueError("an estimator that is not linear has no values on some of its documents")
        return Values(self.documents[chosen], None if self.replicates is None else self.replicates[:, chosen])
