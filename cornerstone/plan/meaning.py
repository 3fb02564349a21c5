"""What a file of code means: comments, docstrings and formatting are left out.

Parsing all of the package takes half a second, and each start of Snakemake asks. So the meaning of a file is kept
beside Python's own bytecode of it, where Python would write that, too.
"""

from __future__ import annotations

import ast
import hashlib
import os
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from cornerstone import reading
from cornerstone.errors import CornerstoneError

_UNSAID = {"ctx", "kind", "type_comment", "type_ignores"}
"""Fields of a syntax tree that say nothing of what a program does."""
_CACHE = "__pycache__"
_DIGEST = 32
"""Bytes of a checksum."""


def meaning(path: Path) -> bytes:
    """What of a file counts: of Python the program without comments, docstrings and formatting; else every byte."""
    content = path.read_bytes()
    if path.suffix != ".py":
        return content
    kept = path.parent / _CACHE / f"{path.stem}.meaning"
    with suppress(CornerstoneError):
        found = reading.content(kept)
        if found[:_DIGEST] == _checksum(content, found[_DIGEST:]):
            return found[_DIGEST:]
    parts: list[str] = []
    _canonical(ast.parse(content), parts)
    said = "".join(parts).encode()
    if not sys.dont_write_bytecode:
        with suppress(OSError):  # a folder that can't be written
            _keep(kept, _checksum(content, said) + said)
    return said


def _keep(path: Path, what: bytes) -> None:
    """Write a file in one step, as processes do it side by side. One that a crash cuts does not fit its checksum."""
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(what)
    temporary.replace(path)


def _checksum(content: bytes, said: bytes) -> bytes:
    """Of a file's content, of what it means, and of how that is found: what is kept fits as long as none changes."""
    return hashlib.sha256(b"\0".join([_own(), content, said])).digest()


@lru_cache
def _own() -> bytes:
    return Path(__file__).read_bytes()


def _canonical(node: object, parts: list[str]) -> None:
    """Append a syntax tree as text: names of nodes and their fields, without positions and docstrings.

    Written here because `ast.dump` gives other text in other versions of Python: fields that are empty are left out.
    """
    if isinstance(node, ast.AST):
        parts.append(f"({type(node).__name__}")
        for field, value in ast.iter_fields(node):
            if field in _UNSAID or value is None:
                continue
            if isinstance(node, ast.JoinedStr) and field == "values":
                value = [part for part in value if not _is_nothing(part)]
            if value != []:
                parts.append(f" {field}=")
                _canonical(value, parts)
        parts.append(")")
    elif isinstance(node, list):
        parts.append("[")
        for item in node:
            if not _is_remark(item):
                _canonical(item, parts)
                parts.append(",")
        parts.append("]")
    else:
        parts.append(repr(node))


def _is_remark(node: object) -> bool:
    """Whether a statement is nothing but a string: the docstring of a module, class, function or attribute."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_nothing(node: object) -> bool:
    """Whether a part of an f-string is empty: Python 3.12.1 has one where others have none."""
    return isinstance(node, ast.Constant) and node.value == ""
