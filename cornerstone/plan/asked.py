"""Coalitions that somebody asks for by the names of their files: `snakemake RESULT.json`.

They are made by one job for each model and task, and by no other. Which they are is on the command line of Snakemake,
which a job of a cluster does not see: it finds them in a file that is named like its rule.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cornerstone import reading
from cornerstone.config.config import Config
from cornerstone.errors import StoreError, UnreadableError
from cornerstone.files import write_text
from cornerstone.game import coalitions
from cornerstone.plan.layout import Layout
from cornerstone.plan.snakemake import NOTES

RULE = "evaluate_asked_"
"""How the names of rules begin that evaluate what is asked for."""


@dataclass(frozen=True)
class Asked:
    """Coalitions of a model that are asked for on a task.

    Attributes:
        model: its name.
        task: its name.
        names: of the coalitions, sorted.
        again: those that are computed whatever is there.
    """

    model: str
    task: str
    names: tuple[str, ...]
    again: tuple[str, ...] = ()

    @property
    def _content(self) -> str:
        return json.dumps([self.model, self.task, self.names, self.again])

    @property
    def rule(self) -> str:
        """The name of the rule that evaluates them."""
        return f"{RULE}{hashlib.sha256(self._content.encode()).hexdigest()[:16]}"

    @property
    def log(self) -> str:
        """What the log of the job is called, besides the task."""
        others = len(self.names) - 1
        return self.names[0] + (f"-and-{others}-more" if others else "")

    def write(self) -> None:
        """Write down what is asked for, for the processes of jobs."""
        write_text(_file(self.rule), self._content)

    @classmethod
    def read(cls, rule: str) -> Asked:
        """What a rule of that name evaluates.

        Raises:
            StoreError: nobody has written it down.
        """
        try:
            model, task, names, again = reading.parsed(_file(rule), reading.LARGE)
        except (UnreadableError, ValueError, TypeError) as error:
            raise StoreError(
                f"{_file(rule)}, which says which coalitions are asked for, can't be read ({error}). Run the same "
                "command again."
            ) from error
        return cls(model, task, tuple(names), tuple(again))


def _file(rule: str) -> Path:
    return NOTES / "asked" / f"{rule}.json"


def forced(config: Config, rule: str) -> list[Path]:
    """The results that a rule makes whatever is there.

    Raises:
        StoreError: see `Asked.read`.
    """
    if not rule.startswith(RULE):
        return []
    found = Asked.read(rule)
    return [Path(Layout(config).coalition(found.model, found.task, name)) for name in found.again]


def asked(config: Config, called: Any | None, main: bool) -> list[Asked]:
    """What is asked for in this run of Snakemake.

    In the process that decides what runs, this is read off the command line, and written down. In the processes of its
    jobs, it is what their rules evaluate.

    Args:
        config: the configuration.
        called: what Snakemake was called with (`plan.snakemake.command_line`).
        main: whether this process decides what runs.

    Raises:
        CoalitionError: a file is named like no coalition of its model.
        StoreError: a job does not find what was written down.
    """
    if called is None:
        return []
    if not main:
        rules = {target.rulename for target in called.target_jobs or () if target.rulename.startswith(RULE)}
        return [Asked.read(rule) for rule in sorted(rules)]
    targets = {*called.targets, *called.until, *called.prioritize}
    forced = {*called.forcerun, *(targets if called.force or called.forceall else ())}
    found = of_files(config, targets | forced, forced)
    for each in found:
        each.write()
    return found


def of_files(config: Config, targets: Iterable[str], forced: Iterable[str] = ()) -> list[Asked]:
    """The coalitions whose files are among some targets, for each model and task.

    Args:
        config: the configuration.
        targets: files and rules, as they are given on the command line.
        forced: those of them that are made whatever is there.

    Raises:
        CoalitionError: a file is named like no coalition of its model.
    """
    layout, again = Layout(config), {_normal(target) for target in forced}
    wanted = {_normal(target) for target in targets} | again
    found = []
    for model in config.run:
        players = config.models[model].all_players()
        for task in config.scored_tasks:
            folder = os.path.normpath(layout.coalitions(model, task))
            names = sorted(Path(t).stem for t in wanted if os.path.dirname(t) == folder and t.endswith(".json"))
            for name in names:
                coalitions.parse(name, players)
            if names:
                redone = tuple(name for name in names if f"{folder}/{name}.json" in again)
                found.append(Asked(model, task, tuple(names), redone))
    return found


def _normal(target: str) -> str:
    """A target as Snakemake compares it with outputs: relative to the working folder, where it is not absolute."""
    return os.path.normpath(target)
