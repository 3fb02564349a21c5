"""What is evaluated for a model on a task: the union of what estimators ask for, each coalition once, and in chunks.

Chunks are runs of that union in sweep order (coalitions that agree on their first players stand together), because the
sweep computes what they share only once. A chunk is what one evaluate job makes.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cornerstone import reading
from cornerstone.config.config import Config
from cornerstone.errors import UnreadableError
from cornerstone.estimators.base import Asked
from cornerstone.files import check, write_table
from cornerstone.game import coalitions
from cornerstone.game.coalitions import ablation_coalitions, full, in_sweep_order
from cornerstone.game.players import Player
from cornerstone.plan.fingerprint import DRAWING, code
from cornerstone.plan.layout import Layout


@dataclass(frozen=True)
class Plan:
    """What is evaluated for one model of a configuration on one scored task.

    Estimators that draw coalitions draw others on each task (`Asked.by_task`). All else is the same on all tasks.
    """

    config: Config
    model: str
    task: str

    @cached_property
    def players(self) -> tuple[Player, ...]:
        """The model's players."""
        return self.config.models[self.model].all_players()

    @cached_property
    def wanted(self) -> dict[str, list[int]]:
        """The name of each estimator and interaction of the config, with the coalitions that it needs.

        Raises:
            ConfigError: the installed shapiq does not have one of them.
        """
        return {name: list(dict.fromkeys(c for part in parts for c in part)) for name, parts in self.samples.items()}

    @cached_property
    def samples(self) -> dict[str, list[list[int]]]:
        """The same in lists: what each document needs; one for all documents, or one a sample (`design: nested`)."""
        return {entry.name: self._samples(entry) for entry in self._asked}

    @cached_property
    def shares(self) -> dict[str, frozenset[int]]:
        """The coalitions that are needed on a part of the documents only, by name: the samples that these belong to."""
        everywhere = set(union(self.players, [self.wanted[entry.name] for entry in self._asked if not entry.nested]))
        found: dict[int, set[int]] = {}
        for entry in self._asked:
            for sample, part in enumerate(self.samples[entry.name]) if entry.nested else ():
                for coalition in set(part) - everywhere:
                    found.setdefault(coalition, set()).add(sample)
        return {coalitions.name(coalition, self.players): frozenset(some) for coalition, some in found.items()}

    @property
    def _asked(self) -> list[Asked]:
        return [*self.config.estimators, *self.config.interactions]

    @cached_property
    def coalitions(self) -> list[int]:
        """All of them, in sweep order."""
        return union(self.players, self.wanted.values())

    @cached_property
    def chunks(self) -> list[list[str]]:
        """The names of the coalitions, one list for each evaluate job."""
        parts = chunks(self.coalitions, self.config.models[self.model].chunks, self.players)
        return [[coalitions.name(coalition, self.players) for coalition in part] for part in parts]

    @property
    def names(self) -> list[str]:
        """The names of all coalitions, chunk by chunk."""
        return [name for chunk in self.chunks for name in chunk]

    def _samples(self, entry: Asked) -> list[list[int]]:
        """What an entry needs. What is drawn at random comes from a file: every job parses the rules, and drawing needs
        shapiq."""
        seed = entry.seed_on(self.config.seed, self.config.entry_of(self.task))
        if not entry.drawn:
            return entry.samples(self.players, seed)
        who = [(player.kind, player.parts) for player in self.players]
        drawn_by = [entry.model_dump(), who, seed, importlib.metadata.version("shapiq")]
        digest = hashlib.sha256(json.dumps([*drawn_by, code(*DRAWING)], sort_keys=True).encode()).hexdigest()[:16]
        path = Path(Layout(self.config).drawn(entry.name, digest))
        try:
            check(path)
            return [[int(mask, 16) for mask in part] for part in reading.parsed(path, reading.LARGE)]
        except (UnreadableError, ValueError, TypeError):  # missing, or not what was written: it is drawn again
            drawn = entry.samples(self.players, seed)
            said = json.dumps([[f"{coalition:x}" for coalition in part] for part in drawn])
            write_table(path, lambda temporary: temporary.write_text(said, encoding="utf-8"))
            return drawn


def plans(config: Config, model: str) -> dict[str, Plan]:
    """The plan of each scored task; those that hold the same coalitions are one object, made once."""
    by_task = any(entry.by_task for entry in [*config.estimators, *config.interactions])
    made: dict[str, Plan] = {}
    for task in config.scored_tasks:
        made.setdefault(config.entry_of(task) if by_task else "", Plan(config, model, task))
    return {task: made[config.entry_of(task) if by_task else ""] for task in config.scored_tasks}


def chunk_sizes(plans: Mapping[str, Plan]) -> list[str]:
    """How many coalitions each chunk of a model holds, as a text: a range where tasks differ.

    Some tasks may have fewer chunks than others.
    """
    sizes: list[set[int]] = [set() for _ in range(max(len(plan.chunks) for plan in plans.values()))]
    for plan in plans.values():
        for number, names in enumerate(plan.chunks):
            sizes[number].add(len(names))
    return [" to ".join(str(size) for size in sorted({min(found), max(found)})) for found in sizes]


def baseline_coalitions(players: tuple[Player, ...]) -> list[int]:
    """The model as it is, and the model with every sublayer removed (its measured floor)."""
    return [full(players), 0]


def union(players: tuple[Player, ...], wanted: Iterable[Iterable[int]]) -> list[int]:
    """The distinct coalitions of all estimators and of what is always evaluated, in sweep order.

    Args:
        players: of the model.
        wanted: the coalitions of each estimator.
    """
    distinct = set(baseline_coalitions(players)) | set(ablation_coalitions(players))
    for asked in wanted:
        distinct.update(asked)
    return in_sweep_order(distinct, players)


def chunks(planned: list[int], count: int, players: tuple[Player, ...]) -> list[list[int]]:
    """Split a plan (in sweep order) into at most `count` runs of about equal work; none is empty.

    A coalition's work is taken as the number of players from its first removed one on: what comes before, it
    shares with its neighbours.
    """
    count = max(1, min(count, len(planned)))
    missing = (full(players) & ~coalition for coalition in planned)
    work = [len(players) - (gap & -gap).bit_length() + 2 if gap else 1 for gap in missing]
    left, start = sum(work), 0
    runs = []
    for runs_left in range(count, 0, -1):
        last_stop = len(planned) - runs_left + 1  # leaves a coalition for each run to come
        stop, done = start + 1, work[start]
        while stop < last_stop and done + work[stop] / 2 <= left / runs_left:
            done += work[stop]
            stop += 1
        stop = last_stop if runs_left == 1 else stop
        runs.append(planned[start:stop])
        left, start = left - done, stop
    return runs
