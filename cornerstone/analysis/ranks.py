"""Is this player really more important? Tests and rank intervals that hold for all players at once.

Everything is a contrast: a weighted sum of the players' values, estimated on each document like the values themselves,
so that what two players have in common on a document cancels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cornerstone.analysis import intervals
from cornerstone.analysis.intervals import Estimate
from cornerstone.estimators.values import Values
from cornerstone.game.game import MEAN

CHOSEN = 3
"""Players that are chosen on one half of the documents: as many as the paper calls cornerstones."""


@dataclass(frozen=True)
class Sample:
    """What an estimator says on one task.

    Attributes:
        values: of N players on D documents.
        clusters: [D] labels; documents of one cluster are not independent.
        bound: the values lie in [-bound, bound]; None: no bound is known.
    """

    values: Values
    clusters: np.ndarray
    bound: float | None = 1


def estimates(samples: Mapping[str, Sample], level: float, weights: np.ndarray | None = None) -> dict[str, Estimate]:
    """The estimate of each task and of their mean; `weights` [N, M]: of M contrasts instead of the N values."""
    found = {}
    for task, sample in samples.items():
        values, bound = sample.values, sample.bound
        if weights is not None:
            values = values.contrasts(weights)
            bound = None if bound is None else bound * np.abs(weights).sum(axis=0).max()
        found[task] = intervals.of_values(values, sample.clusters, level, bound)
    return {**found, MEAN: intervals.over_tasks(list(found.values()), level)}


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


def rank_intervals(samples: Mapping[str, Sample], level: float) -> dict[str, np.ndarray]:
    """For each task and their mean: the lowest and highest rank [N, 2] that each player may have, 1 the best.

    A player's interval covers its true rank with probability `level`: it is compared with each other player in a
    paired test, Holm-adjusted over the N - 1 comparisons, and only those that differ bound its rank (Klein, Wright
    and Wieczorek 2020; Mogstad, Romano, Shaikh and Wilhelm 2024).
    """
    count = next(iter(samples.values())).values.documents.shape[1]
    found = {task: np.tile([1, count], (count, 1)) for task in [*samples, MEAN]}
    for player in range(count):
        weights = -np.delete(np.eye(count), player, axis=1)
        weights[player] = 1
        for task, estimate in estimates(samples, level, weights).items():
            above = estimate.p_above()
            two_sided = holm(2 * np.minimum(above, 1 - above))
            differs = two_sided <= 1 - level
            better, worse = differs & (estimate.value < 0), differs & (estimate.value > 0)
            found[task][player] += (int(better.sum()), -int(worse.sum()))
    return found


def halves(clusters: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray] | None:
    """Two random halves of the documents (indices) that share no cluster; None with fewer than four clusters."""
    labels = rng.permutation(np.unique(clusters))
    if len(labels) < 4:
        return None
    first = np.isin(clusters, labels[: len(labels) // 2])
    return np.flatnonzero(first), np.flatnonzero(~first)


@dataclass(frozen=True)
class HeldOut:
    """Players chosen on one half of the documents, and what the other half says of them.

    Attributes:
        chosen: positions, the highest values of the first half.
        estimate: their values on the second half.
        p: Holm-adjusted p-values of "not above the median player", on the second half.
    """

    chosen: np.ndarray
    estimate: Estimate
    p: np.ndarray


def held_out(samples: Mapping[str, Sample], level: float, seed: int) -> HeldOut | None:
    """Choose the `CHOSEN` highest players on one half of each task's documents, and test them on the other half.

    The highest of many noisy values are too high; on documents that had no part in the choice they are not.

    Returns:
        None where a task has too few documents, or the estimator is not linear.
    """
    rng = np.random.default_rng([seed, 1])
    first: dict[str, Sample] = {}
    second: dict[str, Sample] = {}
    for task, sample in samples.items():
        parts = halves(sample.clusters, rng)
        if parts is None or sample.values.resampled is not None:
            return None
        for half, part in zip((first, second), parts, strict=True):
            half[task] = Sample(sample.values.of(part), sample.clusters[part], sample.bound)
    chosen = np.argsort(-estimates(first, level)[MEAN].value, kind="stable")[:CHOSEN]
    whole = estimates(second, level)[MEAN]
    tested = estimates(second, level, median_contrast(whole.value)[:, chosen])[MEAN]
    weights = np.eye(len(whole.value))[:, chosen]
    return HeldOut(chosen, estimates(second, level, weights)[MEAN], holm(tested.p_above()))
