"""The paper's four tables, each with the interval the paper leaves out, and the writer of table files.

Everything computed here is a fraction until the last step: the frames returned are for presentation, so their
shares, drops and intervals are in percent (or percentage points).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

from cornerstone.analysis import intervals, paper
from cornerstone.errors import CornerstoneError
from cornerstone.files import write_text

Array = NDArray[np.float64]

TASK_NAMES: Final[dict[str, str]] = {
    "boolq": "BoolQ",
    "piqa": "PIQA",
    "winogrande": "WinoGrande",
    "arc_easy": "ARC-Easy",
    "arc_challenge": "ARC-Challenge",
    "openbookqa": "OpenBookQA",
    "mean": "Mean over tasks",
}
"""Tasks as a reader knows them, in the order in which tables and figures show them."""

TEX_ESCAPES: Final = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "–": "--",
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    }
)


def task_name(task: str) -> str:
    """Return the name of a task for readers; a task unknown to the paper keeps its raw name."""
    return TASK_NAMES.get(task, task)


def table1(
    values: Mapping[str, ArrayLike],
    players: Sequence[str],
    model: str,
    top: Sequence[str],
    *,
    seed: int = 0,
    repetitions: int = 2000,
    level: float = 0.95,
    clusters: Mapping[str, ArrayLike] | None = None,
) -> pd.DataFrame:
    """Table 1: the share of the top players in all Shapley values.

    The paper's recipe: per task, values (means over documents) below 0 are set to 0; the share is the top
    players' sum over everyone's sum; shares are averaged over tasks. Clipping keeps the positive half of the
    noise in the denominator, so with few documents the share comes out too small. The interval, share plus and
    minus a normal quantile times the bootstrap's standard error, counts the spread over documents, not that bias.

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

    Returns:
        One row: model, players, share_percent, low, high, published_percent. low and high are in percent,
        from resampling clusters of documents within each task. The share is missing (NaN) if no player has a
        positive value on some task; the interval if a task has fewer than two clusters, if more than 5 % of the
        resamples have no share, or if all have the same.

    Raises:
        CornerstoneError: shapes or names disagree.
    """
    tasks = _checked(values, players)
    columns = _columns(players, top)
    rng = np.random.default_rng(seed)
    shares, replicates, fewest = [], [], np.inf
    for task, array in tasks.items():
        shares.append(_shares(array.mean(axis=0)[None, :], columns)[0])
        sums, sizes = _cluster_sums(array, (clusters or {}).get(task))
        fewest = min(fewest, len(sizes))
        picks = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=repetitions)
        replicates.append(_shares((picks @ sums) / (picks @ sizes)[:, None], columns))
    means = np.mean(replicates, axis=0)
    means = means[np.isfinite(means)]  # a replicate without a positive value has no share either
    share, half = float(np.mean(shares)), np.nan
    # where replicates without a share are not rare, or all are alike, their spread says nothing
    if fewest >= 2 and len(means) >= 0.95 * repetitions and np.ptp(means) > 0:
        half = special.ndtri((1 + level) / 2) * means.std(ddof=1)
    row = {
        "model": model,
        "players": " ".join(top),
        "share_percent": 100 * share,
        "low": 100 * float(np.clip(share - half, 0, 1)),
        "high": 100 * float(np.clip(share + half, 0, 1)),
        "published_percent": paper.SHARE_PERCENT.get(model),
    }
    return pd.DataFrame([row])


def table2(cornerstones: pd.DataFrame) -> pd.DataFrame:
    """Table 2: the cornerstones of each model, and which layers are significantly important.

    Args:
        cornerstones: one row per model and player with the columns model, player, rank, top_three,
            above_median, cornerstone.

    Returns:
        One row per model: model, top_three, above_median ("none" if no player is), confirmed (on documents that
        had no part in choosing them; "too few documents" where they can't be halved), published (missing
        if the paper did not study the model); players are separated by blanks, best first.
    """
    rows = []
    for model, group in cornerstones.groupby("model", sort=False):
        ranked = group.sort_values("rank")
        published = paper.CORNERSTONES.get(str(model))
        rows.append(
            {
                "model": model,
                "top_three": " ".join(ranked.loc[ranked["top_three"].astype(bool), "player"]),
                "above_median": " ".join(ranked.loc[ranked["above_median"].astype(bool), "player"]) or "none",
                "confirmed": _confirmed(ranked),
                "published": " ".join(published) if published else None,
            }
        )
    return pd.DataFrame(rows, columns=["model", "top_three", "above_median", "confirmed", "published"])


def _confirmed(ranked: pd.DataFrame) -> str:
    if ranked["cornerstone"].isna().all():
        return "too few documents"
    return " ".join(ranked.loc[ranked["cornerstone"] == True, "player"]) or "none"  # noqa: E712  (may be empty)


def table3(
    drops: Mapping[str, ArrayLike],
    players: Sequence[str],
    model: str,
    top: Sequence[str],
    *,
    level: float = 0.95,
    clusters: Mapping[str, ArrayLike] | None = None,
) -> pd.DataFrame:
    """Table 3: the mean drop of the metric when one cornerstone, or one other sublayer, is removed.

    The paper clips each player's drop on each task to [0, 1] before averaging, which turns noise into drop;
    the unclipped mean stands beside it, and the interval is the unclipped one's.

    Args:
        drops: per task the score of the original minus that of the ablated model on every document, shape
            [documents, players], in -1..1.
        players: names in execution order, naming the columns.
        model: configuration name; the published drops are looked up by it.
        top: the cornerstones; all other players are "other".
        level: of the interval, 0..1.
        clusters: per task the cluster label of each document; a task left out has independent documents.

    Returns:
        Two rows ("cornerstone", "other"): model, layers, clipped_percent, unclipped_percent, low, high,
        published_percent. The interval is that of `intervals.over_tasks` (documents paired, tasks independent).

    Raises:
        CornerstoneError: the shapes or names disagree, or one of the two groups has no player.
    """
    tasks = _checked(drops, players)
    groups: dict[paper.Layers, list[int]] = {
        "cornerstone": _columns(players, top),
        "other": _columns(players, [player for player in players if player not in set(top)]),
    }
    rows = []
    for layers, columns in groups.items():
        published = paper.DROP_PERCENT.get(model, {}).get(layers)
        summary = _mean_drop(tasks, columns, level, clusters)
        rows.append({"model": model, "layers": layers, **summary, "published_percent": published})
    return pd.DataFrame(rows)


def table4(
    drops: Mapping[str, ArrayLike],
    players: Sequence[str],
    model: str,
    top: Sequence[str],
    *,
    level: float = 0.95,
    clusters: Mapping[str, ArrayLike] | None = None,
) -> pd.DataFrame:
    """Table 4: per task, the mean drop of the metric when one sublayer that is no cornerstone is removed.

    Arguments, clipping, interval and errors are those of `table3`.

    Returns:
        One row per task: model, task, clipped_percent, unclipped_percent, low, high, published_percent.
    """
    tasks = _checked(drops, players)
    columns = _columns(players, [player for player in players if player not in set(_known(players, top))])
    rows = []
    for task, array in tasks.items():
        published = paper.OTHER_DROP_PERCENT.get(model, {}).get(task)
        summary = _mean_drop({task: array}, columns, level, clusters)
        rows.append({"model": model, "task": task, **summary, "published_percent": published})
    return pd.DataFrame(rows)


def hypotheses(frame: pd.DataFrame) -> pd.DataFrame:
    """The paper's hypotheses, in percentage points.

    Args:
        frame: what `assumptions.hypotheses` returned, for one model or several.
    """
    shown = frame[["model", "hypothesis", "prediction", "expected"]].copy()
    for column, source in (("measured_percent", "value"), ("low", "low"), ("high", "high")):
        shown[column] = 100 * frame[source]
    for column in ("verdict", "layers", "documents"):
        shown[column] = frame[column]
    shown["hypothesis"] = shown["hypothesis"].astype(str)
    return shown


def estimators(frame: pd.DataFrame) -> pd.DataFrame:
    """The estimators of each model side by side, mean over tasks, in percentage points.

    Args:
        frame: what `estimate.comparison` returned, for one model or several.
    """
    rows = frame[frame["task"] == "mean"]
    shown = rows[["model", "estimator"]].copy()
    shown["coalitions"] = rows["coalitions"].astype(str)
    for column in ("gap", "se", "se_documents", "se_coalitions", "error", "largest_error"):
        shown[f"{column}_percent"] = 100 * rows[column]
    shown["rank_correlation"] = rows["rank_correlation"].map(lambda value: "" if pd.isna(value) else f"{value:.2f}")
    return shown


def write_table(frame: pd.DataFrame, stem: Path, caption: str) -> None:
    """Write a table as `stem`.csv (full precision), `stem`.md and `stem`.tex (one decimal), each atomically.

    In the two for readers, missing cells are an en dash, tasks carry their usual names, column names lose
    their underscores, and the caption is included; the LaTeX one needs the package booktabs.

    Args:
        frame: the table; its index is not written.
        stem: path without extension; its folder is made if missing.
        caption: plain text, escaped here for LaTeX.
    """
    shown = frame.astype(object)
    if "task" in shown:
        shown["task"] = shown["task"].map(task_name)
    shown = shown.map(_cell)
    shown.columns = pd.Index([_heading(str(name)) for name in frame.columns])
    numeric = [pd.api.types.is_numeric_dtype(frame[name]) or "percent" in str(name) for name in frame.columns]
    sides = ["right" if right else "left" for right in numeric]
    # Numbers were formatted above; tabulate must not parse them again.
    body = shown.to_markdown(index=False, disable_numparse=True, colalign=sides)
    escaped = shown.map(_tex).rename(columns=_tex)
    tex = escaped.to_latex(
        index=False,
        caption=_tex(caption),
        label=f"tab:{stem.name}",
        position="tbp",
        column_format="".join(side[0] for side in sides),
    )
    write_text(beside(stem, "csv"), frame.to_csv(index=False, lineterminator="\n"))
    write_text(beside(stem, "md"), f"{caption}\n\n{body}\n")
    write_text(beside(stem, "tex"), tex)


def beside(stem: Path, extension: str) -> Path:
    """Return `stem` with an extension appended; unlike `with_suffix` it keeps the dots of names like v0.1."""
    return stem.with_name(f"{stem.name}.{extension}")


def _tex(text: str) -> str:
    """Escape plain text for LaTeX."""
    return text.translate(TEX_ESCAPES)


def _heading(column: str) -> str:
    """Return a column's name for readers."""
    return column.replace("_percent", " (%)").replace("_", " ")


def _cell(value: object) -> str:
    """Format one cell for readers."""
    if pd.isna(value):  # type: ignore[call-overload]
        return "–"
    # `z` makes -0.04 read 0.0 rather than -0.0.
    return f"{value:z.1f}" if isinstance(value, float | np.floating) else str(value)


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


def _shares(values: Array, columns: list[int]) -> Array:
    """Return per row of [rows, players] the share of `columns` in the positive sum; NaN where that is 0."""
    positive = np.clip(values, 0, None)
    total = positive.sum(axis=1)
    shares = np.full(len(values), np.nan)
    np.divide(positive[:, columns].sum(axis=1), total, out=shares, where=total > 0)
    return shares


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
