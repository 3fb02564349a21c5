"""Checksums inside a result file, which say whether it is what was written: none of its bytes may change unnoticed.

The last section, `sha256`, has the SHA-256 of two parts of the file's text: `documents`, the lines of that section, and
`others`, all before it. Without this program, the first is

    sed -n '/^"documents": {$/,/^}/{//!p}' FILE | sha256sum

A file that another program has formatted anew is checked by what it says: its sections are written as `text` writes
them, and these lines are compared.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

SEAL = "sha256"
"""The section."""
_OPEN, _DOCUMENTS, _CLOSE = "{\n", '"documents": {\n', '},\n"sha256": '


def text(sections: Mapping[str, Any]) -> str:
    """A result as text: a line a section, a line for each array of `documents`, and the checksums, made anew."""
    others = "".join(
        f'"{key}": {json.dumps(value)},\n' for key, value in sections.items() if key not in ("documents", SEAL)
    )
    arrays = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in sections["documents"].items())
    arrays += "\n"
    seal = {"documents": _hash(arrays.encode()), "others": _hash(others.encode())}
    return f"{_OPEN}{others}{_DOCUMENTS}{arrays}{_CLOSE}{json.dumps(seal)}\n}}\n"


def problem(found: bytes, sections: Mapping[str, Any]) -> str:
    """What is wrong with a file that has checksums; empty where nothing is, or where it has none.

    Args:
        found: the file's bytes.
        sections: what they say.
    """
    seal = sections.get(SEAL)
    if seal is None or _as_written(found, seal):
        return ""
    try:
        again = json.loads(text(sections))[SEAL]
        changed = [part for part in ("documents", "others") if seal[part] != again[part]]
    except (TypeError, KeyError, AttributeError, ValueError):
        return "is damaged: its checksums are none"
    where = {"documents": "the section `documents`", "others": "another section than `documents`"}
    return f"was changed after it was written: sha256 of {where[changed[0]]} differs" if changed else ""


def _as_written(found: bytes, seal: object) -> bool:
    """Whether a file is, byte by byte, what `text` made."""
    head, ends = _DOCUMENTS.encode(), f"{_CLOSE}{json.dumps(seal)}\n}}\n".encode()
    first = found.find(head)
    if first < 0 or not found.startswith(_OPEN.encode()) or not found.endswith(ends):
        return False
    others, arrays = found[len(_OPEN) : first], found[first + len(head) : len(found) - len(ends)]
    return seal == {"documents": _hash(arrays), "others": _hash(others)}


def _hash(part: bytes) -> str:
    return hashlib.sha256(part).hexdigest()
