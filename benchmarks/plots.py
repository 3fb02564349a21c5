"""The figures of the benchmarks, in the style of the workflow's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from cornerstone.present.figures import WIDTHS, drawing
from cornerstone.present.figures.drawing import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    YELLOW,
    styled,
)

LINES: dict[str, tuple[str, str, Any]] = {
    "permutation": (BLUE, "o", "-"),
    "kernelshap": (VERMILLION, "s", "-"),
    "kadd-shap": (ORANGE, "D", "-"),
    "unbiased-kernelshap": (SKY, "v", "-"),
    "stratified": (GREEN, "^", "-"),
    "svarm": (PURPLE, "P", "-"),
    "adjusted-msr": (BLACK, "p", "-"),
    "leverage-shap": (YELLOW, "h", "-"),
    "odd-shap": (YELLOW, "*", "--"),
    "truncated-permutation, K = 4": (GREY, "x", "--"),
}
KS: dict[int, tuple[str, str]] = {1: (YELLOW, "D"), 2: (SKY, "^"), 3: (ORANGE, "s"), 4: (VERMILLION, "o")}
REPLICATES = 2
"""Of the lines in the figure."""


def save(figure: Figure, path: Path) -> None:
    """Write a figure, in the format that the file's ending names."""
    drawing.save_figure(figure, [path], noted=False)


def window_bias(frame: pd.DataFrame) -> Figure:
    """For each game of ten players: the window estimator's values for K = 1 to 4 beside the exact ones.

    Args:
        frame: as `estimators.window_bias` returns it.
    """
    frame = frame[~frame["game"].str.contains("60 players")]
    tasks = frame["game"].str.startswith("SmolLM2")
    frame = frame[~tasks | frame["game"].str.endswith("mean of six tasks")]
    games = list(dict.fromkeys(frame["game"]))
    with styled():
        figure, axes = _grid(games, height=1.75)
        for ax, game in zip(axes, games, strict=True):
            part = frame[frame["game"] == game]
            exact = part[part["K"] == 1]
            x = np.arange(len(exact))
            ax.bar(x, 100 * exact["exact"], width=0.9, color=drawing.PALE_GREY, linewidth=0)
            for k, (colour, marker) in KS.items():
                y = 100 * part[part["K"] == k]["value"].to_numpy()
                shifted = x + 0.2 * (k - 2.5)
                ax.plot(
                    shifted,
                    y,
                    marker,
                    color=colour,
                    markersize=3.6,
                    markeredgecolor=BLACK,
                    markeredgewidth=0.3,
                    clip_on=False,
                )
            ax.axhline(0, color=BLACK, linewidth=0.6)
            ax.set_title(game.replace("-135M", ""))
            names = exact["player"] if game.startswith("SmolLM2") else [str(i) for i in x]
            ax.set_xticks(x, [name.removeprefix("blocks").replace("to", "-") for name in names])
            ax.yaxis.set_major_locator(MaxNLocator(nbins=5))
            ax.set_xlabel("blocks of the player" if game.startswith("SmolLM2") else "player")
        _left(axes, "value (points)")
        handles: list[Any] = [
            Line2D([], [], color=drawing.PALE_GREY, linewidth=6, label="exact Shapley value"),
            *(
                Line2D(
                    [],
                    [],
                    color=c,
                    marker=m,
                    linestyle="",
                    markersize=4,
                    markeredgecolor=BLACK,
                    markeredgewidth=0.3,
                    label=f"window, K = {k}",
                )
                for k, (c, m) in KS.items()
            ),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def error_against_budget(frame: pd.DataFrame, bias: pd.DataFrame) -> Figure:
    """For each game: the root-mean-square error over players of every estimator, by budget.

    Args:
        frame: as `estimators.error_against_budget` returns it.
        bias: as `estimators.window_bias` returns it; the window estimator's error for K = 1 to 4.
    """
    frame = frame[frame["replicates"] == REPLICATES]
    games = [game for game in dict.fromkeys(frame["game"]) if not game.endswith("20 players")]
    large = [game for game in games if game.endswith("60 players")]
    games = [game for game in games if game not in large] + large[1:2]
    with styled():
        figure, axes = _grid(games, height=2.0)
        for ax, game in zip(axes, games, strict=True):
            part = frame[frame["game"] == game]
            for name, (colour, marker, style) in LINES.items():
                line = part[part["estimator"] == name].sort_values("budget")
                if line.empty:
                    continue
                y = 100 * line["rmse"].to_numpy()
                ax.plot(
                    line["budget"],
                    np.maximum(y, FLOOR),
                    style,
                    marker=marker,
                    color=colour,
                    markersize=3,
                )
            windows = bias[bias["game"] == game].drop_duplicates("K").sort_values("K")
            y = np.maximum(100 * windows["rmse"], FLOOR)
            ax.plot(windows["coalitions"], y, ":", marker="*", color=BLACK, markersize=5)
            ax.set(xscale="log", yscale="log")
            top = 100 * max(part["rmse"].max(), windows["rmse"].max())
            ax.set_ylim(0.8 * FLOOR, top * 1.3)
            ax.set_title(game.replace("-135M", ""))
            ticks = [100, 300, 1000, 3000] if game in large else [10, 30, 100, 300, 1000]
            ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
            ax.xaxis.set_minor_formatter(NullFormatter())
            ax.yaxis.set_major_formatter(
                FuncFormatter(lambda value, _: f"{value:g}" if value > FLOOR else f"≤ {value:g}")
            )
            ax.set_xlabel("budget (coalitions)")
        _left(axes, "error (points)")
        handles = [
            Line2D([], [], color=colour, linestyle=style, marker=marker, markersize=3.5, label=name)
            for name, (colour, marker, style) in LINES.items()
            if (frame["estimator"] == name).any()
        ]
        handles.append(Line2D([], [], color=BLACK, linestyle=":", marker="*", markersize=5, label="window, K = 1 to 4"))
        figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def error_against_work(frame: pd.DataFrame) -> Figure:
    """For each game and number of players: the error of every estimator, by sublayer evaluations.

    Args:
        frame: as `work.measure` returns it.
    """
    lines = {
        "permutation": LINES["permutation"],
        "adjusted-msr": (GREEN, "^", "-"),
        "kernelshap": LINES["kernelshap"],
        "leverage-shap": (ORANGE, "D", "--"),
        "odd-shap": (PURPLE, "P", "--"),
        "window, K = 4": (BLACK, "*", ":"),
    }
    sizes = {str(game): sorted(set(part["players"])) for game, part in frame.groupby("game", sort=False)}
    order = sorted(sizes, key=lambda game: -len(sizes[game]))  # a column each; a game of one size comes last
    with styled():
        figure = Figure(figsize=(WIDTHS[""], 4.4), layout="constrained")
        grid = figure.subplots(max(map(len, sizes.values())), len(order), squeeze=False)
        axes = []
        for (row, column), ax in np.ndenumerate(grid):
            game = order[column]
            if row >= len(sizes[game]):
                ax.set_axis_off()
                continue
            axes.append(ax)
            players = sizes[game][row]
            part = frame[(frame["players"] == players) & (frame["game"] == game)]
            for name, (colour, marker, style) in lines.items():
                line = part[part["estimator"] == name].sort_values("evaluations")
                y = np.maximum(100 * line["rmse"], FLOOR)
                ax.plot(line["evaluations"], y, linestyle=style, marker=marker, color=colour, markersize=3.5)
            ax.set(xscale="log", yscale="log", title=f"{game}, N = {players}")
            ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1000:g} k"))
            ax.yaxis.set_major_formatter(
                FuncFormatter(lambda value, _: f"{value:g}" if value > FLOOR else f"≤ {value:g}")
            )
            ax.xaxis.set_minor_formatter(NullFormatter())
            ax.yaxis.set_minor_formatter(NullFormatter())
            ax.set_xlabel("sublayer evaluations")
        _left(axes, "error (points)")
        there = set(frame["estimator"])
        handles = [
            Line2D([], [], color=colour, linestyle=style, marker=marker, markersize=3.5, label=name)
            for name, (colour, marker, style) in lines.items()
            if name in there
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def answers(frame: pd.DataFrame) -> Figure:
    """For each world and answer: what each way to it spent, as a bar; one that did not get there is empty.

    Args:
        frame: as `answers.table` returns it.
    """
    panels = list(dict.fromkeys(zip(frame["world"], frame["answer"], strict=True)))
    ways = list(dict.fromkeys(frame["way"]))
    with styled():
        figure = Figure(figsize=(WIDTHS[""], 1.2 + 0.9 * len(panels)), layout="constrained")
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False).flatten().tolist()
        for ax, (world, answer) in zip(axes, panels, strict=True):
            part = frame[(frame["world"] == world) & (frame["answer"] == answer)].set_index("way")
            for place, way in enumerate(ways):
                if way in part.index:
                    reached, _, runs = str(part.loc[way, "reached"]).split()
                    filled = BLUE if reached == runs else "none"
                    ax.barh(place, part.loc[way, "million evaluations"], color=filled, edgecolor=BLUE)
            ax.set(xscale="log", title=f"{world}: {answer}", ylim=(len(ways) - 0.4, -0.6))
            ax.set_yticks(range(len(ways)), ways)
            ax.set_xticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
            ax.xaxis.set_minor_formatter(NullFormatter())
        axes[-1].set_xlabel("million sublayer evaluations (empty: not reached in every run)")
    return figure


FLOOR = 0.01
"""Points; errors below are drawn here, as some estimators solve additive games exactly."""


def _grid(games: list[str], height: float, columns: int = 3) -> tuple[Figure, list[Axes]]:
    """A figure with a panel for each game; the last one fills its row."""
    lines = -(-len(games) // columns)
    figure = Figure(figsize=(WIDTHS[""], lines * height + 0.5), layout="constrained")
    grid = figure.add_gridspec(lines, columns)
    axes = []
    for i in range(len(games)):
        row, column = divmod(i, columns)
        axes.append(figure.add_subplot(grid[row, column:] if i == len(games) - 1 else grid[row, column]))
    return figure, axes


def _left(axes: list[Axes], label: str) -> None:
    for ax in axes:
        spec = ax.get_subplotspec()
        if spec is not None and spec.is_first_col():
            ax.set_ylabel(label)
