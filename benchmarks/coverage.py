"""How often the intervals hold the truth: `make bench-coverage`.

Each repetition draws new documents from a simulated game and, for estimators that sample, new coalitions, computes
the intervals of `intervals.of_values` and notes for each player whether the known Shapley value lies within.

The coalition samples come from a pool: `--pool` independent replicates of each estimator, of which every repetition
takes `--replicates` at random, without replacement. The pool knows nothing of the documents.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks import report, weights
from benchmarks.games import SHAPES, SimulatedGame
from cornerstone.analysis import intervals
from cornerstone.estimators import (
    AdjustedEstimator,
    Estimator,
    ExactEstimator,
    SampledEstimator,
    TruncatedEstimator,
    WindowEstimator,
)
from cornerstone.estimators.values import Values
from cornerstone.game.players import alike, players_of
from cornerstone.present.findings import filled

PAGE = report.RESULTS.parents[1] / "docs" / "benchmarks" / "coverage.md"
PLAYERS = 8
REPLICATES = 10
LEVEL = 0.95
PART = 50
"""Repetitions at a time, so that there is progress to see."""
UNBIASED = ("permutation", "stratified", "svarm", "unbiased-kernelshap", "truncated-permutation")
"""Sampling estimators that their authors show to be unbiased (the last with K = N)."""
CONSISTENT = ("kernelshap", "kadd-shap", "leverage-shap")
"""Regressions on sampled coalitions: their bias vanishes as the budget grows."""
NOT_LINEAR = ("odd-shap",)
"""What has no matrix, and is not measured here for that."""


@dataclass(frozen=True)
class Contestant:
    """An estimator, how many coalitions each of its replicates may ask for, and what to call that budget."""

    entry: Estimator
    budget: str
    matrices: np.ndarray
    """[P, N, 2^N] a pool of replicates; of an estimator that draws nothing, one."""
    replicates: int = REPLICATES
    """So many of the pool make an estimate: any, or (adjusted-msr) neighbours, which were drawn together."""

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """[R, N, 2^N] the replicates of an estimate."""
        count = len(self.matrices)
        if count == 1:
            return self.matrices
        if isinstance(self.entry, AdjustedEstimator):
            first = self.replicates * int(rng.integers(count // self.replicates))
            return self.matrices[first : first + self.replicates]
        return self.matrices[rng.choice(count, self.replicates, replace=False)]


def entries(pool: int, per_replicate: int, replicates: int = REPLICATES) -> list[tuple[Estimator, str]]:
    """The estimators; those that sample with the least budget that the config accepts, and with a larger one.

    Args:
        pool: replicates.
        per_replicate: coalitions of a replicate at the larger budget; estimators that need more have the least only.
        replicates: of an estimate.
    """
    found: list[tuple[Estimator, str]] = [(ExactEstimator(kind="exact"), "")]
    for kind in ("adjusted-msr", *UNBIASED, *(kind for kind in CONSISTENT if not weights.lacking(kind))):
        drawn = replicates if kind == "adjusted-msr" else pool
        least, larger = entry_of(kind, drawn), entry_of(kind, drawn, per_replicate)
        found += [(least, "least"), (larger, "larger")] if larger.budget > least.budget else [(least, "least")]
    return [*found, (WindowEstimator(kind="window", removed=4), "")]


Drawn = SampledEstimator | TruncatedEstimator | AdjustedEstimator


def entry_of(kind: str, replicates: int, each: int | None = None) -> Drawn:
    """An estimator with so many coalitions a replicate, or with the least that it needs."""
    settings: dict[str, Any] = {"kind": kind, "budget": 4, "replicates": replicates}
    made: Drawn
    if kind == "truncated-permutation":
        made = TruncatedEstimator(removed=PLAYERS, **settings)
    elif kind == "adjusted-msr":
        made = AdjustedEstimator(**settings)
    else:
        made = SampledEstimator(**settings)
    least = made.least_budget(PLAYERS)
    return made.model_copy(update={"budget": replicates * (each if each is not None and each > least else least)})


def pooled(entry: Estimator, pool: int, seed: int) -> np.ndarray:
    """The matrices [P, N, 2^N] of an estimator."""
    players = players_of(alike(PLAYERS // 2))
    if isinstance(entry, ExactEstimator | WindowEstimator):
        return weights.fixed(entry, players)[None]
    if isinstance(entry, AdjustedEstimator):
        draws = max(1, pool // entry.replicates)
        return np.concatenate([weights.adjusted(entry, players, seed + draw) for draw in range(draws)])
    assert isinstance(entry, SampledEstimator | TruncatedEstimator)
    return np.stack([weights.sampled(entry, players, seed, replicate) for replicate in range(pool)])


def values(matrices: np.ndarray, scores: np.ndarray) -> Values:
    """What the estimator says of documents; matrices: [R, N, C] of its replicates, scores: [D, C]."""
    found = matrices.reshape(-1, matrices.shape[2]) @ scores.T
    replicates = found.reshape(*matrices.shape[:2], -1).transpose(0, 2, 1)
    return Values(replicates.mean(axis=0), replicates if len(matrices) > 1 else None)


def repeat(
    game: SimulatedGame, contestants: Sequence[Contestant], repetitions: int, documents: int, seed: Sequence[int]
) -> np.ndarray:
    """Repetitions of the experiment.

    Returns:
        float64 [3, contestants, repetitions, N]: whether the interval holds the truth, how wide it is, and the share
        of its variance that the sampled coalitions add.
    """
    rng = np.random.default_rng(list(seed))
    truth = game.shapley
    found = np.zeros((3, len(contestants), repetitions, game.count))
    for repetition in range(repetitions):
        scores, clusters = game.draw(rng, documents)
        for c, contestant in enumerate(contestants):
            estimate = intervals.of_values(values(contestant.draw(rng), scores), clusters, LEVEL)
            added = 1 - estimate.se_documents**2 / np.maximum(estimate.se**2, 1e-30)
            found[:, c, repetition] = (
                (estimate.low <= truth) & (truth <= estimate.high),
                estimate.high - estimate.low,
                np.maximum(0, added),
            )
    return found


def summary(game: SimulatedGame, contestants: Sequence[Contestant], found: np.ndarray) -> pd.DataFrame:
    """The rows of one game, from what `repeat` returns; columns as in `measure`."""
    rows = []
    for contestant, (hits, widths, shares) in zip(contestants, found.transpose(1, 0, 2, 3), strict=True):
        covered = hits.mean(axis=1)  # of each repetition
        errors = contestant.matrices @ game.values - game.shapley  # [P, N]
        worst = np.argmax(np.abs(errors.mean(axis=0)))
        rows.append(
            {
                "game": game.name,
                "estimator": weights.title(contestant.entry),
                "budget": contestant.budget,
                "coalitions": _coalitions(contestant),
                "coverage": covered.mean(),
                "coverage_se": covered.std(ddof=1) / np.sqrt(len(covered)),
                "worst_player": hits.mean(axis=0).min(),
                "width": widths.mean(),
                "coalition_share": shares.mean(),
                "bias": np.abs(errors.mean(axis=0)).max(),
                "bias_se": errors.std(axis=0, ddof=1)[worst] / np.sqrt(len(errors)) if len(errors) > 1 else 0.0,
            }
        )
    return pd.DataFrame(rows)


def _coalitions(contestant: Contestant) -> int:
    """Coalitions that an interval rests on, as `budget` in the config counts them."""
    entry = contestant.entry
    if isinstance(entry, Drawn):
        return contestant.replicates * (entry.budget // entry.replicates)
    return int((contestant.matrices[0] != 0).any(axis=0).sum())


_contestants: list[Contestant] = []
"""Of this process: too large to be sent with each piece of work."""


def _take(contestants: list[Contestant]) -> None:
    _contestants[:] = contestants


def _part(work: tuple[SimulatedGame, int, int, list[int]]) -> np.ndarray:
    game, repetitions, documents, seed = work
    return repeat(game, _contestants, repetitions, documents, seed)


def _pool(work: tuple[Estimator, int, int]) -> np.ndarray:
    return pooled(*work)


def measure(
    repetitions: int,
    documents: int,
    pool: int,
    per_replicate: int,
    seed: int = 0,
    jobs: int = 1,
    shapes: Sequence[str] = tuple(SHAPES),
    replicates: int = REPLICATES,
) -> pd.DataFrame:
    """Coverage of every estimator on every game.

    Returns:
        A row per game, estimator and budget: `coverage` (mean over players) with its Monte-Carlo standard error,
        `worst_player` (lowest of the players' coverages), `width` (mean, of the whole interval), `coalition_share`
        (of the variance, that the sampled coalitions add), `bias` (largest of the players', of the mean of the pool
        on the game without document noise) and `bias_se` (its Monte-Carlo error). Fractions, not points.
    """
    wanted = entries(pool, per_replicate, replicates)
    games = [SHAPES[shape](PLAYERS) for shape in shapes]
    made = _mapped(_pool, [(entry, pool, seed) for entry, _ in wanted], jobs, "coalitions")
    contestants = [Contestant(*entry, matrices, replicates) for entry, matrices in zip(wanted, made, strict=True)]
    starts = list(range(0, repetitions, PART))
    work = [
        (game, min(PART, repetitions - start), documents, [seed, g, start])
        for g, game in enumerate(games)
        for start in starts
    ]
    parts = _mapped(_part, work, jobs, f"repetitions, {PART} at a time", contestants)
    measured = [
        summary(game, contestants, np.concatenate(parts[g * len(starts) : (g + 1) * len(starts)], axis=2))
        for g, game in enumerate(games)
    ]
    return pd.concat([*measured, not_measured([game.name for game in games])], ignore_index=True)


def not_measured(games: Sequence[str]) -> pd.DataFrame:
    """A row for each game and estimator that is left out, without numbers; `budget` says why."""
    why = {kind: weights.lacking(kind) for kind in CONSISTENT}
    why |= {kind: weights.lacking(kind) or "not linear: not measured here" for kind in NOT_LINEAR}
    rows = [{"estimator": kind, "budget": said, "coalitions": 0} for kind, said in why.items() if said]
    return pd.DataFrame([{"game": game, **row} for game in games for row in rows])


def _mapped(
    function: Callable[[Any], np.ndarray],
    work: Sequence[Any],
    jobs: int,
    label: str,
    contestants: Sequence[Contestant] = (),
) -> list[np.ndarray]:
    if jobs == 1:
        _take(list(contestants))
        return [function(item) for item in tqdm(work, label)]
    with ProcessPoolExecutor(jobs, initializer=_take, initargs=(list(contestants),)) as executor:
        return list(tqdm(executor.map(function, work), label, len(work)))


def by_game(frame: pd.DataFrame) -> str:
    """Coverage in percent: a row for each estimator and budget, a column for each game."""
    percent = frame.assign(coverage=100 * frame["coverage"])
    wide = percent.pivot(index=["estimator", "budget", "coalitions"], columns="game", values="coverage")
    order = percent.drop_duplicates(["estimator", "budget"])[["estimator", "budget", "coalitions"]]
    wide = wide.loc[[tuple(row) for row in order.to_numpy()], list(dict.fromkeys(percent["game"]))].reset_index()
    return report.markdown(wide, dict.fromkeys(wide.columns[3:], ".1f"))


def text(frame: pd.DataFrame, origin: str) -> str:
    """The Markdown file: coverage by game, and then every number."""
    percent = frame.copy()
    shares = ["coverage", "coverage_se", "worst_player", "coalition_share"]
    points = ["width", "bias", "bias_se"]
    percent[shares + points] *= 100
    error = percent["coverage_se"].max()
    return (
        "# Coverage of the 95 % intervals\n\n"
        f"{origin}\nMean over players, in percent; Monte-Carlo standard errors up to {error:.1f}.\n\n"
        f"{by_game(frame)}\n"
        "All numbers: coverage, its Monte-Carlo error, that of the worst player and the share of the variance that "
        "the sampled coalitions add in percent; the width of the interval and the largest bias of a player in "
        "points.\n\n"
        f"{report.markdown(percent, dict.fromkeys(shares, '.1f') | dict.fromkeys(points, '.2f'))}"
    )


def page(text: str, frame: pd.DataFrame) -> str:
    """The page of the documentation with the coverage of every estimator."""
    return filled(text, {"estimators": by_game(frame.fillna({"budget": ""})).rstrip()})


def main() -> None:
    """Run the benchmark and write its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--documents", type=int, default=100)
    parser.add_argument("--pool", type=int, default=150, help="replicates of each estimator to draw from")
    parser.add_argument("--per-replicate", type=int, default=64, help="coalitions at the larger budget")
    parser.add_argument("--replicates", type=int, default=REPLICATES, help="of the pool, in every estimate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--results", type=Path, default=report.RESULTS)
    chosen = parser.parse_args()
    settings = {
        "players": PLAYERS,
        "repetitions": chosen.repetitions,
        "documents": chosen.documents,
        "level": LEVEL,
        "replicates": f"{chosen.replicates} from a pool of {chosen.pool}",
        "seed": chosen.seed,
    }
    found = measure(
        chosen.repetitions,
        chosen.documents,
        chosen.pool,
        chosen.per_replicate,
        chosen.seed,
        chosen.jobs,
        replicates=chosen.replicates,
    )
    report.write(chosen.results, "coverage", found, text(found, report.origin(settings)))
    if chosen.results == report.RESULTS:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), report.rounded(found)), encoding="utf-8")


if __name__ == "__main__":
    main()
