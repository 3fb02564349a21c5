"""How often what is published holds the truth: `make bench-coverage`.

60 players, six tasks, the window estimator with K = 4: the tables that a run writes, made by the same functions from
simulated documents whose truth is known (`benchmarks.worlds`). The truth of each quantity is what it is for v itself
(so the estimator's own quantity, without its bias). Where the data choose (which three are on top, in which order
players go), it is the truth of what was chosen.

A second table holds estimators that sample coalitions, which `benchmarks.coverage` looks at on one task: the mean over
six tasks, each with coalitions of its own, and what it would be if all tasks had the same.

    python -m benchmarks.published --repetitions 100
    python -m benchmarks.published --repetitions 25 --parts tables
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks import coverage, report
from benchmarks.games import SHAPES
from benchmarks.worlds import LARGEST, TASKS, WORLDS, Drawn, World
from cornerstone.analysis import deletion, interactions, intervals, ranks, shapley, shares
from cornerstone.estimators import ablation, truncated, window
from cornerstone.estimators import interactions as pairwise
from cornerstone.game.game import MEAN, Game
from cornerstone.game.players import alike, players_of

LEVEL = 0.95
DOCUMENTS = (24, 100, 1000)
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "coverage.md"
BEGIN, END = "<!-- published: begin -->", "<!-- published: end -->"

FOUND = "cornerstones found, of three"
SAMPLED = "sampled"
PARTS = ("values", "interactions", "tables", "deletion", SAMPLED)
KEYS = ["game", "quantity", "documents"]
MORE = 4


def once(world: World, documents: int, rng: np.random.Generator, parts: Sequence[str] = PARTS) -> dict[str, float]:
    """One run: for each published quantity the share of its intervals that hold the truth, or whether it is wrong."""
    config, (entry,) = world.config, world.config.estimators
    drawn = {task: Drawn(world, task, documents, rng) for task in TASKS}
    games = {task: each.score(world.coalitions) for task, each in drawn.items()}
    found = shapley.samples(config, entry, {"accuracy": games})["accuracy"]
    values = shapley.shapley(config, "simulated", entry, found, games)
    table = shapley.cornerstones(config, values, found, "simulated")
    true_values = _means({task: window.estimate(game, LARGEST)[0] for task, game in world.population.items()})
    true_drops = _means({task: ablation.estimate(game)[0] for task, game in world.population.items()})
    held: dict[str, float] = {}
    if "values" in parts:
        drops = shapley.ablations(config, "simulated", games)
        held |= {
            "values of a task": _held(values[values["task"] != MEAN], true_values),
            "values, mean over tasks": _held(values[values["task"] == MEAN], true_values),
            "drops, mean over tasks": _held(drops[drops["task"] == MEAN], true_drops),
        }
    if "interactions" in parts:
        held["interactions, mean over tasks"] = _interactions(world, games)
    if "values" in parts:
        held |= _ranks(values[values["task"] == MEAN], table, true_values[MEAN])
    if "tables" in parts:
        held |= _tables(games, found, table, true_values, true_drops)
    if "deletion" in parts:
        held["deletion: least important less last"] = _deletion(world, drawn, found)
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
    row = shares.share(found, names, "simulated", top, selected=True, repetitions=200, level=LEVEL).iloc[0]
    made = shares.mean_drop({t: ablation.estimate(g) for t, g in games.items()}, names, "simulated", top, level=LEVEL)
    others = [place for place in range(len(names)) if place not in places]
    true = [100 * float(true_drops[MEAN][chosen].mean()) for chosen in (places, others)]
    held = (made["low"] <= true) & (true <= made["high"])
    return {
        "Table 1: interval": float(row["low"] <= share <= row["high"]),
        "Table 1: width of the interval, points": (row["high"] - row["low"]) / 100,
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


def _part(work: tuple[str, int, list[int], Sequence[str]]) -> dict[str, float]:
    name, documents, seed, parts = work
    rng = np.random.default_rng(seed)
    return sampled(documents, rng) if name == SAMPLED else once(World(name), documents, rng, parts)


def measure(
    repetitions: int, documents: Sequence[int], seed: int = 0, jobs: int = 1, parts: Sequence[str] = PARTS
) -> pd.DataFrame:
    """A row per game (and `sampled`, of which there are `MORE` times as many repetitions), quantity and number of
    documents: `share`, `se` (Monte-Carlo), `repetitions`."""
    worlds = set(parts) - {SAMPLED}
    work = [
        (name, count, [seed, number, count, repetition], parts)
        for number, name in enumerate([*WORLDS, SAMPLED])
        if (SAMPLED in parts if name == SAMPLED else worlds)
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
        for (name, count, *_), run in zip(work, runs, strict=True)
        for quantity, share in run.items()
    ]
    grouped = pd.DataFrame(rows).groupby(KEYS, sort=False)["share"]
    made = grouped.agg(share="mean", se=lambda x: x.std(ddof=1) / np.sqrt(x.count()), repetitions="count")
    return made.reset_index()


def merged(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """The old rows, measured anew where the new ones say so, and what is new after them."""
    rows = {tuple(row[KEYS]): row for frame in (old, new) for _, row in frame.iterrows()}
    return pd.DataFrame(list(rows.values())).reset_index(drop=True)


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
    formats = {"share": ".1f", "se": ".1f"}
    counts = {name: part["repetitions"] for name, part in frame.groupby(frame["game"] == SAMPLED)}
    said = [" to ".join(f"{each}" for each in sorted({part.min(), part.max()})) for part in counts.values()]
    return (
        "# Coverage of what is published\n\n"
        f"{origin}\n{said[0]} repetitions of each game and number of documents, {said[-1]} of the second table. In "
        "percent, nominal 95. Repetitions and Monte-Carlo standard errors are in the third table, the latter up to "
        f"{percent['se'].max():.1f}.\n\n"
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
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=list(PARTS), help="the others are kept as they are"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--results", type=Path, default=report.RESULTS)
    chosen = parser.parse_args()
    settings: dict[str, object] = {
        "players": 60,
        "tasks": len(TASKS),
        "repetitions": chosen.repetitions,
        "level": LEVEL,
    }
    frame = measure(chosen.repetitions, chosen.documents, chosen.seed, chosen.jobs, chosen.parts)
    if len(chosen.parts) < len(PARTS):
        settings["parts"] = " ".join(chosen.parts)
        frame = merged(pd.read_csv(chosen.results / "published.csv"), frame)
    report.write(chosen.results, "published", frame, text(frame, report.origin({**settings, "seed": chosen.seed})))
    if chosen.results == report.RESULTS:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), frame), encoding="utf-8")


if __name__ == "__main__":
    main()
