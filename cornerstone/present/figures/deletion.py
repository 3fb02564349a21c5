"""The metric while sublayers are removed one after another."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any, Final

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cornerstone.present.figures.drawing import (
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    are_shares,
    baselines_of,
    label_axes,
    legend,
    limits,
    mean_first,
    metric_label,
    panels,
    styled,
)
from cornerstone.present.figures.rows import rows_of, tasks_of
from cornerstone.present.tables import task_name

ORDERS: Final[dict[str, tuple[str, str]]] = {
    "shapley": ("by Shapley value", GREEN),
    "ablation": ("by single removal", PURPLE),
    "depth": ("by depth", SKY),
    "perplexity": ("by perplexity", ORANGE),
    "influence": ("by block influence", VERMILLION),
    "random": ("at random", GREY),
}
DIRECTIONS: Final[dict[str, tuple[str, Any]]] = {
    "least": ("least important first", "-"),
    "most": ("most important first", "--"),
}


@styled()
def deletion(frame: pd.DataFrame, baselines: pd.DataFrame, model: str, width: float) -> Figure:
    """Draw, per task and for the mean, the metric while sublayers are removed one after another.

    Args:
        frame: columns model, task, order, direction, removed, players_total, accuracy, low, high.
        baselines: columns model, task, original, empty, chance.
        model: whose rows to draw.
        width: of the figure, in inches.

    Returns:
        The figure, two panels a row; colours tell the order of removal, line styles its direction.

    Raises:
        CornerstoneError: no rows for the model, or a task without a baseline.
    """
    rows = rows_of(frame, model)
    tasks = mean_first(tasks_of(rows), width)
    references = baselines_of(baselines, model, tasks)
    orders = [order for order in ORDERS if order in set(rows["order"])]
    directions = [direction for direction in DIRECTIONS if direction in set(rows["direction"])]
    figure, axes = panels(model, len(tasks), 2, 1.8, width, first=1)
    for ax, task in zip(axes, tasks, strict=True):
        chance = 100 * references[task]["chance"]
        ax.axhline(chance, color=GREY, linestyle=":", linewidth=1.2, zorder=1)
        extent = [chance]
        for order in orders:
            for direction in directions:
                chosen = (rows["task"] == task) & (rows["order"] == order) & (rows["direction"] == direction)
                part = rows[chosen].sort_values("removed")
                if part.empty:
                    continue
                x = 100 * (part["removed"] / part["players_total"]).to_numpy()
                y, low, high = (100 * part[name].to_numpy() for name in ("accuracy", "low", "high"))
                colour, style = ORDERS[order][1], DIRECTIONS[direction][1]
                ax.fill_between(x, low, high, color=colour, alpha=0.08, linewidth=0)
                ax.plot(x, y, style, color=colour, linewidth=1.2, clip_on=False)
                extent += [*y, *low, *high]
        ax.set_title(task_name(task))
        ax.set_ylim(*limits(extent, 0, are_shares(rows)))
        ax.set_xlim(0, 100 * float((rows["removed"] / rows["players_total"]).max()))
    label_axes(axes, "sublayers removed (%)", metric_label(rows))
    handles = [Patch(color=ORDERS[order][1], label=ORDERS[order][0]) for order in orders]
    styles = [*(DIRECTIONS[direction] for direction in directions), ("chance", ":")]
    lines = [Line2D([], [], color=GREY, linestyle=style, linewidth=1.2, label=name) for name, style in styles]
    # Legends fill columns first: alternating puts the orders into one row and the line styles into the next.
    pairs = [handle for pair in zip_longest(handles, lines) for handle in pair if handle is not None]
    legend(figure, pairs, width, -(-len(pairs) // 2))
    return figure


def draw(frames: Mapping[str, pd.DataFrame], model: str, width: float) -> Figure:
    """The figure of a model, from the tables that the registry says it reads."""
    return deletion(frames["deletion"], frames["baselines"], model, width)
