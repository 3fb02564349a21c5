"""Where the results are, for the terminal. Imports neither pandas nor torch: a second `make run` should be quick."""

from __future__ import annotations

import csv
from pathlib import Path

from cornerstone.config.config import Config
from cornerstone.errors import StoreError
from cornerstone.plan.layout import Layout


def where(config: Config) -> str:
    """Where the results are, and the top layers of each model.

    Raises:
        StoreError: a model's cornerstones are missing.
    """
    results = Path(Layout(config).results)
    lines = [
        "",
        f"summary  {results}/summary.md",
        f"report   {results}/report.html",
        f"figures  {results}/figures/<model>/*.svg, *.pdf, *.png",
        f"tables   {results}/tables/table1-4.csv, *.md, *.tex",
        f"numbers  {results}/<model>/*.csv (described in results/README.md)",
        "",
    ]
    for model in config.run:
        path = results / model / "cornerstones.csv"
        try:
            with path.open(encoding="utf-8", newline="") as stream:
                rows = list(csv.DictReader(stream))[:3]
        except FileNotFoundError:
            raise StoreError(f"{path} is missing. Run `snakemake all` to make it.") from None
        top = ", ".join(
            f"{row['player']} {100 * float(row['value']):.1f} "
            f"({100 * float(row['low']):.1f} to {100 * float(row['high']):.1f})"
            for row in rows
        )
        level = f"{config.intervals.level:.0%}"
        lines.append(f"{model}: highest layer Shapley values, in points with {level} intervals: {top}")
    return "\n".join(lines)
