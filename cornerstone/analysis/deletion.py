"""Deletion curves: accuracy as players are removed one after another, in orders that estimates give."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cornerstone.analysis import intervals
from cornerstone.analysis.shapley import documents_of, metric_of
from cornerstone.config.config import Config
from cornerstone.game.coalitions import without
from cornerstone.game.game import MEAN, Game
from cornerstone.game.players import Player


def deletion_steps(count: int, share: float, points: int) -> list[int]:
    """How many players are removed at each point of a deletion curve.

    Evenly spaced up to floor(share * count), rounded to whole players, at least 1, each number once.

    >>> deletion_steps(60, share=0.3, points=4)
    [4, 9, 14, 18]
    """
    most = max(1, int(share * count))
    return sorted({max(1, round(most * (i + 1) / points)) for i in range(points)})


def deletion_order(order: str, direction: str, values: pd.DataFrame, drops: pd.DataFrame) -> list[int]:
    """Positions of the players in the order in which they are removed.

    Args:
        order: `shapley` (mean value over tasks), `ablation` (mean drop over tasks) or `depth`.
        direction: `least` important first, or `most`. For `depth`, the first sublayers count as the most
            important, as the paper finds them to be.
        values: what `shapley` returned.
        drops: what `ablations` returned.
    """
    frame, column = (drops, "drop") if order == "ablation" else (values, "value")
    frame = frame[frame["task"] == MEAN]
    if order == "depth":
        positions = sorted(frame["position"], reverse=direction == "least")
    else:
        sign = 1 if direction == "least" else -1
        positions = frame.iloc[np.lexsort((frame["position"], sign * frame[column]))]["position"].tolist()
    return [int(position) for position in positions]


def deletion_points(
    config: Config, players: tuple[Player, ...], values: pd.DataFrame, drops: pd.DataFrame
) -> pd.DataFrame:
    """The coalitions of all deletion curves: order, direction, removed (count), coalition (bitmask)."""
    steps = [0, *deletion_steps(len(players), config.deletion.share, config.deletion.points)]
    rows = [
        {"order": order, "direction": direction, "removed": n, "coalition": without(positions[:n], players)}
        for order in config.deletion.orders
        for direction in ("least", "most")
        for positions in [deletion_order(order, direction, values, drops)]
        for n in steps
    ]
    return pd.DataFrame(rows).astype({"coalition": object})  # masks exceed 64 bits


def deletion_curves(config: Config, model: str, points: pd.DataFrame, games: Mapping[str, Game]) -> pd.DataFrame:
    """Accuracy along the curves of `deletion_points`, per task and over tasks, with intervals."""
    level = config.intervals.level
    coalitions = points["coalition"].tolist()
    parts = {
        task: intervals.over_documents(np.stack([game(c) for c in coalitions], axis=1), game.clusters, level)
        for task, game in games.items()
    }
    frames = []
    for task, estimate in [*parts.items(), (MEAN, intervals.over_tasks(list(parts.values()), level))]:
        frame = points.drop(columns="coalition")
        frame.insert(0, "model", model)
        frame.insert(1, "task", task)
        frame.insert(2, "metric", metric_of(config, task))
        frame["players_total"] = len(config.models[model].all_players())
        frame["accuracy"] = estimate.value
        frame["se"], frame["low"], frame["high"] = estimate.se, estimate.low, estimate.high
        frame["documents"] = documents_of(games, task)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)
