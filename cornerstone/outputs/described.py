"""description.yaml as data: which entry describes a file, and its columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

SOURCE = Path(__file__).with_name("description.yaml")
"""The one place where files and columns are described."""
TYPES = ("string", "integer", "number", "boolean")
"""Types of columns, by Frictionless' names."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: as in the file.
        type: one of `TYPES`.
        meaning: in Markdown.
        empty: whether it may be empty.
        optional: whether only some files of the kind have it.
        shared: whether many files have it with this meaning.
    """

    name: str
    type: str
    meaning: str
    empty: bool = False
    optional: bool = False
    shared: bool = False


@dataclass(frozen=True)
class Described:
    """The files of a kind.

    Attributes:
        paths: relative to the results, `<...>` for any name.
        heading: in docs/outputs.md.
        text: in Markdown, and `after` what follows the columns.
        rows: what a row of the table is; empty for what is no table.
        columns: of the table.
        part: the section of docs/outputs.md that it shares with others.
        hidden: whether docs/outputs.md says it elsewhere.
    """

    paths: tuple[str, ...]
    heading: str
    text: str = ""
    after: str = ""
    rows: str = ""
    columns: tuple[Column, ...] = ()
    part: str | None = None
    hidden: bool = False

    def fits(self, path: str) -> bool:
        """Whether a path relative to the results is of this kind."""
        return any(re.fullmatch(_pattern(pattern), path) for pattern in self.paths)

    def column(self, name: str) -> Column | None:
        """The column of that name."""
        return next((column for column in self.columns if column.name == name), None)

    def undescribed(self, columns: Iterable[str]) -> list[str]:
        """What does not fit: columns that are not described, and described ones that are not there (with a minus)."""
        there = list(columns)
        unknown = [name for name in there if self.column(name) is None]
        return unknown + [f"-{c.name}" for c in self.columns if not c.optional and c.name not in there]


@dataclass(frozen=True)
class Description:
    """All of description.yaml."""

    introduction: str
    files: tuple[Described, ...]
    shared: tuple[Column, ...]
    parts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    beside: str = ""

    def of(self, path: str) -> Described | None:
        """The kind of a file, by its path relative to the results; None for what is not described."""
        return next((entry for entry in self.files if entry.fits(path)), None)


@cache
def description() -> Description:
    """What the package writes, described."""
    raw = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
    shared = {name: _column(name, text, shared=True) for name, text in raw["shared"].items()}
    return Description(
        introduction=raw["introduction"].strip(),
        files=tuple(_described(entry, shared) for entry in raw["files"]),
        shared=tuple(shared.values()),
        parts=raw["parts"],
        beside=raw["beside"].strip(),
    )


def _described(entry: Mapping[str, Any], shared: Mapping[str, Column]) -> Described:
    paths = tuple(entry["paths"])
    escaped = ", ".join(re.sub(r"[<>]", r"\\\g<0>", path) for path in paths)
    return Described(
        paths=paths,
        heading=entry.get("heading", f"R/{escaped}"),
        text=entry.get("text", "").strip(),
        after=entry.get("after", "").strip(),
        rows=entry.get("rows", ""),
        columns=tuple(
            shared[name] if text is None else _column(name, text) for name, text in entry.get("columns", {}).items()
        ),
        part=entry.get("part"),
        hidden=entry.get("hidden", False),
    )


def _column(name: str, text: str, shared: bool = False) -> Column:
    """A column from `type | meaning`."""
    head, _, meaning = text.partition("|")
    *optional, kind = head.split()
    base = kind.removesuffix("?")
    if base not in TYPES or optional not in ([], ["optional"]):
        raise ValueError(f"{SOURCE.name}: column {name}: '{head.strip()}' is no type")
    return Column(name, base, meaning.strip(), kind.endswith("?"), bool(optional), shared)


def _pattern(path: str) -> str:
    """A path with `<...>` as a regular expression."""
    parts = re.split(r"<[^>]*>", path)
    return "[^/]+".join(re.escape(part) for part in parts)
