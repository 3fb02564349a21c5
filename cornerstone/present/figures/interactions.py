"""Interactions between pairs of players: a strip of distance and depth, or a triangle where most pairs are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from cornerstone.game.game import MEAN
from cornerstone.present.figures.drawing import BLACK, NARROW, points_label, styled
from cornerstone.present.figures.rows import rows_of

RATE = 0.05
"""False discovery rate at which pairs are marked."""
FAR = 1 / 3
"""Distance of the farthest pair, in parts of all players, from which on a triangle is drawn."""


@styled()
def interactions(frame: pd.DataFrame, players: Sequence[str], model: str, width: float) -> Figure:
    """The interactions of pairs, mean over tasks; marked where `q` is at most `RATE`.

    Args:
        frame: columns model, task, interactions, first_position, second_position, value, p, q.
        players: their names in execution order.
        model: whose rows to draw.
        width: of the figure, in inches.

    Returns:
        The figure. Where all pairs are near each other: a strip, the earlier player along, the distance to the later
        one upward. Else a triangle, the later player upward. Blank where a pair was not measured.

    Raises:
        CornerstoneError: no rows for the model.
    """
    rows = rows_of(frame, model)
    rows = rows[rows["task"] == MEAN]
    count = len(players)
    first, second = rows["first_position"].to_numpy(), rows["second_position"].to_numpy()
    farthest = int((second - first).max())
    strip = farthest < FAR * count
    upward = second - first - 1 if strip else second
    grid = np.full((farthest if strip else count, count), np.nan)
    grid[upward, first] = 100 * rows["value"].to_numpy()
    height = 1.35 + 0.16 * farthest if strip else 0.9 * width
    figure = Figure(figsize=(width, height), layout="constrained")
    ax = figure.add_subplot()
    most = float(np.nanmax(np.abs(grid))) or 1.0
    image = ax.imshow(
        grid, cmap="RdBu", norm=TwoSlopeNorm(0, -most, most), interpolation="nearest", aspect="auto", origin="lower"
    )
    clear = (rows["q"] <= RATE).to_numpy()
    # White around black: seen on the palest and on the darkest cells.
    size = max(1.5, min(5.0, 90 / count, 0.6 * 72 * width / count))
    edge: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.2 * size}
    ax.plot(first[clear], upward[clear], "o", color=BLACK, markersize=size, linestyle="none", **edge)
    ax.grid(False)
    room = 10 if width < NARROW else 20
    ticks = range(0, count, max(1, -(-count // room)))
    names = [players[i] for i in ticks]
    ax.set_xticks(list(ticks), names, rotation=90)
    ax.set_xlabel("earlier player")
    if strip:
        ax.set_yticks(range(farthest), [str(distance + 1) for distance in range(farthest)])
        ax.set_ylabel("distance")
    else:
        ax.set_yticks(list(ticks), names)
        ax.set_ylabel("later player")
    bar = figure.colorbar(image, ax=ax, aspect=12 if strip else 30)
    bar.set_label(f"{'points' if strip else points_label(rows)}\n(below 0: redundant)")
    ax.set_title(
        f"{model}, {rows['interactions'].iloc[0]}:{chr(10) if width < NARROW else ' '}"
        f"{int(clear.sum())} of {len(rows)} pairs at a false discovery rate of {RATE:.0%} (dots)\n"
        f"{int((rows['p'] <= RATE).sum())} have p of at most {RATE:.0%}; by chance {RATE * len(rows):.1f} would",
        fontsize="small",
        fontweight="normal",
    )
    return figure


def draw(frames: Mapping[str, pd.DataFrame], model: str, width: float) -> Figure:
    """The figure of a model, from the tables that the registry says it reads."""
    players = frames["shapley"].drop_duplicates("position").sort_values("position")["player"].tolist()
    return interactions(frames["interactions"], players, model, width)
