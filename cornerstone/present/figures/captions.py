"""What figures show, in words. Imports no matplotlib: the summary has captions, but draws nothing."""

from __future__ import annotations

from typing import Final

import pandas as pd

from cornerstone.errors import CornerstoneError
from cornerstone.present.tables import TASK_NAMES, task_name

CAPTIONS: Final[dict[str, tuple[str, str]]] = {
    "shares": (
        "Shares of the sublayers of {model} in the sum of the Shapley values (negative values set to 0)",
        "Shares are shown without an interval; the table of shares has one.",
    ),
    "ablation": (
        "Metric after removing one single sublayer of {model}",
        "The {level} intervals are those of the difference to the original model on the same documents: "
        "they count the choice of documents only.",
    ),
    "values": (
        "Shapley values of the sublayers of {model} in percentage points of the metric",
        "The {level} intervals count the choice of documents (the same under every coalition), "
        "not the bias of the estimator.",
    ),
    "interactions": (
        "Interactions between pairs of players of {model}, mean over tasks: what removing both costs beyond what "
        "removing each costs (below 0: redundant; above 0: synergistic)",
        "A dot marks pairs whose {level} interval over documents excludes 0, each by itself; with many pairs some do "
        "by chance.",
    ),
    "assumptions": (
        "The two shortcuts of the paper's estimator, tested on {model}: marginal contributions against the number of "
        "players removed before, and interactions against the distance of the two players, mean over tasks",
        "The {level} intervals of the means count the choice of documents only.",
    ),
    "deletion": (
        "Metric while sublayers of {model} are removed one after another",
        "The {level} intervals count the choice of documents only, not the uncertainty of the order of removal.",
    ),
}


def caption(kind: str, model: str, baselines: pd.DataFrame, level: float = 0.95) -> str:
    """Say what a figure shows, measured how, on what, and what its intervals count.

    Args:
        kind: the name of a figure, a key of `CAPTIONS`.
        model: configuration name.
        baselines: columns model, task, metric, documents, split, source.
        level: coverage of the intervals.

    Raises:
        CornerstoneError: no such kind of figure, or no rows for the model.
    """
    if kind not in CAPTIONS:
        raise CornerstoneError(f"no figure is called {kind!r}; there are {', '.join(CAPTIONS)}")
    rows = rows_of(baselines, model)
    rows = rows[rows["task"] != "mean"].set_index("task")
    opening, interval = CAPTIONS[kind]
    parts = []
    for task in tasks_of(rows.reset_index()):
        row = rows.loc[task]
        what = f"{row['metric']}, {row['documents']} documents, {row['split']}, {row['source']}"
        parts.append(f"{task_name(task)} ({what})")
    return f"{opening.format(model=model)}: {'; '.join(parts)}. {interval.format(level=f'{level:.0%}')}"


def rows_of(frame: pd.DataFrame, model: str) -> pd.DataFrame:
    """Return the rows of one model, or raise CornerstoneError if there are none or estimators are mixed."""
    rows = frame[frame["model"] == model]
    if rows.empty:
        raise CornerstoneError(f"no rows for the model {model}")
    if "estimator" in rows and rows["estimator"].nunique() > 1:
        raise CornerstoneError(f"{model}: a figure shows one estimator, not {sorted(set(rows['estimator']))}")
    return rows


def tasks_of(rows: pd.DataFrame) -> list[str]:
    """Return the tasks in the order of the paper, then unknown ones as they come, then the mean."""
    known = list(TASK_NAMES)
    present = list(dict.fromkeys(rows["task"]))
    return sorted(present, key=lambda task: known.index(task) if task in known else len(known) - 1.5)
