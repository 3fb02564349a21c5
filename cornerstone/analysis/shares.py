"""What the paper's Tables 1, 3 and 4 hold for one model, each with the interval that the paper leaves out.

Everything computed here is a fraction until the last step: the frames returned are for presentation, so their
shares, drops and intervals are in percent (or percentage points).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from cornerstone.analysis import concentration, intervals, paper
from cornerstone.analysis.ranks import Sample
from cornerstone.analysis.resampling import Draw, Sums
from cornerstone.errors import CornerstoneError

Array = NDArray[np.float64]


def share(
    samples: Mapping[str, Sample],
    players: Sequence[str],
    model: str,
    top: Sequence[str],
    *,
    selected: bool = False,
    seed: int = 0,
    repetitions: int = 2000,
    level: float = 0.95,
) -> pd.DataFrame:
    """Table 1: the share of the top players in all Shapley values.

    The paper's recipe (`share_percent`): per task, values (means over documents) below 0 are set to 0; the share is the
    top players' sum over everyone's sum; shares are averaged over tasks. Two biases go with it. Clipping keeps the
    positive half of the noise in the denominator, which makes the share too small. Players that were chosen as the
    highest on the same documents are too high, which makes it too large. No interval around it alone would hold the
    truth, however many documents there are.

    So the interval goes from the lower to the upper end of `concentration.enclosed`, each moved outwards by a normal
    quantile times its bootstrap standard error. Beside it stands the cross-fitted share (`cross_fitted_percent`): one
    half of the documents says who is on top and who is positive, and the other half gives the values, both ways,
    averaged over random halves.

    Args:
        samples: per task what an estimator says of every player, values in -1..1.
        players: names in execution order, naming the columns.
        model: configuration name; the published share is looked up by it.
        top: the players whose share is wanted, the same for all tasks.
        selected: whether they are the highest on the same documents: then halves of the documents choose anew.
        seed: of the random numbers.
        repetitions: bootstrap replicates.
        level: of the interval, 0..1.

    Returns:
        One row: model, players, share_percent, cross_fitted_percent, low, high, published_percent. The share and its
        interval are missing (NaN) if no player has a positive value on some task; the cross-fitted share and the
        interval also if a task has fewer than four clusters of documents, or the estimator is not linear.

    Raises:
        CornerstoneError: shapes or names disagree.
    """
    _checked({task: sample.values.documents for task, sample in samples.items()}, players)
    columns = _columns(players, top)
    free = None if selected else columns
    sums = {task: Sums.of(sample) for task, sample in samples.items()}
    everything, rng = Draw.everything(sums, 1), np.random.default_rng([seed, 3])
    whole = np.stack(list(everything.means(sums).values()))
    observed = concentration.enclosed(samples, free, everything, concentration.SPLITS, rng)[:, 0]
    observed[0] = concentration.shares(whole, columns)[0]
    again = Draw.again(sums, repetitions, rng)
    drawn = concentration.enclosed(samples, free, again, concentration.SPLITS_AGAIN, rng, most=1)
    low, high = concentration.interval(observed, drawn, level)
    row = {
        "model": model,
        "players": " ".join(top),
        "share_percent": 100 * observed[0],
        "cross_fitted_percent": 100 * observed[3],
        "low": 100 * low,
        "high": 100 * high,
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


def _cluster_index(labels: ArrayLike, documents: int) -> NDArray[np.intp]:
    """Return the clusters of the documents counted from 0."""
    _, index = np.unique(np.asarray(labels), return_inverse=True)
    if index.shape != (documents,):
        raise CornerstoneError(f"{documents} documents, but cluster labels of shape {index.shape}")
    return index


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
