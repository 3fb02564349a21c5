"""How far the estimators are from the exact Shapley values: `make bench-estimators`.

On simulated games (`games.py`) and, where `make study NAME=groups` was run, on SmolLM2-135M with ten players. There
is no noise of documents here: a game is its value function, and the error is that of the estimator alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from tqdm import tqdm

from benchmarks import plots, report, weights
from benchmarks.games import SHAPES
from cornerstone.analysis.games import read_all
from cornerstone.config import config
from cornerstone.estimators import (
    AdjustedEstimator,
    SampledEstimator,
    TruncatedEstimator,
    exact,
    replayed,
    truncated,
    window,
)
from cornerstone.game.coalitions import window_coalitions
from cornerstone.game.game import Game
from cornerstone.game.players import Player

ROOT = Path(__file__).parents[1]
MODEL = "smollm2-135m-groups"
KINDS = ("permutation", "stratified", "svarm", "unbiased-kernelshap", "kernelshap", "kadd-shap")
NEWER = ("leverage-shap", "odd-shap")
"""What newer versions of shapiq have."""
Entry = SampledEstimator | TruncatedEstimator | AdjustedEstimator
REPLICATES = (2, 5, 10)
SMALL = (40, 63, 100, 160, 250, 400, 630, 1000)
LARGE = (250, 500, 1000, 2000, 4000)
"""Budgets: for 10 players, and for 20 and 60."""


@dataclass(frozen=True)
class Known:
    """A game whose Shapley values are known.

    Attributes:
        name: in tables and figures.
        players: of the game.
        value: rows of kept players, bool [M, N], to v, [M].
        shapley: [N] exact.
        twins: players 0 and 1 are interchangeable.
    """

    name: str
    players: tuple[Player, ...]
    value: Callable[[np.ndarray], np.ndarray]
    shapley: np.ndarray
    twins: bool = False

    def of(self, coalitions: Sequence[int]) -> np.ndarray:
        """[M] the values of coalitions given as bitmasks."""
        places = range(len(self.players))
        return self.value(np.array([[coalition >> place & 1 for place in places] for coalition in coalitions], bool))


def simulated(count: int) -> list[Known]:
    """The simulated games, as populations (the one with passages is the gated one, then)."""
    games = [make(count) for name, make in SHAPES.items() if name != "passages"]
    return [Known(f"{g.name}, {count} players", g.players, g.expected, g.shapley, twins=True) for g in games]


def real(results: Path) -> list[Known]:
    """SmolLM2-135M with grouped players: each task, and the mean over tasks; none where that study was not run."""
    settings = config.load_files([ROOT / "config.yaml", ROOT / "studies" / "groups.yaml"])
    paths = [results / MODEL / task / "values.parquet" for task in settings.run_tasks]
    if not all(path.exists() for path in paths):
        print(f"no results of {MODEL} under {results}: simulated games only (`make study NAME=groups` makes them)")
        return []
    games = read_all(settings, MODEL, paths)
    tables = {task: looked_up(game) for task, game in games.items()}
    tables["mean of six tasks"] = np.mean(list(tables.values()), axis=0)
    players = settings.models[MODEL].all_players()
    return [of_table(f"SmolLM2-135M, {task}", players, table) for task, table in tables.items()]


def looked_up(game: Game) -> np.ndarray:
    """[2^N] the mean over documents of every coalition."""
    return np.array([game(coalition).mean() for coalition in range(1 << len(game.players))])


def of_table(name: str, players: tuple[Player, ...], table: np.ndarray) -> Known:
    """A game whose values [2^N] are all there."""
    one = np.zeros(1, int)
    shapley = exact.estimate(Game(players, dict(enumerate(table[:, None])), one, one))[0]
    return Known(name, players, lambda rows: table[replayed.masks_of(rows)], shapley)


def window_bias(games: Sequence[Known], largest: Sequence[int] = (1, 2, 3, 4)) -> pd.DataFrame:
    """The window estimator against the exact values.

    Returns:
        A row per game, K and player (`value`, `exact`), with columns that are the same for all players of a game:
        `rmse`, `max_error`, `spearman`, `efficiency_gap` (sum of the estimates less v(N) - v(empty)), `first_error`
        (estimate less exact of the first player), `inner_error` (mean absolute error of the players at least 3
        places from both ends) and `asymmetry` (estimates of players 0 and 1, where these are interchangeable: their
        difference, truly 0).
    """
    rows = []
    for game in games:
        for removed in largest:
            coalitions = window_coalitions(game.players, removed)
            one = np.zeros(1, int)
            found = window.estimate(
                Game(game.players, dict(zip(coalitions, game.of(coalitions)[:, None], strict=True)), one, one), removed
            )[0]
            error = found - game.shapley
            summary = {
                "game": game.name,
                "K": removed,
                "coalitions": len(coalitions),
                "rmse": np.sqrt(np.mean(error**2)),
                "max_error": np.abs(error).max(),
                "spearman": stats.spearmanr(found, game.shapley).statistic,
                "efficiency_gap": error.sum(),
                "first_error": error[0],
                "inner_error": np.abs(error[3:-3]).mean(),
                "asymmetry": found[0] - found[1] if game.twins else np.nan,
            }
            rows += [
                {**summary, "player": player.name, "value": value, "exact": truth}
                for player, value, truth in zip(game.players, found, game.shapley, strict=True)
            ]
    return pd.DataFrame(rows)


def one_run(entry: Entry, games: Sequence[Known], seed: int) -> tuple[np.ndarray, set[int]]:
    """One replicate of an estimator on several games of the same players: values [G, N], and what it asked for.

    Of adjusted-msr all replicates: they learn from each other.
    """
    players = games[0].players
    if isinstance(entry, AdjustedEstimator):
        asked, one = entry.coalitions(players, seed), np.zeros(1, int)
        tables = {
            game.name: Game(players, dict(zip(asked, game.of(asked)[:, None], strict=True)), one, one) for game in games
        }
        estimates = entry.estimate(tables, seed, 0)
        return np.stack([estimates[game.name].documents[0] for game in games]), set(asked)
    each = entry.budget // entry.replicates
    if isinstance(entry, TruncatedEstimator):
        asked, matrix = truncated.sample(players, entry.removed, each, np.random.default_rng([seed, entry.removed]))
        return np.stack([matrix @ game.of(asked) for game in games]), set(asked)
    seen: set[int] = set()
    found = []
    with weights.strata_once():
        for game in games:

            def value(rows: np.ndarray, game: Known = game) -> np.ndarray:
                rows = np.atleast_2d(rows)
                seen.update(replayed.masks_of(rows))
                return game.value(rows)

            found.append(replayed.run(entry, len(players), seed, 0, value))
    return np.stack(found), seen


def error_against_budget(games: Sequence[Known], budgets: Sequence[int], runs: int, seed: int = 0) -> pd.DataFrame:
    """The error of the sampling estimators.

    A replicate is run `runs` times with each budget per replicate. The mean of R replicates then has the squared
    error bias^2 + variance / R, averaged over players; variance / `runs` is taken off the squared mean error to
    estimate bias^2. Of adjusted-msr each run has all R replicates.

    Returns:
        A row per game, estimator, budget and number of replicates: `rmse`, its `bias` part, and the mean number of
        distinct `coalitions` that the replicates ask for. An estimator that the installed shapiq lacks has a row
        without numbers for each game, whose name says what it needs.
    """
    count = len(games[0].players)
    wanted = [
        (entry, replicates) for budget in budgets for replicates in REPLICATES for entry in _entries(budget, replicates)
    ]
    usable = [(entry, r) for entry, r in wanted if entry.budget // r >= entry.least_budget(count)]
    known: dict[tuple[str, int, int], tuple[np.ndarray, list[set[int]]]] = {}
    left_out = [f"{kind} ({why})" for kind in NEWER if (why := weights.lacking(kind))]
    rows: list[dict[str, Any]] = [{"game": game.name, "estimator": name} for name in left_out for game in games]
    rng = np.random.default_rng(seed)
    for entry, replicates in tqdm(usable, f"{count} players", unit="setting"):
        together = replicates if isinstance(entry, AdjustedEstimator) else 1  # replicates of a run
        key = weights.title(entry), entry.budget // replicates, together
        if key not in known:
            made = [one_run(entry, games, seed + run) for run in range(runs)]
            known[key] = np.stack([found for found, _ in made]), [asked for _, asked in made]
        found, asked = known[key]
        picks = [rng.choice(runs, min(replicates // together, runs), replace=False) for _ in range(5)]
        distinct = np.mean([len(set().union(*(asked[i] for i in pick))) for pick in picks])
        for game, values in zip(games, found.transpose(1, 0, 2), strict=True):
            variance = values.var(axis=0, ddof=1)
            squared = np.maximum(0, (values.mean(axis=0) - game.shapley) ** 2 - variance / runs)
            rows.append(
                {
                    "game": game.name,
                    "estimator": key[0],
                    "budget": entry.budget,
                    "replicates": replicates,
                    "coalitions": distinct,
                    "rmse": np.sqrt(np.mean(squared + variance * together / replicates)),
                    "bias": np.sqrt(np.mean(squared)),
                }
            )
    return pd.DataFrame(rows)


def _entries(budget: int, replicates: int) -> list[Entry]:
    settings: dict[str, Any] = {"budget": budget, "replicates": replicates}
    there = [*KINDS, *(kind for kind in NEWER if not weights.lacking(kind))]
    made: list[Entry] = [SampledEstimator(kind=kind, **settings) for kind in there]
    made.append(AdjustedEstimator(kind="adjusted-msr", **settings))
    return [*made, TruncatedEstimator(kind="truncated-permutation", removed=4, **settings)]


def bias_text(frame: pd.DataFrame, origin: str) -> str:
    """The Markdown file on the window estimator."""
    table = frame.drop(columns=["player", "value", "exact"]).drop_duplicates(["game", "K"])
    points = ["rmse", "max_error", "efficiency_gap", "first_error", "inner_error", "asymmetry"]
    table = table.assign(**{name: 100 * table[name] for name in points})
    return (
        "# The window estimator against the exact Shapley values\n\n"
        f"{origin}\nErrors in points of accuracy, without noise of documents. `inner_error`: mean absolute error of "
        "the players at least three places from both ends. `asymmetry`: difference of the estimates of two "
        "interchangeable players at the first two places, truly 0.\n\n"
        + report.markdown(table, {"spearman": ".2f"} | dict.fromkeys(points, ".2f"))
    )


def main() -> None:
    """Run the benchmark; write tables and figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--results", type=Path, default=ROOT / "results-groups", help="made by `make study NAME=groups`"
    )
    parser.add_argument("--runs", type=int, default=24, help="replicates of each setting")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=report.RESULTS)
    parser.add_argument("--figures", type=Path, default=ROOT / "docs" / "figures")
    chosen = parser.parse_args()
    tasks = real(chosen.results)
    small, medium, large = simulated(10), simulated(20), simulated(60)
    bias = window_bias([*small, *tasks, *large])
    report.write(chosen.output, "window_bias", bias, bias_text(bias, report.origin({"K": "1 to 4"})))
    half = max(2, chosen.runs // 2)
    frames = [
        error_against_budget([*small, *tasks[-1:]], SMALL, chosen.runs, chosen.seed),
        error_against_budget(medium, LARGE, half, chosen.seed),
        error_against_budget(large, LARGE, half, chosen.seed),
    ]
    errors = pd.concat(frames, ignore_index=True)
    points = ["rmse", "bias"]
    made = report.origin({"runs": f"{chosen.runs} (half with 20 and 60 players)", "seed": chosen.seed})
    text = f"# Error against budget\n\n{made}\n`rmse` and `bias` in points of accuracy.\n\n"
    table = errors.assign(**{name: 100 * errors[name] for name in points})
    formats = {"rmse": ".2f", "bias": ".2f", "coalitions": ".0f"}
    report.write(chosen.output, "error_against_budget", errors, text + report.markdown(table, formats))
    plots.save(plots.window_bias(bias), chosen.figures / "window_bias.png")
    plots.save(plots.error_against_budget(errors, bias), chosen.figures / "error_against_budget.png")


if __name__ == "__main__":
    main()
