"""How large a model's weights are, from what its safetensors files say of themselves: no tensor is read."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

from cornerstone import reading
from cornerstone.assets.fetch import model_folder
from cornerstone.config.models import Model
from cornerstone.errors import AssetError, UnreadableError

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def weight_bytes(marker: Path, entry: Model) -> int | None:
    """Bytes of a model's weights in its `dtype`; None as long as they are not fetched, or where they can't be read.

    Args:
        marker: JSON file that says where they are.
        entry: the model's section of the config.
    """
    try:
        folder = model_folder(marker, entry)
    except AssetError:
        return None
    files = tuple(sorted((path, path.stat().st_mtime_ns) for path in folder.glob("*.safetensors")))
    values = _values(files) if files else None
    return None if values is None else values * BYTES[entry.dtype]


@lru_cache(maxsize=64)
def _values(files: tuple[tuple[Path, int], ...]) -> int | None:
    """How many numbers are in some safetensors files, by path and date."""
    from safetensors import safe_open

    total = 0
    for path, _ in files:
        try:
            with reading.foreign(path, "safetensors file"), safe_open(path, framework="numpy") as opened:
                total += sum(math.prod(opened.get_slice(name).get_shape()) for name in opened.keys())  # noqa: SIM118
        except UnreadableError:
            return None
    return total
