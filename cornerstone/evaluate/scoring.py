"""What follows from the log-likelihoods of a task's choices: right or wrong, and the other value functions.

As lm-eval's multiple-choice tasks do it (the first of equals wins). Written here because lm-eval renders the document's
templates anew for each coalition; a test compares both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np


@dataclass(frozen=True)
class Scores:
    """The log-likelihoods of all choices of D documents.

    Attributes:
        loglikelihoods: [document][choice], natural logarithms, summed over the choice's tokens.
        lengths: [document][choice], characters (where the choices stand in the context, all are equal).
        gold: [document] index of the right choice.

    Raises:
        ValueError: lists that do not fit each other, or a document with less than two choices.
    """

    loglikelihoods: Sequence[Sequence[float]]
    lengths: Sequence[Sequence[int]]
    gold: Sequence[int]

    def __post_init__(self) -> None:
        counts = [len(scores) for scores in self.loglikelihoods]
        same = counts == [len(sizes) for sizes in self.lengths] and len(counts) == len(self.gold)
        if not same or min(counts, default=2) < 2:
            raise ValueError(
                "each document needs a gold choice, and a log-likelihood and a length for two choices or more"
            )
        if not all(0 <= right < count for right, count in zip(self.gold, counts, strict=True)):
            raise ValueError("a gold choice is none of its document's choices")

    @cached_property
    def _there(self) -> np.ndarray:
        """[D, C] which choices each document has, of the most that one has."""
        counts = np.array([len(scores) for scores in self.loglikelihoods], int)
        return np.arange(max(counts, default=0)) < counts[:, None]

    @cached_property
    def _padded(self) -> np.ndarray:
        """[D, C], -inf where a document has fewer choices: a loop over documents takes ten times as long."""
        scores = np.full(self._there.shape, -np.inf)
        scores[self._there] = list(chain.from_iterable(self.loglikelihoods))
        return scores

    @cached_property
    def _normalised(self) -> np.ndarray:
        """[D, C] log-likelihood per character; of a choice without characters, as if it had one."""
        scores = self._padded.copy()
        scores[self._there] /= np.maximum(1, list(chain.from_iterable(self.lengths)))
        return scores

    def correct(self, metric: str) -> np.ndarray:
        """Which documents are answered right, float64 [D] of 0 and 1.

        `acc` takes the choice of highest log-likelihood; `acc_norm` divides it by the choice's length first.
        """
        scores = self._normalised if metric == "acc_norm" else self._padded
        return (scores.argmax(axis=1) == np.array(self.gold, int)).astype(np.float64)

    @property
    def margin(self) -> np.ndarray:
        """Log-likelihood per character of the gold choice less that of the best other, float64 [D]."""
        scores, rows, right = self._normalised.copy(), np.arange(len(self.gold)), np.array(self.gold, int)
        golden = scores[rows, right]
        scores[rows, right] = -np.inf
        return golden - scores.max(axis=1, initial=-np.inf)

    @property
    def log_probability(self) -> np.ndarray:
        """Log-likelihood of the gold choice, float64 [D]."""
        return self._padded[np.arange(len(self.gold)), np.array(self.gold, int)]
