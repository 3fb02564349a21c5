"""Power before spending: how many documents an answer takes, from a finished run as a pilot or from a stated prior.

With n documents of the task that has most (others in proportion), the mean over tasks of a contrast has the variance

    V(n) = A / n + B,

A: that over documents, of one document; B: that of the sampled coalitions, which more documents do not reduce. Then

    half-width(n)          t sqrt(V(n))
    n for half-width h     A / ((h / z_{1-a/2})^2 - B)
    n to confirm d > 0     A / ((d / (z_{1-a/m} + z_{1-b}))^2 - B)        one of m tests, with probability 1 - b

and n for the k highest is the largest over pairs of one of them and one of the others, with m = k (N - k).

The differences d are those of the pilot (`plug_in`), which are too large where they were picked for being large, and
those of random draws from what the pilot makes of a normal prior (empirical Bayes): mean phi + tau^2 / (tau^2 + se^2)
(phi_i - mean phi), variance tau^2 se^2 / (tau^2 + se^2), tau^2 = max(0, var_i(phi_i) - mean se_i^2). A normal prior
draws single outliers in too far, so the truth is to be looked for between the two. Half-widths can be promised; how
many documents settle an order can only be given as a range.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import special

from cornerstone.analysis import intervals, ranks
from cornerstone.analysis.ranks import Sample

POWER = 0.8
"""The probability with which something is to be confirmed, 1 - b."""
DRAWS = 400
RANGE = (0.1, 0.9)
"""Quantiles of the draws between which an answer is given."""
SIZES = (100, 300, 1000)
"""Documents for which half-widths and chances are foretold, beside those of the pilot."""
MOST = 10**9
"""More documents than any task has: a forecast beyond it is that no number is enough."""
POINT, SHARE = 0.01, 0.1
"""Half-widths that are asked for: a point of accuracy; else, a tenth of a standard deviation over documents."""


@dataclass(frozen=True)
class Pilot:
    """What is known before documents are spent.

    Attributes:
        values: [N] of the players, mean over tasks.
        of_documents: [N, N] A above, as a covariance: of one document of the task that has most.
        of_coalitions: [N, N] B above, likewise; it need not be positive.
        documents: of the pilot, of the task that has most; 0 of a prior.
        df: degrees of freedom that each of these documents gives.
        spread: of a prior: standard deviation of the players' true values.
    """

    values: np.ndarray
    of_documents: np.ndarray
    of_coalitions: np.ndarray
    documents: int
    df: float = 1.0
    spread: float = 0.0

    @classmethod
    def of(cls, samples: Mapping[str, Sample]) -> Pilot:
        """A finished run: what an estimator says on each task. Variances are those of the printed intervals."""
        most, count = max(len(sample.clusters) for sample in samples.values()), len(samples)
        moderate = ranks.drawn(samples)
        first = next(iter(samples.values())).values.documents.shape[1]
        documents, coalitions = np.zeros((first, first)), np.zeros((first, first))
        clusters = 0.0
        for task, sample in samples.items():
            over_documents, over_coalitions, groups = _covariances(sample)
            if task in moderate:
                own = np.diag(over_documents)
                with np.errstate(divide="ignore", invalid="ignore"):
                    factor = np.where(own > 0, np.sqrt(moderate[task][0] / own), 0.0)
                over_documents = over_documents * np.outer(factor, factor)
                np.fill_diagonal(over_documents, moderate[task][0])
            documents += over_documents / (sample.scale * count) ** 2
            coalitions += over_coalitions / (sample.scale * count) ** 2
            clusters += groups - 1
        values = np.mean([sample.values.documents.mean(axis=0) / sample.scale for sample in samples.values()], axis=0)
        return cls(values, most * documents, coalitions, most, clusters / most)

    @classmethod
    def stated(cls, players: int, spread: float, per_document: float, tasks: int = 1) -> Pilot:
        """A prior, where nothing was measured.

        Args:
            players: N.
            spread: standard deviation of their true values.
            per_document: standard deviation over documents of a player's value on a task.
            tasks: that are averaged.
        """
        variance = per_document**2 / tasks * np.eye(players)
        return cls(np.zeros(players), variance, np.zeros_like(variance), 0, float(tasks), spread)

    @cached_property
    def shrunken(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance [N] of each value, given the pilot and a normal prior."""
        if not self.documents:
            return self.values, np.full_like(self.values, self.spread**2)
        error = self._of_players(self.documents)
        prior = max(0.0, float(self.values.var(ddof=1) - error.mean()))
        weight = prior / (prior + error) if prior else np.zeros_like(error)
        centre = self.values.mean()
        return centre + weight * (self.values - centre), weight * error

    def draws(self, seed: int) -> np.ndarray:
        """[DRAWS, N] values that may be the true ones."""
        mean, variance = self.shrunken
        return mean + np.sqrt(variance) * np.random.default_rng([seed, 3]).normal(size=(DRAWS, len(mean)))

    def variance(self, documents: float, weights: np.ndarray) -> np.ndarray:
        """[M] V(n) of contrasts; weights: [N, M]."""
        parts = [((part @ weights) * weights).sum(axis=0) for part in (self.of_documents, self.of_coalitions)]
        return np.asarray(parts[0] / documents + np.maximum(0, parts[1]))

    def _of_players(self, documents: float) -> np.ndarray:
        """[N] V(n) of each value."""
        return np.asarray(np.diag(self.of_documents) / documents + np.maximum(0, np.diag(self.of_coalitions)))

    def half_width(self, documents: float, level: float) -> np.ndarray:
        """[N] of the interval of each value with so many documents."""
        t = special.stdtrit(max(1.0, self.df * documents), (1 + level) / 2)
        return np.asarray(t * np.sqrt(self._of_players(documents)))

    def documents_within(self, half_width: float, level: float) -> np.ndarray:
        """[N] documents after which the interval of each value is no wider; infinite where coalitions alone are."""
        z = float(special.ndtri((1 + level) / 2))
        return _needed(np.diag(self.of_documents), (half_width / z) ** 2 - np.maximum(0, np.diag(self.of_coalitions)))

    def documents_for_top(self, values: np.ndarray, k: int, level: float) -> float:
        """Documents after which the k highest of these values [N] are confirmed to be above all others."""
        order = np.argsort(-values, kind="stable")
        top, rest = order[:k], order[k:]
        z = float(special.ndtri(1 - (1 - level) / (k * len(rest))) + special.ndtri(POWER))
        gaps = values[top][:, None] - values[rest]
        documents, coalitions = (_of_pairs(part, top, rest) for part in (self.of_documents, self.of_coalitions))
        return float(_needed(documents, (gaps / z) ** 2 - np.maximum(0, coalitions)).max())

    def chance_above_median(self, values: np.ndarray, documents: float, level: float) -> np.ndarray:
        """[N + 1] chance that 0, 1, ... N players are confirmed to be above the median one, were these their values.

        Each by a test of its own, adjusted for N tests; their errors are taken as independent.
        """
        order, count = np.argsort(values, kind="stable"), len(values)
        middle = order[(count - 1) // 2 : count // 2 + 1]  # as in `ranks.median_contrast`
        parts = [
            np.diag(part) - 2 * part[:, middle].mean(axis=1) + part[np.ix_(middle, middle)].mean()
            for part in (self.of_documents, self.of_coalitions)
        ]
        spread = np.sqrt(np.maximum(0, parts[0]) / documents + np.maximum(0, parts[1]))
        difference = values - values[middle].mean()
        z = float(special.ndtri(1 - (1 - level) / len(values)))
        with np.errstate(divide="ignore", invalid="ignore"):
            power = np.where(spread > 0, special.ndtr(difference / spread - z), difference > 0)
        chance = np.array([1.0])
        for p in power:
            chance = np.convolve(chance, [1 - p, p])
        return chance


def _needed(variance: np.ndarray, room: np.ndarray) -> np.ndarray:
    """Documents at which a variance of one document has shrunk to the room that there is; infinite where none is, and
    beyond `MOST`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = np.where(variance <= 0, 1.0, np.where(room > 0, np.maximum(1.0, variance / room), np.inf))
    return np.where(needed > MOST, np.inf, needed)


def _of_pairs(covariance: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The variances of differences of players, [F, S]."""
    own = np.diag(covariance)
    return np.asarray(own[first][:, None] + own[second] - 2 * covariance[np.ix_(first, second)])


def _covariances(sample: Sample) -> tuple[np.ndarray, np.ndarray, int]:
    """Covariances [N, N] of the values of a task: over documents (cluster-robust), and what sampled coalitions add; and
    how many independent documents there are."""
    values = sample.values
    index, groups = intervals.independent(sample.clusters)
    nothing = np.zeros((values.documents.shape[1],) * 2)
    if values.resampled is not None:
        over_documents = np.cov(values.resampled, rowvar=False)
    else:
        over_documents = _of_mean(values.documents, index, groups)
    if values.replicates is None:
        return over_documents, nothing, groups
    count = len(values.replicates)
    over_coalitions = np.cov(values.replicates.mean(axis=1), rowvar=False) / count
    if values.resampled is None:
        deviations = values.replicates - values.documents
        over_coalitions -= sum(_of_mean(part, index, groups) for part in deviations) / (count * (count - 1))
    return over_documents, over_coalitions, groups


def _of_mean(scores: np.ndarray, index: np.ndarray, groups: int) -> np.ndarray:
    """The cluster-robust covariance of means over documents, [N, N]; its diagonal is `intervals.variance_of_mean`."""
    sums = np.zeros((groups, scores.shape[1]))
    np.add.at(sums, index, scores - scores.mean(axis=0))
    return np.asarray(groups / (groups - 1) * sums.T @ sums / len(scores) ** 2)


def forecast(pilot: Pilot, half_width: float, level: float, seed: int, there: float = np.inf) -> pd.DataFrame:
    """What so many documents can say.

    Args:
        pilot: what is known.
        half_width: that is asked for.
        level: of intervals and tests.
        seed: of the draws.
        there: documents that the tasks hold.

    Returns:
        Columns `question`, `layers`, `documents`, `half_width`, `plug_in`, `value`, `low`, `high`, `there`; see
        docs/outputs.md.
    """
    rows: list[dict[str, object]] = []
    drawn, count = pilot.draws(seed), len(pilot.values)
    sizes = sorted({*SIZES, pilot.documents} - {0})
    for size in sizes:
        widths = pilot.half_width(size, level)
        ends = {"value": np.median(widths), "low": widths.min(), "high": widths.max()}
        rows.append({"question": "half_width", "documents": size, **ends})
    needed = np.ceil(pilot.documents_within(half_width, level))
    ends = {"value": np.median(needed), "low": needed.min(), "high": needed.max()}
    rows.append({"question": "documents_for_half_width", "half_width": half_width, **ends})
    for k in range(1, min(ranks.CHOSEN, count - 1) + 1):
        each = np.sort([pilot.documents_for_top(values, k, level) for values in drawn])
        low, middle, high = (each[int(share * (len(each) - 1))] for share in (RANGE[0], 0.5, RANGE[1]))
        plug_in = pilot.documents_for_top(pilot.values, k, level) if pilot.documents else np.nan
        ends = {"plug_in": np.ceil(plug_in), "value": np.ceil(middle), "low": np.ceil(low), "high": np.ceil(high)}
        rows.append({"question": "documents_for_top", "layers": k, **ends})
    for size in sizes:
        chances = np.stack([pilot.chance_above_median(values, size, level) for values in drawn[:: DRAWS // 100]])
        plain = pilot.chance_above_median(pilot.values, size, level)
        for k in range(1, min(ranks.CHOSEN, count - 1) + 1):
            each = np.sort(chances[:, k:].sum(axis=1))
            low, high = (each[int(share * (len(each) - 1))] for share in RANGE)
            plug_in = plain[k:].sum() if pilot.documents else np.nan
            ends = {"plug_in": plug_in, "value": each.mean(), "low": low, "high": high}
            rows.append({"question": "chance_above_median", "layers": k, "documents": size, **ends})
    columns = ["question", "layers", "documents", "half_width", "plug_in", "value", "low", "high"]
    return pd.DataFrame(rows).reindex(columns=columns).assign(there=there)


def sentence(frame: pd.DataFrame, function: str) -> str:
    """What a forecast says, in words: `top three: 26 to 45 documents`.

    Args:
        frame: the rows of one model and value function of power.csv.
        function: the value function.
    """
    asked = frame[frame["question"] == "documents_for_half_width"].iloc[0]
    unit = "1 point" if asked["half_width"] == POINT else f"{asked['half_width']:g} standard deviations"
    words = [f"by {function}: +-{unit} on the median layer {_documents(asked['value'], asked['there'])}"]
    tops = frame[frame["question"] == "documents_for_top"]
    if len(tops):
        top = tops.iloc[-1]
        ends = sorted(end for end in (top["plug_in"], top["value"]) if end == end)
        called = {1: "the highest layer", 2: "the top two"}.get(int(top["layers"]), "the top three")
        if ends[0] > top["there"] or not np.isfinite(ends[0]):
            least = f" (at least {_documents(ends[0], top['there'])})" if np.isfinite(ends[0]) else ""
            words.append(f"{called} can't be resolved{least}")
        else:
            words.append(f"{called} {_documents(ends[0], top['there'], ends[-1])}")
    return "; ".join(words)


def _documents(first: float, there: float, second: float | None = None) -> str:
    """`about 1,200 documents a task`, or two ends of a range; what the tasks do not hold is said."""
    if not np.isfinite(first):
        return "is out of reach of any number of documents with these coalitions"
    last = first if second is None else second
    more = f" to {last:,.0f}" if np.isfinite(last) else " or any number more"
    shown = f"{first:,.0f}" + (more if last > first else "")
    short = f", of which the tasks hold {there:,.0f}" if last > there else ""
    return f"about {shown} documents a task{short}"
