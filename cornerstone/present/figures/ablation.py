"""Figures 3 to 5: the metric after removing each single sublayer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cornerstone.game.game import MEAN
from cornerstone.present.figures.drawing import (
    BLACK,
    GREY,
    KINDS,
    NARROW,
    are_shares,
    baselines_of,
    label_axes,
    legend,
    limits,
    mark_players,
    mean_first,
    metric_label,
    panels,
    styled,
    whiskers,
)
from cornerstone.present.figures.rows import rows_of, tasks_of
from cornerstone.present.tables import task_name

LEVELS: Final[dict[str, tuple[str, str, Any]]] = {
    "original": ("original model", BLACK, "-"),
    "chance": ("chance", GREY, "--"),
    "empty": ("all sublayers removed", GREY, ":"),
}


@styled()
def ablation(frame: pd.DataFrame, baselines: pd.DataFrame, model: str, width: float) -> Figure:
    """Figures 3 to 5: the metric after removing each single sublayer, of each kind and of each task.

    Args:
        frame: columns model, task, player, position, kind, block, accuracy, drop, low and high (of the drop).
        baselines: columns model, task, original, empty, chance.
        model: whose rows to draw.
        width: of the figure, in inches.

    Returns:
        The figure. First the mean over tasks with a panel for each kind of sublayer, so that no interval hides
        another; the drop's interval is drawn around the accuracy, as the original's own error cancels in a paired
        difference. Then each task by itself, without intervals. A mark is filled where the interval excludes a drop
        of 0. In a column of a paper only the mean.

    Raises:
        CornerstoneError: no rows for the model, or a task without a baseline.
    """
    rows = rows_of(frame, model)
    first, *tasks = mean_first(tasks_of(rows), width)
    if first != MEAN and tasks:  # several tasks, and no mean of them
        first, tasks = "", [first, *tasks]
    references = baselines_of(baselines, model, [first, *tasks] if first else tasks)
    kinds = [kind for kind in KINDS if kind in set(rows["kind"])]
    facets = kinds if first else []
    figure, axes = panels(model, len(facets) + len(tasks), 3, 1.5 if width < NARROW else 1.75, width, len(facets))
    for ax, kind in zip(axes, facets, strict=False):
        _panel(ax, rows[rows["task"] == first], references[first], [kind], width, intervals=True)
        ax.set_title(f"{task_name(first)}: {KINDS[kind][0]}")
    if facets:
        part = rows[rows["task"] == first]
        ends = pd.concat([100 * (part["accuracy"] + part["drop"] - part[end]) for end in ("low", "high")])
        extent = [*ends, *(100 * part["accuracy"]), *(100 * references[first][name] for name in LEVELS)]
        for ax in axes[: len(facets)]:
            ax.set_ylim(*limits(extent, 0, are_shares(rows)))
    for ax, task in zip(axes[len(facets) :], tasks, strict=True):
        part = rows[rows["task"] == task]
        _panel(ax, part, references[task], kinds, width, intervals=False)
        ax.set_title(task_name(task))
        extent = [*(100 * part["accuracy"]), *(100 * references[task][name] for name in LEVELS)]
        ax.set_ylim(*limits(extent, 0, are_shares(rows)))
    what = mark_players(axes[0], rows, width)
    label_axes(axes, f"{what} of the removed sublayer" if what == "block" else "removed group", metric_label(rows))
    dots: dict[str, Any] = {"marker": "o", "markersize": 3, "linestyle": ""}
    handles = [Line2D([], [], color=KINDS[k][1], label=KINDS[k][0], **dots) for k in kinds]
    handles.append(Line2D([], [], color=BLACK, markerfacecolor="white", label="drop may be 0", **dots))
    handles += [Line2D([], [], color=c, linestyle=s, label=text) for text, c, s in LEVELS.values()]
    legend(figure, handles, width)
    return figure


def _panel(
    ax: Axes, rows: pd.DataFrame, levels: Mapping[str, float], kinds: Sequence[str], width: float, *, intervals: bool
) -> None:
    """One task's accuracies without each sublayer of some kinds."""
    for name, (_, colour, style) in LEVELS.items():
        ax.axhline(100 * levels[name], color=colour, linestyle=style, linewidth=0.8, zorder=1)
    for kind in kinds:
        part = rows[rows["kind"] == kind]
        x, y, drop = part["position"].to_numpy(), 100 * part["accuracy"].to_numpy(), 100 * part["drop"].to_numpy()
        low, high = y + drop - 100 * part["high"].to_numpy(), y + drop - 100 * part["low"].to_numpy()
        colour = KINDS[kind][1]
        if intervals:
            whiskers(ax, x, low, high, colour=colour, width=0.8, alpha=0.6)
        clear = ((part["low"] > 0) | (part["high"] < 0)).to_numpy()
        size = 2.8 if len(rows) <= 80 else 1.8
        # Not clipped: half of a point at 0 or 100 % would be lost on the frame.
        mark: dict[str, Any] = {"color": colour, "markersize": size, "markeredgewidth": 0.6, "clip_on": False}
        for which, face in ((~clear, "white"), (clear, colour)):
            if which.any():  # a line without points that is not clipped would count as being at the figure's corner
                ax.plot(x[which], y[which], "o", markerfacecolor=face, zorder=3, **mark)
    mark_players(ax, rows, width if intervals else 0)


def draw(frames: Mapping[str, pd.DataFrame], model: str, width: float) -> Figure:
    """The figure of a model, from the tables that the registry says it reads."""
    return ablation(frames["ablation"], frames["baselines"], model, width)
