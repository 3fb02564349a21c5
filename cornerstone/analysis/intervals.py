"""How sure are we: standard errors over documents and over sampled coalitions, and intervals.

Every comparison is paired: both models answer the same documents, so the standard error is that of the
difference per document. Documents that share a passage form a cluster and count together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from cornerstone.errors import CornerstoneError
from cornerstone.estimators.values import Values


@dataclass(frozen=True)
class Estimate:
    """Means with their uncertainty; each an array [N].

    `df` are the degrees of freedom of the standard errors. `se` is what `se_documents` (other documents of the same
    kind) and `se_coalitions` (another sample of coalitions; 0 where none are sampled) come to together. `common` is
    there where other tasks have the same samples of coalitions.
    """

    value: np.ndarray
    se: np.ndarray
    low: np.ndarray
    high: np.ndarray
    df: np.ndarray
    se_documents: np.ndarray
    se_coalitions: np.ndarray
    level: float
    common: Common | None = None

    def p_above(self) -> np.ndarray:
        """One-sided p-values [N] of "not above 0", from the t distribution that the intervals use.

        Where the interval is wider than the standard error says (no document differed), so is the test. Where it has
        no width at all, the sign decides, and 0 up to rounding is 0.5.
        """
        half = (self.high - self.low) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            t = self.value / half * special.stdtrit(self.df, (1 + self.level) / 2)
        certain = 0.5 - 0.5 * np.sign(np.where(np.abs(self.value) > 1e-12, self.value, 0.0))
        return np.where(half > 0, special.stdtr(self.df, -np.where(half > 0, t, 0)), certain)

    def divided(self, scale: float) -> Estimate:
        """The same in another unit, of which one is `scale` of the old ones."""
        if scale == 1:
            return self
        common = self.common
        if common is not None:
            common = replace(common, replicates=common.replicates / scale, twice=common.twice / scale**2)
        parts = ("value", "se", "low", "high", "se_documents", "se_coalitions")
        return replace(self, **{part: getattr(self, part) / scale for part in parts}, common=common)

    def p_differs(self) -> np.ndarray:
        """Two-sided p-values [N] of "is 0"."""
        above = self.p_above()
        return 2 * np.minimum(above, 1 - above)


@dataclass(frozen=True)
class Common:
    """What the mean over tasks needs to know of samples of coalitions that tasks have in common.

    Attributes:
        replicates: [R, N] the value by each sample.
        twice: [N] the variance that documents and samples count twice (V_both).
        df_documents: [N] degrees of freedom of the standard error over documents.
    """

    replicates: np.ndarray
    twice: np.ndarray
    df_documents: np.ndarray


def over_documents(scores: np.ndarray, clusters: np.ndarray, level: float) -> Estimate:
    """Mean over documents with a cluster-robust standard error and a t interval.

    se = sqrt(G / (G - 1) * sum_g (sum_{d in g} (x_d - mean))^2) / D, for D documents in G clusters (Liang and
    Zeger 1986, with the usual factor G / (G - 1) for few clusters; Miller 2024, "Adding error bars to evals",
    section 2.2). Without clusters this is sd / sqrt(D).

    Where the variance is 0 (all documents score the same c, or differences cancel within clusters), the standard error
    says nothing. What was not seen in G tries has at most the probability 1 - (alpha / 2)^(1 / G) (Clopper and Pearson
    1934), and lies no farther from c than 1 + |c| where scores are in [-1, 1]: the half-width is their product.

    Args:
        scores: [D, N], a column per quantity, in [-1, 1] as differences of accuracies are.
        clusters: [D] labels.
        level: coverage, such as 0.95.

    Raises:
        CornerstoneError: fewer than two clusters.
    """
    return of_values(Values(scores), clusters, level)


def of_values(
    values: Values,
    clusters: np.ndarray,
    level: float,
    bound: float | None = 1,
    drawn: tuple[np.ndarray, np.ndarray] | None = None,
) -> Estimate:
    """Estimates with the standard error over documents and, where coalitions were sampled, over their samples.

    An estimate from R replicates on D documents has the variance

        V = V_documents + max(0, V_coalitions - V_both),

    where V_documents is that of `over_documents` (or of the bootstrap, where the estimator is not linear),
    V_coalitions = sum_r (phi_r - phi)^2 / (R (R - 1)), and V_both is what the two count twice: the replicates'
    deviations on single documents, averaged over documents. Degrees of freedom: those of Welch and Satterthwaite for
    V_documents + V_coalitions; V_both has none of its own, and is left out of them.

    Args:
        values: what an estimator returned, [D, N].
        clusters: [D] labels.
        level: coverage, such as 0.95.
        bound: the values lie in [-bound, bound]; see `over_documents`.
        drawn: V_documents and its degrees of freedom, both [N], in place of the quantities' own: those of `moderated`.

    Raises:
        CornerstoneError: fewer than two clusters.
    """
    scores = values.documents
    index, groups = independent(clusters)
    mean = scores.mean(axis=0)
    if drawn is not None:
        of_documents, df_documents = drawn
    elif values.resampled is not None:
        of_documents, df_documents = values.resampled.var(axis=0, ddof=1), np.full(len(mean), groups - 1.0)
    else:
        of_documents, df_documents = _variance_of_mean(scores, index, groups), np.full(len(mean), groups - 1.0)
    of_coalitions, twice, replicates = np.zeros_like(mean), np.zeros_like(mean), 2
    if values.replicates is not None:
        replicates = len(values.replicates)
        of_coalitions = values.replicates.mean(axis=1).var(axis=0, ddof=1) / replicates
        if values.resampled is None:
            deviations = values.replicates - scores
            twice = sum(_variance_of_mean(part, index, groups) for part in deviations) / (replicates * (replicates - 1))
    variance = of_documents + np.maximum(0, of_coalitions - twice)
    with np.errstate(divide="ignore", invalid="ignore"):
        df = (of_documents + of_coalitions) ** 2 / (
            of_documents**2 / df_documents + of_coalitions**2 / (replicates - 1)
        )
    df = np.where(variance > 0, df, df_documents)
    se = np.sqrt(variance)
    half = special.stdtrit(df, (1 + level) / 2) * se
    if bound is not None:
        unseen = (bound + np.abs(mean)) * (1 - ((1 - level) / 2) ** (1 / groups))
        half = np.where(of_documents == 0, np.hypot(half, unseen), half)
    parts = np.sqrt(of_documents), np.sqrt(of_coalitions)
    common = None
    if values.shared and values.replicates is not None:
        common = Common(values.replicates.mean(axis=1), twice, df_documents)
    return Estimate(mean, se, mean - half, mean + half, df, *parts, level, common)


def independent(clusters: np.ndarray) -> tuple[np.ndarray, int]:
    """The cluster of each document, [D] counted from 0, and how many there are.

    Raises:
        CornerstoneError: fewer than two.
    """
    labels, index = np.unique(clusters, return_inverse=True)
    if len(labels) < 2:
        raise CornerstoneError(
            f"an interval needs at least two independent documents, but these {len(clusters)} are {len(labels)} "
            "(questions on one passage count together). Raise `limit` in config.yaml."
        )
    return index, len(labels)


def variance_of_mean(scores: np.ndarray, clusters: np.ndarray) -> tuple[np.ndarray, int]:
    """The cluster-robust variance [N] of the mean over documents of scores [D, N], and its degrees of freedom.

    Raises:
        CornerstoneError: fewer than two clusters.
    """
    index, groups = independent(clusters)
    return _variance_of_mean(scores, index, groups), groups - 1


def _variance_of_mean(scores: np.ndarray, index: np.ndarray, groups: int) -> np.ndarray:
    """The variance of `variance_of_mean`; index: [D] cluster of each document. What is only rounding is 0."""
    sums = np.zeros((groups, scores.shape[1]))
    np.add.at(sums, index, scores - scores.mean(axis=0))
    sums[np.abs(sums) <= 1e-12 * len(scores)] = 0.0
    return groups / (groups - 1) * (sums**2).sum(axis=0) / len(scores) ** 2


def over_tasks(estimates: list[Estimate], level: float) -> Estimate:
    """The plain mean over tasks, whose documents are independent of each other.

    se = sqrt(sum_t se_t^2) / T, degrees of freedom by Welch and Satterthwaite. Half-widths are combined in the
    same way where a task's standard error is 0, so that the interval is never narrower than its parts allow.

    Coalitions are sampled for each task by itself, so that their errors are independent, too. Where they are not
    (`Estimate.common`), luck in the samples is the same on all tasks and does not cancel: V_coalitions is then that of
    the replicates' means over tasks.
    """
    count = len(estimates)
    value = np.mean([e.value for e in estimates], axis=0)
    shared = [e.common for e in estimates if e.common is not None]
    if len(shared) < count:
        variances = np.array([e.se**2 for e in estimates]) / count**2
        variance, df_parts = variances.sum(axis=0), np.array([e.df for e in estimates])
        of_coalitions = sum(e.se_coalitions**2 for e in estimates) / count**2
    else:
        means = np.mean([common.replicates for common in shared], axis=0)
        of_coalitions = means.var(axis=0, ddof=1) / len(means)
        of_documents = np.array([e.se_documents**2 for e in estimates]) / count**2
        twice = sum(common.twice for common in shared) / count**2
        variance = of_documents.sum(axis=0) + np.maximum(0, of_coalitions - twice)
        variances = np.array([*of_documents, of_coalitions])
        df_parts = np.array([*(common.df_documents for common in shared), np.full(len(value), len(means) - 1.0)])
    se = np.sqrt(variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        df = variances.sum(axis=0) ** 2 / (variances**2 / df_parts).sum(axis=0)
    df = np.where(se > 0, df, df_parts.min(axis=0))
    halves = np.array([(e.high - e.low) / 2 for e in estimates])
    seen = np.array([special.stdtrit(e.df, (1 + level) / 2) * e.se for e in estimates])
    unseen = np.sqrt(np.maximum(0, halves**2 - seen**2)) / count
    half = np.sqrt((special.stdtrit(df, (1 + level) / 2) * se) ** 2 + (unseen**2).sum(axis=0))
    se_documents = np.sqrt(sum(e.se_documents**2 for e in estimates)) / count
    return Estimate(value, se, value - half, value + half, df, se_documents, np.sqrt(of_coalitions), level)
