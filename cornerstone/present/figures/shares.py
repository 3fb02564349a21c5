"""Figure 2: the sublayers' shares in the sum of the values, as the paper's pies and as bars side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cornerstone.analysis.paper import top_players
from cornerstone.game.game import MEAN
from cornerstone.present.figures.drawing import (
    BLUE,
    GREEN,
    GREY,
    MID_GREY,
    NARROW,
    ORANGE,
    PALE_GREY,
    SKY,
    VERMILLION,
    YELLOW,
    legend,
    panels,
    styled,
)
from cornerstone.present.figures.rows import rows_of, tasks_of
from cornerstone.present.tables import task_name

# Two of the top three may be of one kind and need two colours.
SHADES: Final[dict[str, tuple[str, ...]]] = {
    "attn": (BLUE, SKY, GREEN),
    "head": (BLUE, SKY, GREEN),
    **dict.fromkeys(("linear", "mamba", "conv", "recurrent", "ple"), (SKY, GREEN, BLUE)),
    "ffn": (VERMILLION, ORANGE, YELLOW),
    "moe": (VERMILLION, ORANGE, YELLOW),
    "expert": (VERMILLION, ORANGE, YELLOW),
    "group": (BLUE, SKY, GREEN),
}

GAP: Final = 2.9
"""Between two labels beside a pie, in radii of a pie of a figure one inch wide: labels keep their size, pies do not."""


@styled()
def shares(shapley: pd.DataFrame, model: str, width: float, top: Sequence[str] | None = None) -> Figure:
    """Figure 2: per task, the sublayers' shares in the sum of the values (negatives set to 0).

    In the pies the four largest are labelled, the top three coloured, everyone else is one pale wedge. Below them the
    same shares as one bar for each task, which can be compared. In a column of a paper only the bars.

    Args:
        shapley: columns model, task, estimator, player, kind, value; rows with task "mean" are not drawn.
        model: whose rows to draw.
        width: of the figure, in inches.
        top: the top three; by default the three players with the largest mean value over the tasks.

    Returns:
        The figure, three pies a row.

    Raises:
        CornerstoneError: no rows for the model, or rows of more than one estimator.
    """
    rows = rows_of(shapley, model)
    rows = rows[rows["task"] != MEAN]
    tasks = tasks_of(rows)
    if top is None:
        top = list(rows.groupby("player", sort=False)["value"].mean().nlargest(3).index)
    colours: dict[str, str] = {}
    used: dict[str, int] = {}
    kinds = dict(zip(rows["player"], rows["kind"], strict=True))
    for player in sorted(top, key=list(kinds).index):
        shade = SHADES[kinds[player]]
        colours[player] = shade[used.get(kinds[player], 0) % len(shade)]
        used[kinds[player]] = used.get(kinds[player], 0) + 1
    positive = {task: rows[rows["task"] == task].set_index("player")["value"].clip(lower=0) for task in tasks}
    if width < NARROW:
        figure, (below,) = panels(model, 1, 1, 0.7 + 0.25 * len(tasks), width)
    else:
        figure, axes = panels(model, len(tasks) + 1, 3, 1.5, width, first=1)
        below, *pies = axes
        for ax, task in zip(pies, tasks, strict=True):
            ax.set_title(task_name(task), loc="center")
            _pie(ax, positive[task], colours, GAP / width)
            ax.set_axis_off()
            ax.set(xlim=(-2.1, 2.1), ylim=(-1.35, 1.1), aspect="equal")  # room for labels on both sides
    _bars(below, positive, colours)
    handles = [Patch(color=colour, label=player) for player, colour in colours.items()]
    handles.append(Patch(color=MID_GREY, label="other among the top four"))
    handles.append(Patch(color=PALE_GREY, label="all others"))
    legend(figure, handles, width)
    return figure


def _bars(ax: Axes, positive: Mapping[str, pd.Series], colours: Mapping[str, str]) -> None:
    """One bar for each task: the top three, who else is among the top four, all others."""
    places = np.arange(len(positive))[::-1]
    for place, values in zip(places, positive.values(), strict=True):
        total = float(values.sum())
        if total <= 0:
            ax.text(1, place, "no positive value", va="center")
            continue
        percent = 100 * values / total
        others = [player for player in percent.nlargest(4).index if player not in colours and percent[player] > 0]
        left = 0.0
        for player in [*colours, *others]:
            colour = colours.get(player, MID_GREY)
            ax.barh(place, percent[player], left=left, color=colour, edgecolor="white", linewidth=0.4, height=0.7)
            left += float(percent[player])
        ax.barh(place, max(0.0, 100 - left), left=left, color=PALE_GREY, linewidth=0, height=0.7)
        share = float(percent[list(colours)].sum())
        ax.text(99, place, f"top three {share:.1f} %", ha="right", va="center", fontsize="small")
    ax.set_yticks(places, [task_name(task) for task in positive])
    ax.set_xlim(0, 100)
    ax.grid(visible=False)
    ax.set_xlabel("share of the sum of positive values (%)")


def draw(frames: Mapping[str, pd.DataFrame], model: str, width: float) -> Figure:
    """The figure of a model, from the tables that the registry says it reads."""
    return shares(frames["shapley"], model, width, top_players(frames["cornerstones"], model))


def _pie(ax: Axes, values: pd.Series, colours: dict[str, str], gap: float) -> None:
    """Draw one pie of non-negative values by player; `colours` has the top three, labels are `gap` radii apart."""
    total = float(values.sum())
    if total <= 0:
        ax.text(0, 0, "no positive value", ha="center", va="center")
        return
    percent = 100 * values / total
    labelled = [player for player in percent.nlargest(4).index if percent[player] > 0]
    # One of the top three that is not among the task's top four keeps its colour: colours add up to Table 1's share.
    drawn = labelled + [p for p in colours if p not in labelled and percent[p] > 0]
    others = len(percent) - len(drawn)
    rest = max(100 - float(percent[drawn].sum()), 0.0)
    wedges, *_ = ax.pie(
        [*percent[drawn], rest],
        colors=[*(colours.get(player, MID_GREY) for player in drawn), PALE_GREY],
        startangle=1.8 * float(percent[drawn].sum()),  # puts the wedges that need labels around 3 o'clock
        counterclock=False,
        wedgeprops={"linewidth": 0.6, "edgecolor": "white"},
        normalize=True,
    )
    texts = [f"{player}\n{percent[player]:.1f} %" for player in labelled]
    angles = [np.deg2rad((wedge.theta1 + wedge.theta2) / 2) for wedge in wedges]
    angles = [*angles[: len(texts)], angles[-1]]
    if others and rest > 30:  # there is room inside
        spot = (0.5 * np.cos(angles[-1]), 0.5 * np.sin(angles[-1]))
        ax.text(*spot, f"other\n{others} layers\n{rest:.1f} %", ha="center", va="center", fontsize="small")
    elif others:
        texts.append(f"{others} others\n{rest:.1f} %")
    _outside(ax, texts, angles, gap)


def _outside(ax: Axes, texts: Sequence[str], angles: Sequence[float], gap: float) -> None:
    """Label wedges in columns left and right of a pie, `gap` radii apart at least, with leader lines."""
    for side, align in ((1, "left"), (-1, "right")):
        chosen = [i for i in range(len(texts)) if (np.cos(angles[i]) >= 0) == (side > 0)]
        chosen.sort(key=lambda i: -np.sin(angles[i]))
        heights = [1.1 * np.sin(angles[i]) for i in chosen]
        wanted = np.mean(heights) if heights else 0.0
        for place in range(1, len(heights)):
            heights[place] = min(heights[place], heights[place - 1] - gap)
        # Pushing labels down moved their middle; put it back.
        shift = wanted - (np.mean(heights) if heights else 0.0)
        for i, height in zip(chosen, heights, strict=True):
            label = ax.annotate(
                texts[i],
                xy=(0.97 * np.cos(angles[i]), 0.97 * np.sin(angles[i])),
                xytext=(1.22 * side, height + shift),
                ha=align,
                va="center",
                fontsize="small",
                arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkA": 1, "shrinkB": 0},
            )
            label.set_in_layout(False)  # the limits leave room; without this pies would differ in size
