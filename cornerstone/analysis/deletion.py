"""Deletion curves: accuracy as players are removed one after another, in orders that estimates give.

An order that is taken from the documents on which its curve is drawn knows their noise: its curve is too high where the
least important go first, too low where the most important do. So the order comes from one half of the documents and
the curve is drawn on the other, both ways (cross-fitting).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from cornerstone.analysis import intervals, ranks
from cornerstone.analysis.intervals import Estimate
from cornerstone.analysis.ranks import Sample
from cornerstone.analysis.shapley import documents_of, metric_of
from cornerstone.config.config import Config
from cornerstone.estimators.nested import units
from cornerstone.game.coalitions import without
from cornerstone.game.game import MEAN, Game
from cornerstone.game.players import Player

FOLDS = ("first", "second")
"""Halves of the documents from which an order is taken."""
ALL = "all"
"""In their place: an order that is taken from all documents, or from none."""
DEPTH = "depth"
"""The order that needs no estimate."""
HALVED = ("shapley", "ablation", "perplexity")
"""Orders that are taken from scores of smaller models, which the halves of the documents have of their own."""
ENDS = {"": "value", "_low": "low", "_high": "high"}
"""What is added to a column's name for a paired difference and the ends of its interval -> part of an estimate."""


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
    return 2 * steps * sum(len(FOLDS) if order in HALVED else 1 for order in config.deletion.orders)


def orders(config: Config, players: tuple[Player, ...], samples: Mapping[str, Mapping[str, Sample]]) -> pd.DataFrame:
    """By what players are ordered: means over tasks, on all documents and on each half of them.

    Where coalitions were sampled, the halves have replicates of their own. Where an estimator has no halves
    (`ranks.halved`), there is only its order from all documents.

    Args:
        config: the configuration.
        players: of the model.
        samples: order (`shapley`, `ablation`, `perplexity`) -> by task, the values or drops that give it.

    Returns:
        A row per order, fold (`all`, and `first` and `second`) and player: order, fold, player, position, value.
    """
    level, frames = config.intervals.level, []
    for order, by_task in samples.items():
        halved = ranks.halved(by_task, config.seed)
        folds = {ALL: by_task} | ({} if halved is None else dict(zip(FOLDS, halved, strict=True)))
        for fold, part in folds.items():
            frame = pd.DataFrame({"order": order, "fold": fold, "player": [player.name for player in players]})
            frame["position"] = [player.position for player in players]
            frame["value"] = ranks.estimates(part, level)[MEAN].value
            frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def with_plain(
    config: Config, players: tuple[Player, ...], table: pd.DataFrame, influence: Sequence[pd.DataFrame] = ()
) -> pd.DataFrame:
    """The orders of `orders`, and those that no score of a smaller model gives.

    For `depth` the first sublayers count as the most important, as the paper finds them to be. `random` follows the
    seed. `influence` is the mean block influence over tasks.

    Args:
        config: the configuration.
        players: of the model.
        table: what `orders` returned.
        influence: of each task, a row per player with `position` and `influence`.
    """
    places = [player.position for player in players]
    plain: dict[str, list[float]] = {DEPTH: [-place for place in places]}
    plain["random"] = [int(place) for place in np.random.default_rng(config.seed).permutation(len(players))]
    if influence:
        mean = pd.concat(influence).groupby("position")["influence"].mean()
        plain["influence"] = [float(mean[place]) for place in places]
    names = [player.name for player in players]
    frames = [
        pd.DataFrame({"order": order, "fold": ALL, "player": names, "position": places, "value": values})
        for order, values in plain.items()
    ]
    return pd.concat([table, *frames], ignore_index=True)


def deletion_order(direction: str, by: pd.DataFrame) -> list[int]:
    """Positions of the players in the order in which they are removed.

    Args:
        direction: `least` important first, or `most`.
        by: position and value of each player.
    """
    sign = 1 if direction == "least" else -1
    positions = by.iloc[np.lexsort((by["position"], sign * by["value"]))]["position"]
    return [int(position) for position in positions]


def deletion_points(
    config: Config, players: tuple[Player, ...], table: pd.DataFrame, influence: Sequence[pd.DataFrame] = ()
) -> pd.DataFrame:
    """The coalitions of all deletion curves.

    Args:
        config: the configuration.
        players: of the model.
        table: what `orders` returned.
        influence: as in `with_plain`.

    Returns:
        A row per order, fold, direction and number removed, with `coalition` (bitmask). The folds are the halves of an
        order that has them, else `all`. `layers` are the names of those that are removed in the order of all documents.
    """
    steps = [0, *deletion_steps(len(players), config.deletion.share, config.deletion.points)]
    every = with_plain(config, players, table, influence)
    by_order = {order: dict(list(rows.groupby("fold"))) for order, rows in every.groupby("order")}
    rows = []
    for order in config.deletion.orders:
        by_fold = by_order[order]
        for fold in [fold for fold in FOLDS if fold in by_fold] or [ALL]:
            for direction in ("least", "most"):
                positions = deletion_order(direction, by_fold[fold])
                named = [players[place].name for place in deletion_order(direction, by_fold[ALL])]
                for n in steps:
                    where = {"order": order, "fold": fold, "direction": direction, "removed": n}
                    who = {"layers": " ".join(named[:n]), "coalition": without(positions[:n], players)}
                    rows.append(where | who)
    return pd.DataFrame(rows).astype({"coalition": object})  # masks exceed 64 bits


def deletion_curves(config: Config, model: str, points: pd.DataFrame, games: Mapping[str, Game]) -> pd.DataFrame:
    """Accuracy along the curves of `deletion_points`, per task and over tasks, with intervals.

    Where an order has two folds, each document counts under the order from the other half. `loss` is the paired
    difference of the whole model to what is left. `above_depth` is that to the order by depth, from the same end and
    with as many removed: what the order is worth.
    """
    level, curves = config.intervals.level, ["order", "direction", "removed"]
    frame = points[[*curves, "layers"]].drop_duplicates(ignore_index=True)
    keys = [tuple(key) for key in frame[curves].itertuples(index=False)]
    smaller = np.flatnonzero(frame["removed"] > 0)
    whole = [keys.index((*keys[place][:2], 0)) for place in smaller]
    reference = [keys.index((DEPTH, *key[1:])) for key in keys] if DEPTH in config.deletion.orders else None
    scores = _scores(config, points, games)
    found = {task: np.stack([by_point[key] for key in keys], axis=1) for task, by_point in scores.items()}
    accuracies = _over_all(found, games, level)
    lost = _over_all({t: x[:, whole] - x[:, smaller] for t, x in found.items()}, games, level)
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
        for column, part in ENDS.items():
            rows[f"loss{column}"] = np.nan
            rows.loc[smaller, f"loss{column}"] = getattr(lost[task], part)
        for column, part in ENDS.items():
            rows[f"above_depth{column}"] = np.nan if above is None else getattr(above[task], part)
        compared = (rows["order"] != DEPTH) & (rows["removed"] > 0)
        rows.loc[~compared, [f"above_depth{column}" for column in ENDS]] = np.nan
        rows["cross_fitted"] = (rows["order"].map(folds) != ALL).to_numpy()
        rows["documents"] = documents_of(games, task)
        frames.append(rows)
    return pd.concat(frames, ignore_index=True)


def order_quality(config: Config, model: str, points: pd.DataFrame, games: Mapping[str, Game]) -> pd.DataFrame:
    """How well each order ranks the players: what its two curves lose, on average over their points.

    A good order loses little where the least important players go first, and much where the most important ones do.
    Losses are paired: on each document, the original's score less that of the smaller model. Documents are those of
    the curves: where an order has two folds, each document counts under the order from the other half.

    Returns:
        A row per task (and `mean`) and order: `least_loss`, `most_loss`, and their difference `separation` with `se`,
        `low` and `high` (of an order without information it is 0 on average).
    """
    scores = _scores(config, points, games)
    orders = list(dict.fromkeys(points["order"]))
    counts = [int(n) for n in dict.fromkeys(points["removed"]) if n > 0]
    losses: dict[str, np.ndarray] = {}
    separations = {}
    for task, game in games.items():
        curves = [
            np.mean([game.full - scores[task][order, direction, n] for n in counts], axis=0)
            for order in orders
            for direction in ("least", "most")
        ]
        both = np.stack(curves, axis=1).reshape(len(game.documents), len(orders), 2)
        losses[task] = both.mean(axis=0)
        separations[task] = (both[:, :, 1] - both[:, :, 0]) / 2
    losses[MEAN] = np.mean([losses[task] for task in games], axis=0)
    frames = []
    for task, estimate in _over_all(separations, games, config.intervals.level).items():
        frame = pd.DataFrame({"model": model, "task": task, "metric": metric_of(config, task), "order": orders})
        frame["least_loss"], frame["most_loss"] = losses[task].T
        frame["separation"] = 2 * estimate.value
        frame["se"], frame["low"], frame["high"] = 2 * estimate.se, 2 * estimate.low, 2 * estimate.high
        frame["documents"] = documents_of(games, task)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _scores(
    config: Config, points: pd.DataFrame, games: Mapping[str, Game]
) -> dict[str, dict[tuple[str, str, int], np.ndarray]]:
    """Task -> (order, direction, removed) -> the score of each document, [D]."""
    split = ranks.split({task: units(game) for task, game in games.items()}, config.seed)
    found: dict[str, dict[tuple[str, str, int], np.ndarray]] = {}
    keys = points[["order", "fold", "direction", "removed", "coalition"]]
    for task, game in games.items():
        rows: dict[tuple[str, str, int], np.ndarray] = {}
        for order, fold, direction, removed, coalition in keys.itertuples(index=False):
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
