"""Two models with the same players: what each player is worth to the second, less what it is worth to the first."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cornerstone.analysis.paired import role
from cornerstone.game.game import MEAN
from cornerstone.present.figures.drawing import (
    BLACK,
    BLUE,
    VERMILLION,
    legend,
    limits,
    mark_players,
    panels,
    styled,
    whiskers,
)

ROLES = {
    "mixer": ("attention or another mixer", BLUE),
    "feed-forward": ("feed-forward", VERMILLION),
    "group": ("group of sublayers", BLUE),
}
"""What a player is (`paired.role`) -> its name for readers and its colour."""
TITLES = {"value": "Shapley value", "drop": "drop when the layer alone is removed"}


@styled()
def differences(frame: pd.DataFrame, width: float) -> Figure:
    """The paired difference of each player's value and drop, mean over tasks, with its interval.

    Args:
        frame: differences.csv of one pair.
        width: of the figure, in inches.

    Returns:
        The figure, a panel for each quantity; x is the position, labelled with blocks. A filled mark differs from 0,
        adjusted for testing every player.
    """
    rows = frame[frame["task"] == MEAN]
    first, second = rows["first"].iloc[0], rows["second"].iloc[0]
    roles = [name for name in ROLES if name in set(rows["kind"].map(role))]
    quantities = [quantity for quantity in TITLES if quantity in set(rows["quantity"])]
    figure, axes = panels(f"{second} less {first}", len(quantities), 1, 1.7, width)
    for ax, quantity in zip(axes, quantities, strict=True):
        panel = rows[rows["quantity"] == quantity].sort_values("position")
        for name in roles:
            part = panel[panel["kind"].map(role) == name]
            colour = ROLES[name][1]
            x, y = part["position"].to_numpy(), 100 * part["difference"].to_numpy()
            low, high = (100 * part[side].to_numpy() for side in ("low", "high"))
            whiskers(ax, x, low, high, colour=colour, width=0.8, alpha=0.6)
            sure = part["differs"].to_numpy(dtype=bool)
            ax.plot(x[~sure], y[~sure], "o", color=colour, markersize=3, markerfacecolor="white", zorder=3)
            ax.plot(x[sure], y[sure], "o", color=colour, markersize=3.6, zorder=3)
        ax.axhline(0, color=BLACK, linewidth=0.6)
        ax.set_title(TITLES[quantity])
        ends = [0, *(100 * panel["low"]), *(100 * panel["high"]), *(100 * panel["difference"])]
        ax.set_ylim(*limits(ends, -200))
        what = mark_players(ax, panel, width)
    axes[-1].set_xlabel(what)
    figure.supylabel("difference (percentage points)", fontsize="medium")
    handles = [
        Line2D([], [], color=colour, marker="o", linestyle="", label=text)
        for text, colour in (ROLES[name] for name in roles)
    ]
    handles.append(
        Line2D(
            [], [], color=BLACK, marker="o", markerfacecolor="white", linestyle="", label="not significantly different"
        )
    )
    legend(figure, handles, width)
    return figure


def draw(frames: Mapping[str, pd.DataFrame], model: str, width: float) -> Figure:
    """The figure of a pair, from the tables that the registry says it reads."""
    return differences(frames["differences"], width)
