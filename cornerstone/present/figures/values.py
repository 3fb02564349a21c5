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
    KINDS,
    are_shares,
    label_axes,
    limits,
    panels,
    points_label,
    styled,
    whiskers,
)
from cornerstone.present.figures.rows import rows_of, tasks_of
from cornerstone.present.tables import task_name


@styled()
def values(shapley: pd.DataFrame, model: str) -> Figure:
    """Figure 6: per task and for the mean, the values themselves as bars with their intervals.

    Args:
        shapley: columns model, task, estimator, position, kind, block, value, low, high.
        model: whose rows to draw.

    Returns:
        The figure, one panel a row; x is the position in execution order, labelled with blocks.

    Raises:
        CornerstoneError: no rows for the model, or rows of more than one estimator.
    """
    rows = rows_of(shapley, model)
    tasks = tasks_of(rows)
    kinds = [kind for kind in KINDS if kind in set(rows["kind"])]
    starts = rows.groupby("block")["position"].min().sort_index()
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, len(starts)) if len(starts) / step <= 21)
    figure, axes = panels(model, len(tasks), columns=1, height=1.2)
    for ax, task in zip(axes, tasks, strict=True):
        panel = rows[rows["task"] == task].sort_values("position")
        for kind in kinds:
            part = panel[panel["kind"] == kind]
            ax.bar(part["position"], 100 * part["value"], width=0.8, color=KINDS[kind][1], linewidth=0)
        x = panel["position"].to_numpy()
        low, high = (100 * panel[name].to_numpy() for name in ("low", "high"))
        whiskers(ax, x, low, high, colour=BLACK, width=0.5, alpha=0.8)
        ax.axhline(0, color=BLACK, linewidth=0.6)
        ax.set_title(task_name(task))
        ax.set_xlim(x[0] - 1, x[-1] + 1)
        ax.set_ylim(*limits([0, *(100 * panel["value"]), *low, *high], -100, are_shares(rows)))
        ax.set_xticks(starts.iloc[::step], [str(block) for block in starts.index[::step]])
    label_axes(axes, "block (every tick stands at a block's first sublayer)", "")
    figure.supylabel(f"Shapley value ({points_label(rows)})", fontsize="medium")
    handles: list[Any] = [Patch(color=KINDS[kind][1], label=KINDS[kind][0]) for kind in kinds]
    handles.append(Line2D([], [], color=BLACK, linewidth=0.8, label="interval"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def draw(frames: Mapping[str, pd.DataFrame], model: str) -> Figure:
    """The figure of a model, from the tables that the registry says it reads."""
    return values(frames["shapley"], model)
