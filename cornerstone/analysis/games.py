"""The games of a model, read from the tables that its evaluate jobs have filled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cornerstone import reading
from cornerstone.config.config import Config, load_files
from cornerstone.errors import ConfigError, StoreError, UnreadableError
from cornerstone.estimators.nested import NestedGame
from cornerstone.files import MADE_AGAIN, check
from cornerstone.game.coalitions import parse
from cornerstone.game.game import ACCURACY, Game
from cornerstone.game.players import Player
from cornerstone.plan import fingerprint
from cornerstone.plan.layout import Layout


def read_all(
    config: Config,
    model: str,
    paths: Sequence[Path],
    value_function: str = ACCURACY,
    documents: Mapping[str, str] | None = None,
) -> dict[str, Game]:
    """The games of a model, one for each active task, from the files that `evaluate.table` wrote.

    Args:
        config: the configuration.
        model: its name.
        paths: the Parquet file of each scored task, in the config's order.
        value_function: accuracy, or another that the config asks for.
        documents: task -> digest of the documents that were scored, where they are at hand.

    Raises:
        StoreError: a file that can't be read, lacks the metric, or was made from results of other settings or code.
    """
    players = config.models[model].all_players()
    games = {}
    for task, path in zip(config.scored_tasks, paths, strict=True):
        values = read_values(path)
        wanted = fingerprint.of_values(config, model, task)
        if values.attrs.get("fingerprint") != wanted:
            raise StoreError(
                f"{path} was made from results of other settings or code (fingerprint "
                f"{values.attrs.get('fingerprint')}, now {wanted}). Delete it and run the workflow again."
            )
        if documents is not None and values.attrs.get("documents") != documents[task]:
            raise StoreError(f"{path} was made from other documents. Delete it and run the workflow again.")
        metric = config.task(task).metric if value_function == ACCURACY else value_function
        games[task] = from_table(values, players, metric)
    return {task: pooled(config, task, games) for task in config.run_tasks}


def pooled(config: Config, task: str, games: Mapping[str, Game]) -> Game:
    """The game of an entry of `run_tasks`: that of the task, or of a group the documents of its subtasks together.

    So the mean over documents is what lm-eval aggregates: subtasks count by their documents, or (`by_size: false`) each
    alike, where a document counts the more the fewer its subtask has.

    Args:
        config: the configuration.
        task: one of its `run_tasks`.
        games: of the scored tasks, by name.
    """
    members = config.members(task)
    if members == [task]:
        return games[task]
    parts = [games[member] for member in members]
    sizes = [len(part.documents) for part in parts]
    equal = sum(sizes) / len(sizes)
    weights = [1.0 if config.tasks[task].by_size else equal / size for size in sizes]
    nested = [part for part in parts if isinstance(part, NestedGame)]
    # of a nested design, a subtask may have no document of the sample that a coalition belongs to
    everywhere = [c for c in parts[0].values if len(nested) < len(parts) or all(c in part.values for part in parts)]
    pooled = Game(
        players=parts[0].players,
        values={
            coalition: np.concatenate([weight * part(coalition) for weight, part in zip(weights, parts, strict=True)])
            for coalition in everywhere
        },
        clusters=np.concatenate(
            [[f"{member} {label}" for label in part.clusters] for member, part in zip(members, parts, strict=True)]
        ),
        documents=np.arange(sum(sizes)),
    )
    if len(nested) < len(parts):
        return pooled
    partial = {}
    for coalition in dict.fromkeys(c for part in nested for c in (*part.partial, *part.values)):
        if coalition not in pooled.values:
            rows = [part.partial.get(coalition, part.values.get(coalition)) for part in nested]
            partial[coalition] = np.concatenate(
                [np.full(n, np.nan) if row is None else w * row for n, w, row in zip(sizes, weights, rows, strict=True)]
            )
    samples = np.concatenate([part.samples for part in nested])
    return NestedGame(pooled.players, pooled.values, pooled.clusters, pooled.documents, samples, partial)


def read_values(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """The table of a model and task, or some of its columns.

    Raises:
        StoreError: it is missing or damaged.
    """
    try:
        with reading.foreign(path, "Parquet file"):
            check(path)
            return pd.read_parquet(path, columns=columns)
    except UnreadableError as error:
        raise StoreError(error.then(MADE_AGAIN)) from error


def load_results(model: str, *files: str | Path, value_function: str = ACCURACY) -> dict[str, Game]:
    """The games of a model that has been run: task -> values of its coalitions on each document.

    Args:
        model: its name in the configuration.
        files: the configuration files that it was run with, config.yaml by default.
        value_function: accuracy, or one of the config's `value_functions`.

    Raises:
        ConfigError: a configuration file is missing or wrong.
        StoreError: results are missing, or were made by other settings or code.
    """
    config = load_files([Path(name) for name in files or ("config.yaml",)])
    if model not in config.models:
        raise ConfigError(f"there is no model '{model}' in the configuration; there are {', '.join(config.models)}")
    paths = [Path(Layout(config).values(model, task)) for task in config.scored_tasks]
    return read_all(config, model, paths, value_function)


def from_table(values: pd.DataFrame, players: tuple[Player, ...], metric: str) -> Game:
    """The game of a table that `evaluate.table` made.

    Args:
        values: a row per coalition and document.
        players: the model's players.
        metric: the column that is the value.

    Raises:
        StoreError: when the table lacks the metric.
    """
    if metric not in values:
        raise StoreError(
            f"the results have no values '{metric}'. In config.yaml, set another metric under `tasks`, or another "
            "value function."
        )
    wide = values.pivot(index="coalition", columns="doc_id", values=metric).astype(np.float64)
    documents = values.drop_duplicates("doc_id").set_index("doc_id").loc[wide.columns]
    rows = {parse(str(label), players): row for label, row in zip(wide.index, wide.to_numpy(), strict=True)}
    clusters, names = documents["cluster"].to_numpy(dtype=str), wide.columns.to_numpy()
    if "sample" not in values:
        return Game(players, rows, clusters, names)
    # coalitions of a nested design were evaluated on a part of the documents; the pivot has no numbers elsewhere
    partial = {coalition: row for coalition, row in rows.items() if np.isnan(row).any()}
    whole = {coalition: row for coalition, row in rows.items() if coalition not in partial}
    return NestedGame(players, whole, clusters, names, documents["sample"].to_numpy(dtype=np.int64), partial)
