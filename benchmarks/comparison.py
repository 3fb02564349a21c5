"""How often the intervals of a comparison of two models hold the truth, on simulated values that are known.

The values of the players of two models are given. Each document shows them with noise, of which a part is common to
both models, since they answer the same documents. Reliability is the share of the true values in the variance over
players of what all documents say: what two halves of very many such samples would have in common.

    python -m benchmarks.comparison
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks import report
from cornerstone.analysis import paired, ranks
from cornerstone.analysis.agreement import agreement
from cornerstone.analysis.concentration import CHOSEN, concentration, highest, shares
from cornerstone.analysis.ranks import Sample
from cornerstone.estimators.values import Values

LEVEL = 0.95
TASKS = 6

Made = tuple[np.ndarray, np.ndarray]


def noisy(values: Made, documents: int, noise: float, common: float, rng: np.random.Generator) -> list[Sample]:
    """What an estimator may say of two models on one task: values [N] of each, with normal noise on each document.

    The noise of players that both have at one place correlates with `common`.
    """
    count = max(len(part) for part in values)
    both = rng.standard_normal((documents, count))
    found = []
    for part in values:
        own = rng.standard_normal((documents, count))
        mixed = np.sqrt(common) * both + np.sqrt(1 - common) * own
        scores = part + noise * mixed[:, : len(part)]
        found.append(Sample(Values(scores), np.arange(documents).astype(str), None))
    return found


def correlated(players: int, rho: float, heavy: bool, rng: np.random.Generator) -> Made:
    """True values of two models whose rankings agree so far; heavy: a few players matter much more than the others."""
    first, other = rng.standard_normal((2, players))
    second = rho * first + np.sqrt(1 - rho**2) * other
    if heavy:
        return np.sign(first) * np.abs(first) ** 3, np.sign(second) * np.abs(second) ** 3
    return first, second


def rankings(repetitions: int, documents: int, rng: np.random.Generator) -> pd.DataFrame:
    """Coverage of the true rank correlation, and how far the plain and the corrected one are from it."""
    rows = []
    for heavy in (False, True):
        for reliability in (0.3, 0.6, 0.9, 0.99):
            for rho, common in ((0.0, 0.5), (0.5, 0.5), (0.9, 0.7), (1.0, 0.7)):
                held, wide, plain, corrected, true = [], [], [], [], []
                for _ in range(repetitions):
                    values = correlated(60, rho, heavy, rng)
                    noise = float(np.sqrt(np.var(values) * (1 - reliability) / reliability * documents))
                    first, second = noisy(values, documents, noise, common, rng)
                    found = agreement({"a": first}, {"a": second}, LEVEL, int(rng.integers(1 << 30)), 200)["a"]
                    truth = float(stats.spearmanr(*values).statistic)
                    held.append(found.low - 1e-9 <= truth <= found.high + 1e-9)
                    wide.append(found.high - found.low)
                    true.append(truth)
                    plain.append(found.plain)
                    corrected.append(found.corrected)
                rows.append(
                    {
                        "values": "few large" if heavy else "normal",
                        "reliability": reliability,
                        "true": np.mean(true),
                        "plain": np.mean(plain),
                        "corrected": np.nanmedian(corrected),
                        "coverage": np.mean(held),
                        "width": np.mean(wide),
                    }
                )
    return pd.DataFrame(rows)


WORLDS: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
    "three large": lambda n, rng: np.r_[[0.10, 0.09, 0.08], np.full(n - 3, 0.004)],
    "near chance": lambda n, rng: np.r_[[0.05, 0.045, 0.04], rng.normal(0.003, 0.008, n - 3)],
    "all equal": lambda n, rng: np.full(n, 0.003),
    "falling": lambda n, rng: np.linspace(0.02, 0.001, n),
    "only three": lambda n, rng: np.r_[[0.05, 0.04, 0.03], np.zeros(n - 3)],
}
"""True values of the players, by name."""


def concentrations(repetitions: int, rng: np.random.Generator) -> pd.DataFrame:
    """Coverage of the shares of the top three of 36 and of 60 players, and of their difference."""
    rows = []
    for name, world in WORLDS.items():
        for documents in (24, 100, 1000):
            held, kept, wide, plain, true = [], [], [], [], []
            for _ in range(repetitions):
                values = world(36, rng), world(60, rng)
                drawn = [noisy(values, documents, 0.15, 0.5, rng) for _ in range(TASKS)]
                sides = [{str(t): pair[side] for t, pair in enumerate(drawn)} for side in (0, 1)]
                names = tuple([f"p{i}" for i in range(len(part))] for part in values)
                row = concentration(
                    ("small", "large"),
                    (names[0], names[1]),
                    (sides[0], sides[1]),
                    level=LEVEL,
                    seed=int(rng.integers(1 << 30)),
                    repetitions=200,
                ).iloc[0]
                shown = [100 * float(shares(part[None, None], highest(part).tolist())[0]) for part in values]
                held.append(row["low"] - 1e-9 <= shown[1] - shown[0] <= row["high"] + 1e-9)
                kept.append(row["second_low"] - 1e-9 <= shown[1] <= row["second_high"] + 1e-9)
                wide.append(row["high"] - row["low"])
                plain.append(row["second_share_percent"])
                true.append(shown[1])
            rows.append(
                {
                    "values": name,
                    "documents": documents,
                    "share_true": np.mean(true),
                    "share_plain": np.mean(plain),
                    "coverage_share": np.mean(kept),
                    "coverage_difference": np.mean(held),
                    "width_difference": np.mean(wide),
                }
            )
    return pd.DataFrame(rows)


def differences(repetitions: int, rng: np.random.Generator) -> pd.DataFrame:
    """Coverage of the paired interval of each player's difference, and how often any is wrongly said to differ."""
    rows = []
    for documents in (24, 100, 1000):
        for common in (0.0, 0.5, 0.9):
            held, wrong, narrow = [], [], []
            for _ in range(repetitions):
                base = WORLDS["near chance"](60, rng)
                drawn = [noisy((base, base), documents, 0.15, common, rng) for _ in range(TASKS)]
                samples = {str(t): paired.less(second, first) for t, (first, second) in enumerate(drawn)}
                alone = ranks.estimates({str(t): first for t, (first, _) in enumerate(drawn)}, LEVEL)["mean"]
                found = ranks.estimates(samples, LEVEL)["mean"]
                held.append(np.mean((found.low <= 0) & (found.high >= 0)))
                wrong.append((ranks.holm(paired.two_sided(found)) <= 1 - LEVEL).any())
                narrow.append(np.mean(found.se) / (np.sqrt(2) * np.mean(alone.se)))
            rows.append(
                {
                    "documents": documents,
                    "common": common,
                    "coverage": np.mean(held),
                    "any_wrong": np.mean(wrong),
                    "se_against_unpaired": np.mean(narrow),
                }
            )
    return pd.DataFrame(rows)


def main() -> None:
    """Run the benchmark and write its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--documents", type=int, default=100)
    parser.add_argument("--parts", nargs="+", default=["differences", "rankings", "shares"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=report.RESULTS)
    chosen = parser.parse_args()
    settings = {"repetitions": chosen.repetitions, "documents": chosen.documents, "level": LEVEL, "seed": chosen.seed}
    parts = {
        "differences": partial(differences, chosen.repetitions),
        "rankings": partial(rankings, chosen.repetitions, chosen.documents),
        "shares": partial(concentrations, chosen.repetitions),
    }
    headings = {
        "differences": "Paired differences of the values of 60 players, of which none differs",
        "rankings": "Rank correlation of the true values of 60 players",
        "shares": f"Share of the top {CHOSEN} of 36 and of 60 players, and its difference",
    }
    for part in chosen.parts:
        name, measure = f"comparison_{part}", parts[part]
        frame = measure(np.random.default_rng(chosen.seed))
        formats = dict.fromkeys([c for c in frame.columns if frame[c].dtype == float], ".2f")
        body = f"# {headings[part]}\n\n{report.origin(settings)}\n\n{report.markdown(frame, formats)}"
        report.write(chosen.results, name, frame, body)


if __name__ == "__main__":
    main()
