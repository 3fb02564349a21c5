"""From games to the tables that people read: values, drops, baselines, cornerstones, deletion curves."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cornerstone import intervals, paper
from cornerstone.coalitions import without
from cornerstone.config import Config
from cornerstone.estimators import ablation, window
from cornerstone.game import Game
from cornerstone.intervals import Estimate
from cornerstone.plan import deletion_steps
from cornerstone.players import Player
from cornerstone.tasks import TaskDocuments

MEAN = "mean"
"""The `task` of rows that hold the plain mean over tasks."""


def shapley(config: Config, model: str, games: Mapping[str, Game], largest: int) -> pd.DataFrame:
    """Layer Shapley values by the paper's window estimator: a row per task (and the mean) and player."""
    players = config.models[model].all_players()
    counts = [len(pairs) for pairs in window.terms(len(players), largest)]
    parts = {task: window.estimate(game, largest) for task, game in games.items()}
    frame = _per_player(config, model, games, parts)
    frame.insert(3, "estimator", f"window-k{largest}")
    frame["terms"] = frame["position"].map(dict(enumerate(counts)))
    return frame


def ablations(config: Config, model: str, games: Mapping[str, Game]) -> pd.DataFrame:
    """Single-layer ablation: accuracy without each player, and the paired drop with its interval."""
    parts = {task: ablation.estimate(game) for task, game in games.items()}
    frame = _per_player(config, model, games, parts).rename(columns={"value": "drop"})
    original = {task: game.full.mean() for task, game in games.items()}
    original[MEAN] = float(np.mean(list(original.values())))
    frame.insert(7, "accuracy", frame["task"].map(original) - frame["drop"])
    return frame


def baselines(
    config: Config, model: str, games: Mapping[str, Game], documents: Mapping[str, TaskDocuments]
) -> pd.DataFrame:
    """A row per task: the original accuracy, the accuracy without any sublayer, chance, and the documents."""
    rows = []
    for task, game in games.items():
        whole = intervals.over_documents(game.full[:, None], game.clusters, config.intervals.level)
        data = documents[task]
        rows.append(
            {
                "model": model,
                "task": task,
                "metric": config.tasks[task].metric,
                "documents": len(game.documents),
                "split": data.split,
                "source": data.source,
                "original": whole.value[0],
                "original_se": whole.se[0],
                "empty": game(0).mean(),
                "chance": data.chance,
            }
        )
    return pd.DataFrame(rows)


def cornerstones(values: pd.DataFrame, model: str) -> pd.DataFrame:
    """The players by mean value over tasks, with the paper's rule (top three) and the rule of intervals.

    Args:
        values: what `shapley` returned.
        model: its name; where it is one of the paper's, `published` marks the paper's Table 2.
    """
    table = intervals.ranked(values[values["task"] == MEAN])
    table["top_three"] = table["rank"] <= 3
    table["published"] = table["player"].isin(paper.CORNERSTONES.get(model, ()))
    columns = ["model", "player", "value", "se", "low", "high", "rank", "top_three", "clear", "published"]
    return table[columns]


def top_players(table: pd.DataFrame, model: str) -> list[str]:
    """The cornerstones that the paper's tables are about: its own list for its models, else the top three."""
    published = paper.CORNERSTONES.get(model)
    return list(published) if published else table.loc[table["top_three"], "player"].tolist()


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
        frame.insert(2, "metric", _metric(config, task))
        frame["players_total"] = len(config.models[model].all_players())
        frame["accuracy"] = estimate.value
        frame["se"], frame["low"], frame["high"] = estimate.se, estimate.low, estimate.high
        frame["documents"] = _documents(games, task)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _per_player(config: Config, model: str, games: Mapping[str, Game], parts: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Per-document values [D, N] of each task, as a table with intervals, and the mean over tasks."""
    level = config.intervals.level
    estimates: dict[str, Estimate] = {
        task: intervals.over_documents(scores, games[task].clusters, level) for task, scores in parts.items()
    }
    estimates[MEAN] = intervals.over_tasks(list(estimates.values()), level)
    players = config.models[model].all_players()
    frames = [
        pd.DataFrame(
            {
                "model": model,
                "task": task,
                "metric": _metric(config, task),
                "player": [player.name for player in players],
                "position": [player.position for player in players],
                "kind": [player.kind for player in players],
                "block": [player.block for player in players],
                "value": estimate.value,
                "se": estimate.se,
                "low": estimate.low,
                "high": estimate.high,
                "documents": _documents(games, task),
            }
        )
        for task, estimate in estimates.items()
    ]
    return pd.concat(frames, ignore_index=True)


def _metric(config: Config, task: str) -> str:
    if task != MEAN:
        return config.tasks[task].metric
    return "+".join(sorted({config.tasks[name].metric for name in config.run_tasks}))


def _documents(games: Mapping[str, Game], task: str) -> int:
    return len(games[task].documents) if task != MEAN else sum(len(game.documents) for game in games.values())
