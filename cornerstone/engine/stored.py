"""The tensors of a model's safetensors files, by their headers: no weight is read."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cornerstone.errors import ModelError

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""Number formats of weights that mean what they say. Others (float8, integers) need scales, which stand elsewhere."""


@dataclass(frozen=True)
class Stored:
    """A tensor in a file: where its bytes start and how many there are."""

    name: str
    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    bytes: int


def stored_tensors(folder: Path) -> dict[str, Stored]:
    """Every tensor of a model's safetensors files, by name: those of the files that transformers would load.

    Raises:
        ModelError: no files, a file that is missing or damaged, or shorter than its header says.
    """
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    paths = [single] if single.is_file() else []
    if not paths and index.is_file():
        try:
            names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            paths = sorted(folder / name for name in names)
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ModelError(f"{index} is damaged. Fetch the model again.") from error
    if not paths:
        raise ModelError(
            f"{folder} holds neither {single.name} nor {index.name}. Fetch the model again, or correct its entry."
        )
    found: dict[str, Stored] = {}
    for path in paths:
        found.update((stored.name, stored) for stored in _header(path))
    return found


def _header(path: Path) -> Iterator[Stored]:
    """The tensors of one file. Format: 8 bytes with the length of the header, the header (JSON), the data."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > size:
                raise ValueError("the header is longer than the file")
            header: dict[str, Any] = json.loads(file.read(length))
        header.pop("__metadata__", None)
        tensors = [
            Stored(name, path, facts["dtype"], tuple(facts["shape"]), 8 + length + begin, end - begin)
            for name, facts in header.items()
            for begin, end in [facts["data_offsets"]]
        ]
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing. Fetch the model again.") from error
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise ModelError(f"{path} is no whole safetensors file ({error}). Fetch the model again.") from error
    end = max((tensor.start + tensor.bytes for tensor in tensors), default=0)
    if end > size:
        raise ModelError(f"{path} is cut off: its header promises {end} bytes, it has {size}. Fetch the model again.")
    yield from tensors
