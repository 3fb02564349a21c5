"""Deletion curves: accuracy as players are removed one after another, in orders that estimates give.

An order that is taken from the documents on which its curve is drawn knows their noise: its curve is too high where the
least important go first, too low where the most important do. So the order comes from one half of the documents and
the curve is drawn on the other, both ways (cross-fitting).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cornerstone.analysis import intervals, ranks
from cornerstone.analysis.intervals import Estimate
from cornerstone.analysis.ranks import Sample
from cornerstone.analysis.shapley import documents_of, metric_of
from cornerstone.config.config import Config
from cornerstone.game.coalitions import without
from cornerstone.game.game import MEAN, Game
from cornerstone.game.players import Player

FOLDS = ("first", "second")
"""Halves of the documents from which an order is taken."""
ALL = "all"
"""In their place: an order that is taken from all documents, or from none."""
DEPTH = "depth"
"""The order that needs no estimate."""


def deletion_steps(count: int, share: float, points: int) -> list[int]:
    """How many players are removed at each point of a deletion curve.

    Evenly spaced up to floor(share * count), rounded to whole players, at least 1, each number once.

    >>> deletion_steps(60, share=0.3, points=4)
    [4, 9, 14, 18]
    """
    most = max(1, int(share * count))
    return sorted({max(1, round(most * (i + 1) / points)) for i in range(points)})


def deletion_size(config: Config, players: int) -> int:
    """How many coalitions the curves want at most, the whole model left out."""
    steps = len(deletion_steps(players, config.deletion.share, config.deletion.points))
    return 2 * steps * sum(1 if order == DEPTH else len(FOLDS) for order in config.deletion.orders)


def orders(
    config: Config, players: tuple[Player, ...], values: Mapping[str, Sample], drops: Mapping[str, Sample]
) -> pd.DataFrame:
    """By what players are ordered: mean values and mean drops over tasks, on each half of the documents.

    Where coalitions were sampled, the halves have replicates of their own. Where an estimator has no halves
    (`ranks.halved`), its order is taken from all documents.

    Args:
        config: the configuration.
        players: of the model.
        values: the headline estimator's samples, by task.
        drops: those of single removals.

    Returns:
        A row per order (`shapley`, `ablation`), fold (`first` and `second`, or `all`) and player: order, fold, player,
        position, value.
    """
    level, frames = config.intervals.level, []
    for order, samples in (("shapley", values), ("ablation", drops)):
        halved = ranks.halved(samples, config.seed)
        folds = {ALL: samples} if halved is None else dict(zip(FOLDS, halved, strict=True))
        for fold, part in folds.items():
            frame = pd.DataFrame({"order": order, "fold": fold, "player": [player.name for player in players]})
            frame["position"] = [player.position for player in players]
            frame["value"] = ranks.estimates(part, level)[MEAN].value
            frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def deletion_order(direction: str, by: pd.DataFrame) -> list[int]:
    """Positions of the players in the order in which they are removed.

    Args:
        direction: `least` important first, or `most`.
        by: position and value of each player.
    """
    sign = 1 if direction == "least" else -1
    positions = by.iloc[np.lexsort((by["position"], sign * by["value"]))]["position"]
    return [int(position) for position in positions]


def deletion_points(config: Config, players: tuple[Player, ...], table: pd.DataFrame) -> pd.DataFrame:
    """The coalitions of all deletion curves: order, fold, direction, removed (count), coalition (bitmask).

    For `depth` the first sublayers count as the most important, as the paper finds them to be.

    Args:
        config: the configuration.
        players: of the model.
        table: what `orders` returned.
    """
    steps = [0, *deletion_steps(len(players), config.deletion.share, config.deletion.points)]
    places = [player.position for player in players]
    depth = pd.DataFrame({"order": DEPTH, "fold": ALL, "position": places, "value": [-place for place in places]})
    by_order = dict(list(pd.concat([table, depth]).groupby("order")))
    rows = [
        {
            "order": order,
            "fold": fold,
            "direction": direction,
            "removed": n,
            "coalition": without(positions[:n], players),
        }
        for order in config.deletion.orders
        for fold, by in by_order[order].groupby("fold")
        for direction in ("least", "most")
        for positions in [deletion_order(direction, by)]
        for n in steps
    ]
    return pd.DataFrame(rows).astype({"coalition": object})  # masks exceed 64 bits


def deletion_curves(config: Config, model: str, points: pd.DataFrame, games: Mapping[str, Game]) -> pd.DataFrame:
    """Accuracy along the curves of `deletion_points`, per task and over tasks, with intervals.

    Where an order has two folds, each document counts under the order from the other half. `above_depth` is the paired
    difference to the order by depth, from the same end and with as many removed: what the order is worth.
    """
    level, curves = config.intervals.level, ["order", "direction", "removed"]
    frame = points[curves].drop_duplicates(ignore_index=True)
    keys = [tuple(key) for key in frame.itertuples(index=False)]
    reference = [keys.index((DEPTH, *key[1:])) for key in keys] if DEPTH in config.deletion.orders else None
    scores = _scores(config, points, games)
    found = {task: np.stack([by_point[key] for key in keys], axis=1) for task, by_point in scores.items()}
    accuracies = _over_all(found, games, level)
    above = None if reference is None else _over_all({t: x - x[:, reference] for t, x in found.items()}, games, level)
    folds = points.drop_duplicates("order").set_index("order")["fold"]
    frames = []
    for task, estimate in accuracies.items():
        rows = frame.copy()
        rows.insert(0, "model", model)
        rows.insert(1, "task", task)
        rows.insert(2, "metric", metric_of(config, task))
        rows["players_total"] = len(config.models[model].all_players())
        rows["accuracy"] = estimate.value
        rows["se"], rows["low"], rows["high"] = estimate.se, estimate.low, estimate.high
        for column, part in (("above_depth", "value"), ("above_depth_low", "low"), ("above_depth_high", "high")):
            rows[column] = np.nan if above is None else getattr(above[task], part)
        compared = (rows["order"] != DEPTH) & (rows["removed"] > 0)
        rows.loc[~compared, ["above_depth", "above_depth_low", "above_depth_high"]] = np.nan
        rows["cross_fitted"] = (rows["order"].map(folds) != ALL).to_numpy()
        rows["documents"] = documents_of(games, task)
        frames.append(rows)
    return pd.concat(frames, ignore_index=True)


def _scores(
    config: Config, points: pd.DataFrame, games: Mapping[str, Game]
) -> dict[str, dict[tuple[str, str, int], np.ndarray]]:
    """Task -> (order, direction, removed) -> the score of each document, [D]."""
    split = ranks.split({task: game.clusters for task, game in games.items()}, config.seed)
    found: dict[str, dict[tuple[str, str, int], np.ndarray]] = {}
    for task, game in games.items():
        rows: dict[tuple[str, str, int], np.ndarray] = {}
        for order, fold, direction, removed, coalition in points.itertuples(index=False):
            score = game(coalition)
            if fold == ALL:
                rows[order, direction, removed] = score
                continue
            assert split is not None  # an order has folds where the documents could be halved
            seen = split[task][FOLDS.index(fold)]
            mixed = rows.setdefault((order, direction, removed), np.full(len(score), np.nan))
            unseen = np.delete(np.arange(len(score)), seen)
            mixed[unseen] = score[unseen]
        found[task] = rows
    return found


def _over_all(scores: Mapping[str, np.ndarray], games: Mapping[str, Game], level: float) -> dict[str, Estimate]:
    """The estimate of each task and of their mean; scores: [D, N] of each."""
    parts = {task: intervals.over_documents(rows, games[task].clusters, level) for task, rows in scores.items()}
    return {**parts, MEAN: intervals.over_tasks(list(parts.values()), level)}
