"""What the paper assumes and conjectures, measured: interactions of pairs, its two shortcuts, its two hypotheses.

Early truncation (section 3 of the paper) leaves out coalitions from which more than K players are missing; it loses
little if contributions fade as players go. Neighbourhood sampling removes neighbours only; it loses little if
players far apart do not interact. Hypothesis 1: a few early layers carry the model. Hypothesis 2: the others share
their work, so that one can go without much harm, but not several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from cornerstone.analysis import ranks
from cornerstone.analysis.intervals import Estimate
from cornerstone.analysis.ranks import MEAN, Sample
from cornerstone.analysis.shapley import Games, documents_of, metric_of, sample, top_players
from cornerstone.config.config import Config
from cornerstone.estimators import ablation
from cornerstone.estimators import interactions as pairwise
from cornerstone.estimators.values import Values
from cornerstone.game.coalitions import without
from cornerstone.game.game import ACCURACY, Game
from cornerstone.plan.layout import Layout
from cornerstone.plan.plan import windows


def measured(config: Config, name: str, games: Games) -> tuple[list[pairwise.Pair], dict[str, Values]]:
    """The pairs and interactions of one of `Layout.interaction_names`.

    Raises:
        StoreError: a coalition was not evaluated.
        ConfigError: the installed shapiq does not have this index.
    """
    for entry in config.interactions:
        if entry.name == name:
            return pairwise.estimate(entry, games, config.seed, config.intervals.bootstrap)
    largest = int(name.removeprefix("windows-k"))
    found = {task: pairwise.windows(game, largest) for task, game in games.items()}
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

    Args:
        config: the configuration.
        model: its name.
        name: of the interactions, as in the file's name.
        pairs: positions of each pair.
        found: task -> values of the pairs.
        games: the games they came from.
        function: the value function.
    """
    players = config.models[model].all_players()
    first, second = (np.array([pair[side] for pair in pairs]) for side in (0, 1))
    frames = [
        pd.DataFrame(
            {
                "model": model,
                "task": task,
                "metric": metric_of(config, task) if function == ACCURACY else function,
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
        frame["noise"] = [np.sqrt(2 / np.pi) * estimate.se[distances == d].mean() for d in different]
        frame["redundant"] = [(estimate.value[distances == d] < 0).mean() for d in different]
        frame["synergistic"] = [(estimate.value[distances == d] > 0).mean() for d in different]
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def by_removed(config: Config, model: str, games: Games) -> pd.DataFrame:
    """Marginal contributions against the number of players removed before: is an early truncation enough?

    Every pair of evaluated coalitions that differ by one player counts. `value` is their mean with its interval;
    `mean_abs` and `noise` as in `by_distance`; `marginals` how many there are, by so many `players`.
    """
    level = config.intervals.level
    counts: dict[int, int] = {}
    who: dict[int, set[int]] = {}
    magnitude: dict[str, dict[int, float]] = {}
    noise: dict[str, dict[int, float]] = {}
    means: dict[str, np.ndarray] = {}
    for task, game in games.items():
        sums: dict[int, np.ndarray] = {}
        counts, who = {}, {}
        magnitude[task], noise[task] = {}, {}
        for removed, position, scores in pairwise.marginals(game):
            sums[removed] = sums.get(removed, 0) + scores
            counts[removed] = counts.get(removed, 0) + 1
            who.setdefault(removed, set()).add(position)
            magnitude[task][removed] = magnitude[task].get(removed, 0) + abs(float(scores.mean()))
            error = float(scores.std(ddof=1)) / np.sqrt(len(scores))
            noise[task][removed] = noise[task].get(removed, 0) + error
        means[task] = np.stack([sums[removed] / counts[removed] for removed in sorted(sums)], axis=1)
    different = np.array(sorted(counts))
    found = ranks.estimates({task: sample(Values(means[task]), game) for task, game in games.items()}, level)
    frames = []
    for task, estimate in found.items():
        frame = _profile(config, model, task, estimate, "removed", different)
        frame["marginals"] = [counts[removed] for removed in different]
        frame["players"] = [len(who[removed]) for removed in different]
        tasks = list(games) if task == MEAN else [task]
        frame["mean_abs"] = [np.mean([magnitude[t][r] / counts[r] for t in tasks]) for r in different]
        frame["noise"] = [np.sqrt(2 / np.pi) * np.mean([noise[t][r] / counts[r] for t in tasks]) for r in different]
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


Expected = Literal["> 0", "< 0", "= 0"]


def hypotheses(
    config: Config,
    model: str,
    games: Games,
    found: Mapping[str, Sample],
    cornerstones: pd.DataFrame,
    chance: Mapping[str, float],
) -> pd.DataFrame:
    """The paper's two hypotheses: what each predicts, what was measured, with intervals, mean over tasks.

    The cornerstones are the paper's list for its models. For others they are the three highest values on one half of
    the documents, and everything about them is measured on the other half (`documents`: `held out`; with too few
    documents, the same ones: `all`).

    Args:
        config: the configuration.
        model: its name.
        games: task -> game.
        found: the headline estimator's samples.
        cornerstones: what `estimate.cornerstones` returned.
        chance: accuracy of guessing, by task.

    Returns:
        Columns model, hypothesis, prediction, expected, value, low, high, verdict, layers, documents. A verdict is
        `holds` (the interval lies where it is expected), `fails` (it excludes what is expected), or `open`.
    """
    level = config.intervals.level
    players = config.models[model].all_players()
    names = [player.name for player in players]
    top = [names.index(name) for name in top_players(cornerstones, model)]
    used, games_used = "all", games
    if not cornerstones["published"].any():
        tested = ranks.held_out(found, level, config.seed)
        if tested is not None:
            top, used = [int(position) for position in tested.chosen], "held out"
            games_used = second_half(config, games)
    label = " ".join(names[position] for position in sorted(top))
    count = len(players)
    others = [position for position in range(count) if position not in top]
    early = np.arange(count) < max(1, round(count / 10))
    rows: list[dict[str, object]] = []

    def add(number: int, prediction: str, expected: Expected, estimate: Estimate, layers: str, documents: str) -> None:
        value, low, high = float(estimate.value[0]), float(estimate.low[0]), float(estimate.high[0])
        rows.append(
            {
                "model": model,
                "hypothesis": number,
                "prediction": prediction,
                "expected": expected,
                "value": value,
                "low": low,
                "high": high,
                "verdict": _verdict(expected, low, high),
                "layers": layers,
                "documents": documents,
            }
        )

    def mean_of(scores: Mapping[str, np.ndarray], chosen: Games, bound: float = 1) -> Estimate:
        return ranks.estimates(
            {task: Sample(Values(scores[task][:, None]), game.clusters, bound) for task, game in chosen.items()}, level
        )[MEAN]

    contrast = (early / early.sum() - ~early / (~early).sum())[:, None]
    prefix = " ".join(name for name, is_early in zip(names, early, strict=True) if is_early)
    add(
        1,
        "the first tenth of the layers has higher values than the rest",
        "> 0",
        ranks.estimates(found, level, contrast)[MEAN],
        prefix,
        "all",
    )
    drops = {task: ablation.estimate(game) for task, game in games_used.items()}
    left = {task: game.full - drops[task][:, top].mean(axis=1) - chance[task] for task, game in games_used.items()}
    add(1, "without one cornerstone, accuracy is at chance", "= 0", mean_of(left, games_used), label, used)
    gap = {task: drop[:, top].mean(axis=1) - drop[:, others].mean(axis=1) for task, drop in drops.items()}
    add(1, "removing a cornerstone costs more than another layer", "> 0", mean_of(gap, games_used), label, used)
    little = {task: drop[:, others].mean(axis=1) for task, drop in drops.items()}
    add(2, "removing one other layer costs nothing", "= 0", mean_of(little, games_used), f"all but {label}", used)
    for length in range(2, Layout(config).largest_window(model) + 1):
        chosen = [w for w in windows(count, length) if len(w) == length and not set(w) & set(top)]
        if chosen:
            excess = {task: _excess(game, chosen) for task, game in games_used.items()}
            add(
                2,
                f"removing {length} neighbours costs more than the sum of removing each",
                "> 0",
                mean_of(excess, games_used, 1 + length),
                f"runs of {length} without {label}",
                used,
            )
    return pd.DataFrame(rows)


def second_half(config: Config, games: Games) -> Games:
    """The games on the documents that `ranking.held_out` did not choose on.

    Raises:
        ValueError: a task has too few documents to be halved.
    """
    rng = np.random.default_rng([config.seed, 1])
    kept: dict[str, Game] = {}
    for task, game in games.items():
        parts = ranks.halves(game.clusters, rng)
        if parts is None:
            raise ValueError(f"{task} has too few documents to be halved")
        second = parts[1]
        values = {coalition: scores[second] for coalition, scores in game.values.items()}
        kept[task] = Game(game.players, values, game.clusters[second], game.documents[second])
    return kept


def _excess(game: Game, chosen: Sequence[range]) -> np.ndarray:
    """What removing windows together costs beyond the sum of the single removals, mean over windows, [D]."""
    drops = ablation.estimate(game)
    parts = [game.full - game(without(w, game.players)) - drops[:, list(w)].sum(axis=1) for w in chosen]
    return np.mean(parts, axis=0)


def _verdict(expected: Expected, low: float, high: float) -> str:
    if expected == "= 0":
        return "open" if low <= 0 <= high else "fails"
    if expected == "< 0":
        low, high = -high, -low
    return "holds" if low > 0 else "fails" if high < 0 else "open"


def _pair_samples(found: Mapping[str, Values], games: Games, function: str) -> dict[str, Sample]:
    bound = 2 if function == ACCURACY else None  # a second difference of accuracies lies in [-2, 2]
    return {task: Sample(values, games[task].clusters, bound) for task, values in found.items()}


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
