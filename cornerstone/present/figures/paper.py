"""The paper's figures, with intervals.

Every function takes the frames of a whole run, picks one model's rows and returns a
`matplotlib.figure.Figure`. Nothing goes through pyplot, so no figure outlives its caller. Fractions become
percent here.
"""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from cornerstone.present.figures.captions import rows_of, tasks_of
from cornerstone.present.figures.drawing import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    MID_GREY,
    ORANGE,
    PALE_GREY,
    PURPLE,
    SKY,
    VERMILLION,
    YELLOW,
    baselines_of,
    label_axes,
    limits,
    panels,
    styled,
    whiskers,
)
from cornerstone.present.tables import task_name

KINDS: Final[dict[str, tuple[str, str]]] = {
    "attn": ("attention", BLUE),
    "ffn": ("feed-forward", VERMILLION),
    "moe": ("mixture of experts", VERMILLION),
    "expert": ("expert", VERMILLION),
    "group": ("group of sublayers", BLUE),
}
# In a pie two cornerstones of one kind need two colours.
SHADES: Final[dict[str, tuple[str, ...]]] = {
    "attn": (BLUE, SKY, GREEN),
    "ffn": (VERMILLION, ORANGE, YELLOW),
    "moe": (VERMILLION, ORANGE, YELLOW),
    "expert": (VERMILLION, ORANGE, YELLOW),
    "group": (BLUE, SKY, GREEN),
}
ORDERS: Final[dict[str, tuple[str, str]]] = {
    "shapley": ("by Shapley value", GREEN),
    "ablation": ("by single removal", PURPLE),
    "depth": ("by depth", SKY),
}
DIRECTIONS: Final[dict[str, tuple[str, Any]]] = {
    "least": ("least important first", "-"),
    "most": ("most important first", "--"),
}


@styled()
def shares(shapley: pd.DataFrame, model: str, top: Sequence[str] | None = None) -> Figure:
    """Figure 2: per task, a pie of the sublayers' shares in the sum of the values (negatives set to 0).

    The four largest are labelled, the cornerstones coloured, everyone else is one pale wedge.

    Args:
        shapley: columns model, task, estimator, player, kind, value; rows with task "mean" are not drawn.
        model: whose rows to draw.
        top: the cornerstones; by default the three players with the largest mean value over the tasks.

    Returns:
        The figure, three panels a row.

    Raises:
        CornerstoneError: no rows for the model, or rows of more than one estimator.
    """
    rows = rows_of(shapley, model)
    rows = rows[rows["task"] != "mean"]
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
    figure, axes = panels(model, len(tasks), columns=3, height=1.6, stretch=False)
    for ax, task in zip(axes, tasks, strict=True):
        ax.set_title(task_name(task), loc="center")
        _pie(ax, rows[rows["task"] == task].set_index("player")["value"].clip(lower=0), colours)
        ax.set_axis_off()
        ax.set(xlim=(-2.1, 2.1), ylim=(-1.35, 1.1), aspect="equal")  # room for labels on both sides
    handles = [Patch(color=colour, label=player) for player, colour in colours.items()]
    handles.append(Patch(color=MID_GREY, label="other among the top four"))
    handles.append(Patch(color=PALE_GREY, label="all others"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


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
    rows = rows[rows["task"] != "mean"]
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
            # Side by side, so that neither kind's interval hides the other's.
            x = part["block"].to_numpy() + 0.3 * (side - (len(kinds) - 1) / 2)
            y = 100 * part["accuracy"].to_numpy()
            original = y + 100 * part["drop"].to_numpy()
            low, high = original - 100 * part["high"].to_numpy(), original - 100 * part["low"].to_numpy()
            colour = KINDS[kind][1]
            whiskers(ax, x, low, high, colour=colour, width=0.7, alpha=0.45)
            # Not clipped: half of a point at 0 or 100 % would be lost on the frame.
            ax.plot(x, y, "o-", color=colour, markersize=2.4, linewidth=0.6, clip_on=False, zorder=3)
            extent += [*y, *low, *high]
        ax.set_title(task_name(task))
        ax.set_ylim(*limits(extent, 0))
        ax.set_xlim(blocks[0] - 0.8, blocks[-1] + 0.8)
        ax.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
    label_axes(axes, "block of the removed sublayer", "metric (%)")
    handles = [Line2D([], [], color=KINDS[k][1], marker="o", markersize=3, label=KINDS[k][0]) for k in kinds]
    handles += [Line2D([], [], color=c, linestyle=s, label=text) for text, c, s in lines.values()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


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
        ax.set_ylim(*limits([0, *(100 * panel["value"]), *low, *high], -100))
        ax.set_xticks(starts.iloc[::step], [str(block) for block in starts.index[::step]])
    label_axes(axes, "block (every tick stands at a block's first sublayer)", "")
    figure.supylabel("Shapley value (percentage points)", fontsize="medium")
    handles: list[Any] = [Patch(color=KINDS[kind][1], label=KINDS[kind][0]) for kind in kinds]
    handles.append(Line2D([], [], color=BLACK, linewidth=0.8, label="interval"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


@styled()
def deletion(frame: pd.DataFrame, baselines: pd.DataFrame, model: str) -> Figure:
    """Draw, per task and for the mean, the metric while sublayers are removed one after another.

    Args:
        frame: columns model, task, order, direction, removed, players_total, accuracy, low, high.
        baselines: columns model, task, original, empty, chance.
        model: whose rows to draw.

    Returns:
        The figure, two panels a row; colours tell the order of removal, line styles its direction.

    Raises:
        CornerstoneError: no rows for the model, or a task without a baseline.
    """
    rows = rows_of(frame, model)
    tasks = tasks_of(rows)
    references = baselines_of(baselines, model, tasks)
    orders = [order for order in ORDERS if order in set(rows["order"])]
    directions = [direction for direction in DIRECTIONS if direction in set(rows["direction"])]
    figure, axes = panels(model, len(tasks), columns=2, height=1.8)
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
        ax.set_ylim(*limits(extent, 0))
        ax.set_xlim(0, 100 * float((rows["removed"] / rows["players_total"]).max()))
    label_axes(axes, "sublayers removed (%)", "metric (%)")
    handles = [Patch(color=ORDERS[order][1], label=ORDERS[order][0]) for order in orders]
    styles = [*(DIRECTIONS[direction] for direction in directions), ("chance", ":")]
    lines = [Line2D([], [], color=GREY, linestyle=style, linewidth=1.2, label=name) for name, style in styles]
    # Legends fill columns first: alternating puts the orders into one row and the line styles into the next.
    pairs = [handle for pair in zip_longest(handles, lines) for handle in pair if handle is not None]
    figure.legend(handles=pairs, loc="outside lower center", ncols=-(-len(pairs) // 2))
    return figure


def _pie(ax: Axes, values: pd.Series, colours: dict[str, str]) -> None:
    """Draw one pie of non-negative values by player; `colours` has the cornerstones."""
    total = float(values.sum())
    if total <= 0:
        ax.text(0, 0, "no positive value", ha="center", va="center")
        return
    percent = 100 * values / total
    labelled = [player for player in percent.nlargest(4).index if percent[player] > 0]
    # A cornerstone outside the top four keeps its colour, so that colour adds up to the share of table 1.
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
    ax.text(0, -1.25, f"cornerstones: {percent[list(colours)].sum():.1f} %", ha="center", va="center")
    texts = [f"{player}\n{percent[player]:.1f} %" for player in labelled]
    angles = [np.deg2rad((wedge.theta1 + wedge.theta2) / 2) for wedge in wedges]
    angles = [*angles[: len(texts)], angles[-1]]
    if others and rest > 30:  # there is room inside
        spot = (0.5 * np.cos(angles[-1]), 0.5 * np.sin(angles[-1]))
        ax.text(*spot, f"other\n{others} layers\n{rest:.1f} %", ha="center", va="center", fontsize="small")
    elif others:
        texts.append(f"{others} others\n{rest:.1f} %")
    _outside(ax, texts, angles)


def _outside(ax: Axes, texts: Sequence[str], angles: Sequence[float], gap: float = 0.46) -> None:
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
