"""One run at a time for each folder of results, and whose run was the last one there.

Before Snakemake runs a job it deletes what the job will make, so that of two runs at once one would miss a table that
the other is about to make. Snakemake's own lock outlives a process that was killed. This one does not: the system takes
it back.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import time
from pathlib import Path
from typing import IO

from cornerstone import reading
from cornerstone.errors import CornerstoneError, UnreadableError

LOCK = ".run.lock"
"""File in the folder of results that is locked, and says by whom, and from which working folder."""
UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_KEPT: list[IO[str] | None] = []


def keep(results: Path) -> None:
    """Lock a folder of results for the rest of this process.

    Raises:
        CornerstoneError: another run holds it.
    """
    _KEPT.append(hold(results))


def hold(results: Path) -> IO[str] | None:
    """Lock a folder of results until the returned file is closed, at the latest when this process ends.

    Returns:
        The open file; None where the file system knows no locks.

    Raises:
        CornerstoneError: another run holds it.
    """
    results.mkdir(parents=True, exist_ok=True)
    stream = _opened(results / LOCK, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.seek(0)
        by = stream.read().partition("\n")[0].strip()
        stream.close()
        raise CornerstoneError(
            f"another run is under way in {results}{f' ({by})' if by else ''}. Wait until it has ended, or stop it; a "
            "run with another `paths.results` can go on beside it."
        ) from None
    except OSError as error:
        stream.close()
        if error.errno in UNSUPPORTED:
            return None
        raise
    stream.truncate(0)
    stream.write(f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M')}\n")
    stream.write(f"{os.path.realpath(Path.cwd())}\n{os.path.realpath(results)}\n")
    stream.flush()
    return stream


def under_way(results: Path) -> bool:
    """Whether a run holds a folder of results."""
    try:
        with _opened(results / LOCK, os.O_RDONLY) as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (OSError, CornerstoneError):  # no such file, or no locks; who is to hold it says what is wrong with it
        return False
    return False


def _opened(path: Path, how: int) -> IO[str]:
    """Open the file of the lock, in whose place anything may lie, without waiting for it.

    Raises:
        CornerstoneError: it is no regular file, or may not be opened.
        FileNotFoundError: it is not there.
    """
    try:
        number = os.open(path, how | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CornerstoneError(f"{path}, which a run locks, can't be opened: {error.strerror}. Move it away.") from None
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise CornerstoneError(f"{path}, which a run locks, is no file. Move it away.")
    return os.fdopen(number, "r+" if how & os.O_RDWR else "r", encoding="utf-8")


def by_another(results: Path) -> str:
    """The working folder of the run that was the last to write into a folder of results, where it is not this one.

    Results that were moved or copied are those of the folder in which they are now: what does not fit there is found
    by fingerprints and checksums.

    Returns:
        The other folder; empty where there is none, and where nobody knows.
    """
    try:
        lines = reading.text(results / LOCK).splitlines()
    except UnreadableError:
        return ""
    if len(lines) < 3:
        return ""
    folder, place = lines[1:3]
    shared = place == os.path.realpath(results)
    return folder if shared and folder != os.path.realpath(Path.cwd()) else ""
