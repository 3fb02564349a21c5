"""Figure 6: the values themselves, with their intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cornerstone.present.figures.drawing import (
    BLACK,
    GREY,
    KINDS,
    NARROW,
    are_shares,
    label_axes,
    legend,
    limits,
    mark_players,
    mean_first,
    panels,
    points_label,
    styled,
    whiskers,
)
from cornerstone.present.figures.rows import rows_of, tasks_of
from cornerstone.present.tables import task_name

PALE = 0.35
"""Opacity of a bar whose interval contains 0."""


@styled()
def values(shapley: pd.DataFrame, model: str, width: float) -> Figure:
    """Figure 6: for the mean and per task, the values themselves as bars with their intervals.

    Args:
        shapley: columns model, task, estimator, player, position, kind, block, value, low, high.
        model: whose rows to draw.
        width: of the figure, in inches.

    Returns:
        The figure; x is the position in execution order. Bars whose interval contains 0 are pale. In a column of a
        paper only the mean over tasks.

    Raises:
        CornerstoneError: no rows for the model, or rows of more than one estimator.
    """
    rows = rows_of(shapley, model)
    tasks = mean_first(tasks_of(rows), width)
    kinds = [kind for kind in KINDS if kind in set(rows["kind"])]
    figure, axes = panels(model, len(tasks), 2, 1.4, width, first=1)
    for ax, task in zip(axes, tasks, strict=True):
        panel = rows[rows["task"] == task].sort_values("position")
        clear = (panel["low"] > 0) | (panel["high"] < 0) | panel["low"].isna()
        for kind in kinds:
            for sure, alpha in ((True, 1.0), (False, PALE)):
                part = panel[(panel["kind"] == kind) & (clear == sure)]
                ax.bar(part["position"], 100 * part["value"], width=0.8, color=KINDS[kind][1], alpha=alpha, linewidth=0)
        x = panel["position"].to_numpy()
        low, high = (100 * panel[name].to_numpy() for name in ("low", "high"))
        whiskers(ax, x, low, high, colour=BLACK, width=0.5, alpha=0.8)
        ax.axhline(0, color=BLACK, linewidth=0.6)
        ax.set_title(task_name(task))
        ax.set_ylim(*limits([0, *(100 * panel["value"]), *low, *high], -100, are_shares(rows)))
        what = mark_players(ax, panel, width)
    label_axes(axes, what, "")
    between = "\n" if width < NARROW else " "
    figure.supylabel(f"Shapley value{between}({points_label(rows)})", fontsize="medium", multialignment="center")
    handles: list[Any] = [Patch(color=KINDS[kind][1], label=KINDS[kind][0]) for kind in kinds]
    handles.append(Patch(color=GREY, alpha=PALE, linewidth=0, label="may be 0"))
    handles.append(Line2D([], [], color=BLACK, linewidth=0.8, label="interval"))
    legend(figure, handles, width)
    return figure


def draw(frames: Mapping[str, pd.DataFrame], model: str, width: float) -> Figure:
    """The figure of a model, from the tables that the registry says it reads."""
    return values(frames["shapley"], model, width)
