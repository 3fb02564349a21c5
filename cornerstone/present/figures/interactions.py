"""Figures of interactions between pairs of players, and of the paper's assumptions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cornerstone.present.figures.captions import rows_of
from cornerstone.present.figures.drawing import BLACK, BLUE, GREY, VERMILLION, WIDTH, styled, whiskers

MEAN = "mean"


@styled()
def interactions(frame: pd.DataFrame, players: Sequence[str], model: str) -> Figure:
    """A heat map of the interactions of pairs, mean over tasks; marked where the interval excludes 0.

    Args:
        frame: columns model, task, interactions, first_position, second_position, value, low, high.
        players: their names in execution order.
        model: whose rows to draw.

    Returns:
        The figure: below the diagonal each pair once; blank where a pair was not measured.

    Raises:
        CornerstoneError: no rows for the model.
    """
    rows = rows_of(frame, model)
    rows = rows[rows["task"] == MEAN]
    count = len(players)
    grid = np.full((count, count), np.nan)
    first, second = rows["first_position"].to_numpy(), rows["second_position"].to_numpy()
    grid[second, first] = 100 * rows["value"].to_numpy()
    size = WIDTH * 0.86
    figure = Figure(figsize=(WIDTH, size), layout="constrained")
    figure.suptitle(f"{model}: interactions ({rows['interactions'].iloc[0]}), mean over tasks")
    ax = figure.add_subplot()
    most = float(np.nanmax(np.abs(grid))) or 1.0
    image = ax.imshow(grid, cmap="RdBu", norm=TwoSlopeNorm(0, -most, most), interpolation="nearest")
    clear = ((rows["low"] > 0) | (rows["high"] < 0)).to_numpy()
    ax.plot(first[clear], second[clear], ".", color=BLACK, markersize=max(1.0, 60 / count), linestyle="none")
    ax.grid(False)
    ticks = range(0, count, max(1, -(-count // 20)))
    names = [players[i] for i in ticks]
    ax.set_xticks(list(ticks), names, rotation=90)
    ax.set_yticks(list(ticks), names)
    ax.set_xlabel("earlier player")
    ax.set_ylabel("later player")
    bar = figure.colorbar(image, ax=ax, shrink=0.75)
    bar.set_label("interaction (percentage points): redundant < 0 < synergistic")
    note = "dot: interval excludes 0" if clear.any() else "no interval excludes 0"
    ax.text(0.98, 0.98, note, transform=ax.transAxes, ha="right", va="top", fontsize="small")
    return figure


@styled()
def assumptions(by_removed: pd.DataFrame, by_distance: pd.DataFrame, model: str) -> Figure:
    """The paper's two shortcuts, tested: contributions against players removed, interactions against distance.

    Args:
        by_removed: what `assumptions.by_removed` returned.
        by_distance: what `assumptions.by_distance` returned.
        model: whose rows to draw.

    Returns:
        The figure, mean over tasks: a row for contributions and one for each kind of interactions. Left the mean of
        the absolute values and what noise alone would give, right the mean with its interval.

    Raises:
        CornerstoneError: no rows for the model.
    """
    removed = rows_of(by_removed, model)
    removed = removed[removed["task"] == MEAN].sort_values("removed")
    distance = rows_of(by_distance, model)
    distance = distance[distance["task"] == MEAN]
    names = list(dict.fromkeys(distance["interactions"]))
    panels: list[tuple[str, str, str, pd.DataFrame]] = [
        ("Early truncation: marginal contributions", "removed", "players removed before", removed)
    ]
    panels += [
        (f"Neighbourhood: interactions, {name}", "distance", "distance of the two players", part)
        for name in names
        for part in [distance[distance["interactions"] == name].sort_values("distance")]
    ]
    figure = Figure(figsize=(WIDTH, 2.1 * len(panels) + 0.9), layout="constrained")
    figure.suptitle(f"{model}: the assumptions of the window estimator, mean over tasks")
    axes = figure.subplots(len(panels), 2, squeeze=False)
    handles: list[Any] = []
    for (title, column, label, part), (left, right) in zip(panels, axes, strict=True):
        x = part[column].to_numpy()
        (mean,) = left.plot(x, 100 * part["mean_abs"], "o-", color=BLUE, markersize=3, label="mean absolute value")
        (noise,) = left.plot(x, 100 * part["noise"], "--", color=GREY, label="expected of noise alone")
        handles = handles or [mean, noise]
        left.set_ylim(bottom=0)
        left.set_title(title, loc="left")
        left.set_ylabel("percentage points")
        low, high = (100 * part[name].to_numpy() for name in ("low", "high"))
        whiskers(right, x, low, high, colour=VERMILLION, width=1.0, alpha=0.6)
        right.plot(x, 100 * part["value"], "o", color=VERMILLION, markersize=3)
        right.axhline(0, color=BLACK, linewidth=0.6)
        right.set_title("mean, with interval" + ("; redundant < 0" if column == "distance" else ""), loc="left")
        for ax in (left, right):
            _whole_numbers(ax, x)
            ax.set_xlabel(label)
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def _whole_numbers(ax: Axes, x: np.ndarray) -> None:
    ax.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
    ax.set_xlim(x.min() - 0.5, x.max() + 0.5)
