"""Reading files in whose place anything may lie: one way that never hangs, and that names the file.

A pipe without a writer would keep a reader waiting for ever, `/dev/zero` would fill the memory, and each library has
its own kinds of error. So whatever is read goes through here: only regular files, none beyond a size, and one kind of
error.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cornerstone.errors import CornerstoneError, StoreError, UnreadableError, first_line

NOTE = 2**24
"""Most bytes of a file that people write, or that is read before it is known whose it is: 16 MiB."""
LARGE = 2**30
"""Most bytes of a file that is parsed as a whole: 1 GiB."""

_KINDS = {
    stat.S_IFDIR: "is a folder",
    stat.S_IFIFO: "is a pipe",
    stat.S_IFCHR: "is a device",
    stat.S_IFBLK: "is a device",
    stat.S_IFSOCK: "is a socket",
}
_PROBLEMS = {
    errno.ENOENT: ("is missing", ""),
    errno.ENOTDIR: ("is missing: what should be its folder is a file", "Move that file away."),
    errno.ELOOP: ("is a link that leads back to itself", "Delete the link."),
    errno.EACCES: ("may not be read by you", "Have its owner allow it (chmod u+r FILE, and x for its folders)."),
    errno.EPERM: ("may not be read by you", "Have its owner allow it (chmod u+r FILE, and x for its folders)."),
    **dict.fromkeys(
        (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EREMOTEIO),
        ("is on a disk that does not answer as it should", "Nothing was changed. Look at the disk, and start again."),
    ),
    **dict.fromkeys(
        (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR),
        ("is one file too many for this system now", "Nothing was changed. Close programs (ulimit -n), start again."),
    ),
    errno.ENAMETOOLONG: ("has a name that is too long for this disk", "Choose shorter names."),
}


_UNKNOWN = frozenset(_PROBLEMS) - {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}
"""Errors that say nothing of what the file holds."""


def content(path: Path, most: int = LARGE) -> bytes:
    """All bytes of a regular file.

    Raises:
        UnreadableError: it is missing, is no regular file, has more than `most` bytes, or can't be read.
    """
    try:
        with _opened(path, most) as stream:
            return stream.readall()
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        raise _unreadable(path, error) from error


def end(path: Path, most: int) -> bytes:
    """The last bytes of a regular file of any size, at most so many.

    Raises:
        UnreadableError: it is missing, is no regular file, or can't be read.
    """
    try:
        with _opened(path, None) as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - most))
            return stream.read(most)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def text(path: Path, most: int = NOTE) -> str:
    """The text of a UTF-8 file.

    Raises:
        UnreadableError: see `content`; it is no UTF-8.
    """
    return decoded(path, content(path, most))


def decoded(path: Path, found: bytes) -> str:
    """What a file's bytes say in UTF-8.

    Raises:
        UnreadableError: they are no UTF-8.
    """
    try:
        return found.decode("utf-8")
    except UnicodeDecodeError as error:
        line = found[: error.start].count(b"\n") + 1
        raise UnreadableError(path, f"is no text in UTF-8 (line {line}, byte {error.start})") from None


def parsed(path: Path, most: int = NOTE) -> Any:
    """What a JSON file says.

    Raises:
        UnreadableError: see `text`; it is no JSON, or is truncated.
    """
    return of_json(path, content(path, most))


def of_json(path: Path, found: bytes) -> Any:
    """What the bytes of a JSON file say.

    Raises:
        UnreadableError: they are no JSON.
    """
    if not found.strip():
        raise UnreadableError(path, "is truncated: it is empty")
    try:
        return json.loads(decoded(path, found))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise UnreadableError(path, f"is truncated or is not JSON ({where})") from None
    except RecursionError:
        raise UnreadableError(path, "is no file of this program: its JSON is nested too deeply") from None
    except ValueError as error:  # a number of thousands of digits
        raise UnreadableError(path, f"is not JSON ({first_line(error)})") from None


def size(path: Path) -> int:
    """Bytes of a regular file.

    Raises:
        UnreadableError: it is missing, or no regular file.
    """
    try:
        found = os.stat(path)
        _regular(path, found, None)
        return found.st_size
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


@contextmanager
def foreign(path: Path, kind: str, most: int | None = None) -> Iterator[Path]:
    """Frame the reading of a file by another library.

    Args:
        path: the file.
        kind: what it should be, for messages: "Parquet file".
        most: bytes that it may have; None: any number.

    Raises:
        UnreadableError: it is missing, no regular file, empty, larger, or the library can't read it.
    """
    if most is not None and size(path) > most:
        _regular(path, os.stat(path), most)
    if not size(path):
        raise UnreadableError(path, f"is truncated: it is empty, and no {kind}")
    try:
        yield path
    except (CornerstoneError, MemoryError):
        raise
    except Exception as error:
        raise UnreadableError(path, f"is truncated, or no {kind} ({first_line(error)})") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of libraries in Rust; it is no Exception
            raise
        raise UnreadableError(path, f"is truncated, or no {kind} ({first_line(error)})") from error


def sha256(path: Path) -> str:
    """Checksum of a file of any size, as 64 hexadecimal digits.

    Raises:
        UnreadableError: it is missing, no regular file, or can't be read.
    """
    try:
        with _opened(path, None) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _opened(path: Path, most: int | None) -> io.FileIO:
    _regular(path, os.stat(path), most)
    stream = io.FileIO(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb")
    try:
        _regular(path, os.fstat(stream.fileno()), most)  # another file may lie there by now
    except UnreadableError:
        stream.close()
        raise
    return stream


def _regular(path: Path, found: os.stat_result, most: int | None) -> None:
    kind = _KINDS.get(stat.S_IFMT(found.st_mode))
    if kind is not None:
        raise UnreadableError(path, f"{kind}, not a file", "Move it away.")
    if most is not None and found.st_size > most:
        raise UnreadableError(path, f"has {found.st_size} bytes, more than such a file can have ({most})")


def _unreadable(path: Path, error: OSError | ValueError) -> UnreadableError:
    number = getattr(error, "errno", None)
    problem, remedy = _PROBLEMS.get(number or 0, (f"can't be read ({first_line(error)})", ""))
    return UnreadableError(
        path, problem, remedy.replace("FILE", str(path)), missing=number == errno.ENOENT, unknown=number in _UNKNOWN
    )


def unread(path: Path, error: Exception, remedy: str) -> StoreError:
    """The error that says of a JSON file of the results that it can't be read.

    Args:
        path: the file.
        error: of this module, or of taking from the file what is not in it.
        remedy: what to do about it.
    """
    if isinstance(error, UnreadableError):
        return StoreError(error.then(remedy))
    return StoreError(f"{path} can't be read: it is not what the workflow writes ({first_line(error)}). {remedy}")
