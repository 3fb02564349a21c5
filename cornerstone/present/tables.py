"""The tables: what each reads, how it is shown, and the writer of table files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from cornerstone.analysis import paper
from cornerstone.config.config import Config
from cornerstone.files import read_csv, write_csv, write_noted
from cornerstone.game.game import MEAN
from cornerstone.present.latex import latex

TASK_NAMES: Final[dict[str, str]] = {
    "boolq": "BoolQ",
    "piqa": "PIQA",
    "winogrande": "WinoGrande",
    "arc_easy": "ARC-Easy",
    "arc_challenge": "ARC-Challenge",
    "openbookqa": "OpenBookQA",
    MEAN: "Mean over tasks",
}
"""Tasks as a reader knows them, in the order in which tables and figures show them."""


def task_name(task: str) -> str:
    """Return the name of a task for readers; a task unknown to the paper keeps its raw name."""
    return TASK_NAMES.get(task, task)


def cornerstone_list(cornerstones: pd.DataFrame) -> pd.DataFrame:
    """Table 2: the three highest layers of each model, and what is significant.

    Args:
        cornerstones: one row per model and player with the columns model, player, rank, top_three,
            above_median, cornerstone.

    Returns:
        One row per model: model, top_three (the paper's rule), cornerstones (significantly among the three highest),
        above_median (significantly above the median layer), each "none" where no player is; published (missing if the
        paper did not study the model). Players are separated by blanks, best first.
    """
    rows = []
    for model, group in cornerstones.groupby("model", sort=False):
        ranked = group.sort_values("rank")
        published = paper.CORNERSTONES.get(str(model))
        rows.append(
            {
                "model": model,
                "top_three": _players(ranked, "top_three"),
                "cornerstones": _players(ranked, "cornerstone"),
                "above_median": _players(ranked, "above_median"),
                "published": " ".join(published) if published else None,
            }
        )
    return pd.DataFrame(rows, columns=["model", "top_three", "cornerstones", "above_median", "published"])


def _players(ranked: pd.DataFrame, column: str) -> str:
    """The players for which a column is true."""
    return " ".join(ranked.loc[ranked[column].astype(bool), "player"]) or "none"


def hypotheses(frame: pd.DataFrame) -> pd.DataFrame:
    """The paper's hypotheses, in percentage points: the mean over tasks, and on how many tasks which verdict stands.

    Args:
        frame: hypotheses.csv of one model or several.
    """
    mean, tasks = frame[frame["task"] == MEAN], frame[frame["task"] != MEAN]
    shown = mean[["model", "hypothesis", "prediction"]].copy()
    shown["expected"] = mean["expected"].str.partition(" (")[0]  # the margin is in the caption
    for column, source in (("measured_percent", "value"), ("low", "low"), ("high", "high"), ("intact", "intact")):
        shown[column] = 100 * mean[source]
    shown["verdict"] = mean["verdict"]
    verdicts = tasks.groupby(["model", "prediction"], sort=False)["verdict"].agg(_counted)
    shown["on_tasks"] = [verdicts[key] for key in zip(mean["model"], mean["prediction"], strict=True)]
    for column in ("layers", "documents"):
        shown[column] = mean[column]
    shown["hypothesis"] = shown["hypothesis"].astype(str)
    return shown.reset_index(drop=True)


def _counted(verdicts: pd.Series) -> str:
    """How often each verdict stands: holds/fails/open."""
    return "/".join(str(int((verdicts == verdict).sum())) for verdict in ("holds", "fails", "open"))


def estimators(frame: pd.DataFrame) -> pd.DataFrame:
    """The estimators of each model side by side, mean over tasks, in percentage points.

    Args:
        frame: estimators.csv of one model or several.
    """
    rows = frame[frame["task"] == MEAN]
    shown = rows[["model", "estimator"]].copy()
    for column in ("evaluations", "coalitions"):
        shown[column] = rows[column].astype(str)
    for column in ("gap", "se", "se_documents", "se_coalitions", "error", "largest_error"):
        shown[f"{column}_percent"] = 100 * rows[column]
    shown["rank_correlation"] = rows["rank_correlation"].map(lambda value: "" if pd.isna(value) else f"{value:.2f}")
    return shown


def power(frame: pd.DataFrame) -> pd.DataFrame:
    """Documents that answers take, by value function.

    Args:
        frame: power.csv of one model or several.
    """
    rows = []
    for (model, function), part in frame.groupby(["model", "value_function"], sort=False):
        width = part[part["question"] == "documents_for_half_width"].iloc[0]
        row = {"model": model, "value_function": function, "half_width": f"{width['half_width']:g}"}
        row["documents"] = _count(width["value"])
        tops = part[part["question"] == "documents_for_top"]
        if len(tops):
            top = tops.iloc[-1]
            row |= {"top": f"{top['layers']:.0f}", "plug_in": _count(top["plug_in"]), "shrunken": _count(top["value"])}
            row["range"] = f"{_count(top['low'])} to {_count(top['high'])}"
        rows.append(row | {"there": _count(width["there"])})
    return pd.DataFrame(rows)


def _count(documents: float) -> str:
    return f"{documents:,.0f}" if np.isfinite(documents) else "never"


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        name: of its files; the paper's numbers are kept.
        reads: the estimates that it shows, by their name in `Layout.shown`.
        show: from the rows of all models to what is written.
        caption: plain text.
    """

    name: str
    reads: str
    show: Callable[[pd.DataFrame], pd.DataFrame]
    caption: str


def as_it_is(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows themselves."""
    return frame


TABLES: Final = (
    Table(
        "table1",
        "share",
        as_it_is,
        "Share of the three highest layers (of the paper's models: the paper's three) in the sum of all layer Shapley "
        "values (negative values set to 0 first), mean over tasks. Noise makes this share too small, and choosing the "
        "highest on the same documents makes it too large. The cross-fitted one (one half of the documents chooses, "
        "the other is summed) is free of the choice. The interval holds both biases, so it is wide where there are "
        "few documents.",
    ),
    Table(
        "table2",
        "cornerstones",
        cornerstone_list,
        "The three highest values (the paper's rule); cornerstones: layers significantly among the three highest; and "
        "layers significantly above the median layer. Both adjusted for testing every layer (Holm).",
    ),
    Table(
        "table3",
        "mean_drop",
        as_it_is,
        "Mean drop of the metric when one of the three highest layers or one other layer is removed, in points. "
        "`clipped` sets drops below 0 to 0 as the paper does; the interval is that of the unclipped drop.",
    ),
    Table(
        "table4",
        "mean_drop_by_task",
        as_it_is,
        "Mean drop of the metric when one layer that is not among the three highest is removed, in points, by task.",
    ),
    Table(
        "hypotheses",
        "hypotheses",
        hypotheses,
        "The paper's two hypotheses about its cornerstone layers, which are the three highest (1), and the others (2): "
        "what each predicts, and "
        "what was measured (points of accuracy, mean over tasks, with interval). Verdicts are adjusted for testing all "
        "predictions; one is `open` where nothing is shown. `on tasks`: on how many it holds, fails, and is open. The "
        "floor is the accuracy without any sublayer, or that of always taking one place, where that is higher; "
        "`intact` is the whole model's distance from it. What is expected to be 0 holds where it is shown to lie "
        "within the margin (`intervals.equivalence`).",
    ),
    Table(
        "estimators",
        "estimators",
        estimators,
        "The estimators side by side, mean over tasks. Cost: sublayer evaluations for each document, and coalitions, "
        "of each estimator by itself. In points: gap between the sum of the values and v(N) "
        "- v(no player), which is 0 for Shapley values; mean standard error, and its parts; distance from the "
        "exact values, where they were computed.",
    ),
    Table(
        "power",
        "power",
        power,
        "How many documents a task an answer takes, with this run as a pilot: until the median layer's interval has "
        "the half-width (of accuracies a point, else a tenth of a standard deviation), and until the top layers are "
        "confirmed to be above all others with probability 80 %. `plug_in`: if the values were those that were "
        "measured, which is too few. `shrunken`: with a normal prior on the values (median and range of 80 %), too "
        "many where single layers stand out. `there`: documents that the tasks hold.",
    ),
)
"""All tables; a new one is an entry here."""


def measured_by(config: Config) -> str:
    """What a reader of any table must know: the estimator of the values, the documents, the level of intervals."""
    limits = {config.limit(model, task) for model in config.run for task in config.scored_tasks}
    counts = sorted(limit for limit in limits if limit is not None)
    few = " to ".join(dict.fromkeys(map(str, (counts[0], counts[-1])))) if counts else ""
    documents = " or ".join(filter(None, (few, "all" if None in limits else "")))
    return (
        f"Layer Shapley values by `{config.headline.name}`, {documents} documents a task, intervals of "
        f"{100 * config.intervals.level:g} %."
    )


def write(
    sources: Mapping[str, Sequence[Path]], paths: Sequence[Path], tables: Sequence[Table] = TABLES, note: str = ""
) -> None:
    """Write some tables.

    Args:
        sources: what a table reads -> the CSV file of each model, or pair of models.
        paths: where they go, in all formats.
        tables: which; those of single models by default.
        note: what follows each caption (`measured_by`).
    """
    stems = {path.stem: path.with_suffix("") for path in paths}
    for table in tables:
        rows = pd.concat([read_csv(path) for path in sources[table.reads]], ignore_index=True)
        write_table(table.show(rows), stems[table.name], f"{table.caption} {note}".strip())


def write_table(frame: pd.DataFrame, stem: Path, caption: str) -> None:
    """Write a table as `stem`.csv (full precision), `stem`.md and `stem`.tex (one decimal), each atomically.

    In the two for readers, missing cells are an en dash, tasks carry their usual names, column names lose
    their underscores, and the caption is included. What the LaTeX one looks like: `latex.latex`.

    Args:
        frame: the table; its index is not written.
        stem: path without extension; its folder is made if missing.
        caption: plain text, escaped here for LaTeX.
    """
    named = frame.assign(task=frame["task"].map(task_name)) if "task" in frame else frame
    shown = named.astype(object).map(_cell)
    shown.columns = pd.Index([_heading(str(name)) for name in frame.columns])
    numeric = [pd.api.types.is_numeric_dtype(frame[name]) or "percent" in str(name) for name in frame.columns]
    sides = ["right" if right else "left" for right in numeric]
    # Numbers were formatted above; tabulate must not parse them again.
    body = shown.to_markdown(index=False, disable_numparse=True, colalign=sides)
    write_csv(frame, beside(stem, "csv"))
    write_noted(beside(stem, "md"), f"{caption}\n\n{body}\n")
    write_noted(beside(stem, "tex"), latex(named, caption, f"tab:{stem.name}"))


def beside(stem: Path, extension: str) -> Path:
    """Return `stem` with an extension appended; unlike `with_suffix` it keeps the dots of names like v0.1."""
    return stem.with_name(f"{stem.name}.{extension}")


def _heading(column: str) -> str:
    """Return a column's name for readers."""
    return column.replace("_percent", " (%)").replace("_", " ")


def _cell(value: object) -> str:
    """Format one cell for readers."""
    if pd.isna(value):  # type: ignore[call-overload]
        return "–"
    # `z` makes -0.04 read 0.0 rather than -0.0.
    return f"{value:z.1f}" if isinstance(value, float | np.floating) else str(value)
