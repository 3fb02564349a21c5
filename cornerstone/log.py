"""What a job's script says: progress and errors go to the job's log, in a form that the main process finds again.

Many jobs run side by side, some on other machines, so none of them writes on the screen by itself. The main process
reads the logs (`failure_of`, `reached`) and shows what matters (cornerstone.present.screen).
"""

from __future__ import annotations

import atexit
import gc
import io
import os
import re
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from cornerstone import disk, reading
from cornerstone.errors import CornerstoneError, StoreError, UnreadableError, first_line
from cornerstone.logfile import LogFile, aside_of
from cornerstone.masking import masked, secrets
from cornerstone.stopping import Stop, asked, stoppable

LOGS, OF = "logs", "of-"
"""Folder of all logs; how the names of those inside begin that hold the logs of other results (`Layout.logs`)."""
VERBOSE = "CORNERSTONE_VERBOSE"
"""Environment variable: when it is set, scripts write on the screen, too (rules/common.smk sets it)."""

STOPPED = "Stopped"
"""Kind of the failure of a job that was asked to end."""

TAIL = 1 << 16
"""Bytes at the end of a log that are searched."""


WARNING = "warning: "


def log(message: str) -> None:
    """Write a line of progress: to the job's log, and with --verbose to the screen."""
    with suppress(OSError):  # a line that can't be written is no reason to stop
        print(masked(f"cornerstone: {message}"), file=sys.stderr, flush=True)


def warn(message: str) -> None:
    """Write a line that the screen shows when the job has ended: what is done, but may not be what was meant."""
    log(f"{WARNING}{message}")


class _Masked(io.TextIOBase):
    """A stream that writes to others, without secrets. Libraries keep it, and close it when Python ends: none of the
    others is theirs."""

    def __init__(self, *streams: IO[str] | LogFile) -> None:
        self.streams = streams
        self.secrets = secrets()

    def write(self, text: str) -> int:
        for stream in self.streams:
            with suppress(OSError):
                stream.write(masked(text, self.secrets))
        return len(text)

    def fileno(self) -> int:
        return self.streams[-1].fileno()

    def flush(self) -> None:
        for stream in self.streams:
            with suppress(OSError):
                stream.flush()

    def isatty(self) -> bool:
        return False

    def close(self) -> None:
        """Leave both open."""


@contextmanager
def script(log: str, shown: bool = False) -> Iterator[None]:
    """Frame a script: what goes to stderr goes to the job's log file.

    What is heavy is imported inside. The garbage collector would go again and again through the many objects that
    packages make when they are imported, and once more when the process ends, and find nothing: 1.4 of the 5.2 CPU
    seconds that a job of a small model takes beside its sweep. So it runs rarely here, and not at the end.

    Ctrl-C and SIGTERM raise `stopping.Stop` in the block: see there.

    Args:
        log: the job's log file.
        shown: whether stderr goes to the screen as well; it does in any case with --verbose.

    Raises:
        SystemExit: with code 1, when the block raised an error. The log then ends with the message, for `failure_of`;
            before it stands the traceback, unless it was a CornerstoneError, `Stop`, or a full disk: any other error is
            a defect. What the log can't take goes to standard error (`cornerstone.logfile`).
    """
    usual = gc.get_threshold()
    gc.set_threshold(10_000, 50, 100)
    atexit.register(gc.freeze)
    details = ""
    with LogFile(Path(log)) as stream, no_questions():
        failure: Failure | None = None
        with stoppable(), _told(stream, shown or bool(os.environ.get(VERBOSE))):
            try:
                yield
            except KeyboardInterrupt as caught:
                failure = Failure(STOPPED, str(Stop.of(caught)), expected=True)
            except CornerstoneError as caught:
                failure = Failure(type(caught).__name__, str(caught), expected=True)
            except Exception as caught:
                if problem := disk.problem(caught):
                    failure = Failure(StoreError.__name__, problem, expected=True)
                else:
                    failure = Failure(type(caught).__name__, first_line(caught), expected=False)
                    details = "" if asked() else traceback.format_exc()
                    sys.stderr.write(details)
            finally:
                gc.set_threshold(*usual)
            if failure is not None and failure.kind != STOPPED and (by := asked()):
                failure = Failure(STOPPED, str(Stop(by)), expected=True)  # a library has made another error of it
        stream.end(details, failure.block() if failure else "")
    if failure is not None:
        raise SystemExit(1)


@contextmanager
def no_questions() -> Iterator[None]:
    """Close standard input: a library that asks, such as whether to trust the code of a model, gets no answer."""
    usual, sys.stdin = sys.stdin, io.StringIO()
    try:
        before = os.dup(0)
    except OSError:  # it is closed already
        before = None
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        os.dup2(nothing, 0)
        yield
    finally:
        sys.stdin = usual
        os.close(nothing)
        if before is not None:
            os.dup2(before, 0)
            os.close(before)


@contextmanager
def _told(stream: LogFile, shown: bool) -> Iterator[None]:
    """Send stderr to a log; unless it is shown on the screen as well, also what libraries write past Python, and what
    processes started here write. Where there is no log, stderr stays what it is, but for secrets."""
    if shown or not stream.is_open:
        with redirect_stderr(cast("IO[str]", _Masked(sys.stderr, *([stream] if stream.is_open else [])))):
            yield
        return
    sys.stderr.flush()
    screen = os.dup(2)
    try:
        os.dup2(stream.fileno(), 2)
        with redirect_stderr(cast("IO[str]", _Masked(stream))):
            yield
    finally:
        os.dup2(screen, 2)
        os.close(screen)


@dataclass(frozen=True)
class Failure:
    """Why a job failed.

    Attributes:
        kind: name of the error's class.
        message: what it says; of an error that is not expected only the first line.
        expected: whether it is a CornerstoneError, whose remedy lies with the user.
    """

    kind: str
    message: str
    expected: bool

    def block(self) -> str:
        """The lines that stand for it in a log."""
        return f"\n--- {'failed' if self.expected else 'defect'}: {self.kind}\n{masked(self.message)}\n--- end\n"


_FAILURE = re.compile(r"^--- (failed|defect): (.*)\n((?:.*\n)*?)--- end$", re.MULTILINE)


def failure_of(path: Path) -> Failure | None:
    """The failure with which a job's log ends, or which it could not take; None where there is none, or no log."""
    aside = aside_of(path)
    found = (_FAILURE.findall(tail(aside)) if aside else []) or _FAILURE.findall(tail(path))
    if not found:
        return None
    how, kind, message = found[-1]
    return Failure(kind, message.rstrip("\n"), how == "failed")


def append_failure(path: Path, failure: Failure, details: str) -> None:
    """End a job's log with a failure that its script could not write itself, after the details that are known; on
    standard error where the log can't be written."""
    said = f"\n{details.strip()}\n{failure.block()}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as stream:
            stream.write(said)
    except OSError:
        with suppress(OSError):
            sys.stderr.write(said)


def tail(path: Path) -> str:
    """The end of a log; empty where there is none."""
    try:
        return reading.end(path, TAIL).decode(errors="replace")
    except UnreadableError:
        return ""


class Progress:
    """Lines in the job's log: how many coalitions are done, and how long the rest will take."""

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
        log(f"{self.label}: {self.done} of {self.coalitions} coalitions, {share:.0%} of the work, {clock(left)} left")


@dataclass(frozen=True)
class Reached:
    """How far a job has come, by its log: coalitions done of those it has to do, and its share of the work."""

    done: int
    of: int
    share: float
    left: str


_TOLD = re.compile(r"^cornerstone: .*: (\d+) of (\d+) coalitions, (\d+)% of the work, (\S+) left$", re.MULTILINE)
_BEGUN = re.compile(r"^cornerstone: .*: \d+ of \d+ coalitions are there, (\d+) to do$", re.MULTILINE)


def reached(path: Path) -> Reached | None:
    """How far the job with this log has come; None before it knows what it has to do."""
    text = tail(path)
    if told := _TOLD.findall(text):
        done, of, percent, left = told[-1]
        return Reached(int(done), int(of), int(percent) / 100, left)
    if begun := _BEGUN.findall(text):
        return Reached(0, int(begun[-1]), 0.0 if int(begun[-1]) else 1.0, "?")
    return None


def last_said(path: Path) -> str | None:
    """The last line that a job has said; None where it has said nothing yet."""
    lines = [line for line in tail(path).splitlines() if line.startswith("cornerstone: ")]
    return lines[-1].removeprefix("cornerstone: ") if lines else None


def warnings_of(path: Path) -> list[str]:
    """What a job has warned of, each once; none where there is no such log."""
    start = f"cornerstone: {WARNING}"
    try:
        lines = reading.content(path).decode(errors="replace").splitlines()
    except UnreadableError:
        return []
    return list(dict.fromkeys(line.removeprefix(start) for line in lines if line.startswith(start)))


def clock(seconds: float) -> str:
    """A duration as h:mm:ss or m:ss."""
    if seconds != seconds:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
