"""A disk that loses at a power cut whatever was not synced: what is on it is recorded as files are written."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


class Disk:
    """Records what of the files below a folder is on the disk.

    The content of a file is what it was when it was last synced. Of names nobody knows: a file system may write a new
    name at once, or keep the old one until the folder is synced. So a file that takes a finished name (one that is not
    hidden) must be on the disk before, and its folder afterwards.

    Attributes:
        named: files in the order in which they took finished names.
        broken: what a power cut would have left, in words.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.named: list[Path] = []
        self.broken: list[str] = []
        self._contents: dict[tuple[int, int], bytes] = {}
        self._names: dict[Path, dict[str, int]] = {}
        sync = os.fsync

        def fsync(handle: Any) -> None:
            sync(handle)
            place = Path(os.readlink(f"/proc/self/fd/{handle if isinstance(handle, int) else handle.fileno()}"))
            if place.is_dir():
                self._names[place] = {entry.name: entry.inode() for entry in os.scandir(place)}
            else:
                self._contents[_identity(place)] = place.read_bytes()

        monkeypatch.setattr(os, "fsync", fsync)
        for name in ("replace", "rename", "link"):
            monkeypatch.setattr(os, name, self._renaming(getattr(os, name)))

    def _renaming(self, real: Callable[..., None]) -> Callable[..., None]:
        def rename(source: Any, target: Any, *rest: Any, **more: Any) -> None:
            old, new = Path(source), Path(target)
            for path in [old, *old.rglob("*")] if old.is_dir() else [old]:
                name = new / path.relative_to(old)
                if path.is_file() and _finished(name, self.root):
                    if self._contents.get(_identity(path)) != path.read_bytes():
                        self.broken.append(f"{name} took its name before its content was on the disk")
                    self.named.append(name)
            real(source, target, *rest, **more)

        return rename

    def check(self) -> list[Path]:
        """Check that a power cut now leaves every finished file as it is; returns these files."""
        found = [path for path in self.root.rglob("*") if path.is_file() and _finished(path, self.root)]
        for path in found:
            if self._contents.get(_identity(path)) != path.read_bytes():
                self.broken.append(f"{path} is not on the disk as it is")
            if self._names.get(path.parent, {}).get(path.name) != path.stat().st_ino:
                self.broken.append(f"the name {path} is not on the disk")
        if self.broken:
            raise AssertionError("\n".join(self.broken))
        return found


def _finished(path: Path, root: Path) -> bool:
    """Whether a name below a folder is one that says that a file is whole: hidden ones do not."""
    parts = path.relative_to(root).parts if path.is_relative_to(root) else ()
    return bool(parts) and not any(part.startswith(".") and part != ".sha256" for part in parts)


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    assert stat.S_ISREG(found.st_mode)
    return found.st_dev, found.st_ino
