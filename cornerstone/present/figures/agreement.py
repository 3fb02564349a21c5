"""Two models with the same players: how far their rankings agree."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cornerstone.analysis.paired import role
from cornerstone.game.game import MEAN
from cornerstone.present.figures.differences import ROLES, TITLES
from cornerstone.present.figures.drawing import BLACK, GREEN, MID_GREY, PALE_GREY, legend, panels, styled
from cornerstone.present.figures.rows import tasks_of
from cornerstone.present.tables import task_name

LABELLED = 3
"""Players of each model that are named."""


@styled()
def agreement(differences: pd.DataFrame, agreed: pd.DataFrame, title: str, width: float) -> Figure:
    """For each quantity: the rank of each player in both models, and the rank correlations of each task.

    Args:
        differences: differences.csv of one pair.
        agreed: its agreement.csv.
        title: what the pair is called.
        width: of the figure, in inches.

    Returns:
        The figure, two panels a row: ranks (mean over tasks; rank 1 is the highest), and correlations.
    """
    quantities = [quantity for quantity in TITLES if quantity in set(agreed["quantity"])]
    figure, axes = panels(title, 2 * len(quantities), 2, 2.6, width)
    shown = [name for name in ROLES if name in set(differences["kind"].map(role))]
    for row, quantity in enumerate(quantities):
        _ranks(axes[2 * row], differences[differences["quantity"] == quantity], shown)
        _correlations(axes[2 * row + 1], agreed[agreed["quantity"] == quantity])
        axes[2 * row].set_title(f"ranks by {quantity}")
        axes[2 * row + 1].set_title("rank correlation")
    handles = [Line2D([], [], color=ROLES[name][1], marker="o", linestyle="", label=ROLES[name][0]) for name in shown]
    handles += [
        Line2D([], [], color=BLACK, marker="o", markerfacecolor="white", linestyle="", label="same documents"),
        Line2D([], [], color=GREEN, marker="D", linestyle="-", label="without noise"),
        Line2D([], [], color=MID_GREY, marker="|", linestyle="", label="a model with itself"),
    ]
    legend(figure, handles, width, 3)
    return figure


def _ranks(ax: Axes, frame: pd.DataFrame, roles: list[str]) -> None:
    """The rank of each player in the second model against that in the first."""
    rows = frame[frame["task"] == MEAN]
    count = len(rows)
    ax.plot([1, count], [1, count], color=PALE_GREY, linewidth=0.8, zorder=1)
    for name in roles:
        part = rows[rows["kind"].map(role) == name]
        ax.plot(
            part["first_rank"], part["second_rank"], "o", color=ROLES[name][1], markersize=3, linestyle="", zorder=2
        )
    ax.set_xlim(count + 1, 0)
    ax.set_ylim(count + 1, 0)
    ax.invert_xaxis()
    ax.set_xlabel(_axis(rows, "first"))
    ax.set_ylabel(_axis(rows, "second"))


def _axis(rows: pd.DataFrame, which: str) -> str:
    """The label of a model's axis, which names its highest players: in the panel they would lie on the marks."""
    best = rows.sort_values([f"{which}_rank", "position"], kind="stable")["player"].head(LABELLED)
    return f"rank in {rows[which].iloc[0]}\nhighest: {', '.join(best)}"


def _correlations(ax: Axes, frame: pd.DataFrame) -> None:
    """Of each task: the correlation as it is, without noise with its interval, and of each model with itself."""
    tasks = tasks_of(frame)
    rows = frame.set_index("task").loc[tasks]
    y = np.arange(len(tasks))[::-1]
    known = rows["low"].notna().to_numpy()
    ax.axvline(0, color=PALE_GREY, linewidth=0.8, zorder=1)
    for column in ("within_first", "within_second"):
        ax.plot(rows[column], y, "|", color=MID_GREY, markersize=9, markeredgewidth=1.2, zorder=2)
    ax.hlines(y[known], rows["low"][known], rows["high"][known], color=GREEN, linewidth=1.2, zorder=2.5)
    ax.plot(rows["corrected"], y, "D", color=GREEN, markersize=3.4, zorder=3, clip_on=False)
    ax.plot(
        rows["rank_correlation"], y, "o", color=BLACK, markerfacecolor="white", markersize=4, zorder=3.5, clip_on=False
    )
    ax.set_xlim(
        min(-0.05, float(np.nanmin([0, *rows["low"], *rows["within_first"], *rows["within_second"]])) - 0.05), 1.03
    )
    ax.set_yticks(y, [task_name(task) for task in tasks])
    ax.set_ylim(-0.6, len(tasks) - 0.4)


def draw(frames: Mapping[str, pd.DataFrame], model: str, width: float) -> Figure:
    """The figure of a pair, from the tables that the registry says it reads."""
    return agreement(frames["differences"], frames["agreement"], model, width)
