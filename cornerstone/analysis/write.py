"""From tables of values to files of estimates: what the estimate and interactions rules write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from cornerstone.analysis import hypotheses, shapley
from cornerstone.assets.documents import TaskDocuments
from cornerstone.config.config import Config
from cornerstone.files import write_csv
from cornerstone.game import game
from cornerstone.plan.layout import Layout


def write_estimates(config: Config, model: str, values: Sequence[Path], documents: Mapping[str, TaskDocuments]) -> None:
    """Write Shapley values of every estimator and value function, cornerstones, ablation, baselines, comparison.

    Args:
        config: the configuration.
        model: its name.
        values: the Parquet file of each task, in the config's order.
        documents: those that were scored, by task.

    Raises:
        StoreError: a coalition that an estimator needs was not evaluated.
    """
    layout = Layout(config)
    games = {function: game.read_all(config, model, list(values), function) for function in layout.value_functions}
    accuracy = games[game.ACCURACY]
    samples = {}
    for entry in config.estimators:
        found = shapley.samples(config, entry, games)
        samples[entry.name] = found[game.ACCURACY]
        for function, by_task in games.items():
            frame = shapley.shapley(config, model, entry, found[function], by_task, function)
            write_csv(frame, Path(layout.shapley(model, entry.name, function)))
            if entry.name == layout.headline:
                cornerstones = shapley.cornerstones(config, frame, found[function], model)
                write_csv(cornerstones, Path(layout.cornerstones(model, function)))
    coalitions = {name: len(needed) for name, needed in layout.wanted(model)}
    folder = Path(layout.results) / model
    write_csv(shapley.comparison(config, model, samples, coalitions, accuracy), folder / "estimators.csv")
    write_csv(shapley.ablations(config, model, accuracy), folder / "ablation.csv")
    write_csv(shapley.baselines(config, model, accuracy, documents), folder / "baselines.csv")


def write_interactions(config: Config, model: str, values: Sequence[Path]) -> None:
    """Write interactions of pairs, and the paper's assumptions and hypotheses measured.

    Reads the baselines and cornerstones that `write_estimates` wrote.

    Args:
        config: the configuration.
        model: its name.
        values: the Parquet file of each task, in the config's order.

    Raises:
        StoreError: a coalition that is needed was not evaluated.
    """
    layout = Layout(config)
    folder = Path(layout.results) / model
    games = {function: game.read_all(config, model, list(values), function) for function in layout.value_functions}
    accuracy = games[game.ACCURACY]
    distances = []
    for name in layout.interaction_names(model):
        for function, by_task in games.items():
            pairs, found = hypotheses.measured(config, name, by_task)
            table = hypotheses.interactions(config, model, name, pairs, found, by_task, function)
            write_csv(table, Path(layout.interactions(model, name, function)))
            if function == game.ACCURACY:
                distances.append(hypotheses.by_distance(config, model, name, pairs, found, by_task))
    if distances:
        write_csv(pd.concat(distances, ignore_index=True), folder / "by_distance.csv")
    write_csv(hypotheses.by_removed(config, model, accuracy), folder / "by_removed.csv")
    headline = shapley.samples(config, config.estimators[0], {game.ACCURACY: accuracy})[game.ACCURACY]
    baselines = pd.read_csv(folder / "baselines.csv")
    chance = {str(task): float(value) for task, value in zip(baselines["task"], baselines["chance"], strict=True)}
    cornerstones = pd.read_csv(layout.cornerstones(model))
    table = hypotheses.hypotheses(config, model, accuracy, headline, cornerstones, chance)
    write_csv(table, folder / "hypotheses.csv")
