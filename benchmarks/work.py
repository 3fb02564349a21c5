"""Error of the estimators at equal work, which is counted in sublayer evaluations: `make bench-work`.

On simulated games of 20 and 60 players whose Shapley values are known: sparse ones (gated, redundant), one that
collapses to chance when 20 to 30 % are removed, and a smooth one without cornerstones. Where `make study NAME=groups`
was run, also on SmolLM2-135M with ten players, all of whose coalitions are evaluated. There is no noise of documents.
Estimators that the installed shapiq lacks are left out; with shapiq 1.8 and LightGBM, on Python 3.12, there are all.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import comb
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from tqdm import tqdm

from benchmarks import plots, report
from benchmarks.estimators import ROOT, Known, real
from benchmarks.games import gated, redundant
from cornerstone.analysis import ranks
from cornerstone.analysis.ranks import Sample
from cornerstone.errors import ConfigError
from cornerstone.estimators import AdjustedEstimator, Estimator, SampledEstimator, TruncatedEstimator, WindowEstimator
from cornerstone.estimators.budget import Budgeted
from cornerstone.game.game import Game
from cornerstone.game.players import alike, players_of
from cornerstone.game.work import evaluations

KINDS = ("permutation", "adjusted-msr", "kernelshap", "leverage-shap", "odd-shap")
WORK = {10: (2_000, 3_000, 4_000, 5_000), 20: (2_000, 4_000, 8_000, 16_000), 60: (20_000, 40_000, 80_000, 160_000)}
"""Sublayer evaluations, by the number of players. The window estimator with K = 4 takes 840, 670 and 6,790.

The ten are runs of three blocks; all of their coalitions take 6,138.
"""
REPLICATES = 10


@dataclass(frozen=True)
class Classes:
    """v(S) = 0.25 + 0.45 / (1 + exp(-slope (w(S) - threshold))), w(S) the share of the weight that is kept.

    Players of a class weigh the same, so v depends on how many of each class are kept, and the Shapley value is a sum
    over these counts: exact at any number of players.

    Attributes:
        sizes: players of each class.
        weights: of a player of each class.
        threshold: share of the weight at which half is lost.
        slope: how suddenly.
    """

    sizes: tuple[int, ...]
    weights: tuple[float, ...]
    threshold: float
    slope: float

    @cached_property
    def of_player(self) -> np.ndarray:
        """[N] class of each player: in turn, so that the classes are spread over the depth."""
        left, order = list(self.sizes), []
        while any(left):
            for kind, size in enumerate(self.sizes):
                if left[kind] and left[kind] * max(self.sizes) >= max(left) * size:
                    left[kind] -= 1
                    order.append(kind)
        return np.array(order)

    def at(self, counts: np.ndarray) -> np.ndarray:
        """v where so many of each class are kept; counts: [..., classes]."""
        weights = np.array(self.weights)
        share = counts @ weights / (weights @ np.array(self.sizes))
        return np.asarray(0.25 + 0.45 / (1 + np.exp(-self.slope * (share - self.threshold))))

    def value(self, kept: np.ndarray) -> np.ndarray:
        """v of rows of kept players, bool [M, N]."""
        return self.at(np.stack([kept[:, self.of_player == kind].sum(axis=1) for kind in range(len(self.sizes))], 1))

    @property
    def shapley(self) -> np.ndarray:
        """[N] exact: the mean marginal contribution over sizes, and over the counts of others of that size."""
        total, found = sum(self.sizes), []
        for kind in range(len(self.sizes)):
            others = [size - (k == kind) for k, size in enumerate(self.sizes)]
            value = 0.0
            for counts in product(*(range(size + 1) for size in others)):
                ways = np.prod([float(comb(size, count)) for size, count in zip(others, counts, strict=True)])
                more = np.array(counts) + np.eye(len(counts))[kind]
                gain = self.at(more) - self.at(np.array(counts))
                value += float(ways / comb(total - 1, sum(counts)) * gain)
            found.append(value / total)
        return np.array(found)[self.of_player]


def known_of(name: str, made: Classes) -> Known:
    """A game of classes, whose players are sublayers."""
    count = len(made.shapley)
    return Known(name, players_of(alike((count + 1) // 2))[:count], made.value, made.shapley)


def games(count: int) -> list[Known]:
    """The simulated games of N players."""
    sparse = [
        Known(name, made.players, made.expected, made.shapley)
        for name, made in (("gated", gated(count)), ("redundant", redundant(count)))
    ]
    middle = count // 3
    shapes = {
        "collapse": Classes((3, middle, count - 3 - middle), (4.0, 1.5, 0.7), 0.8, 25),
        "smooth": Classes((middle, middle, count - 2 * middle), (1.3, 1.0, 0.7), 0.5, 4),
    }
    return sparse + [known_of(name, made) for name, made in shapes.items()]


def all_games(counts: Sequence[int], results: Path) -> dict[int, list[Known]]:
    """The games to measure, by the number of their players; with ten players the real one alone, if it is there."""
    found = {count: games(count) for count in counts if count > 10}
    if 10 in counts and (tasks := real(results)):
        found = {10: [replace(tasks[-1], name="SmolLM2")], **found}
    return found


def entry_of(kind: str, work: int, replicates: int = REPLICATES) -> Estimator:
    """An estimator that may make so many sublayer evaluations."""
    if kind == "adjusted-msr":
        return AdjustedEstimator(kind=kind, work=work, replicates=replicates)
    if kind == "truncated-permutation":
        return TruncatedEstimator(kind=kind, work=work, replicates=replicates)
    return SampledEstimator(kind=kind, work=work, replicates=replicates)


def errors(entry: Estimator, known: Sequence[Known], seeds: Sequence[int]) -> pd.DataFrame:
    """An estimator on several games of the same players.

    Returns:
        A row per game: `rmse` over players and seeds, `claimed` (root mean square of the standard error that the
        replicates claim; empty for one that draws nothing), `bias` (root mean square of the mean error over seeds, less
        what chance adds), and the means of `evaluations` and `coalitions` over seeds.
    """
    players = known[0].players
    found: list[np.ndarray] = []
    claimed: list[np.ndarray] = []
    cost = []
    for seed in seeds:
        asked = entry.coalitions(players, seed)
        cost.append((evaluations(asked, players), len(asked)))
        one = np.zeros(1, int)
        looked_up = {
            g.name: Game(players, dict(zip(asked, g.of(asked)[:, None], strict=True)), one, one) for g in known
        }
        values = entry.estimate(looked_up, seed, 2)
        found.append(np.stack([values[g.name].documents[0] for g in known]))
        parts = [values[g.name].replicates for g in known]
        claimed.append(
            np.stack([np.full(len(players), np.nan) if p is None else p[:, 0].var(0, ddof=1) / len(p) for p in parts])
        )
    error = np.stack(found) - np.stack([game.shapley for game in known])  # [seeds, games, N]
    by_chance = error.var(axis=0, ddof=1) / len(seeds) if len(seeds) > 1 else np.zeros(error.shape[1:])
    bias = np.maximum(0, error.mean(axis=0) ** 2 - by_chance)
    work, coalitions = np.mean(cost, axis=0)
    return pd.DataFrame(
        {
            "game": [game.name for game in known],
            "players": len(players),
            "evaluations": work,
            "coalitions": coalitions,
            "rmse": np.sqrt((error**2).mean(axis=(0, 2))),
            "claimed": np.sqrt(np.stack(claimed).mean(axis=(0, 2))),
            "bias": np.sqrt(bias.mean(axis=1)),
        }
    )


def measure(given: Mapping[int, Sequence[Known]], runs: int) -> pd.DataFrame:
    """All estimators at all amounts of work; columns as in `errors`, after `estimator` and `work`.

    Args:
        given: number of players -> the games.
        runs: independent estimates of each setting.
    """
    frames = []
    for count, known in given.items():
        window = errors(WindowEstimator(kind="window", removed=4), known, [0])
        frames.append(window.assign(estimator="window, K = 4", work=np.nan))
        for kind, work in tqdm([(kind, work) for kind in KINDS for work in WORK[count]], f"{count} players"):
            entry = entry_of(kind, work)
            try:
                if isinstance(entry, Budgeted):  # found once: the next draw takes about the same work
                    entry = entry.within(known[0].players, 0)
                frames.append(errors(entry, known, range(runs)).assign(estimator=kind, work=work))
            except ConfigError as error:
                print(f"left out: {error}")
    columns = ["game", "players", "estimator", "work", "evaluations", "coalitions", "rmse", "claimed", "bias"]
    return pd.concat(frames, ignore_index=True)[columns].sort_values(["players", "game"], kind="stable")


def ratios(frame: pd.DataFrame) -> pd.DataFrame:
    """For each game and estimator: how much work of permutation sampling has the same squared error, per own work.

    Squared errors fall as 1 / work, so this is (error of permutations / own error)^2 x their work / own work, the
    geometric mean over amounts of work. Above 1, the estimator is cheaper than permutations.
    """
    base = frame[frame["estimator"] == "permutation"].set_index(["game", "players", "work"])
    rows = []
    for (game, players, estimator), part in frame[frame["work"].notna()].groupby(
        ["game", "players", "estimator"], sort=False
    ):
        own = part.set_index(["game", "players", "work"])
        both = base.loc[own.index]
        gain = (both["rmse"] / own["rmse"]) ** 2 * both["evaluations"] / own["evaluations"]
        rows.append({"game": game, "players": players, "estimator": estimator, "gain": np.exp(np.log(gain).mean())})
    wide = pd.DataFrame(rows).pivot(index=["players", "estimator"], columns="game", values="gain").reset_index()
    order = {kind: place for place, kind in enumerate(KINDS)}
    return wide.sort_values(["players", "estimator"], key=lambda c: c.map(order) if c.name == "estimator" else c)


def coverage(work: int, known: Sequence[Known], documents: int, repetitions: int, seed: int = 0) -> pd.DataFrame:
    """How often the 95 % intervals of adjusted-msr hold the truth, with new documents and coalitions each time.

    A document is right under S with chance v(S), and consistently: `games.SimulatedGame.draw`, with c = 0.9.

    Returns:
        A row per game: `coverage` (mean over players), `coverage_se` (its Monte-Carlo error), `top_three` (of the three
        highest true values), `coalition_share` of the variance.
    """
    players, rng = known[0].players, np.random.default_rng([seed, documents, work])
    entry = AdjustedEstimator(kind="adjusted-msr", work=work, replicates=REPLICATES).within(players, 0)
    found: dict[str, list[tuple[np.ndarray, float]]] = {game.name: [] for game in known}
    labels = np.arange(documents)
    for repetition in tqdm(range(repetitions), f"{documents} documents"):
        asked = entry.coalitions(players, 1 + repetition)
        for game in known:
            latent = np.sqrt(0.9) * rng.normal(size=documents) + np.sqrt(0.1) * rng.normal(size=(len(asked), documents))
            right = (latent < stats.norm.ppf(game.of(asked))[:, None]).astype(np.float64)
            table = Game(players, dict(zip(asked, right, strict=True)), labels, labels)
            sample = Sample(entry.estimate({0: table}, 1 + repetition, 0)[0], labels)
            estimate = ranks.estimates({"task": sample}, 0.95)["task"]
            hits = (estimate.low <= game.shapley) & (game.shapley <= estimate.high)
            share = 1 - (estimate.se_documents**2).sum() / (estimate.se**2).sum()
            found[game.name].append((hits, max(0.0, float(share))))
    rows = []
    for game in known:
        hits = np.stack([each for each, _ in found[game.name]])
        rows.append(
            {
                "game": game.name,
                "players": len(players),
                "work": work,
                "documents": documents,
                "coverage": hits.mean(),
                "coverage_se": hits.mean(axis=1).std(ddof=1) / np.sqrt(repetitions),
                "top_three": hits[:, np.argsort(-game.shapley)[:3]].mean(),
                "coalition_share": np.mean([share for _, share in found[game.name]]),
            }
        )
    return pd.DataFrame(rows)


def coverage_text(frame: pd.DataFrame, origin: str) -> str:
    """The Markdown file of `coverage`."""
    shares = ["coverage", "coverage_se", "top_three", "coalition_share"]
    shown = frame.assign(**{name: 100 * frame[name] for name in shares})
    return (
        "# Coverage of the 95 % intervals of adjusted-msr\n\n"
        f"{origin}\nIn percent: mean over players, its Monte-Carlo error, of the three highest true values; the share "
        "of the variance that the sampled coalitions add.\n\n"
        f"{report.markdown(shown, dict.fromkeys(shares, '.1f') | {'work': ',.0f', 'documents': ',.0f'})}"
    )


def text(frame: pd.DataFrame, origin: str) -> str:
    """The Markdown file: gains against permutations, and every number."""
    points = ["rmse", "claimed", "bias"]
    table = frame.assign(**{name: 100 * frame[name] for name in points})
    formats = {"work": ",.0f", "evaluations": ",.0f", "coalitions": ",.0f"} | dict.fromkeys(points, ".3f")
    gains = ratios(frame)
    for game in gains.columns[2:]:
        gains[game] = [
            "" if np.isnan(gain) else f"{gain:.2f}" if gain < 1000 else "above 1,000" for gain in gains[game]
        ]
    return (
        "# Error against work\n\n"
        f"{origin}\nWork is sublayer evaluations on each document. How many times the work permutation sampling needs "
        "for the same squared error (below 1: permutations are cheaper):\n\n"
        f"{report.markdown(gains, {})}\n"
        "`rmse` (over players and runs), `claimed` (what the spread of the replicates says) and `bias` in points of "
        "accuracy, without noise of documents.\n\n"
        f"{report.markdown(table, formats)}"
    )


def main() -> None:
    """Run the benchmark; write table and figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=8, help="independent estimates of each setting")
    parser.add_argument("--repetitions", type=int, default=100, help="of the measurement of coverage")
    parser.add_argument("--players", type=int, nargs="+", default=list(WORK), choices=list(WORK))
    parser.add_argument("--results", type=Path, default=ROOT / "results-groups", help="of `make study NAME=groups`")
    parser.add_argument("--output", type=Path, default=report.RESULTS)
    parser.add_argument("--figures", type=Path, default=ROOT / "docs" / "figures")
    chosen = parser.parse_args()
    frame = measure(all_games(chosen.players, chosen.results), chosen.runs)
    origin = report.origin({"runs": chosen.runs, "replicates": REPLICATES})
    report.write(chosen.output, "error_against_work", frame, text(frame, origin))
    covered = pd.concat(
        [
            coverage(work, games(players), documents, chosen.repetitions)
            for players, work in ((20, 2_000), (60, 20_000), (60, 40_000))
            for documents in (100, 1_000)
        ],
        ignore_index=True,
    )
    origin = report.origin({"repetitions": chosen.repetitions, "replicates": REPLICATES, "level": 0.95})
    report.write(chosen.output, "coverage_adjusted", covered, coverage_text(covered, origin))
    plots.save(plots.error_against_work(frame), chosen.figures / "error_against_work.png")


if __name__ == "__main__":
    main()
