"""The metric while sublayers are removed one after another, and what the order of removal is worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cornerstone.game.game import MEAN
from cornerstone.present.figures.drawing import (
    BLACK,
    BLUE,
    GREY,
    MID_GREY,
    NARROW,
    ORANGE,
    are_shares,
    baselines_of,
    legend,
    limits,
    mean_first,
    metric_label,
    points_label,
    styled,
    whiskers,
)
from cornerstone.present.figures.rows import rows_of, tasks_of
from cornerstone.present.tables import task_name

DEPTH: Final = "depth"
"""The order that needs no estimate: what the other is compared with."""
ORDERS: Final[dict[str, str]] = {
    "shapley": "Shapley value",
    "ablation": "single removal",
    DEPTH: "depth",
    "perplexity": "perplexity",
    "influence": "block influence",
    "random": "at random",
}
"""All orders. The curves are those of the first that is there, and of depth."""
DIRECTIONS: Final[dict[str, tuple[str, Any, bool]]] = {
    "least": ("least important first", "-", True),
    "most": ("most important first", "--", False),
}
"""Direction -> its name, the style of its line, and whether its marks are filled."""
ABOVE: Final = ("above_depth", "above_depth_low", "above_depth_high")
ESTIMATED, BY_DEPTH = BLUE, ORANGE
SMALL, ACROSS = 1.15, 3
"""Height of a task's panel in inches, and how many stand side by side."""


@styled()
def deletion(frame: pd.DataFrame, quality: pd.DataFrame, baselines: pd.DataFrame, model: str, width: float) -> Figure:
    """Draw the metric while sublayers are removed one after another, and what the order is worth.

    Args:
        frame: deletion.csv.
        quality: order_quality.csv.
        baselines: columns model, task, original, empty, chance.
        model: whose rows to draw.
        width: of the figure, in inches.

    Returns:
        The figure. On top, for the mean over tasks: the metric by two orders (that of the estimate, and depth), the
        paired difference of the two (the claim), and how far each order keeps the important players from the others.
        Below, the paired difference on each task, on one scale; a column of a paper leaves these out. Without the
        order by depth there is no difference: then the tasks show the metric.

    Raises:
        CornerstoneError: no rows for the model, or a task without a baseline.
    """
    rows = rows_of(frame, model)
    first, *single = mean_first(tasks_of(rows), width)
    references = baselines_of(baselines, model, [first, *single])
    there = [order for order in ORDERS if order in set(rows["order"])]
    estimated = [order for order in there if order != DEPTH][:1]
    orders = dict.fromkeys(estimated, ESTIMATED) | ({DEPTH: BY_DEPTH} if DEPTH in there else {})
    compared = rows[rows["order"].isin(estimated)]
    paired = bool(compared[ABOVE[0]].notna().any())
    figure, top, small = _panels(model, len(single), paired, len(there), width)
    total = int(rows["players_total"].iloc[0])
    curves, *middle, last = top

    _curves(curves, rows[rows["task"] == first], orders, references[first])
    curves.set_title("Mean over tasks" if first == MEAN else task_name(first))
    curves.set_ylabel(metric_label(rows))
    for ax in middle:
        _difference(ax, compared[compared["task"] == first])
        ax.set_title("Gain over depth")
        ax.set_ylabel(points_label(rows))
    _quality(last, rows_of(quality, model).pipe(lambda part: part[part["task"] == first]), there)
    last.set_xlabel(points_label(rows))
    for ax, task in zip(small, single, strict=True):
        ax.set_title(task_name(task))
        if paired:
            _difference(ax, compared[compared["task"] == task])
        else:
            _curves(ax, rows[rows["task"] == task], orders, references[task])
    if paired and small:
        ends = [ax.get_ylim() for ax in small]
        for ax in small:
            ax.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))
    for ax in (curves, *middle, *small):
        ax.set_xlim(-0.02 * total, 1.04 * float(rows["removed"].max()))
        ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        ax.set_xlabel(f"removed, of {total}" if ax not in small[:-ACROSS] else "")
    for place, ax in enumerate(small):
        if place % ACROSS == 0:
            ax.set_ylabel("gain (points)" if paired else metric_label(rows))
    _legend(figure, orders, rows, width)
    return figure


def _panels(model: str, tasks: int, paired: bool, orders: int, width: float) -> tuple[Figure, list[Axes], list[Axes]]:
    """The figure, its panels of the mean (the middle one only where orders are compared), and those of the tasks."""
    count = 3 if paired else 2
    if width < NARROW:
        heights = [*[1.7, 1.5][: count - 1], 0.35 + 0.16 * orders]
        figure = Figure(figsize=(width, sum(heights) + 0.9), layout="constrained")
        return figure, list(figure.subplots(count, 1, height_ratios=heights)), []
    lines = -(-tasks // ACROSS)
    figure = Figure(figsize=(width, 2.0 + lines * SMALL + 0.9), layout="constrained")
    figure.suptitle(model)
    if not lines:
        return figure, list(figure.subplots(1, count)), []
    grid = figure.add_gridspec(1 + lines, count * ACROSS, height_ratios=[2.0, *[SMALL] * lines])
    top = [figure.add_subplot(grid[0, ACROSS * place : ACROSS * (place + 1)]) for place in range(count)]
    small = []
    for task in range(tasks):
        row, column = divmod(task, ACROSS)
        small.append(figure.add_subplot(grid[1 + row, count * column : count * (column + 1)]))
    return figure, top, small


def _curves(ax: Axes, rows: pd.DataFrame, orders: Mapping[str, str], references: Mapping[str, float]) -> None:
    """The metric by each order from both ends, with intervals, the whole model and chance."""
    levels = [100 * references[name] for name in ("original", "chance")]
    for level, style in zip(levels, ("-", ":"), strict=True):
        ax.axhline(level, color=MID_GREY, linestyle=style, linewidth=0.8, zorder=1)
    extent = list(levels)
    for order, colour in orders.items():
        extent += _lines(ax, rows[rows["order"] == order], ("accuracy", "low", "high"), colour)
    ax.set_ylim(*limits(extent, 0, are_shares(rows)))


def _difference(ax: Axes, rows: pd.DataFrame) -> None:
    """The paired difference to the order by depth, from both ends, with intervals."""
    ax.axhline(0, color=BLACK, linewidth=0.6, zorder=1)
    _lines(ax, rows[rows["removed"] > 0], ABOVE, ESTIMATED)


def _lines(ax: Axes, rows: pd.DataFrame, columns: tuple[str, str, str], colour: str) -> list[float]:
    """A line for each direction; returns all heights, in points."""
    heights: list[float] = []
    for direction, (_, style, filled) in DIRECTIONS.items():
        part = rows[rows["direction"] == direction].sort_values("removed")
        if part.empty:
            continue
        x = part["removed"].to_numpy(dtype=float)
        y, low, high = (100 * part[name].to_numpy(dtype=float) for name in columns)
        whiskers(ax, x, low, high, colour=colour, width=1.2, alpha=0.4)
        face = colour if filled else "white"
        ax.plot(x, y, style, color=colour, marker="o", markersize=2.8, markerfacecolor=face, markeredgewidth=0.8)
        heights += [*y, *low, *high]
    return heights


def _quality(ax: Axes, rows: pd.DataFrame, orders: list[str]) -> None:
    """How far apart the two curves of each order are, with an interval; the best on top."""
    by_order = rows.set_index("order").loc[orders].sort_values("separation", kind="stable")
    y = np.arange(len(by_order))
    value, low, high = (100 * by_order[name].to_numpy(dtype=float) for name in ("separation", "low", "high"))
    known = np.isfinite(low) & np.isfinite(high)
    colours = [BY_DEPTH if order == DEPTH else ESTIMATED if order == orders[0] else GREY for order in by_order.index]
    ax.axvline(0, color=BLACK, linewidth=0.6, zorder=1)
    ax.hlines(y[known], low[known], high[known], color=np.array(colours)[known], linewidth=1.2, alpha=0.6, zorder=2)
    ax.scatter(value, y, color=colours, s=14, zorder=3)
    ax.set_yticks(y, [ORDERS[order] for order in by_order.index])
    ax.set_ylim(-0.6, len(y) - 0.4)
    ax.grid(visible=True, axis="x")
    ax.grid(visible=False, axis="y")
    ax.set_title("Separation")


def _legend(figure: Figure, orders: Mapping[str, str], rows: pd.DataFrame, width: float) -> None:
    """What colours and lines mean."""
    handles: list[Any] = [
        Line2D([], [], color=colour, label=f"by {ORDERS[order]}", linewidth=2) for order, colour in orders.items()
    ]
    there = set(rows["direction"])
    for direction, (name, style, filled) in DIRECTIONS.items():
        if direction in there:
            face = GREY if filled else "white"
            handles.append(
                Line2D(
                    [], [], color=GREY, linestyle=style, marker="o", markersize=2.8, markerfacecolor=face, label=name
                )
            )
    handles.append(Line2D([], [], color=MID_GREY, linestyle="-", linewidth=0.8, label="whole model"))
    handles.append(Line2D([], [], color=MID_GREY, linestyle=":", linewidth=0.8, label="chance"))
    legend(figure, handles, width, 3)


def draw(frames: Mapping[str, pd.DataFrame], model: str, width: float) -> Figure:
    """The figure of a model, from the tables that the registry says it reads."""
    return deletion(frames["deletion"], frames["order_quality"], frames["baselines"], model, width)
