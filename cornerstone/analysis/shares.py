"""What the paper's Tables 1, 3 and 4 hold for one model, each with the interval that the paper leaves out.

Everything computed here is a fraction until the last step: the frames returned are for presentation, so their
shares, drops and intervals are in percent (or percentage points).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

from cornerstone.analysis import intervals, paper
from cornerstone.errors import CornerstoneError

Array = NDArray[np.float64]

ENOUGH = 1000
"""Documents of all tasks from which on Table 1's share has an interval: with fewer, its biases are larger than its
spread over documents."""
SPLITS = 100
"""Random halves over which the cross-fitted share is averaged."""


def share(
    values: Mapping[str, ArrayLike],
    players: Sequence[str],
    model: str,
    top: Sequence[str],
    *,
    seed: int = 0,
    repetitions: int = 2000,
    level: float = 0.95,
    clusters: Mapping[str, ArrayLike] | None = None,
    enough: int = ENOUGH,
) -> pd.DataFrame:
    """Table 1: the share of the top players in all Shapley values.

    The paper's recipe (`share_percent`): per task, values (means over documents) below 0 are set to 0; the share is the
    top players' sum over everyone's sum; shares are averaged over tasks. Two biases go with it. Clipping keeps the
    positive half of the noise in the denominator, which makes the share too small. Players that were chosen as the
    highest on the same documents are too high, which makes it too large.

    Beside it stands the cross-fitted share (`cross_fitted_percent`): whether a value is positive is decided on one half
    of the documents, the value is taken from the other half, both ways, averaged over random halves. Noise that
    is positive on one half is worth 0 on the other on average, so the denominator is not inflated; values that are
    lost because one half has them below 0 make it too small, and the share too large. The truth tends to lie between
    the two. An interval is given only from `enough` documents on: with fewer, what the documents' spread makes of the
    share is small against these biases. It is the share plus and minus a normal quantile times the bootstrap's standard
    error. It holds no bias, and so covers less often than it says at any number of documents
    (`benchmarks/published.py`).

    Args:
        values: per task the Shapley value of every player on every document, shape [documents, players],
            in -1..1.
        players: names in execution order, naming the columns.
        model: configuration name; the published share is looked up by it.
        top: the players whose share is wanted, the same for all tasks.
        seed: of the bootstrap's random numbers.
        repetitions: bootstrap replicates.
        level: of the interval, 0..1.
        clusters: per task the cluster label of each document; a task left out has independent documents.
        enough: documents of all tasks from which on an interval is given.

    Returns:
        One row: model, players, share_percent, cross_fitted_percent, low, high, published_percent. low and high are
        in percent, from resampling clusters of documents within each task. The share is missing (NaN) if no player has
        a positive value on some task; the cross-fitted one if a task has fewer than four clusters; the interval if
        there are too few documents or a task has fewer than two clusters, if more than 5 % of the resamples have no
        share, or if all have the same.

    Raises:
        CornerstoneError: shapes or names disagree.
    """
    tasks = _checked(values, players)
    columns = _columns(players, top)
    rng = np.random.default_rng(seed)
    shares, crossed, replicates, fewest = [], [], [], np.inf
    for task, array in tasks.items():
        shares.append(_shares(array.mean(axis=0)[None, :], columns)[0])
        sums, sizes = _cluster_sums(array, (clusters or {}).get(task))
        crossed.append(_cross_fitted(sums, sizes, columns, rng))
        fewest = min(fewest, len(sizes))
        picks = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=repetitions)
        replicates.append(_shares((picks @ sums) / (picks @ sizes)[:, None], columns))
    means = np.mean(replicates, axis=0)
    means = means[np.isfinite(means)]  # a replicate without a positive value has no share either
    whole, half = float(np.mean(shares)), np.nan
    # where replicates without a share are not rare, or all are alike, their spread says nothing
    documents = sum(len(array) for array in tasks.values())
    if documents >= enough and fewest >= 2 and len(means) >= 0.95 * repetitions and np.ptp(means) > 0:
        half = special.ndtri((1 + level) / 2) * means.std(ddof=1)
    row = {
        "model": model,
        "players": " ".join(top),
        "share_percent": 100 * whole,
        "cross_fitted_percent": 100 * float(np.clip(np.mean(crossed), 0, 1)),
        "low": 100 * float(np.clip(whole - half, 0, 1)),
        "high": 100 * float(np.clip(whole + half, 0, 1)),
        "published_percent": paper.SHARE_PERCENT.get(model),
    }
    return pd.DataFrame([row])


def mean_drop(
    drops: Mapping[str, ArrayLike],
    players: Sequence[str],
    model: str,
    top: Sequence[str],
    *,
    level: float = 0.95,
    clusters: Mapping[str, ArrayLike] | None = None,
) -> pd.DataFrame:
    """Table 3: the mean drop of the metric when one of the top three, or one other sublayer, is removed.

    The paper clips each player's drop on each task to [0, 1] before averaging, which turns noise into drop;
    the unclipped mean stands beside it, and the interval is the unclipped one's.

    Args:
        drops: per task the score of the original minus that of the ablated model on every document, shape
            [documents, players], in -1..1.
        players: names in execution order, naming the columns.
        model: configuration name; the published drops are looked up by it.
        top: the top three (of the paper's models: its cornerstones); all other players are "other".
        level: of the interval, 0..1.
        clusters: per task the cluster label of each document; a task left out has independent documents.

    Returns:
        Two rows ("top three", "other"): model, layers, clipped_percent, unclipped_percent, low, high,
        published_percent. The interval is that of `intervals.over_tasks` (documents paired, tasks independent). With
        at most three players all are at the top, and there is no row of others.

    Raises:
        CornerstoneError: the shapes or names disagree, or `top` is empty.
    """
    tasks = _checked(drops, players)
    groups: dict[paper.Layers, list[int]] = {
        "top three": _columns(players, top),
        "other": _others(players, top),
    }
    rows = []
    for layers, columns in groups.items():
        if not columns:
            continue
        published = paper.DROP_PERCENT.get(model, {}).get(layers)
        summary = _mean_drop(tasks, columns, level, clusters)
        rows.append({"model": model, "layers": layers, **summary, "published_percent": published})
    return pd.DataFrame(rows)


def mean_drop_by_task(
    drops: Mapping[str, ArrayLike],
    players: Sequence[str],
    model: str,
    top: Sequence[str],
    *,
    level: float = 0.95,
    clusters: Mapping[str, ArrayLike] | None = None,
) -> pd.DataFrame:
    """Table 4: per task, the mean drop of the metric when one sublayer that is no cornerstone is removed.

    Arguments, clipping, interval and errors are those of `mean_drop`.

    Returns:
        One row per task: model, task, clipped_percent, unclipped_percent, low, high, published_percent; none where
        all players are at the top.
    """
    tasks = _checked(drops, players)
    columns = _others(players, top)
    rows = []
    for task, array in tasks.items() if columns else ():
        published = paper.OTHER_DROP_PERCENT.get(model, {}).get(task)
        summary = _mean_drop({task: array}, columns, level, clusters)
        rows.append({"model": model, "task": task, **summary, "published_percent": published})
    kept = ["model", "task", "clipped_percent", "unclipped_percent", "low", "high", "published_percent"]
    return pd.DataFrame(rows, columns=kept)


def _checked(arrays: Mapping[str, ArrayLike], players: Sequence[str]) -> dict[str, Array]:
    """Return the tasks' arrays as floats [documents, players], or raise CornerstoneError."""
    if not arrays:
        raise CornerstoneError("there is no task")
    tasks = {task: np.asarray(array, dtype=float) for task, array in arrays.items()}
    for task, array in tasks.items():
        if array.ndim != 2 or array.shape[1] != len(players) or not len(array):
            raise CornerstoneError(f"{task}: expected [documents, {len(players)} players], got {array.shape}")
        if not np.isfinite(array).all():
            raise CornerstoneError(f"{task}: a score is missing or infinite")
    return tasks


def _known(players: Sequence[str], names: Sequence[str]) -> Sequence[str]:
    """Return `names`, or raise CornerstoneError if one is no player."""
    if unknown := sorted(set(names) - set(players)):
        raise CornerstoneError(f"not players of this model: {' '.join(unknown)}")
    return names


def _columns(players: Sequence[str], names: Sequence[str]) -> list[int]:
    """Return the columns of the named players, or raise CornerstoneError if there are none."""
    if not names:
        raise CornerstoneError("a group of players is empty")
    return [players.index(name) for name in _known(players, names)]


def _others(players: Sequence[str], top: Sequence[str]) -> list[int]:
    """Return the columns of the players that are not at the top: none where all are."""
    known = set(_known(players, top))
    return [column for column, player in enumerate(players) if player not in known]


def _shares(values: Array, columns: list[int]) -> Array:
    """Return per row of [rows, players] the share of `columns` in the positive sum; NaN where that is 0."""
    positive = np.clip(values, 0, None)
    total = positive.sum(axis=1)
    shares = np.full(len(values), np.nan)
    np.divide(positive[:, columns].sum(axis=1), total, out=shares, where=total > 0)
    return shares


def _cross_fitted(sums: Array, sizes: Array, columns: list[int], rng: np.random.Generator) -> float:
    """Return the share of `columns` where one half of the clusters says which values count, and the other how much.

    sums: [clusters, players]; sizes: [clusters] documents. NaN with fewer than four clusters, or where nothing counts.
    """
    count = len(sizes)
    if count < 4:
        return np.nan
    part, whole = 0.0, 0.0
    for _ in range(SPLITS):
        first = rng.permutation(count) < count // 2
        means = [sums[half].sum(axis=0) / sizes[half].sum() for half in (first, ~first)]
        for sign, value in (means, means[::-1]):
            counted = np.where(sign > 0, value, 0)
            part += counted[columns].sum()
            whole += counted.sum()
    return part / whole if whole > 0 else np.nan


def _cluster_index(labels: ArrayLike, documents: int) -> NDArray[np.intp]:
    """Return the clusters of the documents counted from 0."""
    _, index = np.unique(np.asarray(labels), return_inverse=True)
    if index.shape != (documents,):
        raise CornerstoneError(f"{documents} documents, but cluster labels of shape {index.shape}")
    return index


def _cluster_sums(array: Array, labels: ArrayLike | None) -> tuple[Array, Array]:
    """Return the sums of each cluster's rows, [clusters, players], and the clusters' sizes, [clusters]."""
    if labels is None:
        return array, np.ones(len(array))
    index = _cluster_index(labels, len(array))
    sums = np.zeros((index.max() + 1, array.shape[1]))
    np.add.at(sums, index, array)
    return sums, np.bincount(index).astype(float)


def _mean_drop(
    tasks: Mapping[str, Array], columns: list[int], level: float, clusters: Mapping[str, ArrayLike] | None
) -> dict[str, float]:
    """Return the mean drop over tasks and players, clipped and not, and the latter's interval; in percent."""
    means = np.array([array[:, columns].mean(axis=0) for array in tasks.values()])
    labels = {
        task: _cluster_index(given, len(tasks[task])) for task, given in (clusters or {}).items() if task in tasks
    }
    parts = [
        intervals.over_documents(
            array[:, columns].mean(axis=1, keepdims=True),
            np.asarray(labels.get(task, np.arange(len(array)))),
            level,
        )
        for task, array in tasks.items()
    ]
    whole = intervals.over_tasks(parts, level)
    return {
        "clipped_percent": 100 * float(np.clip(means, 0, 1).mean()),
        "unclipped_percent": 100 * float(whole.value[0]),
        "low": 100 * float(whole.low[0]),
        "high": 100 * float(whole.high[0]),
    }
