"""The forecast of how many documents would decide, in sentences: shown where its file is there."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from cornerstone.errors import StoreError
from cornerstone.files import read_csv
from cornerstone.game.functions import SOFT
from cornerstone.game.game import ACCURACY

FILE = "power.csv"
"""In the folder of a model: rows by `value_function` and `question`."""
COLUMNS = {"value_function", "question", "half_width", "layers", "plug_in", "value", "there"}
"""What the sentences are made from."""


def sentences(folder: Path) -> list[str]:
    """What the forecast of a model says, a sentence for each value function; nothing where there is no forecast.

    Documents are those of the task that has most, the others in proportion.

    Raises:
        StoreError: the file is there and is no forecast.
    """
    path = folder / FILE
    if not path.is_file():
        return []
    frame = read_csv(path)
    if not set(frame.columns) >= COLUMNS:
        raise StoreError(f"{path} lacks columns of a forecast. Delete it and run the workflow again to make it.")
    made = [_sentence(str(name), rows) for name, rows in frame.groupby("value_function", sort=False)]
    return [sentence for sentence in made if sentence]


def _sentence(function: str, rows: pd.DataFrame) -> str:
    """What one value function would take; empty where the forecast does not say."""
    widths = rows[rows["question"] == "documents_for_half_width"]
    tops = rows[rows["question"] == "documents_for_top"]
    parts = []
    if len(widths):
        row = widths.iloc[0]
        share = function in (ACCURACY, SOFT)
        wide = f"{100 * row['half_width']:g} points" if share else f"{row['half_width']:g} standard deviations"
        wide = "1 point" if wide == "1 points" else wide
        parts.append(f"intervals of ± {wide} take {_documents(row['value'], row['value'], row['there'])}")
    if len(tops):
        row = tops.iloc[-1]
        called = {1: "the highest layer", 2: "the top two"}.get(int(row["layers"]), "the top three")
        parts.append(f"to confirm {called} takes {_documents(row['plug_in'], row['value'], row['there'])}")
    return f"By {function}, {'; '.join(parts)}." if parts else ""


def _documents(first: float, second: float, there: float) -> str:
    """A number of documents of a task, or the two ends of a range; what the tasks do not hold is said."""
    known = sorted(float(f"{end:.2g}") for end in (first, second) if math.isfinite(end))
    if not known:
        return "more than any number of documents with these coalitions"
    shown = f"{known[0]:,.0f}" if known[0] == known[-1] else f"{known[0]:,.0f} to {known[-1]:,.0f}"
    open_end = "" if math.isfinite(first) and math.isfinite(second) else ", or any number more"
    short = f" (they hold {there:,.0f})" if math.isfinite(there) and known[-1] > there else ""
    return f"about {shown} {'document' if shown == '1' else 'documents'} a task{open_end}{short}"
