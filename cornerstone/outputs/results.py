"""Results as tidy pandas frames: `cornerstone.load("results")`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cornerstone import reading
from cornerstone.analysis import games, ranks, shapley
from cornerstone.config.config import Config, load_files
from cornerstone.config.config import load as load_config
from cornerstone.errors import ConfigError, StoreError, UnreadableError
from cornerstone.estimators import Estimator
from cornerstone.files import read_csv
from cornerstone.game.coalitions import parse, removed_from
from cornerstone.game.game import ACCURACY, Game
from cornerstone.game.players import player_named
from cornerstone.plan import layout
from cornerstone.plan.layout import Layout

PACKAGE = "datapackage.json"
"""The file of a results folder that describes all others, and holds the configuration that made them."""


def load(folder: str | Path = "results", *files: str | Path) -> Results:
    """The results in a folder, wherever it is now.

    Args:
        folder: what `paths.results` was when the workflow ran, or a copy of it.
        files: configuration files, each overriding the one before; without, the configuration is the one that
            `datapackage.json` holds.

    Raises:
        StoreError: the folder has no `datapackage.json`, or a damaged one, and no configuration is named.
        ConfigError: the configuration is wrong.
    """
    folder = Path(folder)
    if files:
        return Results(folder, load_files([Path(name) for name in files]))
    path = folder / PACKAGE
    try:
        raw = reading.parsed(path)["config"]
    except (UnreadableError, OSError, ValueError, KeyError, TypeError) as error:
        name = f'name the configuration: cornerstone.load("{folder}", "config.yaml").'
        raise reading.unread(path, error, f"Run the workflow to make it, or {name}") from error
    return Results(folder, load_config(raw, str(path)))


class Results:
    """The tables of a finished run. Every method reads its files anew and returns a frame of its own.

    Values are fractions, or natural logarithms (value functions); columns are described in docs/outputs.md.

    Args:
        folder: of the results.
        config: that made them.
    """

    def __init__(self, folder: Path, config: Config) -> None:
        paths = config.paths.model_copy(update={"results": str(folder)})
        self.config = config.model_copy(update={"paths": paths})
        self.folder = folder
        self._layout = Layout(self.config)

    def __repr__(self) -> str:
        return f"Results({str(self.folder)!r}: {', '.join(self.models)}; tasks {', '.join(self.tasks)})"

    @property
    def models(self) -> list[str]:
        """Names of the models that were run."""
        return list(self.config.run)

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks that were run."""
        return list(self.config.run_tasks)

    def values(self, estimator: str | None = None, function: str | None = None) -> pd.DataFrame:
        """Layer Shapley values: a row per model, task (and `mean`), player, estimator and value function.

        Args:
            estimator: only this one, such as `window-k4`; None: all.
            function: only this value function, such as `accuracy` or `margin`; None: all.

        Raises:
            ConfigError: there is no such estimator or value function.
            StoreError: a table is missing or damaged.
        """
        estimators = [entry.name for entry in self.config.estimators]
        frames = []
        for name in _chosen(estimator, estimators, "estimator"):
            for worth in _chosen(function, self.config.functions, "value function"):
                frame = self.table(layout.shapley(name, worth))
                frame.insert(3, "function", worth)
                frames.append(frame)
        return pd.concat(frames, ignore_index=True)

    def ablation(self) -> pd.DataFrame:
        """Single removals: a row per model, task (and `mean`) and player, with `accuracy` and `drop`.

        Raises:
            StoreError: a table is missing or damaged.
        """
        return self.table("ablation")

    def table(self, stem: str) -> pd.DataFrame:
        """Any CSV file that each model has, such as `cornerstones` or `deletion`, of all models under one another.

        Raises:
            StoreError: it is missing (the message names those that are there) or damaged.
        """
        paths = [Path(self._layout.csv(model, stem)) for model in self.models]
        for path in paths:
            there = sorted(other.stem for other in path.parent.glob("*.csv"))
            if not path.is_file() and there:
                raise StoreError(
                    f"{path} is missing. There are the tables {', '.join(there)}: choose one, or run the workflow to "
                    "have others (docs/outputs.md)."
                )
        return pd.concat([read_csv(path) for path in paths], ignore_index=True)

    def documents(self, task: str, model: str | None = None) -> pd.DataFrame:
        """What each evaluated coalition is worth on each document: `model`, `task`, then the columns of values.parquet.

        Args:
            task: one of `tasks`; of a group, the rows of all its subtasks.
            model: one of `models`; None: all.

        Raises:
            ConfigError: there is no such task or model.
            StoreError: a table is missing, damaged, or not the one that the estimates were made from.
        """
        frames = []
        for name in _chosen(model, self.models, "model"):
            for member in self.config.members(_chosen(task, self.tasks, "task")[0]):
                parts = [self._planned(name, member)]
                curves = Path(self._layout.deletion_values(name, member))
                if curves.is_file():
                    there = set(parts[0]["coalition"])
                    frame = games.read_values(curves)
                    parts.append(frame[~frame["coalition"].isin(there)])
                frame = pd.concat(parts, ignore_index=True)
                frame.insert(0, "model", name)
                frame.insert(1, "task", member)
                frames.append(frame)
        return pd.concat(frames, ignore_index=True)

    def coalitions(self, task: str, model: str | None = None) -> pd.DataFrame:
        """What each evaluated coalition is worth: means over documents.

        Args:
            task: one of `tasks`; of a group, the rows of all its subtasks.
            model: one of `models`; None: all.

        Returns:
            A row per model, task and coalition: `model`, `task`, `coalition`, `removed` (number of players), `players`
            (their names, separated by blanks), `documents`, and the mean of each metric and value function.

        Raises:
            ConfigError, StoreError: see `documents`.
        """
        frame = self.documents(task, model)
        keys = ["model", "task", "coalition"]
        worth = [name for name in frame if name not in (*keys, "doc_id", "cluster")]
        by = frame.groupby(keys, sort=False)
        found = by[worth].mean()
        found.insert(0, "documents", by.size())
        found = found.reset_index()
        removed = [
            [player.name for player in removed_from(parse(name, players), players)]
            for model, name in zip(found["model"], found["coalition"], strict=True)
            for players in [self.config.models[model].all_players()]
        ]
        found.insert(3, "removed", [len(names) for names in removed])
        found.insert(4, "players", [" ".join(names) for names in removed])
        return found

    def contrast(
        self,
        first: str,
        second: str,
        function: str = ACCURACY,
        estimator: str | None = None,
        model: str | None = None,
    ) -> pd.DataFrame:
        """The value of one player less that of another, with a paired interval.

        Both values are estimated on each document, so what they have in common on a document cancels. Variances are
        moderated with those of all contrasts of either player, as rank intervals do (docs/method.md).

        Args:
            first: a player, such as `attn1`.
            second: another.
            function: the value function.
            estimator: one of the config's; None: the headline.
            model: one of `models`; None: all that have both players.

        Returns:
            A row per model and task (and `mean`): `model`, `task`, `function`, `estimator`, `first`, `second`,
            `first_value`, `second_value`, `difference`, `se`, `low`, `high` (at `intervals.level`), `p` (two-sided),
            `documents`.

        Raises:
            ConfigError: there is no such value function, estimator or model, or both players are the same.
            CoalitionError: no model has such a player.
            StoreError: results are missing, or do not fit each other.
        """
        if first == second:
            raise ConfigError(f"contrast: '{first}' is compared with itself; name two players.")
        _chosen(function, self.config.functions, "value function")
        names = [entry.name for entry in self.config.estimators]
        chosen = _chosen(estimator, names, "estimator")[0]  # the headline is the first
        entry = self.config.estimators[names.index(chosen)]
        models = _chosen(model, self.models, "model")
        both = [name for name in models if {first, second} <= {p.name for p in self.config.models[name].all_players()}]
        return pd.concat([self._contrast(name, entry, first, second, function) for name in both or models[:1]])

    def _contrast(self, model: str, entry: Estimator, first: str, second: str, function: str) -> pd.DataFrame:
        players = self.config.models[model].all_players()
        one, other = (player_named(name, players).position for name in (first, second))
        by_task = self._games(model, function)
        found = shapley.samples(self.config, entry, {function: by_task})[function]
        level = self.config.intervals.level
        values = ranks.estimates(found, level)
        contrasts = ranks.estimates(found, level, _weights(len(players), one, other))
        rows = [
            {
                "model": model,
                "task": task,
                "function": function,
                "estimator": entry.name,
                "first": first,
                "second": second,
                "first_value": values[task].value[one],
                "second_value": values[task].value[other],
                "difference": estimate.value[0],
                "se": estimate.se[0],
                "low": estimate.low[0],
                "high": estimate.high[0],
                "p": estimate.p_differs()[0],
                "documents": shapley.documents_of(by_task, task),
            }
            for task, estimate in contrasts.items()
        ]
        return pd.DataFrame(rows)

    def _games(self, model: str, function: str) -> dict[str, Game]:
        """The games of a model, one for each of `tasks`."""
        players = self.config.models[model].all_players()
        parts = {}
        for task in self.config.scored_tasks:
            metric = self.config.task(task).metric if function == ACCURACY else function
            parts[task] = games.from_table(self._planned(model, task), players, metric)
        return {task: games.pooled(self.config, task, parts) for task in self.tasks}

    def _planned(self, model: str, task: str) -> pd.DataFrame:
        """values.parquet, where it is the one that the estimates were made from."""
        path, said = Path(self._layout.values(model, task)), Path(self._layout.provenance(model))
        frame = games.read_values(path)
        try:
            wanted = reading.parsed(said)["values"][task]
        except (UnreadableError, OSError, ValueError, KeyError, TypeError) as error:
            raise reading.unread(said, error, "Run the workflow to make it.") from error
        if frame.attrs.get("fingerprint") != wanted:
            raise StoreError(
                f"{path} is newer or older than the estimates beside it (fingerprint {frame.attrs.get('fingerprint')}, "
                f"{said} says {wanted}). Run the workflow again."
            )
        return frame


def _chosen(name: str | None, known: Sequence[str], what: str) -> list[str]:
    """One of those that are known, or (None) all."""
    if name is not None and name not in known:
        raise ConfigError(f"there is no {what} '{name}' in these results; there are {', '.join(known)}.")
    return list(known) if name is None else [name]


def _weights(count: int, one: int, other: int) -> np.ndarray:
    """Weights [N, M] of contrasts: `one` less `other` first, then either of them and every third player."""
    pairs = [(one, other)]
    pairs += [(one, third) for third in range(count) if third not in (one, other)]
    pairs += [(third, other) for third in range(count) if third not in (one, other)]
    weights = np.zeros((count, len(pairs)))
    for column, (above, below) in enumerate(pairs):
        weights[above, column], weights[below, column] = 1, -1
    return weights
