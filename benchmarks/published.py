"""How often what is published holds the truth: `make bench-coverage`.

60 players, six tasks, the window estimator with K = 4: the tables that a run writes, made by the same functions from
simulated documents whose truth is known. A document is right under a coalition S with the probability v(S); most of
what decides it is common to all coalitions. The truth of each quantity is what it is for v itself (so the estimator's
own quantity, without its bias). Where the data choose (which three are on top, in which order players go), it is the
truth of what was chosen.

A second table holds estimators that sample coalitions, which `benchmarks.coverage` looks at on one task: the mean over
six tasks, each with coalitions of its own, and what it would be if all tasks had the same.

    python -m benchmarks.published --repetitions 100
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from tqdm import tqdm

from benchmarks import coverage, report
from benchmarks.games import SHAPES
from cornerstone.analysis import deletion, interactions, intervals, ranks, shapley, shares
from cornerstone.config.config import Config, load
from cornerstone.estimators import ablation, truncated, window
from cornerstone.estimators import interactions as pairwise
from cornerstone.game.coalitions import window_coalitions
from cornerstone.game.game import MEAN, Game
from cornerstone.game.players import alike, players_of
from cornerstone.plan.plan import union

TASKS = tuple(f"task{number}" for number in range(6))
LEVEL = 0.95
DOCUMENTS = (24, 100, 1000)
LARGEST = 4
CONSISTENCY = 0.9
"""Share of the variance of what decides a document's answers that is common to all coalitions."""
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "coverage.md"
BEGIN, END = "<!-- published: begin -->", "<!-- published: end -->"

FOUND = "cornerstones found, of three"
SAMPLED = "sampled"
MORE = 4

Value = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""v(S) of kept players [M, N] and the players' weights [N]: [M]."""


def sparse(kept: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Three players matter much, all others little, and neighbours can partly stand in for each other."""
    lost = ~kept * weights
    together = np.minimum(lost[:, :-1], lost[:, 1:]).sum(axis=1)
    return np.clip(0.75 - lost.sum(axis=1) - 0.5 * together, 0.25, 1)


def collapse(kept: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """At chance when about a quarter of the players is gone, sooner if one of the three heavy ones is."""
    lost = (~kept * weights).sum(axis=1)
    return 0.25 + 0.5 / (1 + np.exp((lost - 0.14) / 0.03))


def smooth(kept: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """No cornerstones: what players add falls evenly from the first to the last."""
    return 0.25 + (kept * weights).sum(axis=1)


WORLDS: Mapping[str, tuple[Value, np.ndarray]] = {
    "sparse": (sparse, np.r_[[0.08, 0.07], np.linspace(0.006, 0.001, 57), [0.06]]),
    "collapse": (collapse, np.r_[[0.08, 0.07], np.linspace(0.012, 0.006, 57), [0.06]]),
    "smooth": (smooth, np.linspace(0.015, 0.002, 60)),
}
"""Games of 60 players: v, and the weights of which each task's differ at random by a factor of about 1.3."""


@dataclass(frozen=True)
class World:
    """A game on six tasks."""

    name: str

    @cached_property
    def config(self) -> Config:
        """The default study's estimator, on tasks of this world."""
        model = {"source": "folder", "id": "simulated", "blocks": len(WORLDS[self.name][1]) // 2}
        return load(
            {
                "run": ["simulated"],
                "run_tasks": list(TASKS),
                "tasks": {task: {"metric": "acc"} for task in TASKS},
                "models": {"simulated": model},
                "estimators": [{"kind": "window", "removed": LARGEST}],
                "deletion": {"share": 0.3, "points": 1, "orders": ["shapley", deletion.DEPTH]},
            }
        )

    @cached_property
    def players(self) -> tuple[Any, ...]:
        """The players."""
        return self.config.models["simulated"].all_players()

    @cached_property
    def weights(self) -> dict[str, np.ndarray]:
        """[N] of each task."""
        rng, plain = np.random.default_rng(1), WORLDS[self.name][1]
        return {task: plain * np.exp(rng.normal(0, 0.25, len(plain))) for task in TASKS}

    def values(self, task: str, coalitions: Sequence[int]) -> np.ndarray:
        """[M] v(S)."""
        kept = np.array([[c >> i & 1 for i in range(len(self.players))] for c in coalitions], bool)
        found: np.ndarray = np.clip(WORLDS[self.name][0](kept, self.weights[task]), 0, 1)
        return found

    @cached_property
    def coalitions(self) -> list[int]:
        """Those of the plan."""
        return union(self.players, [window_coalitions(self.players, LARGEST)])

    @cached_property
    def population(self) -> dict[str, Game]:
        """The game of v(S) on each task, as one document without noise."""
        found = {}
        for task in TASKS:
            values = dict(zip(self.coalitions, self.values(task, self.coalitions)[:, None], strict=True))
            found[task] = Game(self.players, values, np.zeros(1, int), np.zeros(1, int))
        return found


class Drawn:
    """Documents of a task, right or wrong under whatever coalition is asked for."""

    def __init__(self, world: World, task: str, documents: int, rng: np.random.Generator) -> None:
        self._world, self._task, self._rng = world, task, rng
        self._common = np.sqrt(CONSISTENCY) * rng.standard_normal(documents)
        labels = np.arange(documents)
        self.game = Game(world.players, {}, labels.astype(str), labels)

    def score(self, coalitions: Iterable[int]) -> Game:
        """The game with the scores of these coalitions, too."""
        new = [c for c in dict.fromkeys(coalitions) if c not in self.game.values]
        if new:
            thresholds = stats.norm.ppf(self._world.values(self._task, new))
            own = np.sqrt(1 - CONSISTENCY) * self._rng.standard_normal((len(new), len(self._common)))
            right = (self._common + own < thresholds[:, None]).astype(np.float64)
            self.game.values.update(zip(new, right, strict=True))
        return self.game


def once(world: World, documents: int, rng: np.random.Generator) -> dict[str, float]:
    """One run: for each published quantity the share of its intervals that hold the truth, or whether it is wrong."""
    config, (entry,) = world.config, world.config.estimators
    drawn = {task: Drawn(world, task, documents, rng) for task in TASKS}
    games = {task: each.score(world.coalitions) for task, each in drawn.items()}
    found = shapley.samples(config, entry, {"accuracy": games})["accuracy"]
    values = shapley.shapley(config, "simulated", entry, found, games)
    table = shapley.cornerstones(config, values, found, "simulated")
    drops = shapley.ablations(config, "simulated", games)
    true_values = _means({task: window.estimate(game, LARGEST)[0] for task, game in world.population.items()})
    true_drops = _means({task: ablation.estimate(game)[0] for task, game in world.population.items()})
    held = {
        "values of a task": _held(values[values["task"] != MEAN], true_values),
        "values, mean over tasks": _held(values[values["task"] == MEAN], true_values),
        "drops, mean over tasks": _held(drops[drops["task"] == MEAN], true_drops),
        "interactions, mean over tasks": _interactions(world, games),
        **_ranks(values[values["task"] == MEAN], table, true_values[MEAN]),
        **_tables(games, found, table, true_values, true_drops),
        "deletion: least important less last": _deletion(world, drawn, found),
    }
    return held


def _means(parts: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {**parts, MEAN: np.mean(list(parts.values()), axis=0)}


def _held(rows: pd.DataFrame, truth: Mapping[str, np.ndarray]) -> float:
    """The share of the intervals that hold the truth; rows stand in the order of the players."""
    true = np.concatenate([truth[task] for task in rows["task"].unique()])
    return float(((rows["low"] <= true) & (true <= rows["high"])).mean())


def _interactions(world: World, games: Mapping[str, Game]) -> float:
    pairs, found = interactions.measured(world.config, "simulated", f"windows-k{LARGEST}", games)
    frame = interactions.interactions(world.config, "simulated", "", pairs, found, games)
    truth = {task: pairwise.windows(game, LARGEST)[1].documents[0] for task, game in world.population.items()}
    return _held(frame[frame["task"] == MEAN], _means(truth))


def _ranks(values: pd.DataFrame, table: pd.DataFrame, truth: np.ndarray) -> dict[str, float]:
    true_rank = (-truth).argsort().argsort() + 1
    ranks_held = (values["rank_low"] <= true_rank) & (true_rank <= values["rank_high"])
    names = values["player"].to_numpy()
    top, low = set(names[true_rank <= ranks.CHOSEN]), set(names[truth <= np.median(truth)])
    named, median = (set(table.loc[table[column].astype(bool), "player"]) for column in ("cornerstone", "above_median"))
    chosen = table[table["chosen"].astype(bool)] if table["chosen"].notna().all() else table.iloc[:0]
    by_name = dict(zip(names, truth, strict=True))
    first = table.iloc[: ranks.CHOSEN]
    return {
        "ranks, each player": float(ranks_held.mean()),
        "ranks, all players at once": float(ranks_held.all()),
        "values of the three highest (selected)": _of_players(first, "low", "high", by_name),
        "values of those chosen on the other half": _of_players(chosen, "held_out_low", "held_out_high", by_name),
        "wrong: a cornerstone is not among the three": float(bool(named - top)),
        "wrong: above the median and is not": float(bool(median & low)),
        FOUND: float(len(named & top)),
    }


def _of_players(rows: pd.DataFrame, low: str, high: str, truth: Mapping[str, float]) -> float:
    if rows.empty:
        return float("nan")
    true = rows["player"].map(truth)
    return float(((rows[low] <= true) & (true <= rows[high])).mean())


def _tables(
    games: Mapping[str, Game],
    found: Mapping[str, ranks.Sample],
    table: pd.DataFrame,
    true_values: Mapping[str, np.ndarray],
    true_drops: Mapping[str, np.ndarray],
) -> dict[str, float]:
    names = [player.name for player in next(iter(games.values())).players]
    top = table["player"].iloc[: ranks.CHOSEN].tolist()
    places = [names.index(name) for name in top]
    positive = {task: np.clip(true_values[task], 0, None) for task in games}
    share = 100 * float(np.mean([rows[places].sum() / rows.sum() for rows in positive.values()]))
    documents = {task: sample.values.documents for task, sample in found.items()}
    row = shares.share(documents, names, "simulated", top, repetitions=200, level=LEVEL).iloc[0]
    ends = sorted([row["share_percent"], row["cross_fitted_percent"]])
    made = shares.mean_drop({t: ablation.estimate(g) for t, g in games.items()}, names, "simulated", top, level=LEVEL)
    others = [place for place in range(len(names)) if place not in places]
    true = [100 * float(true_drops[MEAN][chosen].mean()) for chosen in (places, others)]
    held = (made["low"] <= true) & (true <= made["high"])
    return {
        "Table 1: between plain and cross-fitted share": float(ends[0] <= share <= ends[1]),
        "Table 1: interval": float(row["low"] <= share <= row["high"]) if np.isfinite(row["low"]) else float("nan"),
        "Table 3: drop of the three highest (selected)": float(held.iloc[0]),
        "Table 3: drop of the others": float(held.iloc[1]),
    }


def _deletion(world: World, drawn: Mapping[str, Drawn], found: Mapping[str, ranks.Sample]) -> float:
    config = world.config
    removed = shapley.drops({task: each.game for task, each in drawn.items()})
    table = deletion.orders(config, world.players, {"shapley": found, "ablation": removed})
    points = deletion.deletion_points(config, world.players, table)
    games = {task: each.score(points["coalition"]) for task, each in drawn.items()}
    curves = deletion.deletion_curves(config, "simulated", points, games)
    least, whole = (curves["direction"] == "least") & (curves["order"] == "shapley"), curves["task"] == MEAN
    row = curves[least & whole].sort_values("removed").iloc[-1]
    asked = points[(points["direction"] == "least") & (points["removed"] == row["removed"])].set_index("fold")
    split = ranks.split({task: game.clusters for task, game in games.items()}, config.seed)
    gaps = []
    for task, game in games.items():
        first, second, depth = world.values(task, asked.loc[[*deletion.FOLDS, deletion.ALL], "coalition"].tolist())
        share = 0.5 if split is None else len(split[task][0]) / len(game.documents)
        gaps.append(share * second + (1 - share) * first - depth)  # a document counts under the other half's order
    return float(row["above_depth_low"] <= np.mean(gaps) <= row["above_depth_high"])


def replicates(rng: np.random.Generator) -> np.ndarray:
    """[R, N, 2^N] what random orders of removal, two a replicate, make of the values of 8 players; unbiased."""
    players, budget = players_of(alike(coverage.PLAYERS // 2)), 1 + 2 * coverage.PLAYERS
    found = np.zeros((coverage.REPLICATES, coverage.PLAYERS, 1 << coverage.PLAYERS))
    for matrix in found:
        coalitions, weights = truncated.sample(players, coverage.PLAYERS, budget, rng)
        matrix[:, coalitions] = weights
    return found


def sampled(documents: int, rng: np.random.Generator) -> dict[str, float]:
    """One run of permutation sampling on six tasks of each of three games of 8 players."""
    found: dict[str, float] = {}
    for shape in ("gated", "redundant", "near-chance"):
        game, common = SHAPES[shape](coverage.PLAYERS), replicates(rng)
        parts: dict[str, list[intervals.Estimate]] = {"own": [], "shared": []}
        for _ in TASKS:
            scores, clusters = game.draw(rng, documents)
            for name, matrices in (("own", replicates(rng)), ("shared", common)):
                values = replace(coverage.values(matrices, scores), shared=name == "shared")
                parts[name].append(intervals.of_values(values, clusters, LEVEL))
        naive = [replace(estimate, common=None) for estimate in parts["shared"]]
        whole = {
            "coalitions of each task": intervals.over_tasks(parts["own"], LEVEL),
            "the same on all tasks": intervals.over_tasks(parts["shared"], LEVEL),
            "the same, added as if they were not": intervals.over_tasks(naive, LEVEL),
        }
        for name, each in whole.items():
            held = (each.low <= game.shapley) & (game.shapley <= each.high)
            found[f"{shape}: {name}"] = float(held.mean())
    return found


def _part(work: tuple[str, int, list[int]]) -> dict[str, float]:
    name, documents, seed = work
    rng = np.random.default_rng(seed)
    return sampled(documents, rng) if name == SAMPLED else once(World(name), documents, rng)


def measure(repetitions: int, documents: Sequence[int], seed: int = 0, jobs: int = 1) -> pd.DataFrame:
    """A row per game (and `sampled`, of which there are `MORE` times as many repetitions), quantity and number of
    documents: `share`, `se` (Monte-Carlo), `repetitions`."""
    work = [
        (name, count, [seed, number, count, repetition])
        for number, name in enumerate([*WORLDS, SAMPLED])
        for count in documents
        for repetition in range(repetitions * (MORE if name == SAMPLED else 1))
    ]
    if jobs == 1:
        runs = [_part(each) for each in tqdm(work)]
    else:
        with ProcessPoolExecutor(jobs) as executor:
            runs = list(tqdm(executor.map(_part, work), total=len(work)))
    rows = [
        {"game": name, "documents": count, "quantity": quantity, "share": share}
        for (name, count, _), run in zip(work, runs, strict=True)
        for quantity, share in run.items()
    ]
    grouped = pd.DataFrame(rows).groupby(["game", "quantity", "documents"], sort=False)["share"]
    made = grouped.agg(share="mean", se=lambda x: x.std(ddof=1) / np.sqrt(x.count()), repetitions="count")
    return made.reset_index()


def tables(frame: pd.DataFrame) -> str:
    """Two tables, in percent: what is published of the window estimator, and means over tasks of sampled estimators."""
    parts = []
    for chosen in (frame[frame["game"] != SAMPLED], frame[frame["game"] == SAMPLED]):
        games = [f"{game}, " if game != SAMPLED else "" for game in chosen["game"]]
        factor = np.where(chosen["quantity"] == FOUND, 1, 100)
        shown = chosen.assign(share=factor * chosen["share"])
        shown["column"] = [f"{game}{count:,}" for game, count in zip(games, chosen["documents"], strict=True)]
        wide = shown.pivot(index="quantity", columns="column", values="share")
        wide = wide.loc[shown["quantity"].unique().tolist(), shown["column"].unique().tolist()]
        parts.append(report.markdown(wide.reset_index(), dict.fromkeys(wide.columns, ".1f")))
    return "\n".join(parts)


def text(frame: pd.DataFrame, origin: str) -> str:
    """The Markdown file: the tables, and every number."""
    percent = frame.assign(share=100 * frame["share"], se=100 * frame["se"])
    formats, few = {"share": ".1f", "se": ".1f"}, frame.loc[frame["game"] != SAMPLED, "repetitions"].max()
    return (
        "# Coverage of what is published\n\n"
        f"{origin}\n{few} repetitions of each game and number of documents, {MORE * few} of the second table. In "
        f"percent, nominal 95. Monte-Carlo standard errors are in the third table, up to {percent['se'].max():.1f}.\n\n"
        f"{tables(frame)}\n"
        f"All numbers (percent):\n\n{report.markdown(percent, formats)}"
    )


def page(text: str, frame: pd.DataFrame) -> str:
    """A page with the tables in their place."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{tables(frame)}\n{END}{rest.split(END)[1]}"


def main() -> None:
    """Run the benchmark, write its file, and put the tables into docs/benchmarks/coverage.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=250)
    parser.add_argument("--documents", type=int, nargs="+", default=list(DOCUMENTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--results", type=Path, default=report.RESULTS)
    chosen = parser.parse_args()
    settings = {"players": 60, "tasks": len(TASKS), "repetitions": chosen.repetitions, "level": LEVEL}
    frame = measure(chosen.repetitions, chosen.documents, chosen.seed, chosen.jobs)
    report.write(chosen.results, "published", frame, text(frame, report.origin({**settings, "seed": chosen.seed})))
    if chosen.results == report.RESULTS:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), frame), encoding="utf-8")


if __name__ == "__main__":
    main()
