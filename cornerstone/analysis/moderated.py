"""Moderated variances: what the other players say of a player's variance.

With few documents the variance of a single player is hardly known, and it is 0 where no document happened to differ.
The N players of a task are measured on the same documents, so their variances are estimates of N numbers of one kind.
Each is drawn towards their common value, as far as they agree (Smyth 2004, "Linear models and empirical Bayes methods",
section 6): a variance s_i^2 with d degrees of freedom becomes

    (d0 s0^2 + d s_i^2) / (d0 + d)    with d0 + d degrees of freedom.

s0^2 and d0 are those of the scaled F distribution (d and d0 degrees of freedom, scale s0^2) whose mean and coefficient
of variation are those of the s_i^2, both winsorised at their 5 % and 90 % quantiles, so that outliers do not decide.
Moments, not logarithms as in Smyth: a variance may be 0. Players that vary far more than the others are not drawn down:
their d0 is multiplied by the probability that they are no outliers (Phipson, Lee, Majewski, Alexander and Smyth 2016,
"Robust hyperparameter estimation protects against hypervariable genes", section 4).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import special

FEWEST = 4
"""Players below which there is too little to learn a prior from."""
MOST = 1e4
"""The largest prior degrees of freedom: variances that agree better than chance would have them."""
WINSORISED = (0.05, 0.90)
"""Quantiles between which variances count as they are."""


def moderated(variances: np.ndarray, df: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variances drawn towards their common value, and their degrees of freedom.

    Args:
        variances: [N] estimates.
        df: [N] degrees of freedom of each.

    Returns:
        Two arrays [N]. With fewer than `FEWEST` variances, or where all are 0, they stay as they are.
    """
    if len(variances) < FEWEST or not variances.any():
        return variances, df
    scaled = variances / variances.max()  # no underflow in squares
    inner = np.clip(scaled, *np.quantile(scaled, WINSORISED))
    typical = inner if inner.any() else scaled
    squared = typical.var(ddof=1) / typical.mean() ** 2
    priors, means, spreads = _winsorised_f(round(float(df.mean()), 3))
    prior = float(np.interp(-squared, -spreads, priors))
    common = typical.mean() / float(np.interp(prior, priors, means))
    own = prior * _ordinary(special.fdtrc(df, prior, scaled / common))
    return (own * common + df * scaled) / (own + df) * variances.max(), df + own


@lru_cache(maxsize=64)
def _winsorised_f(df: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of F distributions with `df` and d0 degrees of freedom: d0 (rising), mean and squared coefficient of variation.

    Both are those of the distribution winsorised as the variances are, from 500 of its quantiles.
    """
    priors = np.geomspace(0.5, MOST, 100)
    places = (np.arange(500) + 0.5) / 500
    quantiles = special.fdtri(df, priors[:, None], places)
    low, high = (special.fdtri(df, priors[:, None], place) for place in WINSORISED)
    inner = np.clip(quantiles, low, high)
    means = inner.mean(axis=1)
    return priors, means, inner.var(axis=1) / means**2


def _ordinary(tail: np.ndarray) -> np.ndarray:
    """The probability [N] that each variance is no outlier, from its tail probability under the prior.

    Of N ordinary ones the smallest tail probability is about 1 / (2 N), the next 3 / (2 N): one that is much smaller
    than its place says is an outlier (Phipson et al. 2016, equation 5).
    """
    order = np.argsort(tail, kind="stable")
    expected = (np.arange(len(tail)) + 0.5) / len(tail)
    found = np.empty_like(tail)
    found[order] = np.maximum.accumulate(np.minimum(1, tail[order] / expected))
    return found
