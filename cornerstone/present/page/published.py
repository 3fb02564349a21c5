"""The paper: its tables beside the published numbers, and its hypotheses as sentences with verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cornerstone.analysis import paper
from cornerstone.present.latex import latex
from cornerstone.present.page.source import Source
from cornerstone.present.page.units import between, said
from cornerstone.present.tables import TABLES, task_name

PAPER = {
    "table1": "share of the highest layers",
    "table2": "top three and cornerstones",
    "table3": "drop without one of them, and without another layer",
    "table4": "drop without another layer, by task",
}
"""The tables that the paper has, too."""
MARKS = {"holds": "✓", "fails": "✗", "open": "?"}
"""Verdict -> its sign."""


@dataclass(frozen=True)
class Shown:
    """A table for readers.

    Attributes:
        name: of its files.
        title: above it.
        caption: below it.
        head: names of the columns.
        rows: cells as text.
        files: paths of the same table in other formats, by ending.
        latex: the table of this model alone, as LaTeX.
    """

    name: str
    title: str
    caption: str
    head: list[str]
    rows: list[list[str]]
    files: dict[str, str]
    latex: str


@dataclass(frozen=True)
class Claim:
    """What the paper predicts, and what was measured on a task (`mean`: mean over tasks)."""

    task: str
    hypothesis: str
    verdict: str
    mark: str
    sentence: str


def tables(source: Source) -> list[Shown]:
    """Tables 1 to 4 of this model, with the published numbers where the paper has the model."""
    return [
        shown(source, table.name, table.show(source.table(table.reads)), table.caption)
        for table in TABLES
        if table.name in PAPER
    ]


def shown(source: Source, name: str, frame: pd.DataFrame, caption: str) -> Shown:
    """A table of one model as text."""
    frame = frame.drop(columns="model", errors="ignore")
    if "task" in frame:
        frame = frame.assign(task=frame["task"].map(task_name))
    printed = latex(frame, caption, f"tab:{name}")
    frame = frame.astype(object)
    links = {Path(path).suffix[1:]: relative(source, path) for path in source.layout.table(name)}
    head = [str(column).replace("_percent", " (%)").replace("_", " ") for column in frame.columns]
    rows = [[cell(value) for value in row] for row in frame.to_numpy().tolist()]
    title = f"Table {name[-1]}: {PAPER[name]}" if name in PAPER else name.capitalize()
    return Shown(name, title, caption, head, rows, links, printed)


def relative(source: Source, path: str) -> str:
    """A path from the page's folder, for links."""
    return Path(path).relative_to(source.layout.results).as_posix()


def cell(value: object) -> str:
    """One cell: numbers with one decimal, a dash where there is none."""
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return "–"
    return f"{value:z.1f}".replace("-", "−") if isinstance(value, float | np.floating) else str(value)


def known(source: Source) -> bool:
    """Whether the paper has published numbers of this model."""
    return source.model in paper.CORNERSTONES


def claims(source: Source) -> list[Claim]:
    """The paper's hypotheses, each prediction as a sentence."""
    found = []
    for _, row in source.table("hypotheses").iterrows():
        value, low, high = (100 * float(row[column]) for column in ("value", "low", "high"))
        apart = row["documents"] == "held out"
        where = "documents that had no part in choosing the layers" if apart else "all documents"
        sign = str(row["expected"]).partition(" ")[0]
        expected = {">": "above 0", "<=": "0 or below"}.get(sign, "0")
        text = str(row["prediction"])
        about = "" if str(row["layers"]).startswith("all but") or not apart else f" ({row['layers']})"
        sentence = (
            f"{text[0].upper()}{text[1:]}{about}: expected {expected}, measured {said(value)} points "
            f"({between(low, high)}), on {where}."
        )
        verdict = str(row["verdict"])
        found.append(Claim(str(row["task"]), str(row["hypothesis"]), verdict, MARKS.get(verdict, "?"), sentence))
    return found
