"""Interactions between pairs of players, as a heat map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from cornerstone.game.game import MEAN
from cornerstone.present.figures.drawing import (
    BLACK,
    WIDTH,
    points_label,
    styled,
)
from cornerstone.present.figures.rows import rows_of

RATE = 0.05
"""False discovery rate at which pairs are marked."""


@styled()
def interactions(frame: pd.DataFrame, players: Sequence[str], model: str) -> Figure:
    """A heat map of the interactions of pairs, mean over tasks; marked where `q` is at most `RATE`.

    Args:
        frame: columns model, task, interactions, first_position, second_position, value, p, q.
        players: their names in execution order.
        model: whose rows to draw.

    Returns:
        The figure: below the diagonal each pair once; blank where a pair was not measured.

    Raises:
        CornerstoneError: no rows for the model.
    """
    rows = rows_of(frame, model)
    rows = rows[rows["task"] == MEAN]
    count = len(players)
    grid = np.full((count, count), np.nan)
    first, second = rows["first_position"].to_numpy(), rows["second_position"].to_numpy()
    grid[second, first] = 100 * rows["value"].to_numpy()
    size = WIDTH * 0.86
    figure = Figure(figsize=(WIDTH, size), layout="constrained")
    figure.suptitle(f"{model}: interactions ({rows['interactions'].iloc[0]}), mean over tasks")
    ax = figure.add_subplot()
    most = float(np.nanmax(np.abs(grid))) or 1.0
    image = ax.imshow(grid, cmap="RdBu", norm=TwoSlopeNorm(0, -most, most), interpolation="nearest")
    clear = (rows["q"] <= RATE).to_numpy()
    ax.plot(first[clear], second[clear], ".", color=BLACK, markersize=max(1.0, 60 / count), linestyle="none")
    ax.grid(False)
    ticks = range(0, count, max(1, -(-count // 20)))
    names = [players[i] for i in ticks]
    ax.set_xticks(list(ticks), names, rotation=90)
    ax.set_yticks(list(ticks), names)
    ax.set_xlabel("earlier player")
    ax.set_ylabel("later player")
    bar = figure.colorbar(image, ax=ax, shrink=0.75)
    bar.set_label(f"interaction ({points_label(rows)}): redundant < 0 < synergistic")
    note = (
        f"{int(clear.sum())} of {len(rows)} pairs at a false discovery rate of {RATE:.0%} (dots)\n"
        f"{int((rows['p'] <= RATE).sum())} have p of at most {RATE:.0%}; by chance {RATE * len(rows):.1f} would"
    )
    ax.text(0.98, 0.98, note, transform=ax.transAxes, ha="right", va="top", fontsize="small")
    return figure


def draw(frames: Mapping[str, pd.DataFrame], model: str) -> Figure:
    """The figure of a model, from the tables that the registry says it reads."""
    players = frames["shapley"].drop_duplicates("position").sort_values("position")["player"].tolist()
    return interactions(frames["interactions"], players, model)
