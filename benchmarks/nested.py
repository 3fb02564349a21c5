"""Nested against crossed designs: what each is worth for the same work on every document, and whether intervals cover.

In a crossed design every document sees the coalitions of all replicates, in a nested one those of its own sample
(`cornerstone.estimators.nested`). The games have 8 players and known Shapley values (`benchmarks.games`).

    python -m benchmarks.nested --repetitions 100
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks import report
from benchmarks.games import SHAPES, SimulatedGame, lookup
from cornerstone.analysis import ranks, shapley
from cornerstone.estimators import AdjustedEstimator, TruncatedEstimator
from cornerstone.estimators.nested import BLOCK, NestedGame, dealt
from cornerstone.game.players import Player, alike, players_of

PLAYERS = 8
BUDGET = 120
REPLICATES = 5
"""Of the crossed design."""
MOST = 20
"""Samples of the nested design; with fewer documents as many as there are blocks."""
LEVEL = 0.95
GAMES = ("gated", "redundant", "near-chance")
ESTIMATORS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "permutation": (TruncatedEstimator, {"kind": "truncated-permutation", "removed": PLAYERS}),
    "adjusted-msr": (AdjustedEstimator, {"kind": "adjusted-msr"}),
}
"""Permutations are truncated ones that are not cut off: shapiq's are the same, but slower."""


def known(players: tuple[Player, ...], scores: np.ndarray, entry: Any, seed: int) -> NestedGame:
    """The game of documents as a run with a nested design leaves it: coalitions where they are needed.

    Args:
        players: of the game.
        scores: [D, 2^N] of each document under each coalition.
        entry: the estimator.
        seed: of its coalitions.
    """
    clusters = np.arange(len(scores)).astype(str)
    samples = np.array(dealt(list(clusters), entry.replicates))
    partial: dict[int, np.ndarray] = {}
    for sample, asked in enumerate(entry.samples(players, seed)):
        mine = samples == sample
        for coalition in asked:
            partial.setdefault(coalition, np.full(len(scores), np.nan))[mine] = scores[mine, coalition]
    return NestedGame(players, {}, clusters, np.arange(len(scores)), samples, partial)


def measure(
    repetitions: int,
    documents: Sequence[int],
    games: Sequence[str] = GAMES,
    kinds: Sequence[str] = tuple(ESTIMATORS),
    budget: int = BUDGET,
    seed: int = 0,
) -> pd.DataFrame:
    """A row per game, estimator and number of documents.

    Returns:
        `gain`: mean squared error of the crossed design over that of the nested one; `claimed`: what standard errors
        say of that, squared, over what it is; `coverage` of the nested design's
        intervals, and of the three highest true values (`top_three`), with Monte-Carlo error `coverage_se`.
    """
    work = [(SHAPES[game](PLAYERS), kind, count) for game in games for kind in kinds for count in documents]
    return pd.DataFrame([_row(game, kind, count, budget, repetitions, seed) for game, kind, count in tqdm(work)])


def _row(game: SimulatedGame, kind: str, documents: int, budget: int, repetitions: int, seed: int) -> dict[str, Any]:
    players, (make, settings) = players_of(alike(PLAYERS // 2)), ESTIMATORS[kind]
    samples = min(MOST, -(-documents // BLOCK))
    crossed = make(**settings, budget=budget, replicates=REPLICATES)
    nested = make(**settings, budget=budget, replicates=samples, design="nested")
    rng, truth = np.random.default_rng([seed, documents]), game.shapley
    errors: dict[str, list[np.ndarray]] = {"crossed": [], "nested": []}
    held, claimed = [], []
    for repetition in range(repetitions):
        scores = game.draw(rng, documents)[0]
        both = {"crossed": (crossed, lookup(players, scores))}
        both["nested"] = (nested, known(players, scores, nested, repetition))
        for design, (entry, table) in both.items():
            values = entry.estimate({"task": table}, repetition, 0)["task"]
            found = ranks.estimates({"task": shapley.sample(values, table)}, LEVEL)["task"]
            errors[design].append(found.value - truth)
            if design == "nested":
                held.append((found.low <= truth) & (truth <= found.high))
                claimed.append(np.square(found.se).mean())
    hits, squares = np.array(held), {design: np.square(part).mean() for design, part in errors.items()}
    return {
        "game": game.name,
        "estimator": kind,
        "documents": documents,
        "samples": samples,
        "gain": squares["crossed"] / squares["nested"],
        "claimed": np.mean(claimed) / squares["nested"],
        "coverage": hits.mean(),
        "top_three": hits[:, np.argsort(-truth)[:3]].mean(),
        "coverage_se": hits.mean(axis=1).std(ddof=1) / np.sqrt(repetitions),
    }


def text(frame: pd.DataFrame, origin: str) -> str:
    """The Markdown file."""
    shares = ["coverage", "top_three", "coverage_se"]
    shown = frame.assign(**{name: 100 * frame[name] for name in shares})
    formats = dict.fromkeys(shares, ".1f") | {"gain": ".2f", "claimed": ".2f", "documents": ",.0f"}
    return (
        "# Nested against crossed designs\n\n"
        f"{origin}\n`gain`: mean squared error of the crossed design over that of the nested one, for the same "
        "coalitions on each document. `claimed`: the square of the nested design's standard errors over its mean "
        "squared error. Coverage of the nested design's 95 % intervals, in percent: mean over players, "
        "of the three highest true values, and Monte-Carlo error of the first.\n\n"
        f"{report.markdown(shown, formats)}"
    )


def main() -> None:
    """Run the benchmark and write its file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--documents", type=int, nargs="+", default=[96, 320, 1000])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=report.RESULTS)
    chosen = parser.parse_args()
    frame = measure(chosen.repetitions, chosen.documents, seed=chosen.seed)
    settings = {"players": PLAYERS, "budget": BUDGET, "repetitions": chosen.repetitions, "seed": chosen.seed}
    report.write(chosen.results, "nested", frame, text(frame, report.origin(settings)))


if __name__ == "__main__":
    main()
