"""Where the results are, for the terminal."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from cornerstone import reading
from cornerstone.config.config import Config
from cornerstone.errors import StoreError, UnreadableError
from cornerstone.files import MADE_AGAIN, check
from cornerstone.game.game import ACCURACY
from cornerstone.plan.layout import Layout, cornerstones
from cornerstone.present import looks


def where(config: Config) -> str:
    """Where the results are, and the top layers of each model.

    Raises:
        StoreError: a model's cornerstones are missing, or the verdict of its look is damaged.
    """
    layout = Layout(config)
    results = layout.results
    lines = [
        "",
        f"page     {layout.index} (open it in a browser)",
        f"summary  {layout.summary}",
        f"report   {layout.report} (Snakemake's own: what made each file)",
        f"figures  {results}/figures/<model>/*.svg, *.pdf, *.png",
        f"tables   {results}/tables/table1-4.csv, *.md, *.tex",
        f"numbers  {results}/<model>/*.csv (described in results/README.md)",
        "",
    ]
    for model in config.run:
        rows = _rows(Path(layout.csv(model, cornerstones())))[:3]
        sure = _sure(rows)
        verdict = f"confirmed as cornerstones: {', '.join(sure)}" if sure else "none is confirmed as a cornerstone"
        top = ", ".join(
            f"{row['player']} {100 * float(row['value']):.1f} "
            f"({100 * float(row['low']):.1f} to {100 * float(row['high']):.1f})"
            for row in rows
        )
        level = f"{config.intervals.level:.0%}"
        lines.append(f"{model}: highest layer Shapley values, in points with {level} intervals: {top}; {verdict}")
        for function in config.functions:
            if function != ACCURACY and (others := _sure(_rows(Path(layout.csv(model, cornerstones(function)))))):
                lines.append(f"{model}, by {function}: confirmed as cornerstones: {', '.join(others)}")
    return "\n".join([*lines, *looks.lines(config)])


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table, without pandas: this ends every run."""
    try:
        check(path)
        return list(csv.DictReader(io.StringIO(reading.text(path), newline="")))
    except UnreadableError as error:
        remedy = "Run `snakemake all` to make it." if error.missing else MADE_AGAIN
        raise StoreError(error.then(remedy)) from None


def _sure(rows: list[dict[str, str]]) -> list[str]:
    return [row["player"] for row in rows if row["cornerstone"].lower() == "true"]
