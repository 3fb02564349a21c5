"""What a study of few documents finds: `python -m benchmarks.default_study MODEL [CONFIG ...]`.

On a finished run, for each of its value functions and several windows. Documents of each task are drawn at random, many
times (those of a cluster stay together), and a study of just these is analysed as the workflow does. That says what
the default study should be: how many documents and how wide a window until a value function names the layers that it
names with all documents, and what that costs.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks import report
from cornerstone.analysis import games, ranks, shapley
from cornerstone.analysis.ranks import CHOSEN, MEAN, Sample
from cornerstone.config.config import Config, load_files
from cornerstone.errors import CornerstoneError
from cornerstone.estimators import WindowEstimator
from cornerstone.plan.layout import Layout
from cornerstone.plan.plan import Plan
from cornerstone.present.findings import filled

DRAWS = 10
DOCUMENTS = (8, 12, 16, 24, 36)
WINDOWS = (1, 2, 4)
PAGE = report.RESULTS.parents[1] / "docs" / "benchmarks" / "default-study.md"
FORMATS = {
    "work": ".2f", "half-width": ".2g", "rank correlation": ".2f", "confirmed": ".1f", "of them others": ".2f",
    "above the median": ".1f",
}  # fmt: skip


def some(samples: Mapping[str, Sample], count: int, rng: np.random.Generator) -> dict[str, Sample]:
    """About `count` documents of each task: whole clusters at random, until that many are there."""
    found = {}
    for task, sample in samples.items():
        labels, sizes = np.unique(sample.clusters, return_counts=True)
        order = rng.permutation(len(labels))
        taken = labels[order][: int(np.searchsorted(np.cumsum(sizes[order]), count)) + 1]
        found[task] = sample.of(sample.values, np.flatnonzero(np.isin(sample.clusters, taken)))
    return found


def said(samples: Mapping[str, Sample], level: float) -> dict[str, Any]:
    """What is reported of a study: mean values over tasks, half-width of the median layer, and which are confirmed."""
    estimate = ranks.estimates(samples, level)[MEAN]
    above = ranks.pairwise(samples, level)[MEAN]
    return {
        "values": estimate.value,
        "half": float(np.median(estimate.high - estimate.low)) / 2,
        "confirmed": set(np.flatnonzero(ranks.among_top(above) <= 1 - level).tolist()),
        "median": int((ranks.above_median(samples, level)[MEAN] <= 1 - level).sum()),
    }


def table(config: Config, model: str, draws: int = DRAWS, counts: Sequence[int] = DOCUMENTS) -> pd.DataFrame:
    """A row per value function, window and number of documents.

    Returns:
        `work`: coalitions x documents, as a share of those of K = 4 and 24 documents. `half-width`: of a 95% interval
        of the mean over tasks, median over layers; points of accuracy, or hundredths of a task's standard deviation.
        `rank correlation`: with the layer values of all documents and the widest window. `confirmed`: cornerstones.
        `of them others`: those that are not among the three highest with all documents and the widest window.

    Raises:
        CornerstoneError: the config has no limit of documents.
    """
    paths = [Path(Layout(config).values(model, task)) for task in config.scored_tasks]
    entries = {removed: WindowEstimator(kind="window", removed=removed) for removed in WINDOWS}
    sizes = {
        removed: len(Plan(replaced(config, entry), model, config.scored_tasks[0]).coalitions)
        for removed, entry in entries.items()
    }
    rows, every = [], config.documents.limit
    if every is None:
        raise CornerstoneError("documents.limit is not set: nothing says how many documents all are")
    for function in config.functions:
        of_tasks = {function: games.read_all(config, model, paths, function)}
        widest = shapley.samples(config, entries[max(WINDOWS)], of_tasks)[function]
        whole = said(widest, config.intervals.level)
        top = set(np.argsort(-whole["values"], kind="stable")[:CHOSEN].tolist())
        for removed, entry in entries.items():
            found = shapley.samples(config, entry, of_tasks)[function]
            for count in (*counts, every):
                rng = np.random.default_rng([config.seed, count])  # the same documents for all
                once = count == every
                made = [said(found if once else some(found, count, rng), config.intervals.level)
                        for _ in range(1 if once else draws)]  # fmt: skip
                rows.append({
                    "value function": function, "K": removed, "documents": count,
                    "work": sizes[removed] * count / (sizes[4] * 24),
                    "half-width": 100 * np.mean([one["half"] for one in made]),
                    "rank correlation": np.mean([
                        stats.spearmanr(one["values"], whole["values"]).statistic for one in made
                    ]),
                    "confirmed": np.mean([len(one["confirmed"]) for one in made]),
                    "of them others": np.mean([len(one["confirmed"] - top) for one in made]),
                    "above the median": np.mean([one["median"] for one in made]),
                })  # fmt: skip
    return pd.DataFrame(rows)


def replaced(config: Config, entry: WindowEstimator) -> Config:
    """The config with one estimator and nothing else to evaluate."""
    return config.model_copy(update={"estimators": [entry], "interactions": [], "value_functions": []})


def page(text: str, frames: Mapping[str, pd.DataFrame]) -> str:
    """The page of the documentation with the tables of all models that were measured.

    Args:
        text: the page as it is.
        frames: model -> `table`.
    """
    return filled(text, {"few": report.sections(frames, FORMATS)})


def measured() -> dict[str, pd.DataFrame]:
    """Model -> its table, of those in benchmarks/results/."""
    return report.of_models("default_study")


def main() -> None:
    """Write benchmarks/results/default_study-MODEL.csv and .md, and the page of the documentation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("configs", nargs="*", type=Path, default=[Path("config.yaml")])
    known = parser.parse_args()
    config = load_files(known.configs)
    frame = table(config, known.model)
    text = f"{report.markdown(frame, FORMATS)}\n{report.origin({'model': known.model, 'draws': DRAWS})}"
    report.write(report.RESULTS, f"default_study-{known.model}", frame, text)
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), measured()), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
