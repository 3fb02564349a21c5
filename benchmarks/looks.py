"""Running until it is settled: how often that is wrong, how soon it ends, and whether intervals still cover.

The worlds of `benchmarks.worlds` (60 players, six tasks), estimated with windows, and one in which all layers are
equal (twelve layers or two, two tasks), so that whatever is settled is wrong. Looks begin with 24 documents a task and
double.

    python -m benchmarks.looks --repetitions 10
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks import report
from benchmarks.worlds import TASKS, Drawn, World
from cornerstone.analysis import looks, ranks, shapley
from cornerstone.analysis.ranks import Sample
from cornerstone.config.looks import Look, Until
from cornerstone.estimators.values import Values
from cornerstone.game.game import MEAN
from cornerstone.present.findings import filled

LEVEL, START, MOST = 0.95, 24, 768
FIXED = 500
"""Documents of each task that a study without looks would take."""
EQUAL: Mapping[str, int] = {"equal, 12 layers": 12, "equal, 2 layers": 2}
"""Worlds without any difference between layers: what documents say of each is drawn from one distribution."""
MORE = 30
"""Times as many repetitions of these, which are quick."""
GOALS: Mapping[str, tuple[str, ...]] = {
    "sparse": ("top3", "0.01"),
    "collapse": ("top3", "0.01"),
    "smooth": ("0.01",),
    **dict.fromkeys(EQUAL, ("top1", "0.045")),
}
"""What is asked for in which world: the highest layers, or a half-width. Smooth has no top three that stand out: that
never ends, and takes long to show."""

PAGE = report.RESULTS.parents[1] / "docs" / "how-to" / "until-settled.md"
WORLDS = {
    "sparse": "three layers stand out",
    "collapse": "the model collapses without a quarter of its layers",
    "smooth": "values fall evenly",
    **{name: f"{name.split()[1]} equal layers" for name in EQUAL},
}
"""The worlds in words."""

Draw = Callable[[np.random.Generator], dict[str, Sample]]


def world(name: str) -> tuple[Draw, np.ndarray]:
    """How `MOST` documents of each task are drawn from a world, and the true values of its players, mean over tasks."""
    if name in EQUAL:
        return partial(_equal, EQUAL[name]), np.zeros(EQUAL[name])
    found = World(name)
    entry = found.config.headline

    def draw(rng: np.random.Generator) -> dict[str, Sample]:
        games = {task: Drawn(found, task, MOST, rng).score(found.coalitions) for task in TASKS}
        return {task: shapley.sample(entry.estimate({task: game}, 0, 0)[task], game) for task, game in games.items()}

    truth = [entry.estimate({task: game}, 0, 0)[task].documents[0] for task, game in found.population.items()]
    return draw, np.mean(truth, axis=0)


def _equal(players: int, rng: np.random.Generator) -> dict[str, Sample]:
    """Of each layer, one document in ten says 1 and one in ten -1; whether it says anything is partly common to all."""
    found = {}
    for task in TASKS[:2]:
        moved = 0.6 * rng.normal(size=(MOST, 1)) + 0.8 * rng.normal(size=(MOST, players)) > 0.84
        values = moved * rng.choice([-1.0, 1.0], (MOST, players))
        found[task] = Sample(Values(values), np.arange(MOST).astype(str))
    return found


def first(samples: Mapping[str, Sample], documents: int) -> dict[str, Sample]:
    """The same on the first documents of each task."""
    chosen = np.arange(documents)
    return {task: sample.of(sample.values, chosen) for task, sample in samples.items()}


def stopped(draw: Draw, truth: np.ndarray, until: Until, rng: np.random.Generator) -> dict[str, Any]:
    """One run: where it ends, whether it is settled, wrongly so, and which share of its last intervals holds the truth.

    `unspent`: whether it would have settled wrongly had every look had the whole error rate.
    """
    samples, look, unspent = draw(rng), Look(1, START), False
    highest = set(np.argsort(-truth)[: until.top or 0]) if np.ptp(truth) else set()
    names = [str(player) for player in range(len(truth))]
    while True:
        there = first(samples, look.documents)
        if until.top:
            p = ranks.among_top(ranks.pairwise(there, LEVEL)[MEAN], until.top)
            unspent |= bool((p <= 1 - LEVEL).sum() == until.top and not set(np.flatnonzero(p <= 1 - LEVEL)) <= highest)
            chosen = np.flatnonzero(p <= look.spent(LEVEL))
            settled = len(chosen) == until.top
        else:
            said = looks.of_samples(there, names, until, look, LEVEL)
            settled, chosen = said["settled"], np.zeros(0, int)
        if settled or look.documents >= until.at_most:
            break
        look = look.next(until.at_most)
    estimate = ranks.estimates(there, LEVEL)[MEAN]
    return {
        "settled": settled,
        "wrong": bool(settled and until.top and not set(chosen) <= highest),
        "unspent": unspent,
        "documents": look.documents,
        "covered": float(((estimate.low <= truth) & (truth <= estimate.high)).mean()),
    }


def measure(repetitions: int, names: Sequence[str] = tuple(GOALS), seed: int = 0) -> pd.DataFrame:
    """A row per world and goal.

    Returns:
        `runs`; of them the shares `settled`, `wrong` (settled on a layer that is none of the highest) and `unspent`
        (wrong had every look had the whole error rate); `documents`: mean number at the end, `fewer`: than `FIXED`, in
        times; `covered`: share of the layers whose last interval holds the truth.
    """
    rows = []
    for name in names:
        draw, truth = world(name)
        count = repetitions * (MORE if name in EQUAL else 1)
        for goal in GOALS[name]:
            asked = {"settled": goal} if goal.startswith("top") else {"half_width": float(goal)}
            until = Until.model_validate({**asked, "at_most": MOST})
            runs = [
                stopped(draw, truth, until, np.random.default_rng([seed, repetition]))
                for repetition in tqdm(range(count), desc=f"{name} {goal}", leave=False)
            ]
            means = pd.DataFrame(runs).mean().to_dict()
            rows.append({"world": name, "until": goal, "runs": count, **means, "fewer": FIXED / means["documents"]})
    return pd.DataFrame(rows)


def text(frame: pd.DataFrame, origin: str) -> str:
    """The Markdown file."""
    shares = ["settled", "wrong", "unspent", "covered"]
    shown = frame.assign(**{name: 100 * frame[name] for name in shares})
    formats = dict.fromkeys(shares, ".1f") | {"documents": ",.0f", "fewer": ".1f"}
    return (
        f"# Run until it is settled\n\n{origin}\nLooks at {START}, {2 * START}, ... {MOST} documents of each task; "
        f"{LEVEL:.0%} over all looks. `until`: the top layers, or a half-width. Shares are percent of the runs. "
        "`wrong`: settled on a layer that is none of the highest (where all are equal, any). `unspent`: the same, had "
        "every look had the whole error rate. `documents`: mean at the end; `fewer`: times fewer than "
        f"{FIXED}. `covered`: percent of the layers whose interval at the end holds the true value.\n\n"
        + report.markdown(shown, formats)
    )


def page(before: str, frame: pd.DataFrame) -> str:
    """The page of the documentation with the table of what was measured.

    Args:
        before: the page as it is.
        frame: what `measure` returned, or its CSV file.
    """
    said = {"settled": "settled, %", "wrong": "wrongly, %", "unspent": "wrongly if every look had 5 %, %"}
    shown = pd.DataFrame({"world": frame["world"].map(WORLDS)})
    tops = frame["until"].str.startswith("top")
    goals = zip(frame["until"], tops, strict=True)
    shown["asked for"] = [f"`{goal}`" if top else f"`half_width: {goal}`" for goal, top in goals]
    shown["runs"] = frame["runs"]
    for column, name in said.items():
        shown[name] = 100 * frame[column]
        if column != "settled":  # a half-width can't be wrong
            shown.loc[~tops, name] = np.nan
    shown["documents, mean"] = frame["documents"]
    shown["intervals that hold the truth at the end, %"] = 100 * frame["covered"]
    formats = dict.fromkeys(shown.columns[3:], ".1f") | {"documents, mean": ",.0f"}
    return filled(before, {"looks": report.markdown(shown, formats).rstrip()})


def main() -> None:
    """Run the benchmark and write its file, and the page of the documentation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=report.RESULTS)
    chosen = parser.parse_args()
    frame = report.rounded(measure(chosen.repetitions, seed=chosen.seed))
    settings = {"repetitions": chosen.repetitions, "seed": chosen.seed}
    report.write(chosen.results, "looks", frame, text(frame, report.origin(settings)))
    if chosen.results == report.RESULTS:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), frame), encoding="utf-8")


if __name__ == "__main__":
    main()
