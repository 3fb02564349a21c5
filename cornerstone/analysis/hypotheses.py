"""The paper's two hypotheses, measured.

Hypothesis 1: a few early layers carry the model. Hypothesis 2: the others share their work, so that one can go without
much harm, but not several.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
from cornerstone.estimators.nested import units
from cornerstone.estimators.values import Values
from cornerstone.game.coalitions import windows, without
from cornerstone.game.game import MEAN, Game

Expected = Literal["> 0", "= 0", "<= 0"]


@dataclass(frozen=True)
class Prediction:
    """What a hypothesis predicts, and what was measured.

    Attributes:
        hypothesis: 1 or 2.
        text: the prediction.
        expected: where the measured value should lie; 0 stands for everything within the margin.
        estimates: the measured value, [1], on each task and in the mean over tasks.
        layers: whom it is about.
        documents: on which it was measured: `all`, or `held out`.
        intact: the same of the whole model, where the prediction is that something is lost.
    """

    hypothesis: int
    text: str
    expected: Expected
    estimates: Mapping[str, Estimate]
    layers: str
    documents: str
    intact: Mapping[str, Estimate] | None = None

    def rows(self, margin: float) -> Iterator[dict[str, object]]:
        """A row of hypotheses.csv for each task and their mean, without verdict; `holds` and `fails` are p-values."""
        for task, estimate in self.estimates.items():
            whole = None if self.intact is None else self.intact[task]
            holds, fails = p_values(self.expected, estimate, margin, whole)
            yield {
                "task": task,
                "hypothesis": self.hypothesis,
                "prediction": self.text,
                "expected": self.expected if self.expected == "> 0" else f"{self.expected} (+- {margin:g})",
                **dict(zip(("value", "low", "high"), _interval(estimate), strict=True)),
                "holds": holds,
                "fails": fails,
                **dict(zip(("intact", "intact_low", "intact_high"), _interval(whole), strict=True)),
                "layers": self.layers,
                "documents": self.documents,
            }


def p_values(expected: Expected, estimate: Estimate, margin: float, intact: Estimate | None) -> tuple[float, float]:
    """p-values, one-sided, of "the prediction does not hold" and of "it does not fail".

    `> 0`: the tests of "not above 0" and of "not below 0".

    `= 0`: that nothing is there can be shown only up to a margin. It holds where the value is above -margin and below
    margin: the larger p-value of the two tests (TOST; Schuirmann 1987, "A comparison of the two one-sided tests
    procedure"). It fails where it is above the margin or below -margin.

    `<= 0`: it holds where the value is below the margin, and that of the whole model is above it, else nothing was
    there to lose. It fails where it is above the margin.

    Args:
        expected: where the value should lie.
        estimate: the value, [1].
        margin: what counts as nothing.
        intact: the whole model's, [1].
    """
    if expected == "> 0":
        return above(estimate, 0), below(estimate, 0)
    if expected == "= 0":
        outside = (above(estimate, margin), below(estimate, -margin))
        return max(below(estimate, margin), above(estimate, -margin)), min(outside)
    lost = [below(estimate, margin), *([] if intact is None else [above(intact, margin)])]
    return max(lost), above(estimate, margin)


def above(estimate: Estimate, bound: float) -> float:
    """The one-sided p-value of "not above a bound" of an estimate of one number."""
    moved = {part: getattr(estimate, part) - bound for part in ("value", "low", "high")}
    return float(replace(estimate, **moved).p_above()[0])


def below(estimate: Estimate, bound: float) -> float:
    """The one-sided p-value of "not below a bound"."""
    return 1 - above(estimate, bound)


def _interval(estimate: Estimate | None) -> tuple[float, float, float]:
    if estimate is None:
        return (float("nan"),) * 3
    return float(estimate.value[0]), float(estimate.low[0]), float(estimate.high[0])


def judged(rows: pd.DataFrame, level: float) -> pd.DataFrame:
    """The rows with `p_holm` and `verdict` in place of the p-values `holds` and `fails`.

    A row's p-value is twice the smaller of the two. It is adjusted (Holm) over all predictions on the mean over tasks,
    and over all predictions on all tasks: so the chance of any wrong verdict among the first is 1 - level at most, and
    likewise among the others.
    """
    p = np.minimum(1, 2 * rows[["holds", "fails"]].min(axis=1).to_numpy())
    adjusted, of_mean = np.empty_like(p), (rows["task"] == MEAN).to_numpy()
    for family in (of_mean, ~of_mean):
        adjusted[family] = ranks.holm(p[family])
    verdict = np.where(rows["holds"] < rows["fails"], "holds", "fails")
    place = list(rows.columns).index("holds")
    made = rows.drop(columns=["holds", "fails"])
    made.insert(place, "p_holm", adjusted)
    made.insert(place + 1, "verdict", np.where(adjusted <= 1 - level, verdict, "open"))
    return made


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

    def means_of(self, scores: Mapping[str, np.ndarray], bound: float = 1) -> dict[str, Estimate]:
        """The mean over documents of scores [D] in [-bound, bound] of each task, and over tasks."""
        samples = {
            task: Sample(Values(scores[task][:, None]), game.clusters, bound) for task, game in self.games.items()
        }
        return ranks.estimates(samples, self.level)


def hypotheses(
    config: Config,
    model: str,
    games: Games,
    found: Mapping[str, Sample],
    cornerstones: pd.DataFrame,
    majority: Mapping[str, float],
) -> pd.DataFrame:
    """The paper's two hypotheses: what each predicts, what was measured, with intervals, on each task and their mean.

    The cornerstones are the paper's list for its models. For others they are the three highest values on one half of
    the documents, and everything about them is measured on the other half (`documents`: `held out`; with too few
    documents, the same ones: `all`).

    Args:
        config: the configuration.
        model: its name.
        games: task -> game.
        found: the headline estimator's samples.
        cornerstones: what `shapley.cornerstones` returned.
        majority: accuracy of always taking the place that is right most often, by task.

    Returns:
        A row per prediction and task (and the mean): model, task, hypothesis, prediction, expected, value, low, high,
        p_holm, verdict, intact, intact_low, intact_high, layers, documents. A verdict is `holds`, `fails`, or `open`,
        where neither is shown: see `p_values` and `judged`. The intervals are not adjusted.
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
        *_cornerstones(groups, majority),
        *_others(groups, config.largest_window(model)),
    ]
    rows = pd.DataFrame([row for prediction in predictions for row in prediction.rows(config.intervals.equivalence)])
    rows.insert(0, "model", model)
    return judged(rows, level)


def _early(names: Sequence[str], found: Mapping[str, Sample], level: float) -> Prediction:
    """Hypothesis 1: the first tenth of the layers against the rest."""
    early = np.arange(len(names)) < max(1, round(len(names) / 10))
    contrast = (early / early.sum() - ~early / (~early).sum())[:, None]
    prefix = " ".join(name for name, is_early in zip(names, early, strict=True) if is_early)
    text = "the first tenth of the layers has higher values than the rest"
    return Prediction(1, text, "> 0", ranks.estimates(found, level, contrast), prefix, "all")


def _cornerstones(groups: Groups, majority: Mapping[str, float]) -> Iterator[Prediction]:
    """Hypothesis 1: what removing a cornerstone does.

    The floor of a task is the accuracy of the model without any sublayer, measured on the same documents, or that of
    always taking one place, where that is higher: a model that fell to chance may always say the same.
    """
    games, top, others = groups.games, list(groups.top), groups.others
    drops = {task: ablation.estimate(game) for task, game in games.items()}
    if all(np.isfinite(share) for share in majority.values()):  # else there are no choices to guess among
        floors = {task: game(0) if game(0).mean() >= majority[task] else majority[task] for task, game in games.items()}
        whole = {task: game.full - floors[task] for task, game in games.items()}
        left = {task: whole[task] - drops[task][:, top].mean(axis=1) for task in games}
        text = "without one of the top three, accuracy is at the floor"
        estimates, intact = groups.means_of(left), groups.means_of(whole)
        yield Prediction(1, text, "<= 0", estimates, groups.label, groups.documents, intact)
    if others:
        gap = {task: drop[:, top].mean(axis=1) - drop[:, others].mean(axis=1) for task, drop in drops.items()}
        text = "removing one of the top three costs more than another layer"
        yield Prediction(1, text, "> 0", groups.means_of(gap, 2), groups.label, groups.documents)


def _others(groups: Groups, largest: int) -> Iterator[Prediction]:
    """Hypothesis 2: what removing one other layer does, and several neighbours, up to `largest`."""
    others, label = groups.others, groups.label
    if not others:  # at most three players: all are at the top
        return
    little = {task: ablation.estimate(game)[:, others].mean(axis=1) for task, game in groups.games.items()}
    text = "removing one other layer costs nothing"
    yield Prediction(2, text, "= 0", groups.means_of(little), f"all but {label}", groups.documents)
    for length in range(2, largest + 1):
        runs = [w for w in windows(len(groups.names), length) if len(w) == length and not set(w) & set(groups.top)]
        if runs:
            excess = {task: _excess(game, runs) for task, game in groups.games.items()}
            estimates = groups.means_of(excess, 1 + length)
            text = f"removing {length} neighbours costs more than the sum of removing each"
            yield Prediction(2, text, "> 0", estimates, f"runs of {length} without {label}", groups.documents)


def second_half(config: Config, games: Games) -> Games:
    """The games on the documents that `ranking.held_out` did not choose on.

    Raises:
        ValueError: a task has too few documents to be halved.
    """
    parts = ranks.split({task: units(game) for task, game in games.items()}, config.seed)
    if parts is None:
        raise ValueError("a task has too few documents to be halved")
    kept: dict[str, Game] = {}
    for task, game in games.items():
        second = parts[task][1]
        values = {coalition: scores[second] for coalition, scores in game.values.items()}
        kept[task] = Game(game.players, values, game.clusters[second], game.documents[second])
    return kept


def _excess(game: Game, chosen: Sequence[range]) -> np.ndarray:
    """What removing windows together costs beyond the sum of the single removals, mean over windows, [D]."""
    drops = ablation.estimate(game)
    parts = [game.full - game(without(w, game.players)) - drops[:, list(w)].sum(axis=1) for w in chosen]
    return np.mean(parts, axis=0)
