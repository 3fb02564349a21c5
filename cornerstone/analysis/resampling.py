"""Drawing documents and samples of coalitions again, as the bootstrap and random halves do.

Two models that answered the same documents are given the same draws, so that what they have in common on a document
stays common.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from cornerstone.analysis.ranks import Sample

FEWEST = 4
"""Clusters of documents that are needed for two halves."""


@dataclass(frozen=True)
class Sums:
    """What an estimator says on one task, summed over the documents of each cluster.

    Attributes:
        parts: [R, G, N] of R replicates (1 where no coalitions were sampled) and G clusters.
        sizes: [G] documents of each cluster.
        shared: whether other tasks have the same replicates.
        scale: by which values are divided in the mean over tasks.
    """

    parts: np.ndarray
    sizes: np.ndarray
    shared: bool = False
    scale: float = 1.0

    @classmethod
    def of(cls, sample: Sample) -> Sums:
        """Those of a sample."""
        values = sample.values.documents[None] if sample.values.replicates is None else sample.values.replicates
        index = grouping(sample.clusters)
        parts = np.zeros((index.max() + 1, len(values), values.shape[2]))
        np.add.at(parts, index, values.transpose(1, 0, 2))
        sizes = np.bincount(index).astype(np.float64)
        return cls(parts.transpose(1, 0, 2), sizes, sample.values.shared, sample.scale)

    def means(self, clusters: np.ndarray, replicates: np.ndarray) -> np.ndarray:
        """Means [B, N] over documents and replicates that count so often; not a number where none counts.

        Args:
            clusters: [B, G] how often each cluster counts.
            replicates: [B, R] how often each replicate counts.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = replicates / replicates.sum(axis=1, keepdims=True)
            sums = sum(shares[:, [r]] * (clusters @ part) for r, part in enumerate(self.parts))
            found: np.ndarray = sums / (clusters @ self.sizes)[:, None]
        return found


@dataclass(frozen=True)
class Draw:
    """How often each cluster and each replicate of each task counts in B repetitions.

    Attributes:
        clusters: task -> [B, G].
        replicates: task -> [B, R], the same for tasks that share their replicates.
    """

    clusters: Mapping[str, np.ndarray]
    replicates: Mapping[str, np.ndarray]

    @classmethod
    def everything(cls, sums: Mapping[str, Sums], rows: int) -> Draw:
        """All that there is, in each repetition."""
        clusters = {task: np.ones((rows, len(each.sizes))) for task, each in sums.items()}
        return cls(clusters, _replicates(sums, lambda count: np.ones((rows, count))))

    @classmethod
    def again(cls, sums: Mapping[str, Sums], rows: int, rng: np.random.Generator) -> Draw:
        """Bootstrap samples: as many clusters and replicates as there are, with replacement."""
        whole = cls.everything(sums, 1)
        counts = {task: each.shape[1] for task, each in whole.clusters.items()}
        drawn = {task: rng.multinomial(n, np.full(n, 1 / n), rows).astype(np.float64) for task, n in counts.items()}

        def some(count: int) -> np.ndarray:
            return rng.multinomial(count, np.full(count, 1 / count), rows).astype(np.float64)

        return cls(drawn, _replicates(sums, some))

    def halves(self, rng: np.random.Generator) -> tuple[Draw, Draw]:
        """The same in two random halves of the clusters, and of the replicates where there are several.

        So neither documents nor sampled coalitions are common to both.
        """
        first = {task: _half(counts, rng) for task, counts in self.clusters.items()}
        rest = {task: counts - first[task] for task, counts in self.clusters.items()}
        halved: dict[int, np.ndarray] = {}  # once for tasks that share their replicates
        some, others = {}, {}
        for task, counts in self.replicates.items():
            if counts.shape[1] < 2:
                some[task] = others[task] = counts
                continue
            if id(counts) not in halved:
                halved[id(counts)] = _half(counts, rng)
            some[task] = halved[id(counts)]
            others[task] = counts - some[task]
        return Draw(first, some), Draw(rest, others)

    def means(self, sums: Mapping[str, Sums]) -> dict[str, np.ndarray]:
        """The values [B, N] on each task."""
        return {task: each.means(self.clusters[task], self.replicates[task]) for task, each in sums.items()}


def _replicates(sums: Mapping[str, Sums], draw: Callable[[int], np.ndarray]) -> dict[str, np.ndarray]:
    """How often each replicate of each task counts, by what is drawn for so many; once where tasks share them."""
    found: dict[str, np.ndarray] = {}
    for task, each in sums.items():
        common = next((found[other] for other in found if each.shared and sums[other].shared), None)
        found[task] = draw(len(each.parts)) if common is None else common
    return found


def grouping(clusters: np.ndarray) -> np.ndarray:
    """The cluster of each document as a number from 0, in the order in which they come, whatever they are called.

    >>> grouping(np.array(["b", "a", "b", "c"])).tolist()
    [0, 1, 0, 2]
    """
    _, first, index = np.unique(clusters, return_index=True, return_inverse=True)
    found: np.ndarray = first.argsort().argsort()[index]
    return found


def _half(counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The counts [B, G] in a random half of the columns, another one in each row; 0 elsewhere."""
    columns = counts.shape[1]
    chosen = rng.random(counts.shape).argsort(axis=1) < columns // 2
    return np.where(chosen, counts, 0.0)


def can_be_halved(samples: Mapping[str, Sample]) -> bool:
    """Whether each task has documents enough, and values on each of them (an estimator that is linear)."""
    return all(
        sample.values.resampled is None and len(np.unique(sample.clusters)) >= FEWEST for sample in samples.values()
    )
