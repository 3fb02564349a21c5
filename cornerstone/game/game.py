"""A cooperative game that is looked up, not computed: the value of a coalition on each document."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from cornerstone.config.config import Config
from cornerstone.errors import StoreError
from cornerstone.game.coalitions import name, parse
from cornerstone.game.players import Player
from cornerstone.plan.layout import ACCURACY


@dataclass(frozen=True)
class Game:
    """The values of evaluated coalitions, per document.

    Attributes:
        players: the model's players.
        values: coalition (bitmask of kept players) -> float64 [D], its score on each document.
        clusters: [D] label of each document's cluster; documents of one cluster are not independent.
        documents: [D] doc_id.
    """

    players: tuple[Player, ...]
    values: dict[int, np.ndarray]
    clusters: np.ndarray
    documents: np.ndarray

    def __call__(self, coalition: int) -> np.ndarray:
        """The coalition's score on each document, float64 [D].

        Raises:
            StoreError: when it was not evaluated. Nothing is ever put in its place.
        """
        try:
            return self.values[coalition]
        except KeyError:
            raise StoreError(
                f"coalition {name(coalition, self.players)} was not evaluated; the plan and the estimator disagree"
            ) from None

    @cached_property
    def full(self) -> np.ndarray:
        """The original model's score on each document, [D]."""
        return self((1 << len(self.players)) - 1)


def read_all(config: Config, model: str, paths: list[Path], value_function: str = ACCURACY) -> dict[str, Game]:
    """The games of a model, one for each active task, from the Parquet files of `store.write_table`."""
    players = config.models[model].all_players()
    return {
        task: from_table(
            pd.read_parquet(path), players, config.tasks[task].metric if value_function == ACCURACY else value_function
        )
        for task, path in zip(config.run_tasks, paths, strict=True)
    }


def from_table(values: pd.DataFrame, players: tuple[Player, ...], metric: str) -> Game:
    """The game of a table that `store.table` made.

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
    return Game(
        players=players,
        values={parse(str(label), players): row for label, row in zip(wide.index, wide.to_numpy(), strict=True)},
        clusters=documents["cluster"].to_numpy(dtype=str),
        documents=wide.columns.to_numpy(),
    )
