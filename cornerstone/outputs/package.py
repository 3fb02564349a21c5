"""datapackage.json: every file of the results and every column, for programs (https://datapackage.org, version 2)."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cornerstone import __version__
from cornerstone.config.config import Config
from cornerstone.files import read_csv, sha256
from cornerstone.outputs.described import Column, Described, description

TABLES = (".csv", ".parquet")
"""Endings of files with columns."""
PROFILE = "https://datapackage.org/profiles/2.0/datapackage.json"


def columns_of(path: Path) -> list[str]:
    """The names of a table's columns; its rows are not read.

    Raises:
        StoreError: a CSV file is damaged.
    """
    if path.suffix == ".csv":
        return [str(name) for name in read_csv(path).columns]
    import pyarrow.parquet  # pandas has no way to read the names alone

    return [name for name in pyarrow.parquet.read_schema(path).names if not name.startswith("__")]


def undescribed(folder: Path) -> dict[str, list[str]]:
    """Files in a results folder that no entry describes (with an empty list), or whose columns are not those described.

    Files whose names begin with a dot are passed over, as is the folder's own README.md.
    """
    found: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or path.name.startswith(".") or name == "README.md":
            continue
        entry = description().of(name)
        if entry is None:
            found[name] = []
        elif path.suffix in TABLES and (wrong := entry.undescribed(columns_of(path))):
            found[name] = wrong
    return found


def package(config: Config, paths: Iterable[Path]) -> dict[str, Any]:
    """The content of datapackage.json.

    Args:
        config: that made the results.
        paths: the tables and other single files of the run; each becomes a resource with its size and checksum.

    Returns:
        A data package. Beyond the standard it has `config` (the whole configuration) and `kinds` (files by the pattern
        of their paths, such as those of single coalitions, which are too many to be listed).
    """
    root = Path(config.paths.results)
    names = sorted(path.relative_to(root).as_posix() for path in paths)
    resources = [_resource(root, name) for name in names]
    twice = {name for name, count in Counter(resource["name"] for resource in resources).items() if count > 1}
    assert not twice, f"resources of one name: {twice}"
    kinds = [
        {"paths": list(entry.paths), "description": _plain(entry.text)}
        for entry in description().files
        if not any(entry.fits(name) for name in names)
    ]
    return {
        "$schema": PROFILE,
        "name": "cornerstone-results",
        "title": f"Which layers matter: {', '.join(config.run)} on {', '.join(config.run_tasks)}",
        "description": "Results of Cornerstone. Fractions, unless a column's name ends in _percent; files of a value "
        "function hold natural logarithms.",
        "version": __version__,
        "resources": resources,
        "kinds": kinds,
        "config": config.model_dump(mode="json", by_alias=True),
    }


def text(config: Config, paths: Iterable[Path]) -> str:
    """datapackage.json as it is written; the same files give the same bytes."""
    return json.dumps(package(config, paths), indent=2, ensure_ascii=False) + "\n"


def _resource(root: Path, name: str) -> dict[str, Any]:
    path = root / name
    entry = description().of(name)
    made: dict[str, Any] = {
        "name": re.sub(r"[^a-z0-9._-]+", "-", name.lower()),
        "path": name,
        "format": path.suffix.removeprefix("."),
    }
    if path.suffix == ".parquet":  # the validator of Frictionless knows neither size nor hash of what it reads by Arrow
        made |= {"sha256": sha256(path), "size": path.stat().st_size}
    else:
        made |= {"hash": f"sha256:{sha256(path)}", "bytes": path.stat().st_size}
    if entry is not None:
        made["description"] = " ".join(part for part in (_sentence(entry.rows), _plain(entry.text)) if part)
    if path.suffix in TABLES:
        made["type"] = "table"
        made["schema"] = {"fields": [_field(entry, column) for column in columns_of(path)], "missingValues": [""]}
    return made


def _field(entry: Described | None, name: str) -> dict[str, Any]:
    column: Column | None = entry.column(name) if entry else None
    if column is None:
        return {"name": name, "type": "any"}
    field: dict[str, Any] = {"name": name, "type": column.type, "description": _plain(column.meaning)}
    if column.type == "boolean":
        field |= {"trueValues": ["True"], "falseValues": ["False"]}
    if not column.empty:
        field["constraints"] = {"required": True}
    return field


def _sentence(rows: str) -> str:
    return f"{rows[0].upper()}{rows[1:]}." if rows else ""


def _plain(markdown: str) -> str:
    """Markdown without links and line breaks; tables are left out."""
    lines = [line for line in markdown.splitlines() if line and not line.startswith("|")]
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", " ".join(lines))
