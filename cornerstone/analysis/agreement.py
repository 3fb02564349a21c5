"""How far the rankings of the same players by two models agree, and how sure that is.

The rank correlation of two sets of estimated values is not that of the true values: noise pulls it towards 0, and what
two models have in common on the same documents pulls it up. So it is also taken between values from different halves
of the documents, and set against how well each model agrees with itself there (Spearman 1904).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special

from cornerstone.analysis.ranks import Sample
from cornerstone.analysis.resampling import Draw, Sums, can_be_halved
from cornerstone.game.game import MEAN

SPLITS = 100
"""Random halves of the documents."""
SPLITS_AGAIN = 3
"""Random halves of each bootstrap sample."""
ROUNDED = 12
"""Decimals of values that are compared: equal ones may differ by the rounding of their sums."""


@dataclass(frozen=True)
class Agreement:
    """Of two rankings; each is NaN where it can't be said.

    Attributes:
        plain: Spearman's rank correlation of the values on all documents.
        corrected: what it would be without noise: `across` / sqrt(`within_first` x `within_second`), cut to [-1, 1].
        low: of the interval.
        high: of the interval.
        across: rank correlation between the first model on one half of the documents and the second on the other.
        within_first: rank correlation of the first model with itself between two halves.
        within_second: likewise of the second.
    """

    plain: float
    corrected: float
    low: float
    high: float
    across: float
    within_first: float
    within_second: float


def agreement(
    first: Mapping[str, Sample], second: Mapping[str, Sample], level: float, seed: int, repetitions: int
) -> dict[str, Agreement]:
    """The agreement of two models with the same players, on each task and on the mean over tasks.

    The interval for the rank correlation of the true values is the hull of two. One is plain +- z se, with the standard
    error of a bootstrap over documents (and replicates). The other holds all r for which

        across - r sqrt(within_first x within_second)

    is within z of its bootstrap's standard errors of 0 (Fieller 1954): it tends to [-1, 1] as the halves of one model
    cease to agree. docs/benchmarks/coverage.md says how well it covers.

    Args:
        first: what an estimator says of the first model on each task.
        second: of the second, on the same documents and coalitions.
        level: coverage of the interval.
        seed: of the random halves and the bootstrap.
        repetitions: of the bootstrap.
    """
    rng = np.random.default_rng([seed, 2])
    z = float(special.ndtri((1 + level) / 2))
    sums = [{task: Sums.of(sample) for task, sample in samples.items()} for samples in (first, second)]
    observed = _values(sums, Draw.everything(sums[0], 1))
    plain = {task: correlation(*both)[0] for task, both in observed.items()}
    if not (can_be_halved(first) and can_be_halved(second)):
        nothing = (float("nan"),) * 6
        return {task: Agreement(float(value), *nothing) for task, value in plain.items()}
    halved = {
        task: _mean_of_known(found.T) for task, found in _halved(sums, Draw.everything(sums[0], SPLITS), 1, rng).items()
    }
    again = Draw.again(sums[0], repetitions, rng)
    spread = {task: correlation(*both) for task, both in _values(sums, again).items()}
    halved_again = _halved(sums, again, SPLITS_AGAIN, rng)
    return {
        task: _agreement(float(value), spread[task], halved[task], halved_again[task], z)
        for task, value in plain.items()
    }


def correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of each row of two arrays [B, N], ties sharing their mean rank; NaN without ranks."""
    from scipy import stats  # slow to import, and needed in few jobs

    rows = [stats.rankdata(np.round(values, ROUNDED), axis=1) for values in (first, second)]
    rows = [ranks - ranks.mean(axis=1, keepdims=True) for ranks in rows]
    lengths = np.sqrt((rows[0] ** 2).sum(axis=1) * (rows[1] ** 2).sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        found: np.ndarray = (rows[0] * rows[1]).sum(axis=1) / lengths
    # a half of a bootstrap sample may hold nothing
    found[~(np.isfinite(first).all(axis=1) & np.isfinite(second).all(axis=1))] = np.nan
    return found


def _values(sums: list[dict[str, Sums]], draw: Draw) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of both models: values [B, N] on each task, and their mean over tasks."""
    sides = []
    for side in sums:
        found = draw.means(side)
        sides.append({**found, MEAN: np.mean([values / side[task].scale for task, values in found.items()], axis=0)})
    return {task: (sides[0][task], sides[1][task]) for task in sides[0]}


def _halved(sums: list[dict[str, Sums]], draw: Draw, splits: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """[3, B] across, within the first, within the second, between random halves; the mean over `splits` of them."""
    found: dict[str, list[np.ndarray]] = {}
    for _ in range(splits):
        one, other = (_values(sums, half) for half in draw.halves(rng))
        for task in one:
            (a, b), (c, d) = one[task], other[task]
            across = (correlation(a, d) + correlation(c, b)) / 2
            found.setdefault(task, []).append(np.stack([across, correlation(a, c), correlation(b, d)]))
    return {task: _mean_of_known(np.stack(parts)) for task, parts in found.items()}


def _mean_of_known(parts: np.ndarray) -> np.ndarray:
    """The mean over the first axis of what is a number: where all values of a half are equal, nothing is ranked."""
    known = np.isfinite(parts)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: np.ndarray = np.where(known, parts, 0.0).sum(axis=0) / known.sum(axis=0)
    return found


def _agreement(plain: float, spread: np.ndarray, halved: np.ndarray, halved_again: np.ndarray, z: float) -> Agreement:
    across, own = float(halved[0]), float(_within(halved))
    corrected = float(np.clip(across / own, -1, 1)) if own > 0 else float("nan")
    low, high = _fieller(across, own, halved_again, z)
    half = z * float(np.nanstd(spread, ddof=1)) if np.isfinite(spread).sum() > 1 else float("nan")
    low, high = min(low, plain - half), max(high, plain + half)
    if not np.isfinite([plain, across, half]).all():
        low = high = float("nan")
    cut = (float(max(-1.0, low)), float(min(1.0, high))) if np.isfinite(low) else (low, high)
    return Agreement(plain, corrected, *cut, *(float(value) for value in halved))


def _within(halved: np.ndarray) -> np.ndarray:
    """How well the two models agree with themselves, the geometric mean; 0 where one does not. halved: [3, ...]."""
    found: np.ndarray = np.sqrt(np.clip(halved[1], 0, None) * np.clip(halved[2], 0, None))
    return found


def _fieller(across: float, own: float, again: np.ndarray, z: float) -> tuple[float, float]:
    """The lowest and the highest r in [-1, 1] that the halves do not contradict; again: [3, B]."""
    known = again[:, np.isfinite(again).all(axis=0)]
    if known.shape[1] < 2 or not np.isfinite(across):
        return float("nan"), float("nan")
    r = np.linspace(-1, 1, 2001)
    covariance = np.cov(known[0], _within(known))
    variance = covariance[0, 0] - 2 * r * covariance[0, 1] + r**2 * covariance[1, 1]
    off = np.abs(across - r * own) - z * np.sqrt(np.maximum(0, variance))
    allowed = r[off <= 1e-12]
    nearest = float(r[off.argmin()])
    return (float(allowed[0]), float(allowed[-1])) if len(allowed) else (nearest, nearest)
