"""All tables of a comparison of two models, by the stems of their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cornerstone.analysis import games, paired, shapley
from cornerstone.analysis.agreement import agreement
from cornerstone.analysis.concentration import concentration
from cornerstone.analysis.paired import Side
from cornerstone.analysis.resampling import grouping
from cornerstone.config.config import Config
from cornerstone.config.pairs import Pair
from cornerstone.errors import StoreError
from cornerstone.estimators import ablation
from cornerstone.estimators.values import Values
from cornerstone.game.game import ACCURACY, Game
from cornerstone.plan import fingerprint
from cornerstone.plan.layout import of_function

Frames = dict[str, pd.DataFrame]
Found = Mapping[str, Mapping[str, Game]]
"""Value function -> task -> game."""


def comparison(config: Config, pair: Pair, values: tuple[Sequence[Path], Sequence[Path]]) -> Frames:
    """The tables of `Layout.compared`, of the headline estimator and of single removals.

    Args:
        config: the configuration.
        pair: two models.
        values: of each model the Parquet file of each task, in the config's order.

    Returns:
        The tables by name: `depth`, `bands` and, for equal players, `differences` and `agreement`, each for every value
        function that does not depend on tokens; `concentration` of accuracy.

    Raises:
        StoreError: a coalition that is needed was not evaluated, values that do not fit the config, or models that were
            scored on different documents.
    """
    found = [
        {function: games.read_all(config, model, paths, function) for function in config.compared_functions}
        for model, paths in zip(pair, values, strict=True)
    ]
    for task in config.run_tasks:
        _check_documents(pair, task, found[0][ACCURACY][task], found[1][ACCURACY][task])
    headline = [shapley.samples(config, config.headline, by_function) for by_function in found]
    level, equal = config.intervals.level, config.equal_players(pair)
    frames: Frames = {}
    for function in config.compared_functions:
        first, second = (
            _side(config, model, by_function[function], samples[function], function)
            for model, by_function, samples in zip(pair, found, headline, strict=True)
        )
        first, second = paired.on_one_scale(first, second)
        tables = {"depth": paired.by_depth((first, second), level), "bands": paired.by_band(first, second, level)}
        if equal:
            tables["differences"] = paired.differences(first, second, level)
            tables["agreement"] = _agreement(config, first, second)
        frames |= {of_function(stem, function): table for stem, table in tables.items()}
    names = [[player.name for player in config.models[model].all_players()] for model in pair]
    frames["concentration"] = concentration(
        pair,
        (names[0], names[1]),
        (headline[0][ACCURACY], headline[1][ACCURACY]),
        level=level,
        seed=config.seed,
        repetitions=config.intervals.bootstrap,
    )
    return frames


def provenance(config: Config, pair: Pair) -> dict[str, Any]:
    """What a comparison was made from, for provenance.json."""
    return {
        "fingerprint": fingerprint.of_comparison(config, pair),
        "estimates": {model: fingerprint.of_estimates(config, model) for model in pair},
    }


def _side(config: Config, model: str, by_task: Mapping[str, Game], values: Mapping[str, Any], function: str) -> Side:
    """What is said of one model by one value function."""
    entry = config.models[model]
    drops = {task: shapley.sample(Values(ablation.estimate(game)), game, function) for task, game in by_task.items()}
    sublayers = sum(len(block) for block in entry.kinds())
    return Side(model, entry.all_players(), sublayers, {"value": values, "drop": drops})


def _agreement(config: Config, first: Side, second: Side) -> pd.DataFrame:
    """A row per quantity and task (and the mean): how far the two rankings of the players agree."""
    rows = []
    for quantity, samples in first.samples.items():
        found = agreement(
            samples, second.samples[quantity], config.intervals.level, config.seed, config.intervals.bootstrap
        )
        for task, agreed in found.items():
            row = {"first": first.model, "second": second.model, "quantity": quantity, "task": task}
            rows.append({**row, "players": len(first.players), **asdict(agreed)})
    return pd.DataFrame(rows).rename(columns={"plain": "rank_correlation"})


def _check_documents(pair: Pair, task: str, first: Game, second: Game) -> None:
    """Raise StoreError where two games are of different documents."""
    groups = [grouping(game.clusters) for game in (first, second)]
    if not (np.array_equal(first.documents, second.documents) and np.array_equal(groups[0], groups[1])):
        raise StoreError(
            f"`compare`: {pair[0]} and {pair[1]} were scored on different documents of {task} "
            f"({len(first.documents)} and {len(second.documents)}). Run the workflow "
            "again, so that both are scored on the same."
        )
