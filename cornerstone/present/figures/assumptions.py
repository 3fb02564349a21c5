"""Contributions and interactions where the window estimator looks, and beyond where the config asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cornerstone.game.game import MEAN
from cornerstone.present.figures.drawing import (
    BLACK,
    BLUE,
    GREY,
    NARROW,
    VERMILLION,
    legend,
    points_label,
    styled,
    whiskers,
)
from cornerstone.present.figures.rows import rows_of


@styled()
def assumptions(by_removed: pd.DataFrame, by_distance: pd.DataFrame, model: str, width: float) -> Figure:
    """Contributions against players removed, and interactions against distance.

    Args:
        by_removed: by_removed.csv.
        by_distance: by_distance.csv.
        model: whose rows to draw.
        width: of the figure, in inches.

    Returns:
        The figure, mean over tasks: a row for contributions and one for each kind of interactions. Left the mean of
        the absolute values and what noise alone would give, right the mean with its interval.

    Raises:
        CornerstoneError: no rows for the model.
    """
    removed = rows_of(by_removed, model)
    removed = removed[removed["task"] == MEAN].sort_values("removed")
    distance = rows_of(by_distance, model)
    distance = distance[distance["task"] == MEAN]
    names = list(dict.fromkeys(distance["interactions"]))
    panels: list[tuple[str, str, str, pd.DataFrame]] = [
        ("Marginal contributions", "removed", "players removed before", removed)
    ]
    panels += [
        (f"Interactions, {name}", "distance", "distance of the two players", part)
        for name in names
        for part in [distance[distance["interactions"] == name].sort_values("distance")]
    ]
    narrow = width < NARROW
    figure = Figure(figsize=(width, (2.5 if narrow else 1.9) * len(panels) + 0.7), layout="constrained")
    if not narrow:
        figure.suptitle(f"{model}: contributions and interactions, mean over tasks")
    axes = figure.subplots(*(2 * len(panels), 1) if narrow else (len(panels), 2), squeeze=False).reshape(-1, 2)
    handles: list[Any] = []
    for (title, column, label, part), (left, right) in zip(panels, axes, strict=True):
        x = part[column].to_numpy()
        (mean,) = left.plot(x, 100 * part["mean_abs"], "o-", color=BLUE, markersize=3, label="mean absolute value")
        (noise,) = left.plot(x, 100 * part["noise"], "--", color=GREY, label="expected of noise alone")
        handles = handles or [mean, noise]
        left.set_ylim(bottom=0)
        left.set_title(title, loc="left")
        left.set_ylabel(points_label(removed))
        low, high = (100 * part[name].to_numpy() for name in ("low", "high"))
        whiskers(right, x, low, high, colour=VERMILLION, width=1.0, alpha=0.6)
        right.plot(x, 100 * part["value"], "o", color=VERMILLION, markersize=3)
        right.axhline(0, color=BLACK, linewidth=0.6)
        right.set_title("mean, with interval" + ("; redundant < 0" if column == "distance" else ""), loc="left")
        for ax in (left, right):
            _whole_numbers(ax, x)
            ax.set_xlabel(label)
    legend(figure, handles, width)
    return figure


def _whole_numbers(ax: Axes, x: np.ndarray) -> None:
    ax.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
    ax.set_xlim(x.min() - 0.5, x.max() + 0.5)


def draw(frames: Mapping[str, pd.DataFrame], model: str, width: float) -> Figure:
    """The figure of a model, from the tables that the registry says it reads."""
    return assumptions(frames["by_removed"], frames["by_distance"], model, width)
