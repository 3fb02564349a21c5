"""The rows of tables that a figure shows. Imports no matplotlib: captions need them, too."""

from __future__ import annotations

import pandas as pd

from cornerstone.errors import CornerstoneError
from cornerstone.present.tables import TASK_NAMES


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
