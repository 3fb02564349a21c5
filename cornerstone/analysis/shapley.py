"""From games to the tables that people read: values, drops, baselines, cornerstones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from cornerstone.analysis import intervals, paper, ranks
from cornerstone.analysis.ranks import Sample
from cornerstone.assets.documents import REMARKS, TaskDocuments
from cornerstone.config.config import Config
from cornerstone.estimators import Estimator, ablation
from cornerstone.estimators.nested import units
from cornerstone.estimators.values import Values
from cornerstone.game.functions import SOFT
from cornerstone.game.game import ACCURACY, MEAN, Game
from cornerstone.game.players import Player
from cornerstone.game.work import evaluations

LOG, LOG_DROP = "log-probability", "log_probability_drop"
"""A value function, and the column of what single removals cost by it: the rise of perplexity, up to a factor."""
Games = Mapping[str, Game]
"""A game for each task."""


def samples(config: Config, entry: Estimator, games: Mapping[str, Games]) -> dict[str, dict[str, Sample]]:
    """What an estimator says: value function -> task -> sample.

    Args:
        config: the configuration.
        entry: the estimator.
        games: value function -> task -> game.

    Raises:
        StoreError: a coalition was not evaluated.
        ConfigError: the installed shapiq does not have this estimator.
    """
    found: dict[str, dict[str, Sample]] = {function: {} for function in games}
    for task in next(iter(games.values())):
        of_task = {function: by_task[task] for function, by_task in games.items()}
        values = entry.estimate(of_task, entry.seed_on(config.seed, task), config.intervals.bootstrap)
        for function, game in of_task.items():
            drawn = replace(values[function], shared=entry.drawn and not entry.by_task)
            found[function][task] = sample(drawn, game, function)
    return found


def sample(values: Values, game: Game, function: str = ACCURACY) -> Sample:
    """Values with what is known of the documents; differences of accuracies lie in [-1, 1], others anywhere."""
    clusters = game.clusters if values.clusters is None else values.clusters
    return Sample(values, clusters, 1 if function == ACCURACY else None, scale_of(game, function), units(game))


def scale_of(game: Game, function: str) -> float:
    """By what the values of a task are divided in the mean over tasks.

    Accuracies and soft accuracies are shares, the same on all tasks: by 1. All else has a unit that depends on the
    texts of a task: answers of three letters have large margins per character, long answers small probabilities. It is
    divided by the standard deviation over documents of the whole model's value. (Not by v(N) - v(no player), which may
    be near 0, or below.) Where that is 0, on documents that are all alike, by 1.
    """
    if function in (ACCURACY, SOFT):
        return 1.0
    spread = float(game.full.std(ddof=1))
    return spread if spread > 0 else 1.0


def unit(config: Config, task: str, function: str) -> str:
    """What the values of a task or of the mean over tasks are measured in: column `metric`."""
    if function == ACCURACY:
        return metric_of(config, task)
    return f"{function}/sd" if task == MEAN and function != SOFT else function


def shapley(
    config: Config, model: str, entry: Estimator, found: Mapping[str, Sample], games: Games, function: str = ACCURACY
) -> pd.DataFrame:
    """Layer Shapley values of one estimator: a row per task (and the mean) and player.

    Args:
        config: the configuration.
        model: its name.
        entry: the estimator.
        found: what `samples` returned for the value function.
        games: the games it came from.
        function: the value function.
    """
    frame = _per_player(config, model, games, found, function)
    frame.insert(3, "estimator", entry.name)
    pairs = ranks.pairwise(found, config.intervals.level)
    ranges = {task: ranks.rank_intervals(p, config.intervals.level) for task, p in pairs.items()}
    above = ranks.above_median(found, config.intervals.level)
    by_task = frame.groupby("task", sort=False)["value"]
    frame["rank"] = by_task.rank(ascending=False, method="first").astype(int)
    for column, name in enumerate(("rank_low", "rank_high")):
        frame[name] = np.concatenate([ranges[task][:, column] for task in frame["task"].unique()])
    frame["p_above_median"] = np.concatenate([above[task] for task in frame["task"].unique()])
    frame["p_top_three"] = np.concatenate([ranks.among_top(pairs[task]) for task in frame["task"].unique()])
    for name, by_player in entry.columns(len(config.models[model].all_players())).items():
        frame[name] = frame["position"].map(dict(enumerate(by_player)))
    return frame


def drops(games: Games, function: str = ACCURACY) -> dict[str, Sample]:
    """What removing each player by itself costs, on each task, by a value function."""
    return {task: sample(Values(ablation.estimate(game)), game, function) for task, game in games.items()}


def ablations(config: Config, model: str, games: Games, logarithms: Games | None = None) -> pd.DataFrame:
    """Single-layer ablation: accuracy without each player, and the paired drop with its interval.

    Args:
        config: the configuration.
        model: its name.
        games: by accuracy.
        logarithms: by log-probability, where the config asks for that: their drop is a column more.
    """
    found = drops(games)
    frame = _per_player(config, model, games, found, ACCURACY).rename(columns={"value": "drop"})
    frame = frame.drop(columns=["se_documents", "se_coalitions"])
    original = {task: game.full.mean() for task, game in games.items()}
    original[MEAN] = float(np.mean(list(original.values())))
    frame.insert(7, "accuracy", frame["task"].map(original) - frame["drop"])
    if logarithms is not None:
        lost = [ablation.estimate(game).mean(axis=0) for game in logarithms.values()]
        scaled = [each / scale_of(game, LOG) for each, game in zip(lost, logarithms.values(), strict=True)]
        frame[LOG_DROP] = np.concatenate([*lost, np.mean(scaled, axis=0)])
    return frame


def baselines(config: Config, model: str, games: Games, documents: Mapping[str, TaskDocuments]) -> pd.DataFrame:
    """A row per task: the original accuracy, the accuracy without any sublayer, chance, and the documents.

    Chance, and `majority`, the accuracy of always taking the place that is right most often, are not numbers where
    there is nothing to choose. What is odd about some documents is counted, too (`TaskDocuments.remarks`).
    """
    rows = []
    for task, game in games.items():
        whole = intervals.over_documents(game.full[:, None], game.clusters, config.intervals.level)
        parts = [documents[member] for member in config.members(task)]
        sizes = [len(part.documents) if config.tasks[task].by_size else 1 for part in parts]
        rows.append(
            {
                "model": model,
                "task": task,
                "metric": config.tasks[task].metric,
                "documents": len(game.documents),
                "split": parts[0].split,
                "source": parts[0].source,
                "original": whole.value[0],
                "original_se": whole.se[0],
                "empty": game(0).mean(),
                "chance": np.average([part.chance for part in parts], weights=sizes),
                "majority": np.average([majority(part) for part in parts], weights=sizes),
                **{
                    column: sum(len(part.remarked().get(what, [])) for part in parts)
                    for what, column in REMARKS.items()
                },
            }
        )
    return pd.DataFrame(rows)


def majority(documents: TaskDocuments) -> float:
    """The accuracy of always taking one place, the one that is right most often; not a number without choices."""
    if documents.kind != "multiple_choice":
        return float("nan")
    places = Counter(place for document in documents.documents for place in document.right)
    return max(places.values()) / len(documents.documents)


def cornerstones(config: Config, values: pd.DataFrame, found: Mapping[str, Sample], model: str) -> pd.DataFrame:
    """The players by mean value over tasks, and what can be said for the top of them.

    `top_three` is the paper's rule. `cornerstone`: significantly among the three highest of all players, adjusted for
    testing every player (`ranks.among_top`). `above_median`: significantly above the median player, adjusted in the
    same way; half of all players are. `chosen`: among the three highest on one random half of the documents;
    `held_out`, `held_out_low` and `held_out_high` are its value on the other half, which had no part in that choice.
    These columns are empty where a task has too few documents to be halved.

    Args:
        config: the configuration.
        values: what `shapley` returned.
        found: what `samples` returned for the same estimator and value function.
        model: its name; where it is one of the paper's, `published` marks the paper's Table 2.
    """
    alpha = 1 - config.intervals.level
    table = values[values["task"] == MEAN].sort_values("rank", ignore_index=True)
    table["top_three"] = table["rank"] <= 3
    table["above_median"] = table["p_above_median"] <= alpha
    table["cornerstone"] = table["p_top_three"] <= alpha
    columns = ["model", "player", "value", "se", "low", "high", "rank", "rank_low", "rank_high"]
    tests = ["p_above_median", "p_top_three", "position", "top_three", "above_median", "cornerstone"]
    table = table[[*columns, *tests]]
    tested = ranks.held_out(found, config.intervals.level, config.seed)
    table["chosen"] = None if tested is None else table["position"].isin(tested.chosen)
    for name, part in (("held_out", "value"), ("held_out_low", "low"), ("held_out_high", "high")):
        table[name] = np.nan
        if tested is not None:
            shown = getattr(tested.estimate, part)[table["position"]]
            table[name] = np.where(table["chosen"], shown, np.nan)
    table["published"] = table["player"].isin(paper.CORNERSTONES.get(model, ()))
    return table.drop(columns="position").reset_index(drop=True)


def comparison(
    config: Config,
    model: str,
    found: Mapping[str, Mapping[str, Sample]],
    wanted: Mapping[str, Mapping[str, Sequence[Sequence[int]]]],
    games: Games,
) -> pd.DataFrame:
    """The estimators side by side: a row per estimator and task (and the mean).

    Args:
        config: the configuration.
        model: its name.
        found: estimator -> task -> sample.
        wanted: task -> estimator -> the coalitions that it needs on each document: one list for all documents, or one
            for each sample of a nested design, whose mean is taken.
        games: the games they came from.

    Returns:
        Columns model, estimator, task, coalitions, evaluations (of sublayers, for these coalitions by themselves; both
        rounded means in the mean over tasks); `sum` of the values and `gap`, that sum less v(N) - v(no player); mean
        `se`, `se_documents` and `se_coalitions`; and against the values of `exact`, where that is among the estimators:
        `error` (root mean square over players), `largest_error`, `rank_correlation` (Spearman).
    """
    level = config.intervals.level
    whole = {task: float(game.full.mean() - game(0).mean()) for task, game in games.items()}
    whole[MEAN] = float(np.mean(list(whole.values())))
    estimates = {name: ranks.estimates(by_task, level) for name, by_task in found.items()}
    players = next(iter(games.values())).players
    rows = []
    for name, by_task in estimates.items():
        for task, estimate in by_task.items():
            needed = [part for each in (games if task == MEAN else [task]) for part in wanted[each][name]]
            row: dict[str, Any] = {"model": model, "estimator": name, "task": task}
            row["coalitions"] = round(np.mean([len(asked) for asked in needed]))
            row["evaluations"] = round(np.mean([_work(tuple(asked), players) for asked in needed]))
            row |= {"sum": estimate.value.sum(), "gap": estimate.value.sum() - whole[task]}
            row |= {part: getattr(estimate, part).mean() for part in ("se", "se_documents", "se_coalitions")}
            row |= dict.fromkeys(("error", "largest_error", "rank_correlation"), np.nan)
            if "exact" in estimates:
                truth = estimates["exact"][task].value
                difference = estimate.value - truth
                row |= {"error": np.sqrt((difference**2).mean()), "largest_error": np.abs(difference).max()}
                if np.ptp(truth) > 0 and np.ptp(estimate.value) > 0:
                    from scipy import stats  # twice as long to import as all else here: only beside exact values

                    row["rank_correlation"] = stats.spearmanr(estimate.value, truth).statistic
            rows.append(row)
    return pd.DataFrame(rows)


@lru_cache(maxsize=256)
def _work(asked: tuple[int, ...], players: tuple[Player, ...]) -> int:
    return evaluations(asked, players)


def _per_player(config: Config, model: str, games: Games, found: Mapping[str, Sample], function: str) -> pd.DataFrame:
    """The values of each task as a table with intervals, and the mean over tasks."""
    players = config.models[model].all_players()
    frames = [
        pd.DataFrame(
            {
                "model": model,
                "task": task,
                "metric": unit(config, task, function),
                "player": [player.name for player in players],
                "position": [player.position for player in players],
                "kind": [player.kind for player in players],
                "block": [player.block for player in players],
                "value": estimate.value,
                "se": estimate.se,
                "low": estimate.low,
                "high": estimate.high,
                "se_documents": estimate.se_documents,
                "se_coalitions": estimate.se_coalitions,
                "documents": documents_of(games, task),
            }
        )
        for task, estimate in ranks.estimates(found, config.intervals.level).items()
    ]
    return pd.concat(frames, ignore_index=True)


def metric_of(config: Config, task: str) -> str:
    """The metric of a task, or all metrics of the active tasks for their mean."""
    if task != MEAN:
        return config.tasks[task].metric
    return "+".join(sorted({config.tasks[name].metric for name in config.run_tasks}))


def documents_of(games: Games, task: str) -> int:
    """The number of documents of a task, or of all for their mean."""
    return len(games[task].documents) if task != MEAN else sum(len(game.documents) for game in games.values())
