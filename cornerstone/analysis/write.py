"""From tables of values to all tables of estimates of a model, by the stems of their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cornerstone.analysis import deletion, games, hypotheses, interactions, paper, power, shapley, shares
from cornerstone.analysis.ranks import Sample
from cornerstone.config.config import Config
from cornerstone.estimators import ablation
from cornerstone.files import read_csv
from cornerstone.game.functions import SOFT
from cornerstone.game.game import ACCURACY, Game
from cornerstone.plan import fingerprint, layout
from cornerstone.plan.plan import Plan

Frames = dict[str, pd.DataFrame]


def estimates(config: Config, model: str, values: Sequence[Path], documents: Mapping[str, Any]) -> Frames:
    """Shapley values of every estimator and value function, and what follows from them.

    Args:
        config: the configuration.
        model: its name.
        values: the Parquet file of each task, in the config's order.
        documents: those that were scored, by task.

    Returns:
        The tables of `Layout.estimates`.

    Raises:
        StoreError: a coalition that an estimator needs was not evaluated, or values that do not fit the config.
    """
    digests = {task: data.digest for task, data in documents.items()}
    by_function = {function: games.read_all(config, model, values, function, digests) for function in config.functions}
    accuracy = by_function[ACCURACY]
    frames: Frames = {}
    samples, foretold = {}, []
    for entry in config.estimators:
        found = shapley.samples(config, entry, by_function)
        samples[entry.name] = found[ACCURACY]
        for function, by_task in by_function.items():
            frame = shapley.shapley(config, model, entry, found[function], by_task, function)
            frames[layout.shapley(entry.name, function)] = frame
            if entry is config.headline:
                table = shapley.cornerstones(config, frame, found[function], model)
                frames[layout.cornerstones(function)] = table
                foretold.append(_power(config, model, found[function], documents, function))
    wanted = {task: Plan(config, model, config.members(task)[0]).samples for task in config.run_tasks}
    frames["estimators"] = shapley.comparison(config, model, samples, wanted, accuracy)
    frames["power"] = pd.concat(foretold, ignore_index=True)
    logarithms = by_function.get(shapley.LOG)
    frames["ablation"] = shapley.ablations(config, model, accuracy, logarithms)
    if config.deletion.orders:
        by = {"shapley": samples[config.headline.name], "ablation": shapley.drops(accuracy)}
        by |= {"perplexity": shapley.drops(logarithms, shapley.LOG)} if logarithms else {}
        frames["orders"] = deletion.orders(config, config.models[model].all_players(), by)
    frames["baselines"] = shapley.baselines(config, model, accuracy, documents)
    top = paper.top_players(frames[layout.cornerstones()], model)
    return frames | _shares(config, model, accuracy, samples[config.headline.name], top)


def _power(
    config: Config, model: str, found: Mapping[str, Sample], documents: Mapping[str, Any], function: str
) -> pd.DataFrame:
    """What more documents would say, from these as a pilot."""
    most = max(len(sample.clusters) for sample in found.values())
    held = [
        sum(documents[member].total for member in config.members(task)) * most / len(sample.clusters)
        for task, sample in found.items()
    ]
    asked = power.POINT if function in (ACCURACY, SOFT) else power.SHARE
    level = config.intervals.level
    frame = power.forecast(power.Pilot.of(found), asked, level, config.seed, int(min(held)))
    frame.insert(0, "value_function", function)
    frame.insert(0, "model", model)
    return frame


def _shares(
    config: Config, model: str, accuracy: Mapping[str, Game], values: Mapping[str, Sample], top: list[str]
) -> Frames:
    """What the paper's Tables 1, 3 and 4 hold."""
    names = [player.name for player in config.models[model].all_players()]
    drops = {task: ablation.estimate(game) for task, game in accuracy.items()}
    clusters = {task: game.clusters for task, game in accuracy.items()}
    level = config.intervals.level
    share = shares.share(
        values,
        names,
        model,
        top,
        selected=paper.published_positions(model, names) is None,
        seed=config.seed,
        repetitions=config.intervals.bootstrap,
        level=level,
    )
    return {
        "share": share,
        "mean_drop": shares.mean_drop(drops, names, model, top, level=level, clusters=clusters),
        "mean_drop_by_task": shares.mean_drop_by_task(drops, names, model, top, level=level, clusters=clusters),
    }


def relations(config: Config, model: str, values: Sequence[Path], baselines: Path, cornerstones: Path) -> Frames:
    """Interactions of pairs, and the paper's assumptions and hypotheses measured.

    Args:
        config: the configuration.
        model: its name.
        values: the Parquet file of each task, in the config's order.
        baselines: the table of that name in `estimates`.
        cornerstones: the table of that name in `estimates`.

    Returns:
        The tables of `Layout.relations`.

    Raises:
        StoreError: a coalition that is needed was not evaluated, or values that do not fit the config.
    """
    by_function = {function: games.read_all(config, model, values, function) for function in config.functions}
    accuracy = by_function[ACCURACY]
    frames: Frames = {}
    distances = []
    for name in config.interaction_names(model):
        for function, by_task in by_function.items():
            pairs, found = interactions.measured(config, model, name, by_task)
            table = interactions.interactions(config, model, name, pairs, found, by_task, function)
            frames[layout.interactions(name, function)] = table
            if function == ACCURACY:
                distances.append(interactions.by_distance(config, model, name, pairs, found, by_task))
    if distances:
        frames["by_distance"] = pd.concat(distances, ignore_index=True)
    frames["by_removed"] = interactions.by_removed(config, model, accuracy)
    headline = shapley.samples(config, config.headline, {ACCURACY: accuracy})[ACCURACY]
    floor = read_csv(baselines)
    majority = {str(task): float(value) for task, value in zip(floor["task"], floor["majority"], strict=True)}
    frames["hypotheses"] = hypotheses.hypotheses(config, model, accuracy, headline, read_csv(cornerstones), majority)
    return frames


def provenance(config: Config, model: str) -> dict[str, Any]:
    """What the estimates of a model were made from, for provenance.json."""
    return {
        "fingerprint": fingerprint.of_estimates(config, model),
        "values": {task: fingerprint.of_values(config, model, task) for task in config.scored_tasks},
    }
