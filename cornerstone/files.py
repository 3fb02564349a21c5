"""Writing files so that nobody ever sees half of one, and reading tables back only as they were written.

A file is on the disk, whole, before its name counts: else a power cut leaves empty files behind finished names. Beside
a table lies a note of its SHA-256, and of those of the tables that it was made from: `sha256sum -c .sha256/*`, in the
table's folder, checks them without this program. A table that is swapped, cut or changed is not read.
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cornerstone import reading
from cornerstone.disk import REMEDIES, unwritable
from cornerstone.errors import AssetError, StoreError, UnreadableError, first_line
from cornerstone.reading import sha256 as sha256

if TYPE_CHECKING:
    import pandas as pd

NOTES = ".sha256"
"""Folder of the notes of the tables beside it."""
AT = "# at "
"""Begins the line of a note that says in which folder its table belongs: it may be swapped together with its note."""
MADE_AGAIN = "Delete it and run the workflow again to make it."


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` on a temporary file beside `path`, then move it into place in one step.

    Two processes may do this at once with the same path: the last one wins, whole. The content is on the disk before
    the name is, and the name when this returns.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(0o600, exist_ok=False)
        write(temporary)
        readable(temporary)
        on_disk(temporary)
        temporary.replace(path)
        on_disk(path.parent)
    except OSError as error:
        if error.errno not in REMEDIES:
            raise
        raise StoreError(f"{unwritable(path, error.errno)} What was there stays.") from error
    finally:
        temporary.unlink(missing_ok=True)


def on_disk(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on the disk.

    Raises:
        OSError: they can't get there: the disk is full, say, or fails.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if path.is_dir():
            with suppress(OSError):  # some disks do not know this of folders
                os.fsync(handle)
        else:
            os.fsync(handle)
    finally:
        os.close(handle)


def all_on_disk(folder: Path) -> None:
    """Wait until all files in a folder, its subfolders included, and its own name are on the disk.

    Raises:
        OSError: see `on_disk`.
    """
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(place) / name
            if path.is_file() and not path.is_symlink():
                on_disk(path)
        on_disk(Path(place))
    on_disk(folder.parent)


def write_once(path: Path, write: Callable[[Path], object]) -> None:
    """As `write_atomically`, but a file that is there by then stays: the first one wins, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        temporary = Path(folder) / path.name
        write(temporary)
        on_disk(temporary)
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        except OSError:  # a disk without hard links
            temporary.replace(path)
    on_disk(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_csv(frame: pd.DataFrame, path: Path, made_from: Iterable[Path] = (), placed: bool = True) -> None:
    """Write a table as CSV, without its index: see `write_table`."""
    write_table(path, lambda temporary: temporary.write_text(_csv(frame), encoding="utf-8"), made_from, placed)


def _csv(frame: pd.DataFrame) -> str:
    return str(frame.to_csv(index=False, lineterminator="\n"))


def write_table(
    path: Path, write: Callable[[Path], object], made_from: Iterable[Path] = (), placed: bool = False
) -> None:
    """Write a table atomically, and beside it a note of its checksum and of those of the files it was made from.

    Args:
        path: where.
        write: writes it to a temporary file.
        made_from: tables that have such notes.
        placed: note also the name of its folder (a model's, say). Not where that is the folder of all results, which
            may be moved.
    """
    sources = [f"# from {found} {source}\n" for source in made_from if (found := noted(source)) is not None]

    def both(temporary: Path) -> None:
        write(temporary)
        place = [_place(path)] if placed else []
        write_text(note_of(path), "".join([*place, *sources, f"{sha256(temporary)}  {path.name}\n"]))

    write_atomically(path, both)


def write_noted(path: Path, text: str) -> None:
    """Write UTF-8 text for readers, with a note of its checksum as tables have it."""
    write_table(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def note_of(table: Path) -> Path:
    """The file that holds a table's checksum, in the form of `sha256sum`."""
    return table.parent / NOTES / f"{table.name}.sha256"


def _place(table: Path) -> str:
    return f"{AT}{table.parent.resolve().name}/{table.name}\n"


def noted(table: Path) -> str | None:
    """The checksum that a table had when it was written; None where nobody noted it: an older version wrote it.

    Raises:
        UnreadableError: the note is damaged.
    """
    try:
        lines = reading.text(note_of(table)).splitlines()
    except UnreadableError as error:
        if error.missing:
            return None
        raise
    *said, last = lines or [""]
    digest, _, name = last.partition("  ")
    if name != table.name or len(digest) != 64 or not all(line.startswith((AT, "# from ")) for line in said):
        raise UnreadableError(note_of(table), "is truncated, or no note of a table's checksum")
    if other := [line.removeprefix(AT) for line in said if line.startswith(AT) and f"{line}\n" != _place(table)]:
        raise UnreadableError(table, f"was written in another place, as {other[0]}: it was swapped, with its note")
    return digest


def check(table: Path, found: str | None = None) -> None:
    """Check that a table is what was written there, as far as its checksum was noted.

    Args:
        table: the file.
        found: its checksum, where that is known.

    Raises:
        UnreadableError: it is not, or it or its note can't be read.
    """
    digest = noted(table)
    if digest is not None and (found or sha256(table)) != digest:
        raise UnreadableError(
            table, f"is not what was written: it was cut, changed or swapped (its sha256 is not that in {NOTES})"
        )


def read_csv(path: Path) -> pd.DataFrame:
    """Read a table that `write_csv` wrote.

    Raises:
        StoreError: it is missing, is not what was written, or no table.
    """
    import pandas as pd  # not above: jobs that only write results do without

    try:
        content = reading.content(path)
        check(path, hashlib.sha256(content).hexdigest())
        return pd.read_csv(io.BytesIO(content))
    except UnreadableError as error:
        raise StoreError(error.then(MADE_AGAIN)) from error
    except ValueError as error:
        raise StoreError(f"{path} can't be read: it is no table ({first_line(error)}). {MADE_AGAIN}") from error


def write_frames(frames: Mapping[str, pd.DataFrame], paths: Iterable[Path], made_from: Sequence[Path] = ()) -> None:
    """Write tables to the files that are named after them: each file by its stem.

    Args:
        frames: by name.
        paths: the files.
        made_from: see `write_table`.

    Raises:
        ValueError: tables and files do not match, which is an error of this package.
    """
    targets = {path.stem: path for path in paths}
    if targets.keys() != frames.keys():
        raise ValueError(f"tables {sorted(frames)} do not match files {sorted(targets)}")
    for stem, path in targets.items():
        write_csv(frames[stem], path, made_from)


def need_space(folder: Path, wanted: int) -> None:
    """Check that a folder's disk has room for `wanted` more bytes.

    Raises:
        AssetError: when it has not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise AssetError(
            f"{folder} needs {size(wanted)} of free disk space, but has {size(free)}. Free some, or set "
            "`paths.resources` in config.yaml to a folder on a larger disk."
        )


def size(count: float) -> str:
    """A number of bytes, for people.

    >>> size(268_435_456)
    '268.4 MB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def readable(path: Path) -> None:
    """Give a file the mode that a file has that is simply written: temporary ones are readable by their owner alone."""
    path.chmod(0o666 & ~_umask())


def state(path: Path) -> tuple[int, int, int]:
    """What changes when a file is written: its size, its date, and when the file system last saw it change (ns).

    A date can be set back, by a copy that keeps dates or by a damaged disk's repair. The last of the three can't.
    """
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
