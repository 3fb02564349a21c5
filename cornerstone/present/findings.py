"""Which of the paper's claims hold on which model: the tables of a page, from the CSV files of several models."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cornerstone.files import read_csv
from cornerstone.game.game import MEAN
from cornerstone.present.tables import task_name

FUNCTIONS = {
    "accuracy (points)": ("cornerstones", 100.0),
    "margin (standard deviations)": ("cornerstones_margin", 1.0),
    "log-probability (standard deviations)": ("cornerstones_log-probability", 1.0),
}
"""Value functions as a reader knows them: the CSV file of each, by its stem, and by what its numbers are multiplied."""
TABLES = ("ablation", "baselines", "deletion", "estimators", "hypotheses", "share", *(t for t, _ in FUNCTIONS.values()))
"""The CSV files of a model that the page is made from, by their stems."""
Z = 1.96
"""Normal quantile of a two-sided 95 % interval."""


@dataclass(frozen=True)
class Measured:
    """A number with its interval, in points, and what it says of a claim."""

    value: float
    low: float
    high: float
    verdict: str
    beside: str = ""

    def __str__(self) -> str:
        return f"**{self.verdict}**: {self.value:.1f} ({self.low:.1f} to {self.high:.1f}){self.beside}"


@dataclass(frozen=True)
class Model:
    """The tables of one model, by the stems of their CSV files."""

    name: str
    tables: Mapping[str, pd.DataFrame]

    @classmethod
    def read(cls, folder: Path) -> Model:
        """The tables in a model's folder of results.

        Raises:
            StoreError: one of `TABLES` is not there.
        """
        return cls(folder.name, {stem: read_csv(folder / f"{stem}.csv") for stem in TABLES})

    @property
    def documents(self) -> int:
        """Documents of all tasks."""
        return int(self.tables["baselines"]["documents"].sum())

    @property
    def above_chance(self) -> Measured:
        """Accuracy of the whole model less chance, mean over tasks, with a normal interval over documents."""
        rows = self.tables["baselines"]
        value = 100 * float((rows["original"] - rows["chance"]).mean())
        half = 100 * Z * math.sqrt(float((rows["original_se"] ** 2).sum())) / len(rows)
        verdict = "above chance" if value - half > 0 else "not clearly above chance"
        return Measured(value, value - half, value + half, verdict)

    def prediction(self, text: str) -> pd.Series | None:
        """The row of hypotheses.csv of that text, mean over tasks; None where there is none."""
        rows = self.tables["hypotheses"]
        found = rows[(rows["prediction"] == text) & (rows["task"] == MEAN)]
        return None if found.empty else found.iloc[0]

    @property
    def worst(self) -> pd.Series:
        """The row of ablation.csv, mean over tasks, of the sublayer whose removal costs most."""
        rows = self.tables["ablation"]
        rows = rows[rows["task"] == MEAN]
        return rows.iloc[int(rows["drop"].to_numpy().argmax())]


CLAIMS = {
    "The first tenth of the layers has higher values than the rest (difference of the means)": (
        "the first tenth of the layers has higher values than the rest"
    ),
    "Without one of the top three the model is at the floor (accuracy above it that is left)": (
        "without one of the top three, accuracy is at the floor"
    ),
    "Removing one of the top three costs more than removing another layer (difference)": (
        "removing one of the top three costs more than another layer"
    ),
    "Removing one other layer costs nothing (mean drop)": "removing one other layer costs nothing",
    "Removing four neighbours costs more than removing each of them (difference)": (
        "removing 4 neighbours costs more than the sum of removing each"
    ),
}
"""The paper's claims about one model, and what hypotheses.csv calls them."""


def measured(model: Model, prediction: str) -> Measured | None:
    """What was measured of a prediction, mean over tasks, and its verdict; None where it was not.

    Beside what is left above the floor stands what the whole model has.
    """
    row = model.prediction(prediction)
    if row is None:
        return None
    value, low, high, intact = (100 * float(row[column]) for column in ("value", "low", "high", "intact"))
    beside = f", of {intact:.1f}" if math.isfinite(intact) else ""
    return Measured(value, low, high, str(row["verdict"]), beside)


def claims(models: Sequence[Model]) -> str:
    """The table of claims: a row for each, a column for each model."""
    lines = [_row(["claim of the paper", *(model.name for model in models)]), _row(["---"] * (len(models) + 1))]
    for text, prediction in CLAIMS.items():
        lines.append(_row([text, *(str(measured(model, prediction) or "not measured") for model in models)]))
    return "\n".join(lines)


def accuracies(models: Sequence[Model]) -> str:
    """Accuracy of the whole models by task, percent, and chance."""
    first = models[0].tables["baselines"]
    lines = [_row(["task", "chance", *(model.name for model in models)]), _row(["---"] * (len(models) + 2))]
    for task, chance in first[["task", "chance"]].to_numpy().tolist():
        cells = [task_name(task), f"{100 * chance:.0f}"]
        for model in models:
            row = model.tables["baselines"].set_index("task").loc[task]
            cells.append(f"{100 * row['original']:.0f} ({int(row['documents'])} documents)")
        lines.append(_row(cells))
    cells = ["mean less chance", ""]
    cells += [f"{m.above_chance.value:.1f} ({m.above_chance.low:.1f} to {m.above_chance.high:.1f})" for m in models]
    return "\n".join([*lines, _row(cells)])


def highest(models: Sequence[Model], count: int = 3) -> str:
    """The highest layer Shapley values of each model by each value function, and what is sure of them."""
    lines = [_row(["model", "value function", "layer", "value", "rank", "verdict"]), _row(["---"] * 6)]
    for model in models:
        names = [model.name]
        for function, (stem, factor) in FUNCTIONS.items():
            names.append(function)
            for row in model.tables[stem].sort_values("rank", kind="stable").head(count).to_dict("records"):
                value, low, high = (_digits(factor * row[column], factor) for column in ("value", "low", "high"))
                ranks = f"{row['rank_low']} to {row['rank_high']}"
                cells = [*names, row["player"], f"{value} ({low} to {high})", ranks, _verdict(row)]
                lines.append(_row([""] * (6 - len(cells)) + cells))
                names = []
    return "\n".join(lines)


def _verdict(row: Mapping[Any, Any]) -> str:
    """What is sure of a layer: the strongest that holds."""
    if row["cornerstone"]:
        return "**cornerstone**"
    return "above the median layer" if row["above_median"] else "open"


def confirmed(models: Sequence[Model]) -> str:
    """How many layers are cornerstones and how many are above the median layer, by each value function."""
    lines = [_row(["model", "layers", *FUNCTIONS]), _row(["---"] * (len(FUNCTIONS) + 2))]
    for model in models:
        frames = [model.tables[stem] for stem, _ in FUNCTIONS.values()]
        cells = [model.name, str(len(frames[0]))]
        for frame in frames:
            names = frame.loc[frame["cornerstone"].astype(bool), "player"].tolist()
            cells.append(f"{', '.join(names) or 'none'}; {int(frame['above_median'].sum())} above the median")
        lines.append(_row(cells))
    return "\n".join(lines)


def _digits(value: float, factor: float) -> str:
    return f"{value:.1f}" if factor > 1 else f"{value:.2f}"


def worst(models: Sequence[Model]) -> str:
    """The single removal that costs each model most, with an interval for all removals together (Bonferroni)."""
    lines = [_row(["model", "layer", "drop (points)", "accuracy above chance"]), _row(["---"] * 4)]
    for model in models:
        row, whole = model.worst, model.above_chance
        players = int(model.tables["ablation"]["position"].max()) + 1
        half = 100 * _bonferroni(players) * float(row["se"])
        drop = 100 * float(row["drop"])
        cells = [model.name, row["player"], f"{drop:.1f} ({drop - half:.1f} to {drop + half:.1f})"]
        lines.append(_row([*cells, f"{whole.value:.1f} before, {whole.value - drop:.1f} after"]))
    return "\n".join(lines)


def shares(models: Sequence[Model]) -> str:
    """The share of the three highest layers in the sum of the values (the paper's Table 1), percent."""
    lines = [_row(["model", "layers", "share (%)"]), _row(["---"] * 3)]
    for model in models:
        row = model.tables["share"].iloc[0]
        interval = f" ({row['low']:.1f} to {row['high']:.1f})" if math.isfinite(row["low"]) else ""
        lines.append(_row([model.name, row["players"], f"{row['share_percent']:.1f}{interval}"]))
    return "\n".join(lines)


def deletion(models: Sequence[Model]) -> str:
    """Accuracy when the share of the players that the curves end at is gone, points above chance.

    Beside it what the order is worth: least important first less the last sublayers first.
    """
    heads = ["model", "removed", "least important first", "most important first", "least important less last first"]
    lines = [_row(heads), _row(["---"] * len(heads))]
    for model in models:
        rows = model.tables["deletion"]
        rows = rows[(rows["task"] == MEAN) & (rows["order"] == "shapley")]
        last = rows[rows["removed"] == rows["removed"].max()].set_index("direction")
        chance = 100 * float(model.tables["baselines"]["chance"].mean())
        cells = [model.name, f"{int(last['removed'].iloc[0])} of {int(last['players_total'].iloc[0])}"]
        for direction in ("least", "most"):
            value, low, high = (100 * float(last[c][direction]) - chance for c in ("accuracy", "low", "high"))
            cells.append(f"{value:.1f} ({low:.1f} to {high:.1f})")
        value, low, high = (100 * float(last[f"above_depth{c}"]["least"]) for c in ("", "_low", "_high"))
        cells.append(f"{value:.1f} ({low:.1f} to {high:.1f})")
        lines.append(_row(cells))
    return "\n".join(lines)


def _bonferroni(count: int) -> float:
    """The normal quantile of a two-sided 95 % interval for each of `count` numbers together."""
    from scipy import special

    return float(special.ndtri(1 - 0.05 / 2 / count))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def clearest(models: Sequence[Model]) -> Model:
    """The model whose accuracy is clearest above chance: the highest lower end of the interval."""
    return max(models, key=lambda model: model.above_chance.low)


def picture(models: Sequence[Model]) -> str:
    """The figure of the clearest model with its caption, for a page at the root of the repository."""
    if not models:
        return ""
    model = clearest(models)
    counts = sorted(set(model.tables["baselines"]["documents"].astype(int)))
    number = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    tasks = len(model.tables["baselines"])
    return (
        f"![Accuracy of {model.name} after removing each single sublayer, on {tasks} tasks]"
        "(docs/figures/clearest-ablation.png)\n\n"
        f"*Accuracy of {model.name} after one sublayer is removed, on {number} documents of each of {tasks} tasks. The "
        "metric is acc for BoolQ and WinoGrande and acc_norm for the other tasks. The bars are 95 % intervals of the "
        "difference to the whole model on the same documents. Of the models that were measured, this one is most "
        "clearly above chance. Made by `make study NAME=models`.*"
    )


SECTIONS: Mapping[str, Callable[[Sequence[Model]], str]] = {
    "claims": claims,
    "accuracies": accuracies,
    "confirmed": confirmed,
    "highest": highest,
    "worst": worst,
    "shares": shares,
    "deletion": deletion,
    "picture": picture,
}
"""What makes each table of the page, by the name of its place."""


def sections(models: Sequence[Model]) -> dict[str, str]:
    """The text of each of `SECTIONS`."""
    return {name: section(models) for name, section in SECTIONS.items()}


def agreements(pairs: Mapping[str, Mapping[str, pd.DataFrame]]) -> str:
    """How far the layer values of two removals agree, mean over tasks: a row per model and value function.

    Args:
        pairs: model -> value function -> agreement.csv of its two removals.
    """
    heads = ["model", "value function", "on the same documents", "each with itself", "without noise"]
    lines = [_row(heads), _row(["---"] * len(heads))]
    for model, frames in pairs.items():
        for function, frame in frames.items():
            row = frame[(frame["quantity"] == "value") & (frame["task"] == MEAN)].iloc[0]
            within = f"{row['within_first']:.2f}, {row['within_second']:.2f}"
            corrected = f"{row['corrected']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
            lines.append(_row([model, function, f"{row['rank_correlation']:.2f}", within, corrected]))
            model = ""
    return "\n".join(lines)


def filled(page: str, texts: Mapping[str, str]) -> str:
    """A page of Markdown whose tables between `<!-- NAME: begin -->` and `<!-- NAME: end -->` are made anew.

    Args:
        page: the text.
        texts: what stands there, by name; other places are left alone.
    """

    def made(match: re.Match[str]) -> str:
        text = texts.get(match["name"])
        return (
            match[0] if text is None else f"<!-- {match['name']}: begin -->\n\n{text}\n\n<!-- {match['name']}: end -->"
        )

    return re.sub(r"<!-- (?P<name>[a-z]+): begin -->.*?<!-- (?P=name): end -->", made, page, flags=re.DOTALL)
