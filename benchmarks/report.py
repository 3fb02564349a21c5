"""What the benchmarks write: a CSV, and a Markdown file that says what made it."""

from __future__ import annotations

import datetime
import importlib.metadata
import io
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("numpy", "scipy", "shapiq")
"""What estimates depend on."""
DIGITS = "%.6g"
MODEL_PACKAGES = ("torch", "transformers", "lm_eval")
"""What the speed of models depends on."""


def markdown(frame: pd.DataFrame, formats: Mapping[str, str]) -> str:
    """A frame as a Markdown table; `formats` gives a column's format, such as `.1f`. Missing numbers stay empty."""
    rows = [list(frame.columns), ["---"] * len(frame.columns)]
    for record in frame.itertuples(index=False):
        cells = zip(frame.columns, record, strict=True)
        rows.append([_cell(cell, formats.get(name, "")) for name, cell in cells])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def _cell(value: Any, spec: str) -> str:
    if pd.isna(value):
        return ""
    text = format(value, spec)
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text


def origin(settings: Mapping[str, object], packages: Sequence[str] = PACKAGES) -> str:
    """A line on date, commit, packages and settings."""
    root = Path(__file__).parents[1]
    git = ["git", "-C", str(root)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--", "cornerstone", "benchmarks/*.py"],
        capture_output=True,
        text=True,
        check=False,
    )
    made_by = (commit.stdout.strip() or "unknown") + (" with changes" if changed.stdout.strip() else "")
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)
    chosen = ", ".join(f"{key} {value}" for key, value in settings.items())
    return (
        f"Made {datetime.datetime.now(datetime.UTC):%Y-%m-%d} by commit {made_by}; Python "
        f"{platform.python_version()}, {versions}. Settings: {chosen}.\n"
    )


def rounded(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame as it is read again from its CSV file, so that what is made of either is the same."""
    return pd.read_csv(io.StringIO(frame.to_csv(index=False, float_format=DIGITS)))


def write(folder: Path, name: str, frame: pd.DataFrame, text: str) -> None:
    """Write `name`.csv and `name`.md."""
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / f"{name}.csv", index=False, float_format=DIGITS)
    (folder / f"{name}.md").write_text(text, encoding="utf-8")


def of_models(name: str) -> dict[str, pd.DataFrame]:
    """Model -> its table, of the files NAME-MODEL.csv in benchmarks/results/."""
    paths = sorted(RESULTS.glob(f"{name}-*.csv"))
    return {path.stem.removeprefix(f"{name}-"): pd.read_csv(path) for path in paths}


def sections(frames: Mapping[str, pd.DataFrame], formats: Mapping[str, str]) -> str:
    """Their tables below each other, each under the name of its model."""
    return "\n".join(f"**{model}**\n\n{markdown(frame, formats)}" for model, frame in frames.items()).rstrip()
