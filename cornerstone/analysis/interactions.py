"""Interactions of pairs of players, and what they and marginal contributions say of the paper's two shortcuts.

Early truncation (section 3 of the paper) leaves out coalitions from which more than K players are missing; it loses
little if contributions fade as players go. Neighbourhood sampling removes neighbours only; it loses little if
players far apart do not interact. Coalitions of the window estimator alone show only what the shortcuts keep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from cornerstone.analysis import ranks
from cornerstone.analysis.intervals import Estimate, variance_of_mean
from cornerstone.analysis.ranks import Sample
from cornerstone.analysis.shapley import Games, documents_of, metric_of, sample, scale_of, unit
from cornerstone.config.config import Config
from cornerstone.estimators import interactions as pairwise
from cornerstone.estimators.values import Values
from cornerstone.game.game import ACCURACY, MEAN

NOISE = float(np.sqrt(2 / np.pi))
"""The mean absolute value of a normal number of mean 0, in standard deviations."""


def measured(config: Config, model: str, name: str, games: Games) -> tuple[list[pairwise.Pair], dict[str, Values]]:
    """The pairs and interactions of one of `Config.interaction_names`.

    Raises:
        StoreError: a coalition was not evaluated.
        ConfigError: the installed shapiq does not have this index.
    """
    for entry in config.interactions:
        if entry.name == name:
            pairs = entry.pairs(len(config.models[model].all_players()), config.seed)
            of_tasks: dict[str, Values] = {}
            for task, game in games.items():
                of_tasks |= entry.estimate({task: game}, entry.seed_on(config.seed, task), config.intervals.bootstrap)
            return pairs, of_tasks
    found = {task: pairwise.windows(game, config.largest_window(model)) for task, game in games.items()}
    return next(iter(found.values()))[0], {task: values for task, (_, values) in found.items()}


def interactions(
    config: Config,
    model: str,
    name: str,
    pairs: Sequence[pairwise.Pair],
    found: Mapping[str, Values],
    games: Games,
    function: str = ACCURACY,
) -> pd.DataFrame:
    """Interactions as a table: a row per task (and the mean) and pair of players.

    `p` is two-sided, of no interaction, each pair by itself. `q` is the false discovery rate at which a pair is found
    to interact, over all pairs of the task.

    Args:
        config: the configuration.
        model: its name.
        name: of the interactions, as in the file's name.
        pairs: positions of each pair.
        found: task -> values of the pairs.
        games: the games they came from.
        function: the value function.
    """
    from scipy import stats  # twice as long to import as all else here: only where there are pairs

    players = config.models[model].all_players()
    first, second = (np.array([pair[side] for pair in pairs]) for side in (0, 1))
    frames = [
        pd.DataFrame(
            {
                "model": model,
                "task": task,
                "metric": unit(config, task, function),
                "interactions": name,
                "first": [players[i].name for i in first],
                "second": [players[j].name for j in second],
                "first_position": first,
                "second_position": second,
                "distance": second - first,
                "value": estimate.value,
                "se": estimate.se,
                "low": estimate.low,
                "high": estimate.high,
                "se_documents": estimate.se_documents,
                "se_coalitions": estimate.se_coalitions,
                "p": estimate.p_differs(),
                "q": stats.false_discovery_control(estimate.p_differs()),  # Benjamini and Hochberg (1995)
                "documents": documents_of(games, task),
            }
        )
        for task, estimate in ranks.estimates(_pair_samples(found, games, function), config.intervals.level).items()
    ]
    return pd.concat(frames, ignore_index=True)


def by_distance(
    config: Config,
    model: str,
    name: str,
    pairs: Sequence[pairwise.Pair],
    found: Mapping[str, Values],
    games: Games,
) -> pd.DataFrame:
    """Interactions against the distance of the two players: is a neighbourhood enough?

    `value` is the mean interaction (below 0: redundancy prevails, above 0: synergy) with its interval;
    `mean_abs` the mean of the estimates' absolute values and `noise` what that would be if no pair interacted,
    sqrt(2 / pi) times the mean standard error. `redundant` and `synergistic`: shares of the pairs below and above 0.
    """
    distances = np.array([j - i for i, j in pairs])
    different = np.unique(distances)
    weights = (distances[:, None] == different) / (distances[:, None] == different).sum(axis=0)
    samples = _pair_samples(found, games, ACCURACY)
    each = ranks.estimates(samples, config.intervals.level)
    means = ranks.estimates(samples, config.intervals.level, weights)
    frames = []
    for task, estimate in each.items():
        frame = _profile(config, model, task, means[task], "distance", different)
        frame.insert(3, "interactions", name)
        frame["pairs"] = [int((distances == d).sum()) for d in different]
        frame["mean_abs"] = [np.abs(estimate.value[distances == d]).mean() for d in different]
        frame["noise"] = [NOISE * estimate.se[distances == d].mean() for d in different]
        frame["redundant"] = [(estimate.value[distances == d] < 0).mean() for d in different]
        frame["synergistic"] = [(estimate.value[distances == d] > 0).mean() for d in different]
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def by_removed(config: Config, model: str, games: Games) -> pd.DataFrame:
    """Marginal contributions against the number of players removed before: is an early truncation enough?

    Every pair of evaluated coalitions that differ by one player counts. `value` is their mean with its interval;
    `mean_abs` and `noise` as in `by_distance`; `marginals` how many there are, by so many `players`. In the mean over
    tasks these are of each contribution's mean over tasks, so of contributions that all tasks have: not a number where
    there are none, as tasks whose coalitions are drawn have their own. Only numbers removed of which every task has
    contributions are listed.
    """
    level = config.intervals.level
    found: dict[str, dict[int, _Marginals]] = {}
    samples = {}
    for task, game in games.items():
        parts: dict[int, _Marginals] = {}
        for coalition, position, scores in pairwise.marginals(game):
            removed = len(game.players) - coalition.bit_count()
            parts.setdefault(removed, _Marginals()).add((coalition, position), scores, game.clusters)
        found[task] = parts
    everywhere = sorted(set.intersection(*(set(parts) for parts in found.values())))
    for task, game in games.items():
        found[task] = {removed: found[task][removed] for removed in everywhere}
        means = np.stack([part.sum / len(part.means) for part in found[task].values()], axis=1)
        samples[task] = sample(Values(means), game)
    found[MEAN] = {removed: _over_tasks([found[task][removed] for task in games]) for removed in everywhere}
    frames = []
    for task, estimate in ranks.estimates(samples, level).items():
        parts = found[task]
        frame = _profile(config, model, task, estimate, "removed", np.array(list(parts)))
        frame["marginals"] = [len(part.means) for part in parts.values()]
        frame["players"] = [len({position for _, position in part.means}) for part in parts.values()]
        frame["mean_abs"] = [part.mean_abs for part in parts.values()]
        frame["noise"] = [part.noise for part in parts.values()]
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


@dataclass
class _Marginals:
    """Marginal contributions with as many players removed before, by the coalition and the player's position.

    Attributes:
        means: over documents.
        variances: of these, cluster-robust.
        sum: [D] of all of them on each document.
    """

    means: dict[tuple[int, int], float] = field(default_factory=dict)
    variances: dict[tuple[int, int], float] = field(default_factory=dict)
    sum: np.ndarray | float = 0.0

    def add(self, key: tuple[int, int], scores: np.ndarray, clusters: np.ndarray) -> None:
        """Add one; scores: [D]."""
        self.means[key] = float(scores.mean())
        self.variances[key] = float(variance_of_mean(scores[:, None], clusters)[0][0])
        self.sum = self.sum + scores

    @property
    def mean_abs(self) -> float:
        """The mean of the absolute values; not a number where there are none."""
        return float(np.mean(np.abs(list(self.means.values())))) if self.means else float("nan")

    @property
    def noise(self) -> float:
        """What `mean_abs` would be if all contributions were 0; not a number where there are none."""
        return NOISE * float(np.mean(np.sqrt(list(self.variances.values())))) if self.means else float("nan")


def _over_tasks(parts: Sequence[_Marginals]) -> _Marginals:
    """The means over tasks of those contributions that all tasks have."""
    made = _Marginals()
    for key in parts[0].means:
        if all(key in part.means for part in parts):
            made.means[key] = float(np.mean([part.means[key] for part in parts]))
            made.variances[key] = sum(part.variances[key] for part in parts) / len(parts) ** 2
    return made


def _pair_samples(found: Mapping[str, Values], games: Games, function: str) -> dict[str, Sample]:
    bound = 2 if function == ACCURACY else None  # a second difference of accuracies lies in [-2, 2]
    return {
        task: Sample(values, games[task].clusters, bound, scale_of(games[task], function))
        for task, values in found.items()
    }


def _profile(config: Config, model: str, task: str, estimate: Estimate, against: str, x: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model": model,
            "task": task,
            "metric": metric_of(config, task),
            against: x,
            "value": estimate.value,
            "se": estimate.se,
            "low": estimate.low,
            "high": estimate.high,
        }
    )
