"""The noise floor in words: how far the same coalitions differ, computed again, and how far that reaches."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pandas as pd

from cornerstone.config.config import Config
from cornerstone.config.sections import LOG_LIKELIHOOD
from cornerstone.game.functions import SHARES


def sentences(config: Config, noise: pd.DataFrame, cornerstones: pd.DataFrame, baselines: pd.DataFrame) -> str:
    """What a model's noise floor is, and how wide its intervals are beside it.

    A value is a mean of differences of two coalitions' accuracies. Where an answer's accuracy has the RMS difference r,
    and answers differ independently of each other, that of D documents differs by r / sqrt(D), a difference of two by
    sqrt(2) as much, and a mean of such differences by no more. The mean over T tasks differs by the root of the sum of
    the squares of these, over T.

    Args:
        config: the configuration.
        noise: noise.csv.
        cornerstones: cornerstones.csv: the values, mean over tasks, with their intervals.
        baselines: baselines.csv: how many documents each task has.
    """
    noise = noise[[function in (LOG_LIKELIHOOD, _metric(config, task)) for function, task in _named(noise)]]
    found = noise[noise["change"] != "dtype"]
    ways = " and ".join(each for each in ("batches", "threads") if each in set(found["change"]))
    unit = "points of accuracy" if _metrics(config) <= set(SHARES) else "points"
    largest, points = _largest(found)
    count, documents = int(found["coalitions"].max()), int(found["documents"].max())
    of = f"{count} coalitions of {found['task'].nunique()} tasks, on up to {documents} documents each"
    said = [
        f"Recomputed with other {ways}, the same coalitions differ by at most {_few(largest)} log-likelihood units and "
        f"{_few(points)} {unit} ({of}{_flips(found)})."
    ]
    ratio = wide(config, found, cornerstones, baselines)
    said.append(
        "No accuracy differs, so this adds nothing to the intervals of the values."
        if np.isinf(ratio)
        else f"The intervals of the values (mean over tasks) are {_few(ratio)} times as wide as that alone would make "
        "them."
    )
    exact = noise[noise["change"] == "dtype"]
    if len(exact):
        largest, points = _largest(exact)
        dtype = config.models[str(noise["model"].iloc[0])].dtype
        said.append(
            f"In float32 instead of {dtype} they differ by at most {_few(largest)} log-likelihood units and "
            f"{_few(points)} {unit}{_flips(exact)}."
        )
    return " ".join(said)


def wide(config: Config, noise: pd.DataFrame, cornerstones: pd.DataFrame, baselines: pd.DataFrame) -> float:
    """The median width of the values' intervals, in widths of the intervals that noise alone would make; inf where no
    accuracy differs."""
    rows = noise[[function == _metric(config, task) for function, task in _named(noise)]]
    per_task = rows.groupby(rows["task"].map(config.entry_of))["document_rms"].max()
    documents = baselines.set_index("task")["documents"]
    variances = [2 * rms**2 / int(documents[str(task)]) for task, rms in per_task.items()]
    alone = np.sqrt(sum(variances)) / len(variances)
    half = NormalDist().inv_cdf((1 + config.intervals.level) / 2) * alone
    widths = cornerstones["high"] - cornerstones["low"]
    return float(widths.median() / (2 * half)) if half else float("inf")


def _metrics(config: Config) -> set[str]:
    return {config.tasks[task].metric for task in config.run_tasks}


def _metric(config: Config, task: str) -> str:
    return config.task(task).metric


def _named(noise: pd.DataFrame) -> list[tuple[str, str]]:
    return [(str(function), str(task)) for function, task in noise[["function", "task"]].to_numpy().tolist()]


def _largest(rows: pd.DataFrame) -> tuple[float, float]:
    """The largest differences: of a log-likelihood, and of a coalition's accuracy, in points."""
    choices = rows["function"] == LOG_LIKELIHOOD
    return float(rows.loc[choices, "largest"].max()), 100 * float(rows.loc[~choices, "largest"].max())


def _flips(rows: pd.DataFrame) -> str:
    """How many answers flip; nothing where the metrics have no answers."""
    flipped = rows[["flipped", "documents", "coalitions"]].dropna()
    if flipped.empty:
        return ""
    share = np.average(flipped["flipped"], weights=flipped["documents"] * flipped["coalitions"])
    return f"; {f'{_few(100 * share)} % of' if share else 'none of'} the answers flip"


def _few(value: float) -> str:
    """Two significant digits, or all before the point."""
    return f"{value:.2g}" if abs(value) < 10 else f"{value:,.0f}"
