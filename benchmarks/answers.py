"""What an answer costs: sublayer evaluations x documents until it is there, by estimator and design.

Two answers are asked for: *top three* (each of the three highest layers is confirmed to be among the three highest) and
*one point* (no layer's interval is wider than one point to either side), of the mean over six tasks of accuracy.

The ways to it, on the games of `benchmarks.worlds` (60 players, six tasks), whose truth is known:

- *the paper's way*: all windows with K = 4, each coalition evaluated by itself, on about 1,000 documents of each task;
- *windows, swept*: the same coalitions and documents, what coalitions share being evaluated once;
- *windows, until settled*: the same on 32 documents of each task, then twice as many, until the answer is there;
- *nested permutations, until settled*: each block of 16 documents has a random permutation of its own;
- *nested adjusted-msr, until settled*: each block has the fewest coalitions that adjusted-msr takes.

Where there are looks, they share out the error rate as `until` does (`cornerstone.config.looks.Look.spent`). From a
finished run of a real model (an argument), `cornerstone.analysis.power` says how many documents the same windows would
take.

    python -m benchmarks.answers --repetitions 20
    python -m benchmarks.answers --repetitions 20 --real smollm2-135m --configs config.yaml studies/models.yaml
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks import plots, report
from benchmarks.worlds import LARGEST, TASKS, WORLDS, Drawn, World
from cornerstone.analysis import ranks
from cornerstone.analysis.ranks import CHOSEN, Sample
from cornerstone.config.looks import Look
from cornerstone.estimators import AdjustedEstimator, TruncatedEstimator, window
from cornerstone.estimators.values import Values
from cornerstone.game.game import MEAN, Game
from cornerstone.game.players import Player
from cornerstone.game.work import evaluations
from cornerstone.present.findings import filled

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks" / "answers.md"
FIGURE = ROOT / "docs" / "figures" / "answers.png"
LEVEL, WIDTH = 0.95, 0.01
PRECISE = 8_000
BLOCK = 16
LOOKS = (32, 64, 128, 256, 512, 1008)
"""Documents of each task at which it is looked; the last is what the ways without looks take."""
TOP, POINT = "top three", "one point"
PAPER, SWEPT, WINDOWS = "the paper's way", "windows, swept", "windows, until settled"
PERMUTATIONS, ADJUSTED = "nested permutations, until settled", "nested adjusted-msr, until settled"
WAYS = (PAPER, SWEPT, WINDOWS, PERMUTATIONS, ADJUSTED)
FIXED = (PAPER, SWEPT)


def nested(way: str, players: tuple[Player, ...]) -> Any:
    """The estimator that each block of documents has for itself."""
    if way == ADJUSTED:
        least = AdjustedEstimator(kind="adjusted-msr", budget=10**6, replicates=AdjustedEstimator.folds)
        return least.model_copy(update={"budget": least.replicates * least.least_budget(len(players))})
    one = TruncatedEstimator(kind="truncated-permutation", removed=len(players), budget=10**6, replicates=2)
    return one.model_copy(update={"budget": one.least_budget(len(players)), "replicates": 1})


@lru_cache
def per_document(way: str, world: World) -> float:
    """Sublayer evaluations on a document of a task; of a way that draws coalitions, the mean of some draws."""
    if way == PAPER:
        return float(sum(mask.bit_count() for mask in world.coalitions))
    if way in (SWEPT, WINDOWS):
        return float(evaluations(world.coalitions, world.players))
    entry = nested(way, world.players)
    return float(np.mean([evaluations(entry.coalitions(world.players, seed), world.players) for seed in range(3)]))


def grown(way: str, world: World, rng: np.random.Generator) -> Iterator[dict[str, Sample]]:
    """What is known at each look: the first documents are those of the look before."""
    if way in (*FIXED, WINDOWS):
        games = {task: Drawn(world, task, LOOKS[-1], rng).score(world.coalitions) for task in TASKS}
        rows = {task: window.estimate(game, LARGEST) for task, game in games.items()}
        for documents in LOOKS[-1:] if way in FIXED else LOOKS:
            labels = np.arange(documents).astype(str)
            yield {task: Sample(Values(found[:documents]), labels) for task, found in rows.items()}
        return
    entry = nested(way, world.players)
    blocks: dict[str, list[np.ndarray]] = {task: [] for task in TASKS}
    for documents in LOOKS:
        for task, found in blocks.items():
            while len(found) * BLOCK < documents:
                seed = int(rng.integers(2**31))
                game = Drawn(world, task, BLOCK, rng).score(entry.coalitions(world.players, seed))
                found.append(entry.estimate({0: game}, seed, 0)[0].documents)
        labels = np.repeat(np.arange(documents // BLOCK), BLOCK).astype(str)
        yield {task: Sample(Values(np.concatenate(found), clusters=labels), labels) for task, found in blocks.items()}


def answered(samples: Mapping[str, Sample], level: float) -> tuple[dict[str, bool], np.ndarray]:
    """Which answers are there, and the three highest layers.

    That each of the three is among the three highest is `ranks.among_top`, with Bonferroni's adjustment over all layers
    in place of Holm's.
    """
    found = ranks.estimates(samples, level)[MEAN]
    count = len(found.value)
    top = np.argsort(-found.value, kind="stable")[:CHOSEN]
    weights = np.concatenate([np.eye(count)[:, [one]] - np.delete(np.eye(count), one, axis=1) for one in top], axis=1)
    above = ranks.estimates(samples, level, weights)[MEAN].p_above().reshape(CHOSEN, count - 1)
    p = count * CHOSEN * np.sort(above, axis=1)[:, count - CHOSEN - 1]
    half = (found.high - found.low) / 2
    return {TOP: bool((p <= 1 - level).all()), POINT: bool(half.max() <= WIDTH)}, top


def runs(name: str, way: str, repetitions: int, goals: Sequence[str], seed: int = 0) -> list[dict[str, Any]]:
    """Rows of one way in one world: `documents` of each task that an answer took (no number where it was not reached),
    `evaluations` x documents spent, whether the three highest are the `right` ones, and the share of the 95 % intervals
    that then `held` the truth."""
    world = World(name)
    true = truth(name, way)
    looks = 1 if way in FIXED else len(LOOKS)
    rows = []
    for repetition in range(repetitions):
        rng = np.random.default_rng([seed, repetition])
        open_goals, spent = list(goals), LOOKS[-1]
        for number, samples in enumerate(grown(way, world, rng), 1):
            documents = LOOKS[number - 1 - looks]
            there, top = answered(samples, LEVEL if way in FIXED else 1 - Look(number, documents).spent(LEVEL))
            now = ranks.estimates(samples, LEVEL)[MEAN]
            held = float(((now.low <= true) & (true <= now.high)).mean())
            for goal in [goal for goal in open_goals if there[goal] or documents == spent]:
                open_goals.remove(goal)
                rows.append(
                    {
                        "world": name,
                        "answer": goal,
                        "way": way,
                        "run": repetition,
                        "documents": documents if there[goal] else np.nan,
                        "evaluations": per_document(way, world) * len(TASKS) * documents,
                        "right": set(top.tolist()) == set(np.argsort(-true, kind="stable")[:CHOSEN].tolist()),
                        "held": held,
                    }
                )
            if not open_goals:
                break
    return rows


@lru_cache
def truth(name: str, way: str) -> np.ndarray:
    """[N] what a way estimates, mean over tasks, of v itself: the windows' quantity, or Shapley values.

    The latter by adjusted-msr without noise of documents, from `PRECISE` coalitions of each task.
    """
    world, found = World(name), []
    if way not in (PERMUTATIONS, ADJUSTED):
        return np.mean([window.estimate(game, LARGEST)[0] for game in world.population.values()], axis=0)
    if way == ADJUSTED:
        return truth(name, PERMUTATIONS)
    entry = AdjustedEstimator(kind="adjusted-msr", budget=PRECISE, replicates=10)
    for seed, task in enumerate(TASKS):
        asked = entry.coalitions(world.players, seed)
        table = dict(zip(asked, world.values(task, asked)[:, None], strict=True))
        game = Game(world.players, table, np.zeros(1, int), np.zeros(1, int))
        found.append(entry.estimate({0: game}, seed, 0)[0].documents[0])
    return np.mean(found, axis=0)


def measure(repetitions: int, worlds: Sequence[str] = tuple(WORLDS), ways: Sequence[str] = WAYS) -> pd.DataFrame:
    """All rows; where no layer stands out (`smooth`), the top three are not asked for."""
    rows = []
    for name, way in tqdm([(name, way) for name in worlds for way in ways]):
        rows += runs(name, way, repetitions, [POINT] if name == "smooth" else [TOP, POINT])
    return pd.DataFrame(rows)


def speeds(performance: pd.DataFrame) -> dict[str, float]:
    """Seconds of an evaluation of one document: by the sweep, and by the paper's way (P1).

    From benchmarks/results/performance.csv, whose tasks have 100 documents each.
    """
    world = World(next(iter(WORLDS)))
    documents = 100 * len(performance)
    return {
        SWEPT: performance["sweep_s"].sum() / per_document(SWEPT, world) / documents,
        PAPER: performance["p1_s"].sum() / per_document(PAPER, world) / documents,
    }


def table(frame: pd.DataFrame, performance: pd.DataFrame) -> pd.DataFrame:
    """A row for each world, answer and way: means over runs of what was spent, whether they got there or not."""
    seconds = speeds(performance)
    rows = []
    for (world, answer), part in frame.groupby(["world", "answer"], sort=False):
        spent = part.groupby("way")["evaluations"].mean()
        for way in (way for way in WAYS if way in spent.index):
            own = part[part["way"] == way]
            rows.append(
                {
                    "world": world,
                    "answer": answer,
                    "way": way,
                    "reached": f"{own['documents'].notna().sum()} of {len(own)}",
                    "documents a task": own["documents"].median(),
                    "million evaluations": spent[way] / 1e6,
                    "times less": spent[PAPER] / spent[way] if own["documents"].notna().all() else np.nan,
                    "hours": spent[way] * seconds[PAPER if way == PAPER else SWEPT] / 3600,
                    "right three": f"{own['right'].sum()} of {len(own)}" if answer == TOP else "",
                    "intervals that held (%)": 100 * own["held"].mean(),
                }
            )
    return pd.DataFrame(rows)


FORMATS = {"documents a task": ".0f", "million evaluations": ".1f", "times less": ".1f", "hours": ".1f"}
FORMATS["intervals that held (%)"] = ".1f"


def real(model: str, configs: Sequence[Path]) -> pd.DataFrame:
    """Documents that windows take on a real model, foretold from a finished run: a row for each value function.

    Returns:
        `top_plug_in`: for the top three, if the differences are those of the run; `top_low`, `top_high`: where they are
        drawn from what a prior makes of them (`power.RANGE`); `width`: for a half-width of a point of accuracy, or a
        tenth of a standard deviation; and the `evaluations` on a document.
    """
    from cornerstone.analysis import games, power, shapley
    from cornerstone.config.config import load_files
    from cornerstone.plan.layout import Layout

    config = load_files(list(configs))
    paths = [Path(Layout(config).values(model, task)) for task in config.scored_tasks]
    players = config.models[model].all_players()
    rows = []
    for function in config.functions:
        tables = games.read_all(config, model, paths, function)
        found = shapley.samples(config, config.headline, {function: tables})[function]
        pilot = power.Pilot.of(found)
        drawn = [pilot.documents_for_top(values, CHOSEN, LEVEL) for values in pilot.draws(config.seed)]
        low, high = np.quantile(drawn, power.RANGE)
        within = power.POINT if function == "accuracy" else power.SHARE
        rows.append(
            {
                "model": model,
                "value function": function,
                "pilot": pilot.documents,
                "top_plug_in": pilot.documents_for_top(pilot.values, CHOSEN, LEVEL),
                "top_low": low,
                "top_high": high,
                "width": pilot.documents_within(within, LEVEL).max(),
                "evaluations": evaluations(config.headline.coalitions(players, config.seed), players),
            }
        )
    return pd.DataFrame(rows)


def words(frame: pd.DataFrame, performance: pd.DataFrame, found: pd.DataFrame | None) -> str:
    """Tables for the documentation."""
    shown = table(frame, performance)
    text = report.markdown(shown, FORMATS) + "\n"
    for way in WAYS[1:]:
        own = shown.loc[shown["way"] == way, "times less"]
        there = own.dropna()
        fewer = " to ".join(dict.fromkeys(f"{each:.1f}" for each in (there.min(), there.max())))
        factors = f": {fewer} times fewer evaluations than the paper's way" * bool(len(there))
        text += f"- *{way}* got to {len(there)} of {len(own)} answers in every run{factors}.\n"
    if found is not None:
        shown = found.drop(columns="evaluations").rename(
            columns={
                "pilot": "documents of the run",
                "top_plug_in": "top three, as measured",
                "top_low": "top three, shrunken, from",
                "top_high": "to",
                "width": "half-width",
            }
        )
        text += "\nReal models, documents of each task that windows would take:\n\n"
        text += report.markdown(shown, dict.fromkeys(shown.columns[2:], ",.0f"))
    return text


def page(text: str, body: str) -> str:
    """The page of the documentation with other tables between its two marks."""
    return filled(text, {"answers": body.rstrip()})


def stored(name: str) -> pd.DataFrame | None:
    """A table among the results; None where it was not made."""
    path = report.RESULTS / f"{name}.csv"
    return pd.read_csv(path) if path.exists() else None


def main() -> None:
    """Run it; write benchmarks/results/answers.{csv,md}, the figure and the page of the documentation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS), choices=list(WORLDS))
    parser.add_argument("--real", nargs="*", default=[], help="models of a finished run")
    parser.add_argument("--configs", nargs="+", type=Path, default=[ROOT / "config.yaml"])
    chosen = parser.parse_args()
    performance = stored("performance")
    assert performance is not None
    if chosen.real:
        found = pd.concat([real(model, chosen.configs) for model in chosen.real], ignore_index=True)
        report.write(
            report.RESULTS, "answers_real", found, "# Documents that real models take\n\n" + report.markdown(found, {})
        )
    frame = report.rounded(measure(chosen.repetitions, chosen.worlds))
    body = words(frame, performance, stored("answers_real"))
    origin = report.origin({"repetitions": chosen.repetitions, "level": LEVEL, "looks": LOOKS})
    report.write(report.RESULTS, "answers", frame, f"# What an answer costs\n\n{origin}\n{body}")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), body), encoding="utf-8")
    plots.save(plots.answers(table(frame, performance)), FIGURE)


if __name__ == "__main__":
    main()
