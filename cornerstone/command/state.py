"""`cornerstone status`: what is there, what is stale, what failed, and how long the rest takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cornerstone import reading
from cornerstone.command.said import Said, duration
from cornerstone.config.config import Config
from cornerstone.errors import UnreadableError
from cornerstone.evaluate.stale import Results
from cornerstone.log import failure_of
from cornerstone.plan.layout import Layout
from cornerstone.plan.plan import Plan
from cornerstone.present import looks
from cornerstone.present.jobs import logs_of
from cornerstone.present.progress import status, weight_of

SAMPLE = 20
"""Results of a task from which the time of one coalition is taken."""


@dataclass(frozen=True)
class Part:
    """The planned coalitions of a model and task.

    Attributes:
        model: its name.
        task: its name.
        planned: how many.
        done: of these, results that hold what the configuration asks for.
        stale: planned ones whose files are there, but of other settings or code, or of fewer documents.
        beyond: results that no plan of this configuration asks for; they stay, and may be deleted.
        seconds: for what is left, one job after another; None: not known.
    """

    model: str
    task: str
    planned: int
    done: int
    stale: tuple[str, ...]
    beyond: tuple[str, ...]
    seconds: float | None


def state(config: Config) -> Said:
    """What is on disk, compared with what the configuration asks for."""
    parts = [_part(config, model, task) for model in config.run for task in config.scored_tasks]
    parts = _with_guesses(config, parts)
    failed = failures(config)
    known = [part.seconds for part in parts if part.seconds is not None]
    left = sum(known) / 3600 if len(known) == len(parts) else float("nan")
    done, planned = sum(part.done for part in parts), sum(part.planned for part in parts)
    lines = [status(config), "", f"{done} of {planned} planned coalitions are done"]
    if done < planned and left == left:
        lines[-1] += f"; the others take about {duration(left)} of one job"
    for part in parts:
        where = f"{part.model} {part.task}"
        if part.stale:
            lines.append(
                f"{where}: {len(part.stale)} files are stale (of other settings or code, or of fewer documents), such "
                f"as {part.stale[0]}; a run makes them again, or `cornerstone results adopt` keeps them"
            )
        if part.beyond:
            lines.append(f"{where}: {len(part.beyond)} files are beyond the plan, such as {part.beyond[0]}; they stay")
    lines += looks.lines(config)
    lines += [f"failed: {each['job']}: {each['message']} ({each['log']})" for each in failed]
    data = {
        "done": done,
        "planned": planned,
        "hours_left": left,
        "tasks": [asdict(part) for part in parts],
        "failures": failed,
    }
    return Said("\n".join(lines), data)


def _part(config: Config, model: str, task: str) -> Part:
    results, names = Results(config, model, task), Plan(config, model, task).names
    lacking = [name for name in names if results.lacking([name])]
    stale = tuple(name for name in lacking if name in results.files)
    beyond = tuple(sorted(results.files.keys() - set(names)))
    done = [name for name in names if name in results.files]
    each = _seconds(Path(results.layout.coalitions(model, task)), done)
    left = 0.0 if not lacking else None if each is None else each * len(lacking)
    return Part(model, task, len(names), len(names) - len(lacking), stale, beyond, left)


def _seconds(folder: Path, names: Sequence[str]) -> float | None:
    """What one coalition took, on average over a few of those that are there."""
    found = []
    for name in names[:: max(1, len(names) // SAMPLE)][:SAMPLE]:
        try:
            jobs = reading.parsed(folder / f"{name}.json")["provenance"]["jobs"]
            found.append(sum(float(job["seconds"]) for job in jobs))
        except (UnreadableError, OSError, ValueError, KeyError, TypeError):
            continue
    return sum(found) / len(found) if found else None


def _with_guesses(config: Config, parts: Sequence[Part]) -> list[Part]:
    """The same; where nothing of a task is done, its time follows from that of the model's other tasks."""
    weigh = weight_of(config)
    rates: dict[str, list[float]] = {}
    for part in parts:
        weight, left = weigh(part.model, part.task), part.planned - part.done
        if part.seconds and weight and left:
            rates.setdefault(part.model, []).append(part.seconds / left / weight)
    made = []
    for part in parts:
        weight, known = weigh(part.model, part.task), rates.get(part.model)
        if part.seconds is None and weight and known:
            guess = weight * sum(known) / len(known) * (part.planned - part.done)
            part = Part(part.model, part.task, part.planned, part.done, part.stale, part.beyond, guess)
        made.append(part)
    return made


def failures(config: Config) -> list[dict[str, str]]:
    """The jobs of this configuration whose last run failed, with what they said and their logs."""
    found = []
    for name, log in logs_of(Layout(config).logs):
        failure = failure_of(log)
        if failure is None or (name.get("model") or config.run[0]) not in config.run:
            continue
        first = (failure.message.splitlines() or [""])[0]
        found.append({"job": str(name), "message": f"{failure.kind}: {first}", "log": str(log)})
    return found
