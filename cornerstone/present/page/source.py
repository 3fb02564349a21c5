"""The tables of one model, as the sections of the page read them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from cornerstone.config.config import Config
from cornerstone.files import read_csv
from cornerstone.game.game import MEAN
from cornerstone.plan.layout import Layout, of_function
from cornerstone.present.figures.rows import tasks_of

KINDS = {
    "attn": "attention",
    "ffn": "feed-forward",
    "moe": "mixture of experts",
    "linear": "linear attention",
    "conv": "convolution",
}
"""Kinds of players as a reader knows them; others keep their names."""


@dataclass(frozen=True)
class Source:
    """A model's tables, read when they are asked for.

    Attributes:
        config: the configuration.
        model: its name there.
    """

    config: Config
    model: str

    @cached_property
    def layout(self) -> Layout:
        """The paths."""
        return Layout(self.config)

    @cached_property
    def _paths(self) -> dict[str, str]:
        return self.layout.shown(self.model)

    @property
    def level(self) -> float:
        """Coverage of the intervals."""
        return self.config.intervals.level

    def has(self, stem: str, function: str = "accuracy") -> bool:
        """Whether the config asks for a table."""
        return of_function(stem, function) in self._paths

    def table(self, stem: str, function: str = "accuracy") -> pd.DataFrame:
        """One table, by its name in `Layout.shown` and its value function.

        Raises:
            StoreError: it is missing or damaged.
        """
        return read_csv(Path(self._paths[of_function(stem, function)]))

    def values(self, estimator: str, function: str) -> pd.DataFrame:
        """shapley_<estimator>.csv of a value function."""
        return self.table(f"shapley_{estimator}", function)

    @cached_property
    def baselines(self) -> pd.DataFrame:
        """baselines.csv."""
        return self.table("baselines")

    @cached_property
    def headline(self) -> pd.DataFrame:
        """The headline estimator's values by the headline value function."""
        return self.table("shapley")

    @property
    def tasks(self) -> list[str]:
        """The tasks in the order in which a reader sees them, the mean last."""
        return tasks_of(self.headline)

    @cached_property
    def players(self) -> pd.DataFrame:
        """A row for each player in execution order: player, position, kind, block."""
        rows = self.headline[self.headline["task"] == MEAN].sort_values("position")
        return rows[["player", "position", "kind", "block"]].reset_index(drop=True)

    @cached_property
    def noun(self) -> str:
        """What a player is called: `sublayer`, unless players are something else."""
        kinds = set(self.players["kind"])
        if kinds == {"group"}:
            return "group"
        return "player" if kinds & {"group", "expert", "head"} else "sublayer"

    @property
    def documents(self) -> int:
        """Documents of all tasks."""
        return int(self.baselines["documents"].sum())

    @property
    def each(self) -> str:
        """How many documents a task has, in words."""
        least, most = int(self.baselines["documents"].min()), int(self.baselines["documents"].max())
        return f"{least:,}" if least == most else f"{least:,} to {most:,}"
