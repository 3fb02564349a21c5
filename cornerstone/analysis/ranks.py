"""Is this player really more important? Tests and rank intervals that hold for all players at once.

Everything is a contrast: a weighted sum of the players' values, estimated on each document like the values themselves,
so that what two players have in common on a document cancels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cornerstone.analysis import intervals, moderated
from cornerstone.analysis.intervals import Estimate
from cornerstone.estimators.values import Values
from cornerstone.game.game import MEAN

CHOSEN = 3
"""Players at the top that are asked for: as many as the paper calls cornerstones."""


@dataclass(frozen=True)
class Sample:
    """What an estimator says on one task.

    Attributes:
        values: of N players on D documents.
        clusters: [D] labels; documents of one cluster are not independent.
        bound: the values lie in [-bound, bound]; None: no bound is known.
        scale: by which they are divided in the mean over tasks, where tasks have different units.
        group: [D] labels of documents that stay together in halves; None: the clusters. They are coarser where a nested
            design has samples of coalitions for parts of the documents.
    """

    values: Values
    clusters: np.ndarray
    bound: float | None = 1
    scale: float = 1.0
    group: np.ndarray | None = None

    @property
    def units(self) -> np.ndarray:
        """[D] labels of what is not cut in halves."""
        return self.clusters if self.group is None else self.group

    def contrasts(self, weights: np.ndarray) -> Sample:
        """Weighted sums of the values; weights: [N, M]."""
        bound = None if self.bound is None else self.bound * np.abs(weights).sum(axis=0).max()
        return replace(self, values=self.values.contrasts(weights), bound=bound)

    def of(self, values: Values, documents: np.ndarray) -> Sample:
        """Values (of some coalitions) on some of the documents; documents: indices [M]."""
        group = None if self.group is None else self.group[documents]
        return replace(self, values=values.of(documents), clusters=self.clusters[documents], group=group)


def estimates(samples: Mapping[str, Sample], level: float, weights: np.ndarray | None = None) -> dict[str, Estimate]:
    """The estimate of each task and of their mean; `weights` [N, M]: of M contrasts instead of the N values.

    Variances over documents are moderated: see `drawn`. The mean is of what each task's scale makes of its values.
    """
    if weights is not None:
        samples = {task: sample.contrasts(weights) for task, sample in samples.items()}
    moderate = drawn(samples)
    found = {
        task: intervals.of_values(sample.values, sample.clusters, level, sample.bound, moderate.get(task))
        for task, sample in samples.items()
    }
    scaled = [estimate.divided(samples[task].scale) for task, estimate in found.items()]
    return {**found, MEAN: intervals.over_tasks(scaled, level)}


def drawn(samples: Mapping[str, Sample]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The moderated variance over documents of each quantity, and its degrees of freedom, both [N], by task.

    Variances per document (where documents are clustered: per cluster) of bounded values are of one kind on all tasks,
    so all of them are drawn together. Values without a bound have another unit on each task: there each task is drawn
    by itself. Before that, each variance gets that of one document more, among all that are drawn together, on which
    the quantity is as far from its mean as where it is not 0 (root mean square): what was not seen may still be there.

    Returns:
        Nothing of estimators that are not linear, and where there are too few quantities to learn from.
    """
    if any(sample.values.resampled is not None for sample in samples.values()):
        return {}
    own = {
        task: intervals.variance_of_mean(sample.values.documents, sample.clusters) for task, sample in samples.items()
    }
    counts = {task: df + 1 for task, (_, df) in own.items()}
    bounded = all(sample.bound is not None for sample in samples.values())
    groups = [list(samples)] if bounded else [[task] for task in samples]
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for tasks in groups:
        unseen = _square(samples, tasks) / sum(counts[task] for task in tasks)
        each = [own[task][0] * counts[task] + unseen for task in tasks]
        df = [np.full(len(part), float(own[task][1])) for part, task in zip(each, tasks, strict=True)]
        if len(each[0]) < moderated.FEWEST or not any(own[task][0].any() for task in tasks):
            continue
        variances, freedom = moderated.moderated(np.concatenate(each), np.concatenate(df))
        parts = zip(np.split(variances, len(tasks)), np.split(freedom, len(tasks)), tasks, strict=True)
        found |= {task: (variance / counts[task], df) for variance, df, task in parts}
    return found


def _square(samples: Mapping[str, Sample], tasks: Sequence[str]) -> float:
    """The mean square of how far values that are not 0 are from the mean of their quantity, over all of the tasks.

    Of a nested design the values are those of each sample of coalitions, the mean over its documents: what was not seen
    there is another sample.
    """
    total, count = 0.0, 0
    for task in tasks:
        rows, labels = samples[task].values.documents, samples[task].values.clusters
        if labels is not None:
            rows = np.array([rows[labels == label].mean(axis=0) for label in np.unique(labels)])
        there = np.abs(rows) > 1e-12
        total += float(((rows - rows.mean(axis=0))[there] ** 2).sum())
        count += int(there.sum())
    return total / count if count else 0.0


def holm(p: np.ndarray) -> np.ndarray:
    """p-values [N] adjusted for being N tests: the step-down of Holm (1979). Rejecting those at most alpha keeps the
    chance of any wrong rejection at alpha, whatever the tests' dependence.

    >>> holm(np.array([0.01, 0.5, 0.02])).tolist()
    [0.03, 0.5, 0.04]
    """
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(stepped)
    adjusted[order] = np.minimum(1, stepped)
    return adjusted


def median_contrast(values: np.ndarray) -> np.ndarray:
    """Weights [N, N] of "player less the median player" for values [N].

    The median player is the middle one, or the mean of the middle two. Which players these are is taken from
    the data and then held fixed: near the middle many players are alike, so it matters little which one it is.
    """
    count = len(values)
    order = np.argsort(values, kind="stable")
    middle = order[(count - 1) // 2 : count // 2 + 1]
    weights = np.eye(count)
    weights[middle] -= 1 / len(middle)
    return weights


def above_median(samples: Mapping[str, Sample], level: float) -> dict[str, np.ndarray]:
    """Holm-adjusted one-sided p-values [N] of "not above the median player", for each task and their mean."""
    values = estimates(samples, level)
    found = {}
    for task, estimate in values.items():
        contrast = estimates(samples, level, median_contrast(estimate.value))[task]
        found[task] = holm(contrast.p_above())
    return found


def pairwise(samples: Mapping[str, Sample], level: float) -> dict[str, np.ndarray]:
    """For each task and their mean: one-sided p-values [N, N - 1] of "player i is not above that other player".

    Row i compares player i with all others, in their order, in paired tests.
    """
    count = next(iter(samples.values())).values.documents.shape[1]
    found: dict[str, list[np.ndarray]] = {task: [] for task in [*samples, MEAN]}
    for player in range(count):
        weights = -np.delete(np.eye(count), player, axis=1)
        weights[player] = 1
        for task, estimate in estimates(samples, level, weights).items():
            found[task].append(estimate.p_above())
    return {task: np.array(rows).reshape(count, count - 1) for task, rows in found.items()}


def rank_intervals(above: np.ndarray, level: float) -> np.ndarray:
    """The lowest and highest rank [N, 2] that each player may have, 1 the best.

    A player's interval covers its true rank with probability `level`: only those players bound its rank from which it
    differs after Holm's adjustment over the N - 1 comparisons. These are the marginal confidence sets of Mogstad,
    Romano, Shaikh and Wilhelm (2024, "Inference for ranks"), with Holm's step-down in place of their bootstrap.

    Args:
        above: p-values [N, N - 1] as `pairwise` gives them.
        level: such as 0.95.
    """
    count = len(above)
    found = np.tile([1, count], (count, 1))
    for player, p in enumerate(above):
        differs = holm(2 * np.minimum(p, 1 - p)) <= 1 - level
        found[player] += (int((differs & (p > 0.5)).sum()), -int((differs & (p < 0.5)).sum()))
    return found


def among_top(above: np.ndarray, k: int = CHOSEN) -> np.ndarray:
    """p-values [N] of "not among the k highest", adjusted for testing every player.

    A player is among the k highest if at most k - 1 others are above it, so if it is above at least N - k of the N - 1
    others. That many of its N - 1 hypotheses "not above that one" must be false. The test of that is k times the
    (N - k)-th smallest of their p-values (Benjamini and Heller 2008, "Screening for partial conjunction hypotheses",
    equation 6), whatever their dependence. Holm's adjustment over the N players comes on top.

    Args:
        above: p-values [N, N - 1] as `pairwise` gives them.
        k: places at the top.
    """
    count = len(above)
    if count <= k:
        return np.zeros(count)
    return holm(np.minimum(1, k * np.sort(above, axis=1)[:, count - k - 1]))


def halves(clusters: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray] | None:
    """Two random halves of the documents (indices) that share no cluster; None with fewer than four clusters."""
    labels = rng.permutation(np.unique(clusters))
    if len(labels) < 4:
        return None
    first = np.isin(clusters, labels[: len(labels) // 2])
    return np.flatnonzero(first), np.flatnonzero(~first)


def split(clusters: Mapping[str, np.ndarray], seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]] | None:
    """Two random halves of each task's documents (indices), the same wherever they are asked for.

    Args:
        clusters: task -> [D] labels, in the config's order of tasks.
        seed: of the run.

    Returns:
        None where a task has fewer than four clusters.
    """
    rng = np.random.default_rng([seed, 1])
    found = {}
    for task, labels in clusters.items():
        parts = halves(labels, rng)
        if parts is None:
            return None
        found[task] = parts
    return found


def halved(samples: Mapping[str, Sample], seed: int) -> tuple[dict[str, Sample], dict[str, Sample]] | None:
    """The values on each half of `split`, from one half of the replicates each where coalitions were sampled.

    Returns:
        None where a task has too few documents or replicates, or the estimator is not linear.
    """
    parts = split({task: sample.units for task, sample in samples.items()}, seed)
    values = {task: sample.values.halves() for task, sample in samples.items()}
    sides: tuple[dict[str, Sample], dict[str, Sample]] = ({}, {})
    for task, sample in samples.items():
        replicates = values[task]
        if parts is None or replicates is None:
            return None
        for side, half, part in zip(sides, replicates, parts[task], strict=True):
            side[task] = sample.of(half, part)
    return sides


@dataclass(frozen=True)
class HeldOut:
    """Players chosen on one half of the documents, and what the other half says of all of them.

    Attributes:
        chosen: positions, the highest values of the first half.
        estimate: the values of all N players on the second half.
    """

    chosen: np.ndarray
    estimate: Estimate


def held_out(samples: Mapping[str, Sample], level: float, seed: int) -> HeldOut | None:
    """Choose the `CHOSEN` highest players on one half of each task's documents, and value them on the other half.

    The highest of many noisy values are too high; on documents that had no part in the choice they are not. Where
    coalitions were sampled, the two halves have their own: a player that was lucky in the coalitions of the choice is
    not lucky again.

    Returns:
        None where a task has too few documents or replicates, or the estimator is not linear.
    """
    both = halved(samples, seed)
    if both is None:
        return None
    first, second = both
    chosen = np.argsort(-estimates(first, level)[MEAN].value, kind="stable")[:CHOSEN]
    return HeldOut(chosen, estimates(second, level)[MEAN])
