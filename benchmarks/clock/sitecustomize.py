"""Notes where the time of every Python process goes: `benchmarks.workflow` puts this folder on PYTHONPATH.

Python imports a module of this name when it starts. Where CORNERSTONE_CLOCK names a folder, the process writes one JSON
file into it when it ends: its arguments, the seconds that it lived, the CPU seconds of all its threads (`cpu`, without
child processes), and for each part of `PARTS` and `imports` the wall and CPU seconds. A moment counts for the innermost
part that is open on the main thread; what belongs to none is `rest`. A name that is no longer in its module is passed
over, so its time is in `rest`, too (tests/unit/benchmarks/test_workflow.py looks that all are there).
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import functools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PARTS = {
    "cornerstone.engine.sweep:choice_scores": "sweep",
    "cornerstone.engine.loading:load": "model load",
    "cornerstone.evaluate.tokens:encode": "encoding",
    "cornerstone.evaluate.result:write": "JSON writing",
    "cornerstone.evaluate.result:missing": "JSON checking",
    "snakemake.workflow:Workflow.include": "parsing",
    "snakemake.workflow:Workflow._build_dag": "planning",
}


class Clock:
    """Shares out the time of the main thread among parts."""

    def __init__(self) -> None:
        self.parts: dict[str, list[float]] = {}
        self.open = ["rest"]
        self.started = self.since = (time.time(), time.process_time())

    def charge(self) -> None:
        """What passed since the last call goes to the innermost open part."""
        now = (time.time(), time.process_time())
        part = self.parts.setdefault(self.open[-1], [0.0, 0.0])
        for i in (0, 1):
            part[i] += now[i] - self.since[i]
        self.since = now

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time inside goes to a part of this name, on the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self.charge()
        self.open.append(name)
        try:
            yield
        finally:
            self.charge()
            self.open.pop()

    def timed(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """The same function, timed."""

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return call

    def wrap_what_is_there(self, pending: dict[str, str]) -> None:
        """Time those functions whose module is loaded by now."""
        for target in list(pending):
            module, _, path = target.partition(":")
            if module in sys.modules:
                name = pending.pop(target)
                *owners, attribute = path.split(".")
                owner: Any = sys.modules[module]
                for part in owners:
                    owner = getattr(owner, part, None)
                function = getattr(owner, attribute, None)
                if function is not None:
                    setattr(owner, attribute, self.timed(function, name))

    def write(self, folder: Path) -> None:
        """Write what was noted, in one step."""
        self.charge()
        noted = {
            "arguments": sys.argv,
            "started": self.started[0],
            "seconds": time.time() - self.started[0],
            "cpu": time.process_time(),
            "parts": self.parts,
        }
        path = folder / f"{os.getpid()}-{self.started[0]:.3f}"
        path.write_text(json.dumps(noted), encoding="utf-8")
        path.rename(path.with_name(path.name + ".json"))


def start(folder: Path) -> None:
    """Time this process from here on."""
    clock, pending = Clock(), dict(PARTS)
    original, pid, depth = builtins.__import__, os.getpid(), 0

    def timed_import(*args: Any, **kwargs: Any) -> Any:
        nonlocal depth
        if depth or threading.current_thread() is not threading.main_thread():
            return original(*args, **kwargs)
        before = len(sys.modules)
        depth = 1
        try:
            with clock.part("imports"):
                return original(*args, **kwargs)
        finally:
            depth = 0
            if pending and len(sys.modules) != before:
                clock.wrap_what_is_there(pending)

    def finish() -> None:
        if os.getpid() == pid:  # a fork inherits this, but is not timed
            clock.write(folder)

    builtins.__import__ = timed_import
    atexit.register(finish)


if "CORNERSTONE_CLOCK" in os.environ:
    start(Path(os.environ["CORNERSTONE_CLOCK"]))
