"""What every estimator has: settings, the coalitions that it needs, and what it makes of their values."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, TypeVar

import numpy as np

from cornerstone.estimators.values import Values
from cornerstone.game.game import Game
from cornerstone.game.players import Player
from cornerstone.settings import Section

Key = TypeVar("Key")
"""What tells games apart, such as a task."""


class Asked(Section, ABC):
    """Something that the configuration asks for by its `kind`, and that needs coalitions.

    Attributes:
        kind: by which the configuration names it.
        drawn: whether its coalitions are drawn at random. Drawing takes time, so they are then kept in a file.
        by_task: whether they are drawn for each task by itself, so that luck in the draws is not the same luck on all
            tasks: the errors of a mean over tasks then cancel, as its interval takes them to.
    """

    drawn: ClassVar[bool] = False
    by_task: ClassVar[bool] = False
    kind: str

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name in file names: kind and settings."""

    @property
    def nested(self) -> bool:
        """Whether each of its `samples` is scored on a part of the documents of its own."""
        return False

    def problem(self, players: int) -> str | None:
        """What keeps it from being used with so many players, and what to do; None where nothing does."""
        return "it needs at least two" if players < 2 else None

    def windows(self, players: int) -> int:
        """The largest K for which it evaluates every window of 1 to K neighbours; 0 where it does not."""
        return 0

    @abstractmethod
    def coalitions(self, players: tuple[Player, ...], seed: int) -> list[int]:
        """The distinct coalitions (bitmasks) that it needs.

        Args:
            players: of the model.
            seed: what `seed_on` says.

        Raises:
            ConfigError: the installed shapiq does not have it.
        """

    def samples(self, players: tuple[Player, ...], seed: int) -> list[list[int]]:
        """The coalitions that each document needs: one list for all of them, or one a sample (`nested`)."""
        return [self.coalitions(players, seed)]

    def seed_on(self, seed: int, task: str) -> int:
        """The seed of its coalitions on a task: its own where they are drawn by task, else that of the run.

        Args:
            seed: of the run.
            task: an entry of `run_tasks`. What all subtasks of a group are scored on is drawn once.
        """
        if not self.by_task:
            return seed
        return int(np.random.SeedSequence([seed, zlib.crc32(task.encode())]).generate_state(1)[0])

    def random(self, seed: int, *more: int) -> np.random.Generator:
        """Random numbers of its own."""
        return np.random.default_rng([seed, zlib.crc32(self.name.encode()), *more])


class Estimator(Asked):
    """Layer Shapley values, or what stands in for them."""

    @abstractmethod
    def estimate(self, games: Mapping[Key, Game], seed: int, bootstrap: int) -> dict[Key, Values]:
        """What it says of several games of the same players.

        Args:
            games: of one task, where coalitions are drawn `by_task`: for instance one for each value function.
            seed: the one with which its coalitions were planned (`seed_on`).
            bootstrap: resamples of the documents, for an estimator that is not linear.

        Raises:
            StoreError: a coalition was not evaluated.
            ConfigError: the installed shapiq does not have it.
        """

    def columns(self, players: int) -> dict[str, list[float]]:
        """What its table says of each player beside the value: column -> [N]."""
        return {}
