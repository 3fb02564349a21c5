"""Which weights an entry means: entries that mean the same share a folder, and what is fetched anew follows from it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from cornerstone.assets import contents
from cornerstone.config.weights import Weights

KEYS = {"source", "id", "revision", "file", "sha256"}
"""Keys of an entry that say which weights it means, beside `parts` and `base`."""
GGUF_READER = 2
"""Counts up when something else is made of the same GGUF file: 2 takes digits apart where the file's model does."""


def asset_key(weights: Weights) -> str:
    """12 hexadecimal digits that tell one set of weights from another, by where they come from."""
    wanted = weights.model_dump_json(include=KEYS)
    more = weights.model_dump_json(include={"parts", "base"}, exclude_none=True)
    return hashlib.sha256((wanted + more * (more != "{}")).encode()).hexdigest()[:12]


def folder_name(weights: Weights) -> str:
    """The name of the folder of some weights, whatever entries name them."""
    return f"{re.sub('[^A-Za-z0-9._-]+', '-', Path(weights.id).name)}-{asset_key(weights)}"


def identity(weights: Weights, cache: Path) -> dict[str, Any]:
    """What decides what is fetched: when it changes, it is fetched again.

    Args:
        weights: the model's entry.
        cache: file of checksums, beside the markers.
    """
    return {**weights.model_dump(include=KEYS), **beyond_keys(weights, contents.content(weights, cache))}


def beyond_keys(weights: Weights, content: str | None) -> dict[str, Any]:
    """What decides the weights beside an entry's `KEYS`, where it applies."""
    found = weights.model_dump(include={"parts", "base"}, exclude_none=True)
    if content is not None:
        found["content"] = content
    if weights.source in ("gguf", "wheel") or (weights.source == "hub" and weights.file):
        found["gguf"] = GGUF_READER
    return found
