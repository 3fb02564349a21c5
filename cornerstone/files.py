"""Writing files so that nobody ever sees half of one, and checking that they are whole."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cornerstone.errors import AssetError, StoreError, first_line

if TYPE_CHECKING:
    import pandas as pd


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` on a temporary file beside `path`, then move it into place in one step.

    Two processes may do this at once with the same path: the last one wins, whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        readable(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def readable(path: Path) -> None:
    """Give a file the mode that a file has that is simply written: temporary ones are readable by their owner alone."""
    path.chmod(0o666 & ~_umask())


def write_once(path: Path, write: Callable[[Path], object]) -> None:
    """As `write_atomically`, but a file that is there by then stays: the first one wins, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        temporary = Path(folder) / path.name
        write(temporary)
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        except OSError:  # a disk without hard links
            temporary.replace(path)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV, atomically, without its index."""
    write_text(path, frame.to_csv(index=False, lineterminator="\n"))


def read_csv(path: Path) -> pd.DataFrame:
    """Read a table that `write_csv` wrote.

    Raises:
        StoreError: it is missing, truncated, or no table.
    """
    import pandas as pd  # not above: jobs that only write results do without

    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} can't be read: {first_line(error)}. Delete it and run the workflow again to make it."
        ) from error


def write_frames(frames: Mapping[str, pd.DataFrame], paths: Iterable[Path]) -> None:
    """Write tables to the files that are named after them: each file by its stem.

    Raises:
        ValueError: tables and files do not match, which is an error of this package.
    """
    targets = {path.stem: path for path in paths}
    if targets.keys() != frames.keys():
        raise ValueError(f"tables {sorted(frames)} do not match files {sorted(targets)}")
    for stem, path in targets.items():
        write_csv(frames[stem], path)


def sha256(path: Path) -> str:
    """Checksum of a file, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
