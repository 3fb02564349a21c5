"""What is said of a value of the configuration that is wrong."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from cornerstone.config import source


def place(problem: Any, where: str, written: source.Source | None) -> str:
    """The file and line that an error is about, as near as can be said."""
    said = re.match(r"(?:Value error, )?`([\w.-]+)`", problem["msg"])
    parts = [*problem["loc"], *(said[1].split(".") if said else ())]
    return (written.place(parts) if written else "") or where


def explain(problem: Any, where: str, keys: Collection[str]) -> str:
    """What is wrong with a value, and what to do.

    Args:
        problem: an error of pydantic's, as a dictionary.
        where: file and line.
        keys: all that any section has.
    """
    unseen = ("[key]", "[name]", "[runs]", "[groups]", "[mean]")
    key = ".".join(source.plain(str(part)) for part in problem["loc"] if part not in unseen) or "(top level)"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        near = source.near(str(problem["loc"][-1]), keys)
        return f"{where}: {key}: there is no such key.{near} Remove it, or see docs/configuration.md for the keys."
    if problem["type"] == "value_error":
        return f"{where}: {key}: {message}."
    if problem["type"] == "union_tag_invalid":
        wrong, kinds = problem["ctx"]["tag"], problem["ctx"]["expected_tags"]
        return f"{where}: {key}.kind: there is no {wrong!r}; choose {kinds}. See docs/configuration.md."
    if problem["type"] == "union_tag_not_found" and key.endswith("players"):
        return (
            f"{where}: {key}: {problem['input']!r} says no players; write sublayers, blocks, experts, heads, "
            "{blocks: 3} or {groups: {name: [attn0, ...]}}. See docs/configuration.md."
        )
    if problem["type"] == "union_tag_not_found":
        return f"{where}: {key}.kind: is missing in {problem['input']!r}. See docs/configuration.md for the kinds."
    if problem["type"] == "missing":
        return f"{where}: {key}: is missing. See docs/configuration.md."
    return f"{where}: {key}: {message}; it is {problem['input']!r}. See docs/configuration.md."
