"""How far to trust the numbers: what the estimators miss, and what the intervals do not count."""

from __future__ import annotations

import pandas as pd

from cornerstone.game.game import ACCURACY, MEAN
from cornerstone.present.noise import sentences
from cornerstone.present.page import removal
from cornerstone.present.page.published import cell
from cornerstone.present.page.source import Source
from cornerstone.present.page.units import unit_of

COLUMNS = {
    "gap": "gap",
    "se": "standard error",
    "se_documents": "of it, documents",
    "se_coalitions": "of it, sampled coalitions",
    "error": "error against exact",
    "largest_error": "largest error",
}
"""Columns of estimators.csv as a reader knows them."""
NOT_COUNTED = (
    "The bias of the window estimator, and of others that are not unbiased.",
    "Selection: the highest of many noisy values are too high on average. Values on held-out documents are free of it.",
    "Other prompts, other documents than those of the task, other number formats.",
    "Each interval holds by itself. P-values and rank intervals are adjusted for testing every layer.",
)
"""What the intervals do not count: docs/explanation/intervals.md."""
CHOSEN = (
    "That the order of removal is chosen on the documents on which its curve is drawn: curves that remove the least "
    "important first are too high."
)
"""What they do not count where deletion curves are not cross-fitted."""


def not_counted(source: Source) -> list[str]:
    """What the intervals of a model's page do not count."""
    chosen = source.has("deletion") and not removal.cross_fitted(source)
    return [*NOT_COUNTED, *([CHOSEN] if chosen else [])]


def noise(source: Source) -> str:
    """How far the same coalitions differ, computed again; empty where that was not measured."""
    if not source.has("noise"):
        return ""
    return sentences(source.config, source.table("noise"), source.table("cornerstones"), source.baselines)


def estimators(source: Source) -> tuple[list[str], list[list[str]]]:
    """The estimators side by side, mean over tasks: names of the columns, and the rows as text."""
    frame = source.table("estimators")
    frame = frame[frame["task"] == MEAN]
    factor = unit_of(ACCURACY, source.config).factor
    columns = [column for column in COLUMNS if frame[column].notna().any()]
    rows = [
        [str(row["estimator"]), str(row["coalitions"]), *(cell(factor * float(row[column])) for column in columns)]
        for _, row in frame.iterrows()
    ]
    head = ["estimator", "coalitions", *(COLUMNS[column] for column in columns)]
    if frame["rank_correlation"].notna().any():
        head.append("rank correlation with exact")
        for shown, value in zip(rows, frame["rank_correlation"], strict=True):
            shown.append("–" if pd.isna(value) else f"{value:.2f}")
    return head, rows
