"""What follows from the log-likelihoods of a task's choices: its metrics, and the other value functions.

As lm-eval's tasks do it (the first of equals wins). Written here because lm-eval renders the document's templates anew
for each coalition; tests compare both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

import numpy as np

from cornerstone.assets.documents import TaskDocuments
from cornerstone.game.functions import LOGARITHMS, PER, SOFT, per

Counts = Sequence[Sequence[int]]
"""[document][choice]"""


@dataclass(frozen=True)
class Scores:
    """The log-likelihoods of all choices of D documents.

    Attributes:
        loglikelihoods: [document][choice], natural logarithms, summed over the choice's tokens.
        lengths: [document][choice], characters (where the choices stand in the context, all are equal).
        gold: [document] index of the right choice, or of all that are right.
        counts: by `bytes`, `tokens` and `words`: [document][choice], as far as they are known.
        greedy: [document][choice] whether the model by itself would write it; empty where no metric asks.

    Raises:
        ValueError: lists that do not fit each other, or a gold choice that is none.
    """

    loglikelihoods: Sequence[Sequence[float]]
    lengths: Counts
    gold: Sequence[int | Sequence[int]]
    counts: Mapping[str, Counts] = field(default_factory=dict)
    greedy: Sequence[Sequence[int]] = ()

    def __post_init__(self) -> None:
        sizes = [len(scores) for scores in self.loglikelihoods]
        others = [self.lengths, *self.counts.values(), *([self.greedy] if self.greedy else [])]
        same = all(sizes == [len(row) for row in other] for other in others) and len(sizes) == len(self.gold)
        if not same or min(sizes, default=1) < 1:
            raise ValueError("each document needs a gold choice, and a log-likelihood and a length for each choice")
        if not all(0 <= i < size for right, size in zip(self._right, sizes, strict=True) for i in right):
            raise ValueError("a gold choice is none of its document's choices")

    @classmethod
    def of(
        cls,
        data: TaskDocuments,
        loglikelihoods: Sequence[Sequence[float]],
        tokens: Counts | None = None,
        greedy: Sequence[Sequence[int]] = (),
    ) -> Scores:
        """The scores of a task's documents, in their order; `tokens` and `greedy` are the model's."""
        counts = {**data.counts, **({"tokens": tokens} if tokens is not None else {})}
        return cls(loglikelihoods, data.lengths, data.golds, counts, greedy)

    @cached_property
    def _right(self) -> list[Sequence[int]]:
        """[document] the choices that are right."""
        return [[right] if isinstance(right, int | np.integer) else right for right in self.gold]

    @cached_property
    def _there(self) -> np.ndarray:
        """[D, C] which choices each document has, of the most that one has."""
        sizes = np.array([len(scores) for scores in self.loglikelihoods], int)
        return np.arange(max(sizes, default=0)) < sizes[:, None]

    @cached_property
    def _golden(self) -> np.ndarray:
        """[D, C] which choices are right."""
        marked = np.zeros(self._there.shape, bool)
        for document, right in enumerate(self._right):
            marked[document, right] = True
        return marked

    @cached_property
    def _padded(self) -> np.ndarray:
        """[D, C], -inf where a document has fewer choices: a loop over documents takes ten times as long."""
        return self._wide(self.loglikelihoods, -np.inf)

    def _wide(self, rows: Sequence[Sequence[float]], empty: float) -> np.ndarray:
        wide = np.full(self._there.shape, empty)
        wide[self._there] = list(chain.from_iterable(rows))
        return wide

    def _by(self, unit: str) -> np.ndarray:
        """[D, C] log-likelihood per character, byte, token or word; of a choice without any, as if it had one."""
        counted = self.lengths if unit == "characters" else self.counts[unit]
        return self._padded / np.maximum(1, self._wide(counted, 1))

    @cached_property
    def _normalised(self) -> np.ndarray:
        return self._by("characters")

    def metric(self, name: str) -> np.ndarray:
        """The value of each document by a metric of lm-eval's, float64 [D]; higher is better.

        A share of documents (`game.functions.SHARES`): 1 where the document is answered right, else 0. `acc` takes the
        choice of highest log-likelihood, `acc_norm` divides by characters first, `acc_bytes` by bytes; `exact_match`,
        and `acc` of a task without choices, ask whether the model by itself would write (one of) the right ones.

        A perplexity: its mean is -ln of the perplexity that lm-eval says, or -1 times the bits per byte. lm-eval
        divides the sum of all log-likelihoods l by the sum of all counts w (words, bytes), a ratio r. So the value of a
        document is r + (l - r w) / mean(w): its mean is r, and its standard error is the ratio's to first order
        (Cochran, Sampling Techniques, 1977, section 6.4). It is linear in l, so a Shapley value of it is that of r.

        Raises:
            KeyError: what the metric needs is not known.
        """
        if name in LOGARITHMS:
            return self._logarithm(name)
        if name == "exact_match" or (name == "acc" and self._there.shape[1] == 1):
            if not self.greedy:
                raise KeyError("greedy")
            return (self._wide(self.greedy, 0).astype(bool) & self._golden).any(axis=1).astype(np.float64)
        scores = {
            "acc": lambda: self._padded,
            "acc_norm": lambda: self._normalised,
            "acc_bytes": lambda: self._by("bytes"),
        }
        chosen = scores[name]().argmax(axis=1)
        return self._golden[np.arange(len(chosen)), chosen].astype(np.float64)

    def _logarithm(self, name: str) -> np.ndarray:
        found = self.log_probability
        if name == "perplexity":
            return found
        unit = "words" if name == "word_perplexity" else "bytes"
        weights = np.array([row[0] for row in self.counts[unit]], np.float64)
        ratio = found.sum() / weights.sum()
        values: np.ndarray = ratio + (found - ratio * weights) / weights.mean()
        return values / np.log(2) if name == "bits_per_byte" else values

    def said(self, name: str) -> float:
        """A metric over all documents, in lm-eval's words: the share, the perplexity, the bits per byte."""
        mean = float(self.metric(name).mean())
        return {**dict.fromkeys(LOGARITHMS, float(np.exp(-mean))), "bits_per_byte": -mean}.get(name, mean)

    @property
    def margin(self) -> np.ndarray:
        """Log-likelihood per character of the right choice less that of the best other, float64 [D]."""
        golden = np.where(self._golden, self._normalised, -np.inf).max(axis=1, initial=-np.inf)
        others = np.where(self._golden, -np.inf, self._normalised).max(axis=1, initial=-np.inf)
        found: np.ndarray = golden - others
        return found

    def soft_accuracy(self, temperature: float) -> np.ndarray:
        """The right choices' share in a softmax over all, of log-likelihood per character / temperature, float64 [D].

        It lies in [0, 1], and tends to the normalised accuracy as the temperature tends to 0.
        """
        scaled = self._normalised / temperature
        weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        found: np.ndarray = np.where(self._golden, weights, 0).sum(axis=1) / weights.sum(axis=1)
        return found

    @property
    def log_probability(self) -> np.ndarray:
        """Log-likelihood of the right choice (of several: of the likeliest), float64 [D]."""
        found: np.ndarray = np.where(self._golden, self._padded, -np.inf).max(axis=1, initial=-np.inf)
        return found

    def functions(self, names: Sequence[str], temperature: float) -> dict[str, np.ndarray]:
        """Value functions by name, each float64 [D]: those of `names` whose counts are known."""
        made = {
            "margin": lambda: self.margin,
            SOFT: lambda: self.soft_accuracy(temperature),
            "log-probability": lambda: self.log_probability,
        }
        found = {name: value() for name, value in made.items() if name in names}
        for unit, counted in PER.items():
            if per(unit) in names and (counted == "characters" or counted in self.counts):
                found[per(unit)] = np.where(self._golden, self._by(counted), -np.inf).max(axis=1, initial=-np.inf)
        return found
