"""The answer in ten seconds: which layers are cornerstones, by each value function, and what speaks against it."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from cornerstone.game.game import ACCURACY, MEAN
from cornerstone.present.page.source import Source
from cornerstone.present.page.units import between, counted, listed, mean_unit, said, unit_of
from cornerstone.present.tables import task_name

Z = 1.96
"""Normal quantile of a two-sided 95 % interval."""
SEEN = 0.5
"""Points below which the gap of an estimator is not worth a word."""


@dataclass(frozen=True)
class Card:
    """What one value function says.

    Attributes:
        function: the value function.
        headline: whether it is the one that was declared beforehand.
        cornerstones: layers that are confirmed: significantly among the three highest.
        lines: sentences below.
    """

    function: str
    headline: bool
    cornerstones: list[str]
    lines: list[str]

    @property
    def verdict(self) -> str:
        """The confirmed layers, or that there are none."""
        return ", ".join(self.cornerstones) or "none confirmed"


def cards(source: Source) -> list[Card]:
    """A card for each value function, the declared one first."""
    return [_card(source, function) for function in source.config.functions]


def _card(source: Source, function: str) -> Card:
    rows = source.table("cornerstones", function).sort_values("rank", kind="stable")
    unit, count = mean_unit(function, source.config), len(rows)
    confirmed = _names(rows, "cornerstone")
    if (rows["value"] == rows["value"].iloc[0]).all():
        only = f"All {count} values are {said(unit.factor * rows['value'].iloc[0])}: there is nothing to rank."
        return Card(function, function == ACCURACY, confirmed, [only])
    top, above = rows.iloc[0], _names(rows, "above_median")
    value, low, high = (unit.factor * top[column] for column in ("value", "low", "high"))
    lines = [
        f"{len(above)} of {count} {source.noun}s clearly above the median one.",
        f"Highest: {top['player']} {said(value)} ({between(low, high)}) {unit.name}, "
        f"true rank {top['rank_low']:.0f} to {top['rank_high']:.0f}.",
        f"Top three by the paper's rule: {', '.join(_names(rows, 'top_three'))}{_tie(rows)}.",
    ]
    return Card(function, function == ACCURACY, confirmed, lines)


def _names(rows: pd.DataFrame, column: str) -> list[str]:
    return rows.loc[rows[column].astype(bool), "player"].tolist()


def _tie(rows: pd.DataFrame) -> str:
    """What is to be said where the third and fourth highest values are equal."""
    values = rows["value"].tolist()
    if len(values) < 4 or values[2] != values[3]:
        return ""
    return f" ({sum(value == values[2] for value in values)} share the third value; those earlier in the model count)"


def how_sure(source: Source) -> list[str]:
    """Sentences on how wide the headline's intervals are, and on what else confirms more with the same documents."""
    rows = source.table("cornerstones")
    unit = unit_of(ACCURACY, source.config)
    half = unit.factor * float((rows["high"] - rows["low"]).median()) / 2
    said_first = f"With {source.each} documents a task the typical interval is ± {said(half)} {unit.name}."
    found = {card.function: card.cornerstones for card in cards(source)}
    if found[ACCURACY]:
        return [said_first]
    none = "Accuracy" if unit.name == "points of accuracy" else "The metric"
    others = [f"{function} confirms {listed(names)}" for function, names in found.items() if names]
    if not others:
        return [said_first, f"{none} confirms no {source.noun}: that calls for more documents (`limit`)."]
    return [said_first, f"{none} confirms no {source.noun}; with the same documents {listed(others)}."]


def warnings(source: Source) -> list[str]:
    """What a reader must know before believing the values."""
    return [*_chance(source), *_still(source), *_gap(source)]


def _chance(source: Source) -> list[str]:
    """Tasks on which the whole model is not above chance: those at or below it, and those where that is open."""
    no, unclear = [], []
    for row in source.baselines.dropna(subset=["chance"]).to_dict("records"):
        original, chance, se = float(row["original"]), float(row["chance"]), float(row["original_se"])
        words = f"{task_name(str(row['task']))} ({100 * original:.0f} %, chance {100 * chance:.0f} %)"
        if original <= chance:
            no.append(words)
        elif original - Z * se <= chance:
            unclear.append(words)
    little = "Values by accuracy say little there about what the model can do"
    found = [f"The whole model scores at or below chance on {listed(no)}. {little}."] if no else []
    if unclear:
        found.append(f"It is open whether the whole model is above chance on {listed(unclear)}.")
    whole, empty = (100 * float(source.baselines[column].mean()) for column in ("original", "empty"))
    if whole <= empty:
        found.append(
            f"In the mean over tasks the whole model ({whole:.0f} %) is no better than the model without any "
            f"{source.noun} ({empty:.0f} %): by accuracy there is nothing to share out."
        )
    return found


def _still(source: Source) -> list[str]:
    """Tasks on which no removal of a single player changed an answer."""
    drops = source.table("ablation")
    drops = drops[drops["task"] != MEAN]
    still = [task for task, rows in drops.groupby("task", sort=False) if (rows["drop"] == 0).all()]
    named = listed([task_name(str(task)) for task in still])
    return [f"{named}: removing any single {source.noun} changed no accuracy."] if still else []


def _gap(source: Source) -> list[str]:
    """How far the headline estimator's values are from adding up, as Shapley values do."""
    rows = source.table("estimators")
    name = source.config.headline.name
    row = rows[(rows["estimator"] == name) & (rows["task"] == MEAN)].iloc[0]
    unit = unit_of(ACCURACY, source.config)
    gap = unit.factor * float(row["gap"])
    if abs(gap) < SEEN:
        return []
    how = f"{said(abs(gap))} {unit.name} {'more' if gap > 0 else 'less'} than the whole model gains over the empty one"
    if source.config.headline.kind != "window":
        return [f"The values of {name} add up to {how}: Shapley values would add up to just that."]
    return [
        f"The estimator {name} is not the Shapley value: its values add up to {how}. Trust its order more than its "
        "sizes."
    ]


def header(source: Source) -> str:
    """What ran, on what, in one line."""
    entry = source.config.models[source.model]
    rows = source.baselines
    parts = [
        counted(len(source.players), source.noun),
        counted(len(rows), "task"),
        counted(source.documents, "document"),
        f"estimator {source.config.headline.name}",
        str(entry.dtype),
    ]
    return " · ".join(parts)
