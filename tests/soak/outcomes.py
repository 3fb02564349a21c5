"""How a case can end, and how that is told from what a command said and left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Ended(StrEnum):
    """The classes; the first four are what should be."""

    NAMED = "refused and named"
    RIGHT = "right in the end"
    VERIFY = "named by verify"
    SKIPPED = "not tried"
    UNNAMED = "refused, not named"
    WRONG = "wrong in the end"
    USED = "silently used"
    RAN = "code was run"
    TRACEBACK = "traceback"
    HANG = "hang"


GOOD = (Ended.NAMED, Ended.RIGHT, Ended.VERIFY, Ended.SKIPPED)
MEANING = {
    Ended.NAMED: "The command ended with an error that names the file or the key. After a damaged "
    "file was deleted (a result) or put back (weights, documents), the same command gave what an undisturbed run does.",
    Ended.RIGHT: "The command ended well, and every file is that of an undisturbed run.",
    Ended.VERIFY: "No command had a reason to look at the file, nothing was made from it, and `cornerstone results "
    "verify` names it.",
    Ended.SKIPPED: "The machine can't do it (no SLURM, say); the case says why.",
    Ended.UNNAMED: "The command ended with an error that does not say which file or key is wrong.",
    Ended.WRONG: "The command ended, but files are not those of an undisturbed run, or finished work was done again.",
    Ended.USED: "The command ended well with what was damaged or wrong, and nothing noticed it.",
    Ended.RAN: "Something of the string or the model's folder was run.",
    Ended.TRACEBACK: "A Python traceback on the screen.",
    Ended.HANG: "The command had not ended after some minutes.",
}
TRACE = "Traceback (most recent call last)"


@dataclass(frozen=True)
class Case:
    """Something that is tried.

    Attributes:
        kind: kills, corruptions, configs, strings or models.
        number: from 0; with the kind it is the case's name.
        what: in words.
        run: tries it in a laboratory.
    """

    kind: str
    number: int
    what: str
    run: Callable[..., Outcome]


@dataclass(frozen=True)
class Outcome:
    """How a case ended, the words that say it best, and all that was said."""

    ended: Ended
    said: str = ""
    text: str = ""


@dataclass(frozen=True)
class Said:
    """What a command said.

    Attributes:
        code: its exit status; None where it had to be ended.
        text: what it wrote on stdout and stderr.
    """

    code: int | None
    text: str

    def refusal(self, *names: str) -> Outcome | None:
        """How it ended where that was not well; None where it ended with 0.

        Args:
            names: one of them has to be said by an error.
        """
        if self.code is None:
            return Outcome(Ended.HANG, self.last(), self.text)
        if TRACE in self.text:
            return Outcome(Ended.TRACEBACK, self.last(), self.text)
        if self.code == 0:
            return None
        line = next((line for line in self.text.splitlines() if any(name in line for name in names)), None)
        return Outcome(Ended.UNNAMED, self.last(), self.text) if line is None else Outcome(Ended.NAMED, line)

    def last(self) -> str:
        """Its last line."""
        return next((line for line in reversed(self.text.splitlines()) if line.strip()), "")


def finish(running: subprocess.Popen[bytes], out: Path, seconds: float) -> Said:
    """Wait for a command that `begin` began; end what is left of it after that time, orphans too."""
    code: int | None
    try:
        code = running.wait(seconds)
    except subprocess.TimeoutExpired:
        code = None
    end(running)
    return Said(code, out.read_text(encoding="utf-8", errors="replace"))


def end(running: subprocess.Popen[bytes], orphans: bool = True) -> None:
    """Kill a command and, with `orphans`, what it has left behind in its process group."""
    if orphans or running.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(running.pid, signal.SIGKILL)
    running.wait()


def begin(
    command: Sequence[str], folder: Path, out: Path, env: Mapping[str, str] | None = None, answer: bytes = b""
) -> subprocess.Popen[bytes]:
    """Start a command in a process group of its own.

    Args:
        command: the words.
        folder: where.
        out: file for what it says: a pipe would stay open as long as an orphan lives.
        env: its environment; None: this one's.
        answer: what stands on its standard input.
    """
    typed = out.with_suffix(".in")
    typed.write_bytes(answer)
    with out.open("wb") as stream, typed.open("rb") as stdin:
        return subprocess.Popen(
            list(command), cwd=folder, env=env, stdin=stdin, stdout=stream, stderr=stream, start_new_session=True
        )


def call(
    command: Sequence[str],
    folder: Path,
    out: Path,
    seconds: float = 300,
    env: Mapping[str, str] | None = None,
    answer: bytes = b"",
) -> Said:
    """Run a command to its end."""
    return finish(begin(command, folder, out, env, answer), out, seconds)


def until(condition: Callable[[], object], seconds: float) -> bool:
    """Wait until something holds; False where it does not in that time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
