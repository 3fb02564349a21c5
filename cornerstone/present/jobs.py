"""What a job of the workflow is called on the screen: its step, model, task and chunk, by the path of its log."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from cornerstone.log import LOGS, OF

FETCHING, EVALUATING, ESTIMATING, DRAWING = "fetching", "evaluating", "estimating", "drawing"

STEPS: dict[str, tuple[str, str]] = {
    "fetch_model": (FETCHING, "fetching weights"),
    "fetch_outline": (FETCHING, "fetching config and tokenizer"),
    "fetch_documents": (FETCHING, "fetching documents"),
    "evaluate": (EVALUATING, "evaluating"),
    "influence": (EVALUATING, "measuring block influence"),
    "deletion": (EVALUATING, "evaluating the deletion curves"),
    "noise": (EVALUATING, "measuring the noise floor"),
    "collect": (ESTIMATING, "collecting results"),
    "estimate": (ESTIMATING, "estimating"),
    "look": (ESTIMATING, "looking whether it is settled"),
    "interactions": (ESTIMATING, "estimating interactions"),
    "deletion_curves": (ESTIMATING, "estimating deletion curves"),
    "compare": (ESTIMATING, "comparing two models"),
    "comparison_tables": (DRAWING, "making tables of comparisons"),
    "comparison_figure": (DRAWING, "drawing a comparison"),
    "tables": (DRAWING, "making tables"),
    "figure": (DRAWING, "drawing"),
    "summary": (DRAWING, "writing the summary"),
    "page": (DRAWING, "writing the page"),
    "package": (DRAWING, "describing the files"),
}
"""Step, as the first folder (or the name) of its logs -> stage of the run, and what its jobs do."""

PARTS = {
    "fetch_model": ("model",),
    "fetch_outline": ("model",),
    "fetch_documents": ("source",),
    "evaluate": ("model", "task"),
    "influence": ("model", "task"),
    "deletion": ("model", "task"),
    "noise": ("model",),
    "collect": ("model", "task"),
    "estimate": ("model",),
    "look": ("model",),
    "interactions": ("model",),
    "deletion_curves": ("model",),
    "figure": ("model", "figure"),
    "compare": ("models",),
    "comparison_figure": ("models", "figure"),
}
"""Step -> what the folders below it and the name of the log say."""


@dataclass(frozen=True)
class JobName:
    """A job, by its log: logs/<step>/<model>/<task>.<chunk>.log, or less of it; see `Layout.logs` for other results."""

    step: str
    parts: tuple[tuple[str, str], ...] = ()
    """(what, which) in the order in which they are said: ("model", "tiny"), ("task", "arc_easy"), ("chunk", "0")."""

    @classmethod
    def of(cls, log: str) -> JobName | None:
        """The job that writes a log; None for a log that is not laid out as those of the rules are."""
        path = PurePath(log)
        if path.suffix != ".log" or LOGS not in path.parts:
            return None
        below = path.with_suffix("").parts[path.parts.index(LOGS) + 1 :]
        step, *rest = below[1:] if len(below) > 1 and below[0].startswith(OF) else below
        names = PARTS.get(step, ())
        if len(rest) != len(names):
            return None
        parts = dict(zip(names, rest, strict=True))
        if step == "evaluate":  # a chunk of the plan by its number, or a coalition that was asked for by name
            parts["task"], _, last = parts["task"].rpartition(".")
            parts["chunk" if last.isdigit() else "coalition"] = last
        return cls(step, tuple(parts.items()))

    @property
    def stage(self) -> str | None:
        """The stage of the run to which it belongs; None where it is no part of one (a plan, say)."""
        return STEPS[self.step][0] if self.step in STEPS else None

    def get(self, what: str) -> str:
        """The model, say; empty where it has none."""
        return dict(self.parts).get(what, "")

    def __str__(self) -> str:
        doing = STEPS[self.step][1] if self.step in STEPS else self.step
        which = ", ".join(f"{what} {name}" for what, name in self.parts)
        return f"{which} ({doing})" if which else doing


def logs_of(folder: str) -> list[tuple[JobName, Path]]:
    """The logs of a configuration, and whose they are: those in its folder (`Layout.logs`), and those of fetches."""
    found = []
    for log in sorted({*Path(folder).rglob("*.log"), *Path(LOGS).glob("fetch_*/**/*.log")}):
        name = JobName.of(str(log))
        if name and (folder != LOGS or not log.parts[1].startswith(OF)):
            found.append((name, log))
    return found


def folded(names: Sequence[str], most: int = 3) -> str:
    """Some files, by name where they are few: `188 files in results/tiny/arc_easy/coalitions` where they are many."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{len(names)} files in {os.path.commonpath([os.path.dirname(name) or '.' for name in names]) or '.'}"


_LIST = re.compile(r"[^\s,]*/[^\s,]+(?:, [^\s,]*/[^\s,]+){2,}, [^\s,]*/[^\s,]*[^\s,;:.)]")


def with_lists_folded(text: str) -> str:
    """A text in which each long list of files is folded."""
    return _LIST.sub(lambda found: folded(found[0].split(", ")), text)
