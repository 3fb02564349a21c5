"""Figures 3 to 5: the metric after removing each single sublayer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cornerstone.game.game import MEAN
from cornerstone.present.figures.drawing import (
    BLACK,
    GREY,
    KINDS,
    are_shares,
    baselines_of,
    label_axes,
    limits,
    metric_label,
    panels,
    styled,
    whiskers,
)
from cornerstone.present.figures.rows import rows_of, tasks_of
from cornerstone.present.tables import task_name


@styled()
def ablation(frame: pd.DataFrame, baselines: pd.DataFrame, model: str) -> Figure:
    """Figures 3 to 5: per task, the metric after removing each single sublayer.

    Args:
        frame: columns model, task, kind, block, accuracy, drop, low and high (of the drop); rows with task
            "mean" are not drawn.
        baselines: columns model, task, original, empty, chance.
        model: whose rows to draw.

    Returns:
        The figure, two panels a row. The drop's interval is drawn around the accuracy: the original's own
        error cancels in a paired difference.

    Raises:
        CornerstoneError: no rows for the model, or a task without a baseline.
    """
    rows = rows_of(frame, model)
    rows = rows[rows["task"] != MEAN]
    tasks = tasks_of(rows)
    references = baselines_of(baselines, model, tasks)
    kinds = [kind for kind in KINDS if kind in set(rows["kind"])]
    lines: dict[str, tuple[str, str, Any]] = {
        "original": ("original model", BLACK, "-"),
        "chance": ("chance", GREY, "--"),
        "empty": ("all sublayers removed", GREY, ":"),
    }
    figure, axes = panels(model, len(tasks), columns=2, height=1.9)
    blocks = sorted(rows["block"].unique())
    for ax, task in zip(axes, tasks, strict=True):
        extent = []
        for name, (_, colour, style) in lines.items():
            level = 100 * references[task][name]
            ax.axhline(level, color=colour, linestyle=style, linewidth=0.9, zorder=1)
            extent.append(level)
        for side, kind in enumerate(kinds):
            part = rows[(rows["task"] == task) & (rows["kind"] == kind)].sort_values("block")
            # Side by side, so that neither kind's interval hides the other's; several of a kind side by side, too.
            within, many = part.groupby("block").cumcount().to_numpy(), part["block"].value_counts().max()
            x = part["block"].to_numpy() + 0.3 * (side - (len(kinds) - 1) / 2)
            x = x + 0.4 * (within / max(1, many - 1) - 0.5) * (many > 1)
            y = 100 * part["accuracy"].to_numpy()
            original = y + 100 * part["drop"].to_numpy()
            low, high = original - 100 * part["high"].to_numpy(), original - 100 * part["low"].to_numpy()
            colour = KINDS[kind][1]
            whiskers(ax, x, low, high, colour=colour, width=0.7, alpha=0.45)
            # Not clipped: half of a point at 0 or 100 % would be lost on the frame.
            ax.plot(
                x, y, "o-" if many == 1 else "o", color=colour, markersize=2.4, linewidth=0.6, clip_on=False, zorder=3
            )
            extent += [*y, *low, *high]
        ax.set_title(task_name(task))
        ax.set_ylim(*limits(extent, 0, are_shares(rows)))
        ax.set_xlim(blocks[0] - 0.8, blocks[-1] + 0.8)
        ax.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
    label_axes(axes, "block of the removed sublayer", metric_label(rows))
    handles = [Line2D([], [], color=KINDS[k][1], marker="o", markersize=3, label=KINDS[k][0]) for k in kinds]
    handles += [Line2D([], [], color=c, linestyle=s, label=text) for text, c, s in lines.values()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def draw(frames: Mapping[str, pd.DataFrame], model: str) -> Figure:
    """The figure of a model, from the tables that the registry says it reads."""
    return ablation(frames["ablation"], frames["baselines"], model)
