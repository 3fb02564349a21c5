"""One figure across models: what each loses without any single sublayer, against what it has to lose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cornerstone.game.game import MEAN
from cornerstone.present.figures.drawing import (
    BLACK,
    GREY,
    KINDS,
    baselines_of,
    label_axes,
    legend,
    panels,
    styled,
    whiskers,
)
from cornerstone.present.figures.rows import rows_of


@styled()
def across(ablation: Mapping[str, pd.DataFrame], baselines: Mapping[str, pd.DataFrame], width: float = 6.3) -> Figure:
    """Per model: the drop of the mean accuracy without each sublayer, by relative depth.

    Args:
        ablation: model -> ablation.csv.
        baselines: model -> baselines.csv.
        width: of the figure, in inches.

    Returns:
        A panel for each model, all with the same axes. The upper line is the drop after which a model would be at
        chance: what it knows. Intervals are those of the drop, mean over tasks.
    """
    models = list(ablation)
    rows = {model: rows_of(ablation[model], model).query("task == @MEAN") for model in models}
    known = {model: baselines_of(baselines[model], model, [MEAN])[MEAN] for model in models}
    figure, axes = panels("Accuracy lost without one sublayer, mean over tasks", len(models), 2, 1.9, width)
    kinds = [kind for kind in KINDS if any((rows[model]["kind"] == kind).any() for model in models)]
    lowest = min(100 * float(rows[model]["low"].min()) for model in models)
    highest = max(100 * float(rows[model]["high"].max()) for model in models)
    for ax, model in zip(axes, models, strict=True):
        ax.axhline(0, color=GREY, linewidth=0.6, zorder=1)
        to_lose = 100 * (known[model]["original"] - known[model]["chance"])
        ax.axhline(to_lose, color=BLACK, linestyle="--", linewidth=0.9, zorder=1)
        players = max(1, int(rows[model]["position"].max()))
        for kind in kinds:
            part = rows[model][rows[model]["kind"] == kind]
            x, colour = part["position"].to_numpy() / players, KINDS[kind][1]
            low, high = 100 * part["low"].to_numpy(), 100 * part["high"].to_numpy()
            whiskers(ax, x, low, high, colour=colour, width=0.7, alpha=0.45)
            ax.plot(x, 100 * part["drop"].to_numpy(), "o", color=colour, markersize=2.6, clip_on=False, zorder=3)
        blocks = rows[model]["block"].nunique()
        ax.set_title(f"{model} ({blocks} blocks)")
        ax.set_xlim(-0.03, 1.03)
        ax.set_ylim(lowest - 2, max(highest, *(100 * (k["original"] - k["chance"]) for k in known.values())) + 2)
    label_axes(axes, "relative depth of the removed sublayer", "drop (points)")
    dots: dict[str, Any] = {"marker": "o", "linestyle": "", "markersize": 3}
    handles = [Line2D([], [], color=KINDS[kind][1], label=KINDS[kind][0], **dots) for kind in kinds]
    handles.append(Line2D([], [], color=BLACK, linestyle="--", label="all that the model has above chance"))
    legend(figure, handles, width)
    return figure
