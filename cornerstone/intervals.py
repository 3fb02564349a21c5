"""How sure are we: standard errors over documents, intervals, and the rule for cornerstones.

Every comparison is paired: both models answer the same documents, so the standard error is that of the
difference per document. Documents that share a passage form a cluster and count together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from cornerstone.errors import CornerstoneError


@dataclass(frozen=True)
class Estimate:
    """Means with their uncertainty; each an array [N].

    `df` are the degrees of freedom of the standard errors.
    """

    value: np.ndarray
    se: np.ndarray
    low: np.ndarray
    high: np.ndarray
    df: np.ndarray


def over_documents(scores: np.ndarray, clusters: np.ndarray, level: float) -> Estimate:
    """Mean over documents with a cluster-robust standard error and a t interval.

    se = sqrt(G / (G - 1) * sum_g (sum_{d in g} (x_d - mean))^2) / D, for D documents in G clusters (Liang and
    Zeger 1986; Miller 2024, "Adding error bars to evals", section 2.2). Without clusters this is sd / sqrt(D).

    Where no document differs, the standard error is 0 and says nothing. Then the interval is the one for a
    share of which none was seen in G tries: each end at 1 - (alpha / 2)^(1 / G) (Clopper and Pearson 1934), for
    scores within [-1, 1].

    Args:
        scores: [D, N] in [-1, 1], a column per quantity.
        clusters: [D] labels.
        level: coverage, such as 0.95.

    Raises:
        CornerstoneError: fewer than two clusters.
    """
    count = len(scores)
    labels, index = np.unique(clusters, return_inverse=True)
    groups = len(labels)
    if groups < 2:
        raise CornerstoneError(
            f"an interval needs at least two independent documents, but these {count} are {groups} (questions on one "
            "passage count together). Raise `limit` in config.yaml."
        )
    mean = scores.mean(axis=0)
    sums = np.zeros((groups, scores.shape[1]))
    np.add.at(sums, index, scores - mean)
    se = np.sqrt(groups / (groups - 1) * (sums**2).sum(axis=0)) / count
    constant = np.ptp(scores, axis=0) == 0
    se[constant] = 0.0  # not the rounding error of the mean
    half = stats.t.ppf((1 + level) / 2, groups - 1) * se
    unseen = 1 - ((1 - level) / 2) ** (1 / groups)
    half = np.where(constant, unseen, half)
    return Estimate(mean, se, mean - half, mean + half, np.full(len(mean), groups - 1.0))


def over_tasks(estimates: list[Estimate], level: float) -> Estimate:
    """The plain mean over tasks, whose documents are independent of each other.

    se = sqrt(sum_t se_t^2) / T, degrees of freedom by Welch and Satterthwaite. Half-widths are combined in the
    same way where a task's standard error is 0, so that the interval is never narrower than its parts allow.
    """
    count = len(estimates)
    value = np.mean([e.value for e in estimates], axis=0)
    variances = np.array([e.se**2 for e in estimates]) / count**2
    se = np.sqrt(variances.sum(axis=0))
    df_parts = np.array([e.df for e in estimates])
    with np.errstate(divide="ignore", invalid="ignore"):
        df = variances.sum(axis=0) ** 2 / (variances**2 / df_parts).sum(axis=0)
    df = np.where(se > 0, df, df_parts.min(axis=0))
    unseen = np.array([np.where(e.se == 0, (e.high - e.low) / 2, 0) for e in estimates]) / count
    half = np.sqrt((stats.t.ppf((1 + level) / 2, df) * se) ** 2 + (unseen**2).sum(axis=0))
    return Estimate(value, se, value - half, value + half, df)


def ranked(values: pd.DataFrame) -> pd.DataFrame:
    """Players by value, highest first, with `rank` from 1 and the column `clear`.

    Args:
        values: columns player, position, value, low, high (one row a player).

    Returns:
        The rows in order of value. `clear` marks the largest group of top players, at most a quarter of all,
        of which each has its whole interval above the interval of every player outside the group. There may
        be no such group.
    """
    table = values.sort_values(["value", "position"], ascending=[False, True], ignore_index=True)
    table["rank"] = np.arange(1, len(table) + 1)
    lowest_inside = np.minimum.accumulate(table["low"].to_numpy())
    highest_outside = np.maximum.accumulate(table["high"].to_numpy()[::-1])[::-1]
    clear = 0
    for size in range(1, len(table) // 4 + 1):
        if lowest_inside[size - 1] > highest_outside[size]:
            clear = size
    table["clear"] = table["rank"] <= clear
    return table
