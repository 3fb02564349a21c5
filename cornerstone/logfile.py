"""A job's log, where perhaps nothing can be written: what it can't take is told elsewhere, and never ends the job.

The disk is full, or read-only; a folder or a pipe lies in the log's place. Then the job goes on, as its results may lie
on another disk. The failure with which it ends goes to standard error, and to a file of the main process's own, in
memory where the system has a place for that (`keep_aside`): there the screen finds it.
"""

from __future__ import annotations

import atexit
import errno
import hashlib
import io
import os
import shutil
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from cornerstone import reading
from cornerstone.disk import REMEDIES
from cornerstone.errors import UnreadableError
from cornerstone.masking import masked

ASIDE = "CORNERSTONE_ASIDE"
"""Environment variable: folder of the failures that logs could not take."""
PLACES = ("/dev/shm", None)
"""Where such a folder is made, by preference; None: where temporary files are."""


class LogFile(io.TextIOBase):
    """A log that is begun anew.

    Attributes:
        path: where.
        problem: why it can't be written, or not whole, and what to do; empty where it can.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.problem, self._handle = path, "", -1
        if aside := aside_of(path):
            with suppress(OSError):
                aside.unlink(missing_ok=True)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = _opened(path)
        except OSError as error:
            self._fails(error)

    @property
    def is_open(self) -> bool:
        """Whether there is a file."""
        return self._handle >= 0

    def write(self, text: str) -> int:
        """Write what can be written."""
        if self.is_open:
            try:
                left = text.encode(errors="replace")
                while left:
                    left = left[os.write(self._handle, left) :]
            except OSError as error:
                self._fails(error)
        return len(text)

    def fileno(self) -> int:
        """Its number, for processes that are started.

        Raises:
            OSError: there is no file.
        """
        if not self.is_open:
            raise OSError(errno.EBADF, "the log is not open")
        return self._handle

    def end(self, details: str, block: str) -> None:
        """Take secrets out, then end with a failure's block, where there is one.

        Args:
            details: what stands in the log before it (a traceback); told again only where the log can't be written.
            block: lines by which the failure is found; empty where there is none.
        """
        if self.is_open:
            self._mask()
            self.write(block)
            if block and not self._held().endswith(block):
                self.problem = self.problem or f"{self.path} can't be written."
        if not self.problem:
            return
        said = masked(f"{details}{block}" if block else "")
        with suppress(OSError, ValueError):
            sys.stderr.write(f"{said}cornerstone: warning: {self.problem}\n")
            sys.stderr.flush()
        if block and (aside := aside_of(self.path)):
            with suppress(OSError):
                aside.write_text(said, encoding="utf-8")

    def close(self) -> None:
        """Close the file."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            with suppress(OSError):  # a disk in a network may say only now that it is full
                os.close(handle)

    def _held(self) -> str:
        try:
            return reading.content(self.path).decode(errors="replace")
        except UnreadableError:
            return ""

    def _mask(self) -> None:
        """Take secrets out: what was started here, and what libraries wrote past Python, may have told some."""
        written = self._held()
        if (shown := masked(written)) != written:
            with suppress(OSError):
                os.lseek(self._handle, 0, os.SEEK_SET)
                os.ftruncate(self._handle, 0)
            self.write(shown)

    def _fails(self, error: OSError) -> None:
        remedy = REMEDIES.get(error.errno or 0, "Move away what lies there, and run the same command again.")
        self.problem = f"{self.path} can't be written: {error.strerror}. {remedy}"


def _opened(path: Path) -> int:
    """The number of a file that is opened to be written anew.

    Raises:
        OSError: it can't be, or is no regular file. A pipe does not keep it waiting.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    raise OSError(errno.EINVAL, "it is no file")


def keep_aside() -> None:
    """Make the folder to which jobs write what logs can't take; it goes when this process ends.

    Called before jobs are started, as they inherit its name. Where it can't be made, standard error alone tells.
    """
    if os.path.isdir(os.environ.get(ASIDE, "")):
        return
    for place in PLACES:
        with suppress(OSError):
            os.environ[ASIDE] = tempfile.mkdtemp(prefix="cornerstone-", dir=place)
            atexit.register(shutil.rmtree, os.environ[ASIDE], ignore_errors=True)
            return


def aside_of(log: Path) -> Path | None:
    """The file with what a log could not take; None where there is no folder for it."""
    folder = os.environ.get(ASIDE)
    return Path(folder) / hashlib.sha256(os.path.abspath(log).encode()).hexdigest()[:16] if folder else None


def written(log: Path) -> float:
    """When a log was written last, or what it could not take; 0 where it never was.

    Seconds since 1970, by the clock of whoever has the disk.
    """
    times = [0.0]
    for path in filter(None, (log, aside_of(log))):
        with suppress(OSError):
            times.append(path.stat().st_mtime)
    return max(times)
