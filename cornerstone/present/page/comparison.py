"""The page of models side by side: what was found of each pair, and its charts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cornerstone import __version__
from cornerstone.config.config import Config
from cornerstone.config.pairs import Pair, name_of
from cornerstone.files import read_csv
from cornerstone.game.game import ACCURACY, MEAN
from cornerstone.plan.layout import Layout
from cornerstone.present import comparisons
from cornerstone.present.figures import COMPARISONS, kinds
from cornerstone.present.latex import latex
from cornerstone.present.page import compare_specs
from cornerstone.present.page.model import for_paper
from cornerstone.present.page.published import cell
from cornerstone.present.page.theme import themes
from cornerstone.present.page.units import between, p_value, rounded, said, unit_of
from cornerstone.present.tables import task_name

QUANTITIES = {"value": "layer Shapley value", "drop": "drop when removed alone"}
"""What is compared -> its name on the page."""
FIGURES = ("depth", "differences", "agreement")
"""Those that the page points to, at the width of a paper's column."""
ENDS = ["value", "low", "high"]
"""Columns of a value with its interval."""


def context(config: Config) -> dict[str, Any]:
    """What the template fills in."""
    return {"version": __version__, "pairs": [_section(config, pair) for pair in config.pairs]}


def data(config: Config) -> dict[str, Any]:
    """What the page's script reads: of each pair the rows and the specification of each chart."""
    return {
        "themes": themes(),
        "choices": {"quantity": list(QUANTITIES)},
        "labels": {"quantity": QUANTITIES},
        "defaults": {"quantity": "value"},
        "comparisons": [{"name": name_of(pair), "charts": charts(config, pair)} for pair in config.pairs],
    }


def _frames(config: Config, pair: Pair) -> dict[str, pd.DataFrame]:
    """The tables of a pair, by accuracy."""
    wanted = ("concentration", "agreement", "differences", "depth", "bands")
    paths = Layout(config).compared(pair)
    return {name: read_csv(Path(paths[name])) for name in wanted if name in paths}


def _section(config: Config, pair: Pair) -> dict[str, Any]:
    frames, layout, first, second = _frames(config, pair), Layout(config), *pair
    drawn = kinds(layout.compared(pair), COMPARISONS)
    pictures = {kind: for_paper(layout.comparison_figure(name_of(pair), kind)) for kind in FIGURES}
    return {
        "name": name_of(pair),
        "title": f"{first} and {second}",
        "first": first,
        "second": second,
        "findings": comparisons.findings(
            frames["concentration"], frames.get("agreement"), config.intervals.level
        ).splitlines(),
        "equal": "differences" in frames,
        "figures": {
            kind: path.relative_to(layout.results).as_posix() if kind in drawn else None
            for kind, path in pictures.items()
        },
        "tables": [
            _table(table.name, table.show(frames[table.reads]), table.caption) for table in comparisons.there(frames)
        ],
        "settings": settings(config, pair),
    }


def _table(name: str, frame: pd.DataFrame, caption: str) -> dict[str, Any]:
    shown = frame.drop(columns=["first", "second"], errors="ignore")
    if "task" in shown:
        shown = shown.assign(task=shown["task"].map(task_name))
    printed = latex(shown, caption, f"tab:{name}")
    shown = shown.astype(object)
    title = {"layers": "Layers that differ", "agreement": "Agreement", "depth": "By depth", "shares": "Shares"}
    return {
        "title": title.get(name.removeprefix("compare_"), name),
        "caption": caption,
        "name": name,
        "latex": printed,
        "head": [str(column).replace("_percent", " (%)").replace("_", " ") for column in shown.columns],
        "rows": [[cell(value) for value in row] for row in shown.to_numpy().tolist()],
    }


def settings(config: Config, pair: Pair) -> list[list[str]]:
    """Where the configurations of two models differ: key, and what each says."""
    both = [config.models[model].model_dump(mode="json", exclude_defaults=True) for model in pair]
    keys = [key for key in dict.fromkeys([*both[0], *both[1]]) if both[0].get(key) != both[1].get(key)]
    return [[key, *(str(side.get(key, "–")) for side in both)] for key in keys]


def charts(config: Config, pair: Pair) -> dict[str, Any]:
    """Chart -> its specification, its rows (mean over tasks), and its columns for readers."""
    frames, unit = _frames(config, pair), unit_of(ACCURACY, config)
    rows = _rows(_mean(frames["depth"]), ["model", "quantity", "player", "role", "depth"], ENDS, unit.factor)
    for row in rows:
        ends = between(row["low"], row["high"])
        row["said"] = f"{row['model']}, {row['player']}: {said(row['value'])} {unit.name} ({ends})"
    columns = {"model": "model", "player": "layer", "depth": "depth", **{name: name for name in ENDS}}
    found: dict[str, Any] = {
        "depth": {"spec": compare_specs.depth(list(pair), unit.name), "rows": rows, "columns": columns}
    }
    if "differences" not in frames:
        return found
    frame = _mean(frames["differences"])
    names = ["quantity", "player", "position", "first_rank", "second_rank", "differs", "p_holm"]
    rows = _rows(frame, names, ["difference", "low", "high", "first_value", "second_value"], unit.factor)
    for row in rows:
        row["p"] = p_value(row.pop("p_holm"))
        row["label"] = row["player"] if row["differs"] else ""
        row["said"] = (
            f"{row['player']}: {said(row['difference'])} {unit.name} ({between(row['low'], row['high'])}), "
            f"{'differs' if row['differs'] else 'no clear difference'}"
        )
    columns = {"player": "layer", "first_value": pair[0], "second_value": pair[1], "difference": "difference"}
    columns |= {"low": "low", "high": "high", "p": "p (Holm)"}
    found["difference"] = {"spec": compare_specs.differences(unit.name), "rows": rows, "columns": columns}
    ranks = {"player": "layer", "first_rank": f"rank by {pair[0]}", "second_rank": f"rank by {pair[1]}"}
    found["ranks"] = {"spec": compare_specs.ranks(*pair), "rows": rows, "columns": ranks}
    return found


def _mean(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["task"] == MEAN]


def _rows(frame: pd.DataFrame, names: list[str], numbers: list[str], factor: float) -> list[dict[str, Any]]:
    """Rows as the script reads them; numbers in the unit of the page."""
    scaled: Mapping[str, list[float | None]] = {column: rounded(frame[column], factor) for column in numbers}
    plain = frame[names].astype(object).to_dict("records")
    return [
        {str(key): value for key, value in row.items()} | {column: scaled[column][i] for column in numbers}
        for i, row in enumerate(plain)
    ]
