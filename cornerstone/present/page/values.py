"""The values, drops and interactions of a model as arrays in execution order: what the charts are drawn from."""

from __future__ import annotations

from typing import Any

import pandas as pd

from cornerstone.game.game import ACCURACY, MEAN
from cornerstone.plan.layout import of_function
from cornerstone.present.page.source import KINDS, Source
from cornerstone.present.page.units import Unit, rounded, unit_of
from cornerstone.present.tables import task_name

MOST_PAIRS = 6000
"""Pairs of players that the page holds of a value function; of more, the surest are taken."""
TICKS = 16
"""Labels of an axis over all players, at most."""


def players(source: Source) -> list[dict[str, Any]]:
    """Each player in execution order: name, kind for readers, block."""
    columns = source.players[["player", "kind", "block"]].to_numpy().tolist()
    return [{"name": name, "kind": KINDS.get(kind, kind), "block": int(block)} for name, kind, block in columns]


def axis(source: Source) -> dict[str, Any]:
    """The axis over all players: its title, and position -> label of each tick.

    Where players are blocks' own sublayers the labels are blocks; else they are names.
    """
    frame = source.players
    by_block = not set(frame["kind"]) & {"group", "expert", "head"} or len(frame) > TICKS
    if not by_block:
        return {"title": source.noun, "ticks": {str(i): name for i, name in enumerate(frame["player"])}}
    firsts = frame.drop_duplicates("block")
    step = -(-len(firsts) // TICKS)
    step = next((nice for nice in (1, 2, 4, 5, 8, 10, 16, 20, 25, 50, 100) if nice >= step), step)
    shown = firsts[firsts["block"] % step == 0]
    return {"title": "block", "ticks": {str(int(p)): str(int(b)) for p, b in shown[["position", "block"]].to_numpy()}}


def shapley(source: Source) -> dict[str, dict[str, dict[str, dict[str, list[Any]]]]]:
    """Value function -> estimator -> task -> column -> numbers of all players in execution order."""
    found: dict[str, Any] = {}
    for function in source.config.functions:
        unit = unit_of(function, source.config)
        found[function] = {}
        for estimator in [entry.name for entry in source.config.estimators]:
            frame = source.values(estimator, function)
            found[function][estimator] = {task: _columns(rows, unit) for task, rows in _by_task(frame)}
    return found


def _columns(rows: pd.DataFrame, unit: Unit) -> dict[str, list[Any]]:
    shown: dict[str, list[Any]] = {column: rounded(rows[column], unit.factor) for column in ("value", "low", "high")}
    shown |= {column: rows[column].astype(int).tolist() for column in ("rank", "rank_low", "rank_high")}
    shown["p"] = rounded(rows["p_above_median"])
    return shown


def ablation(source: Source) -> dict[str, dict[str, list[Any]]]:
    """Task -> column -> numbers of all players: the metric without the player, and the drop with its interval."""
    factor = unit_of(ACCURACY, source.config).factor
    return {
        task: {column: rounded(rows[column], factor) for column in ("accuracy", "drop", "low", "high")}
        for task, rows in _by_task(source.table("ablation"))
    }


def baselines(source: Source) -> dict[str, dict[str, Any]]:
    """Task -> what the whole model scores, what no player scores, chance, documents."""
    factor = unit_of(ACCURACY, source.config).factor
    frame = source.baselines
    columns = ["original", "empty", "chance"]
    found: dict[str, dict[str, Any]] = {
        str(row["task"]): dict(zip(columns, rounded((row[c] for c in columns), factor), strict=True))
        | {"documents": int(row["documents"]), "metric": str(row["metric"])}
        for _, row in frame.iterrows()
    }
    means = [frame[column].mean(skipna=False) for column in columns]
    found[MEAN] = dict(zip(columns, rounded(means, factor), strict=True)) | {"documents": source.documents}
    return found


def interactions(source: Source) -> dict[str, Any]:
    """The pairs of the first interactions that are estimated, mean over tasks; empty where there are none."""
    if not source.has("interactions"):
        return {}
    name = source.config.interaction_names(source.model)[0]
    found: dict[str, Any] = {"name": name, "functions": {}}
    for function in source.config.functions:
        frame = source.table(f"interactions_{name}", function)
        frame = frame[frame["task"] == MEAN]
        total = len(frame)
        excluded = int(((frame["low"] > 0) | (frame["high"] < 0)).sum())
        if total > MOST_PAIRS:
            frame = frame.sort_values("p", kind="stable").head(MOST_PAIRS).sort_index()
        unit = unit_of(function, source.config)
        found["functions"][function] = {
            "first": frame["first_position"].astype(int).tolist(),
            "second": frame["second_position"].astype(int).tolist(),
            **{column: rounded(frame[column], unit.factor) for column in ("value", "low", "high")},
            "q": rounded(frame["q"]),
            "total": total,
            "excluded": excluded,
            "found": int((frame["q"] <= 1 - source.level).sum()),
        }
    return found


def distances(source: Source) -> int:
    """Rows of the strip of pairs: the largest distance of two players."""
    name = source.config.interaction_names(source.model)[0]
    return int(source.table(of_function(f"interactions_{name}", ACCURACY))["distance"].max())


def tasks(source: Source) -> dict[str, str]:
    """Task -> its name for readers, the mean last."""
    return {task: task_name(task) for task in source.tasks}


def _by_task(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each task in execution order."""
    return [(str(task), rows.sort_values("position")) for task, rows in frame.groupby("task", sort=False)]
