"""How reliable layer values are by each value function: `python -m benchmarks.value_functions MODEL [CONFIG ...]`.

On a finished run whose config asks for the value functions. The documents of each task are halved at random, many times
(those of a cluster stay together); the layer values of the two halves, mean over tasks, are correlated over the layers.
The Spearman-Brown formula makes of that the reliability of all documents (Spearman and Brown, British Journal of
Psychology 3, 1910). It also says how many times as many documents would give another reliability, which is how value
functions are compared.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks import report
from cornerstone.analysis import games, ranks, shapley
from cornerstone.analysis.ranks import Sample
from cornerstone.config.config import Config, load_files
from cornerstone.errors import CornerstoneError
from cornerstone.game.game import ACCURACY
from cornerstone.plan.layout import Layout
from cornerstone.present.findings import filled

SPLITS = 200
PAGE = report.RESULTS.parents[1] / "docs" / "benchmarks" / "value-functions.md"
FORMATS = {"reliability": ".3f", "rank correlation of halves": ".2f", "documents for accuracy's reliability": ".2g"}


def reliability(samples: Mapping[str, Sample], splits: int, seed: int) -> tuple[float, float]:
    """The reliability of layer values from all documents, and the mean rank correlation of two halves.

    Args:
        samples: task -> what an estimator says of it.
        splits: how often the documents are halved.
        seed: of the halves.

    Raises:
        CornerstoneError: a task has too few documents to be halved.
    """
    rng = np.random.default_rng([seed, 2])
    linear, ranked = [], []
    for _ in range(splits):
        found = []
        for sample in samples.values():
            parts = ranks.halves(sample.clusters, rng)
            if parts is None:
                raise CornerstoneError("a task has fewer than four clusters of documents, too few to be halved")
            found.append([sample.values.of(part).documents.mean(axis=0) for part in parts])
        first, second = np.mean(found, axis=0)
        linear.append(np.corrcoef(first, second)[0, 1])
        ranked.append(stats.spearmanr(first, second).statistic)
    half = float(np.mean(linear))
    return 2 * half / (1 + half), float(np.mean(ranked))


def table(config: Config, model: str, splits: int = SPLITS) -> pd.DataFrame:
    """A row per value function: reliability, rank correlation of halves, documents needed as a share of accuracy's."""
    paths = [Path(Layout(config).values(model, task)) for task in config.scored_tasks]
    rows = []
    for function in config.functions:
        of_tasks = games.read_all(config, model, paths, function)
        found = shapley.samples(config, config.headline, {function: of_tasks})[function]
        whole, ranked = reliability(found, splits, config.seed)
        rows.append({"value function": function, "reliability": whole, "rank correlation of halves": ranked})
    frame = pd.DataFrame(rows)
    odds = frame["reliability"] / (1 - frame["reliability"])
    of_accuracy = odds[frame["value function"] == ACCURACY].iloc[0]
    frame["documents for accuracy's reliability"] = of_accuracy / odds
    return frame


def page(text: str, frames: Mapping[str, pd.DataFrame]) -> str:
    """The page of the documentation with the tables of all models that were measured.

    Args:
        text: the page as it is.
        frames: model -> `table`.
    """
    return filled(text, {"reliability": report.sections(frames, FORMATS)})


def measured() -> dict[str, pd.DataFrame]:
    """Model -> its table, of those in benchmarks/results/."""
    return report.of_models("value_functions")


def main() -> None:
    """Write benchmarks/results/value_functions-MODEL.csv and .md, and the page of the documentation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("configs", nargs="*", type=Path, default=[Path("config.yaml")])
    known = parser.parse_args()
    config = load_files(known.configs)
    frame = table(config, known.model)
    text = f"{report.markdown(frame, FORMATS)}\n{report.origin({'model': known.model, 'splits': SPLITS})}"
    report.write(report.RESULTS, f"value_functions-{known.model}", frame, text)
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), measured()), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
