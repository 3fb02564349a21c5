"""Two models of any depth: values and drops against the relative depth, attention and feed-forward told apart."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cornerstone.game.game import MEAN
from cornerstone.present.figures.differences import ROLES, TITLES
from cornerstone.present.figures.drawing import BLACK, BLUE, NARROW, ORANGE, legend, limits, panels, styled

COLOURS = (BLUE, ORANGE)
"""Of the first and the second model."""


@styled()
def depth(frame: pd.DataFrame, title: str, width: float) -> Figure:
    """The players of both models by relative depth, mean over tasks, with their intervals as bands.

    Args:
        frame: depth.csv of one pair.
        title: what the pair is called.
        width: of the figure, in inches.

    Returns:
        The figure: a row for each quantity, a column for each role that one of the models has.
    """
    rows = frame[frame["task"] == MEAN]
    models = list(dict.fromkeys(rows["model"]))
    roles = [role for role in ROLES if role in set(rows["role"])]
    quantities = [quantity for quantity in TITLES if quantity in set(rows["quantity"])]
    figure, axes = panels(title, len(quantities) * len(roles), len(roles), 1.9, width)
    for place, ax in enumerate(axes):
        quantity, role = quantities[place // len(roles)], roles[place % len(roles)]
        whole = rows[rows["quantity"] == quantity]
        for model, colour in zip(models, COLOURS, strict=False):
            part = whole[(whole["model"] == model) & (whole["role"] == role)].sort_values(["depth", "position"])
            x = part["depth"]
            ax.fill_between(x, 100 * part["low"], 100 * part["high"], color=colour, alpha=0.15, linewidth=0)
            ax.plot(x, 100 * part["value"], "o-", color=colour, markersize=2.2, linewidth=0.8)
        ax.axhline(0, color=BLACK, linewidth=0.6)
        ax.set_xlim(-0.02, 1.02)
        ax.set_ylim(*limits([0, *(100 * whole["low"]), *(100 * whole["high"])], -200))
        ax.set_title(ROLES[role][0])
        if place % len(roles) == 0 or width < NARROW:
            ax.set_ylabel(f"{quantity} (points)")
        if place // len(roles) == len(quantities) - 1:
            ax.set_xlabel("relative depth")
    handles = [
        Line2D([], [], color=colour, marker="o", label=model) for model, colour in zip(models, COLOURS, strict=False)
    ]
    legend(figure, handles, width)
    return figure


def draw(frames: Mapping[str, pd.DataFrame], model: str, width: float) -> Figure:
    """The figure of a pair, from the tables that the registry says it reads."""
    return depth(frames["depth"], model, width)
