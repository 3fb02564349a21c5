"""The paper's two hypotheses, measured.

Hypothesis 1: a few early layers carry the model. Hypothesis 2: the others share their work, so that one can go without
much harm, but not several.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from cornerstone.analysis import ranks
from cornerstone.analysis.intervals import Estimate
from cornerstone.analysis.paper import top_players
from cornerstone.analysis.ranks import Sample
from cornerstone.analysis.shapley import Games
from cornerstone.config.config import Config
from cornerstone.estimators import ablation
from cornerstone.estimators.values import Values
from cornerstone.game.coalitions import windows, without
from cornerstone.game.game import MEAN, Game

Expected = Literal["> 0", "= 0"]


@dataclass(frozen=True)
class Prediction:
    """What a hypothesis predicts, and what was measured: mean over tasks.

    Attributes:
        hypothesis: 1 or 2.
        text: the prediction.
        expected: where the measured value should lie.
        estimate: the measured value, [1].
        layers: whom it is about.
        documents: on which it was measured: `all`, or `held out`.
    """

    hypothesis: int
    text: str
    expected: Expected
    estimate: Estimate
    layers: str
    documents: str

    @property
    def row(self) -> dict[str, object]:
        """As a row of hypotheses.csv."""
        value, low, high = (float(part[0]) for part in (self.estimate.value, self.estimate.low, self.estimate.high))
        return {
            "model": "",
            "hypothesis": self.hypothesis,
            "prediction": self.text,
            "expected": self.expected,
            "value": value,
            "low": low,
            "high": high,
            "verdict": _verdict(self.expected, low, high),
            "layers": self.layers,
            "documents": self.documents,
        }


@dataclass(frozen=True)
class Groups:
    """The layers whose removal is compared, and the games in which it is.

    Attributes:
        names: of all players.
        top: positions of the cornerstones.
        games: task -> game, on the documents that had no part in choosing them.
        documents: `all`, or `held out`.
        level: coverage of the intervals.
    """

    names: Sequence[str]
    top: Sequence[int]
    games: Games
    documents: str
    level: float

    @property
    def label(self) -> str:
        """The cornerstones' names."""
        return " ".join(self.names[position] for position in sorted(self.top))

    @property
    def others(self) -> list[int]:
        """Positions of all other players."""
        return [position for position in range(len(self.names)) if position not in self.top]

    def mean_of(self, scores: Mapping[str, np.ndarray], bound: float = 1) -> Estimate:
        """The mean over documents and tasks of scores [D] of each task, which lie in [-bound, bound]."""
        samples = {
            task: Sample(Values(scores[task][:, None]), game.clusters, bound) for task, game in self.games.items()
        }
        return ranks.estimates(samples, self.level)[MEAN]


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
        cornerstones: what `shapley.cornerstones` returned.
        chance: accuracy of guessing, by task.

    Returns:
        Columns model, hypothesis, prediction, expected, value, low, high, verdict, layers, documents. A verdict is
        `holds` (the interval lies where it is expected), `fails` (it excludes what is expected), or `open`.
    """
    level = config.intervals.level
    names = [player.name for player in config.models[model].all_players()]
    groups = Groups(names, [names.index(name) for name in top_players(cornerstones, model)], games, "all", level)
    if not cornerstones["published"].any():
        tested = ranks.held_out(found, level, config.seed)
        if tested is not None:
            top = [int(position) for position in tested.chosen]
            groups = Groups(names, top, second_half(config, games), "held out", level)
    predictions = [
        _early(names, found, level),
        *_cornerstones(groups, chance),
        *_others(groups, config.largest_window(model)),
    ]
    return pd.DataFrame([prediction.row | {"model": model} for prediction in predictions])


def _early(names: Sequence[str], found: Mapping[str, Sample], level: float) -> Prediction:
    """Hypothesis 1: the first tenth of the layers against the rest."""
    early = np.arange(len(names)) < max(1, round(len(names) / 10))
    contrast = (early / early.sum() - ~early / (~early).sum())[:, None]
    prefix = " ".join(name for name, is_early in zip(names, early, strict=True) if is_early)
    text = "the first tenth of the layers has higher values than the rest"
    return Prediction(1, text, "> 0", ranks.estimates(found, level, contrast)[MEAN], prefix, "all")


def _cornerstones(groups: Groups, chance: Mapping[str, float]) -> Iterator[Prediction]:
    """Hypothesis 1: what removing a cornerstone does."""
    games, top, others = groups.games, list(groups.top), groups.others
    drops = {task: ablation.estimate(game) for task, game in games.items()}
    if all(np.isfinite(guess) for guess in chance.values()):  # else there are no choices to guess among
        left = {task: game.full - drops[task][:, top].mean(axis=1) - chance[task] for task, game in games.items()}
        text = "without one cornerstone, accuracy is at chance"
        yield Prediction(1, text, "= 0", groups.mean_of(left), groups.label, groups.documents)
    gap = {task: drop[:, top].mean(axis=1) - drop[:, others].mean(axis=1) for task, drop in drops.items()}
    text = "removing a cornerstone costs more than another layer"
    yield Prediction(1, text, "> 0", groups.mean_of(gap), groups.label, groups.documents)


def _others(groups: Groups, largest: int) -> Iterator[Prediction]:
    """Hypothesis 2: what removing one other layer does, and several neighbours, up to `largest`."""
    others, label = groups.others, groups.label
    little = {task: ablation.estimate(game)[:, others].mean(axis=1) for task, game in groups.games.items()}
    text = "removing one other layer costs nothing"
    yield Prediction(2, text, "= 0", groups.mean_of(little), f"all but {label}", groups.documents)
    for length in range(2, largest + 1):
        runs = [w for w in windows(len(groups.names), length) if len(w) == length and not set(w) & set(groups.top)]
        if runs:
            excess = {task: _excess(game, runs) for task, game in groups.games.items()}
            estimate = groups.mean_of(excess, 1 + length)
            text = f"removing {length} neighbours costs more than the sum of removing each"
            yield Prediction(2, text, "> 0", estimate, f"runs of {length} without {label}", groups.documents)


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
    return "holds" if low > 0 else "fails" if high < 0 else "open"
