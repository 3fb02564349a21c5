"""What people see on the terminal while jobs run: progress in lines, errors in one message."""

from __future__ import annotations

import atexit
import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import IO, cast

from cornerstone.errors import CornerstoneError


def say(message: str) -> None:
    """A line of progress on the terminal (and in the job's log)."""
    print(f"cornerstone: {message}", file=sys.stderr, flush=True)


class _Both:
    """A stream that writes to two."""

    def __init__(self, *streams: IO[str]) -> None:
        self.streams = streams

    def write(self, text: str) -> int:
        for stream in self.streams:
            stream.write(text)
        return len(text)

    def flush(self) -> None:
        for stream in self.streams:
            stream.flush()

    def isatty(self) -> bool:
        return False


@contextmanager
def script(log: str) -> Iterator[None]:
    """The frame of every script: what goes to stderr also goes to the job's log file.

    What is heavy is imported inside. The garbage collector would go again and again through the many objects that
    packages make when they are imported, and once more when the process ends, and find nothing: 1.4 of the 5.2 CPU
    seconds that a job of a small model takes beside its sweep. So it runs rarely here, and not at the end.

    Raises:
        SystemExit: with code 1, when the block raised a CornerstoneError. Its message is printed without a
            traceback; any other error is a defect and keeps its own.
    """
    path = Path(log)
    path.parent.mkdir(parents=True, exist_ok=True)
    usual = gc.get_threshold()
    gc.set_threshold(10_000, 50, 100)
    atexit.register(gc.freeze)
    with path.open("w", encoding="utf-8") as stream, redirect_stderr(cast("IO[str]", _Both(sys.stderr, stream))):
        try:
            yield
        except CornerstoneError as error:
            print(f"\n{type(error).__name__}: {error}\n", file=sys.stderr, flush=True)
            raise SystemExit(1) from None
        finally:
            gc.set_threshold(*usual)


class Progress:
    """Lines on the terminal: how many coalitions are done, and how long the rest will take.

    Lines rather than a bar, because several jobs run side by side and their output also goes to log files.
    """

    def __init__(self, label: str, coalitions: int, work: int, every: float = 10.0) -> None:
        self.label = label
        self.coalitions = coalitions
        self.work = max(work, 1)
        self.every = every
        self.done_work = 0
        self.done = 0
        self.started = self.told = time.monotonic()

    def advance(self, work: int) -> None:
        """Count work that was done; say so if the last line is old."""
        self.done_work += work
        if time.monotonic() - self.told >= self.every:
            self._tell()

    def finished(self, coalitions: int) -> None:
        """Count coalitions whose files are written."""
        self.done = coalitions
        self._tell()

    def _tell(self) -> None:
        self.told = time.monotonic()
        share = min(1.0, self.done_work / self.work)
        left = (self.told - self.started) * (1 - share) / share if share else float("nan")
        say(f"{self.label}: {self.done} of {self.coalitions} coalitions, {share:.0%} of the work, {clock(left)} left")


def clock(seconds: float) -> str:
    """A duration as h:mm:ss or m:ss."""
    if seconds != seconds:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
