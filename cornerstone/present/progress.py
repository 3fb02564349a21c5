"""How far a run has come: from what Snakemake has to do, and from the logs of the jobs that are at work."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cornerstone import reading
from cornerstone.errors import UnreadableError
from cornerstone.log import clock, failure_of, last_said, reached
from cornerstone.present.jobs import JobName, logs_of

if TYPE_CHECKING:  # not at run time: every process of Snakemake imports this module
    from cornerstone.config.config import Config

Weigh = Callable[[str, str], float | None]
"""(model, task) -> what one coalition costs; None while that is not known."""

RECENT = 300.0
"""Seconds after which a job that says nothing is no longer taken to be at work."""


@dataclass
class Part:
    """The evaluate job of a chunk, or that of a task's deletion curves."""

    log: str
    model: str
    task: str
    coalitions: int
    """How many it has to do: first by the files that are missing, then what the job itself says."""
    guessed: bool = False
    """Whether `coalitions` is a guess so far: those of deletion curves depend on what is estimated before."""
    begun: float | None = None
    done: bool = False


@dataclass
class Work:
    """All coalitions that a run has to evaluate."""

    parts: dict[str, Part]
    planned: int
    """Coalitions of the plan, with those that are there."""
    weigh: Weigh = lambda model, task: 1.0
    started: float | None = None
    share: float = 0.0
    """Of all the work, what was done when a line was made last."""
    _weights: dict[tuple[str, str], float] = field(default_factory=dict)

    @property
    def coalitions(self) -> str:
        """How many there are to do."""
        about = "about " * any(part.guessed for part in self.parts.values())
        return f"{about}{sum(part.coalitions for part in self.parts.values())}"

    def __str__(self) -> str:
        planned = sum(part.coalitions for part in self.parts.values() if not part.guessed)
        guessed = sum(part.coalitions for part in self.parts.values() if part.guessed)
        curves = f", then about {guessed} of deletion curves" if guessed else ""
        coalitions = "coalition" if planned == 1 else "coalitions"
        return f"{planned} {coalitions} (the plan has {self.planned}){curves}"

    def begin(self, log: str, now: float) -> None:
        """Note that a job was started or submitted."""
        if log in self.parts:
            self.parts[log].begun, self.parts[log].done = now, False
            self.started = self.started or now

    def finish(self, log: str) -> None:
        """Note that a job has ended well."""
        if log in self.parts:
            self.parts[log].done = True

    def line(self, now: float) -> str | None:
        """How far it is, in a line; None while nothing has begun or when all is done."""
        at_work = [part for part in self.parts.values() if part.begun and not part.done]
        if self.started is None or not at_work:
            return None
        counts = {part.log: self._of(part) for part in self.parts.values()}
        done = sum(count for count, _ in counts.values())
        weights = {log: self.parts[log].coalitions * self._weight(self.parts[log]) for log in self.parts}
        self.share = share = sum(weights[log] * counts[log][1] for log in counts) / (sum(weights.values()) or 1)
        left = (now - self.started) * (1 - share) / share if share else float("nan")
        return f"{done} of {self.coalitions} coalitions, {share:.0%} of the work, {clock(left)} left"

    def _of(self, part: Part) -> tuple[int, float]:
        """Coalitions that a job has done, and its share of its own work."""
        if not part.begun:
            return 0, 0.0
        # before a job has begun to write, its log may be that of an earlier run
        told = reached(Path(part.log)) if _written(part.log) >= part.begun - 1 else None
        if told:
            part.coalitions, part.guessed = told.of, False
        if part.done:
            return part.coalitions, 1.0
        return (told.done, told.share) if told else (0, 0.0)

    def _weight(self, part: Part) -> float:
        """What one coalition costs; 1 for all as long as that of some is not known (before they are fetched)."""
        for other in self.parts.values():
            key = other.model, other.task
            if key not in self._weights:
                weight = self.weigh(*key)
                if weight is None:
                    return 1.0
                self._weights[key] = weight
        return self._weights[part.model, part.task]


def _written(log: str) -> float:
    try:
        return Path(log).stat().st_mtime
    except OSError:
        return 0.0


def work_of(jobs: Iterable[Any], config: Config) -> Work:
    """The coalitions that jobs of Snakemake have to evaluate."""
    from cornerstone.analysis.deletion import deletion_size
    from cornerstone.plan.layout import Layout
    from cornerstone.plan.plan import plans

    layout, planned = Layout(config), {model: plans(config, model) for model in config.run}

    @cache
    def files(folder: str) -> frozenset[str]:
        try:
            return frozenset(os.listdir(folder))
        except OSError:
            return frozenset()

    def there(path: str) -> bool:  # one look at a folder, not one at each of its thousands of files
        return os.path.basename(path) in files(os.path.dirname(path))

    parts = {}
    for job in jobs:
        log = str(job.log[0]) if job.log else ""
        name = JobName.of(log)
        if name is None or name.step not in ("evaluate", "deletion"):
            continue
        model, task = name.get("model"), name.get("task")
        if name.step == "evaluate":
            number = name.get("chunk")
            names = (
                planned[model][task].chunks[int(number)]
                if number
                else [Path(path).stem for path in map(str, job.output)]
            )
            # all are there, but it runs: they were made by other settings or code, or lack documents
            count = sum(not there(layout.coalition(model, task, each)) for each in names) or len(names)
            parts[log] = Part(log, model, task, count)
        else:
            players = len(config.models[model].all_players())
            parts[log] = Part(log, model, task, deletion_size(config, players), guessed=True)
    total = sum(len(plan.names) for of_model in planned.values() for plan in of_model.values())
    return Work(parts, total, weight_of(config))


def weight_of(config: Config) -> Weigh:
    """What a coalition costs, roughly: the letters of a task's documents times the bytes of a model's weights."""
    from cornerstone.plan.layout import Layout

    layout = Layout(config)

    @cache
    def letters(path: str, limit: int | None) -> int:
        documents = reading.parsed(Path(path), reading.LARGE)["documents"][:limit]
        # what the choices of a document have in common is computed once
        return sum(len(each["contexts"][0]) + sum(map(len, each["continuations"])) for each in documents)

    @cache
    def weights(marker: str) -> int:
        folder = Path(reading.parsed(Path(marker))["path"])
        return sum(path.stat().st_size for path in folder.glob("*.safetensors"))

    def weigh(model: str, task: str) -> float | None:
        try:
            size = weights(layout.model_marker(model))
            return float(letters(layout.documents_for(model, task), config.limit(model, task)) * size)
        except (UnreadableError, OSError, ValueError, KeyError, IndexError, TypeError):
            return None  # not fetched yet, or damaged: the job that needs it will say so

    return weigh


def status(config: Config) -> str:
    """What is there and what is at work, by the files on disk alone: coalitions, jobs, tables."""
    from cornerstone.plan.layout import Layout
    from cornerstone.plan.plan import plans
    from cornerstone.present.figures import kinds
    from cornerstone.present.tables import TABLES

    layout = Layout(config)
    lines = []
    for model in config.run:
        for task, plan in plans(config, model).items():
            planned = set(plan.names)
            folder = Path(layout.coalitions(model, task))
            there = len(planned & {path.stem for path in folder.glob("[!.]*.json")})
            lines.append(f"{model} {task}: {there} of {len(planned)} coalitions are there")
    at_work = [(name, log) for name, log in logs_of(layout.logs) if _at_work(name, log, config)]
    lines += ["", "at work (by their logs):" if at_work else "no job seems to be at work"]
    lines += [f"  {name}: {last_said(log) or 'has begun'}" for name, log in at_work]
    lines += ["", f"in {layout.results}:"]
    for model in config.run:
        lines.append(_there(f"values of {model}", layout.estimates(model)))
    lines.append(_there("tables", [path for table in TABLES for path in layout.table(table.name)]))
    for model in config.run:
        pictures = [path for kind in kinds(layout.shown(model)) for path in layout.figure(model, kind)]
        lines.append(_there(f"figures of {model}", pictures))
    lines.append(_there("summary", [layout.summary]))
    lines.append(_there("pages", layout.pages))
    return "\n".join(lines)


def _at_work(name: JobName, log: Path, config: Config) -> bool:
    """Whether a log was written lately and does not say that its job is through."""
    if time.time() - _written(str(log)) > RECENT or (name.get("model") or config.run[0]) not in config.run:
        return False
    told = reached(log)
    return bool(told and told.done < told.of and failure_of(log) is None)


def _there(what: str, paths: Sequence[str]) -> str:
    there = sum(Path(path).is_file() for path in paths)
    if len(paths) == 1:
        return f"  {what}: {paths[0] if there else 'not yet'}"
    return f"  {what}: {there} of {len(paths)}"
