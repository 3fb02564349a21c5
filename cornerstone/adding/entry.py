"""A model's entry for config.yaml: its keys, what it asks of a cluster, and what is said beside them."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cornerstone.adding.description import Description
from cornerstone.assets.look import Origin
from cornerstone.errors import ConfigError
from cornerstone.files import size
from cornerstone.game.players import written_kinds

GIB = 2**30
_GPU = 72
"""GiB of a GPU of 80 GB that a job can count on."""
_NODE = 8
"""GPUs of the largest usual node."""
_SMALL = 2.0
"""GiB of weights up to which a CPU will do."""
_DOCUMENTS, _FEWEST, _TOKENS = 1000, 100, 200
"""Documents of a task where the config sets no limit, and the fewest; tokens of a document with all of its choices."""
_WINDOW = 4
"""Removed players up to which the paper takes every window."""
_SPEED = {True: 125e12, False: 0.1e12}
"""Sustained FLOP/s of a GPU and of one CPU core."""
_READ = 0.5e9
"""Bytes a second at which weights come from a cluster's disk."""
_DAY = 1440


@dataclass(frozen=True)
class Entry:
    """An entry of `models`.

    Attributes:
        name: its key.
        keys: what is written.
        remarks: key -> comment at the end of its line.
        heading: comment above the entry.
    """

    name: str
    keys: dict[str, Any]
    remarks: dict[str, str] = field(default_factory=dict)
    heading: str = ""


def make_entry(name: str, origin: Origin, model: Description, documents: int | None) -> Entry:
    """The entry of a model.

    Args:
        name: its key.
        origin: where it is.
        model: what it is.
        documents: the most documents of a task that it will be scored on; None: no limit.
    """
    keys: dict[str, Any] = {"source": origin.source, "id": origin.id}
    remarks: dict[str, str] = {}
    if origin.revision:
        keys["revision"] = origin.revision
        remarks["revision"] = "the newest commit when this was added"
    if model.quantised:
        remarks["id"] = f"quantised ({model.quantised}); sizes are those of plain weights"
    keys["blocks"] = len(model.kinds)
    if model.feed_forward is None:
        keys["sublayers"] = written_kinds(model.kinds)
    elif model.feed_forward != "ffn":
        keys["feed_forward"] = model.feed_forward
    if model.experts:
        key = "feed_forward" if "feed_forward" in keys else "sublayers"
        remarks[key] = f"{model.experts} experts in each mixture: for `players: experts` add `experts: {model.experts}`"
    keys["dtype"] = model.dtype
    resources = estimate(model, documents)
    if resources["gpus"]:
        keys["batch_tokens"] = 16384
        remarks["batch_tokens"] = "what keeps a GPU busy"
    keys["resources"] = resources
    remarks["resources"] = "of the cluster; estimated from the size"
    if wanted_gpus(model.bytes) > _NODE:
        remarks["resources"] += f", too much for {_NODE} GPUs: weights are streamed to one"
    return Entry(name, keys, remarks, f"{summary(model)}. Added by `cornerstone add`.")


def summary(model: Description) -> str:
    """What a model is, in one line."""
    rows = "; each choice is a row of its own" if model.unfolded else ""
    return (
        f"{model.model_type}: {len(model.kinds)} blocks, {model.sublayers} sublayers, "
        f"{count(model.parameters)} parameters, {size(model.bytes)} in {model.dtype}{rows}"
    )


def count(number: int) -> str:
    """A number of parameters, for people.

    >>> count(494_032_768), count(70_553_706_496)
    ('494 million', '70.6 billion')
    """
    if number >= 1e9:
        return f"{number / 1e9:.1f} billion"
    return f"{number / 1e6:.0f} million" if number >= 1e6 else f"{number:,}"


def wanted_gpus(weights: int) -> int:
    """GPUs that hold weights of so many bytes and hidden states beside them: a quarter of the weights, and 4 GiB."""
    return math.ceil((weights / GIB * 1.25 + 4) / _GPU)


def estimate(model: Description, documents: int | None) -> dict[str, int]:
    """What one evaluate job of a model asks of a cluster.

    gpus: 0 for up to 2 GiB of weights, which a CPU computes in reasonable time. Else as many as hold the weights and,
        for hidden states, a quarter of that and 4 GiB more, with 72 GiB of each GPU of 80 GB. Where that is more than
        the 8 GPUs of a node: 1, to which the weights are streamed.
    memory_gb: the weights and a fifth, which pass through the host's memory, and 4 GiB; 8 at least. Streamed weights
        stay on disk: 64.
    runtime_minutes: arithmetic of a task's windows of up to 4 removed players. There are 4 for each sublayer; a walk
        computes about half of each. A document is taken to have 200 tokens, each of which costs 2 FLOP for an entry of
        a matrix, at 125 TFLOP/s for GPUs (40 % of an A100; several work one after another) or 0.1 for a CPU core. Then
        the weights are read once, at 0.5 GB/s. Three times that for reserve, in half hours, an hour at least. At most a
        day, which is also what streamed weights get: a job that is stopped goes on where it was, and `chunks` cuts a
        task into several. For 100 documents at least, so that a few more need no other limit.
    """
    weights = model.bytes / GIB
    gpus = 0 if weights <= _SMALL else wanted_gpus(model.bytes)
    streamed = gpus > _NODE
    tokens = _TOKENS * max(_FEWEST, documents or _DOCUMENTS)
    flop = 2 * model.multiplied * tokens * _WINDOW * model.sublayers / 2
    minutes = 3 * (flop / _SPEED[gpus > 0] + model.bytes / _READ) / 60
    return {
        "gpus": 1 if streamed else gpus,
        "memory_gb": 64 if streamed else max(8, math.ceil(1.2 * weights + 4)),
        "runtime_minutes": _DAY if streamed else min(_DAY, max(60, 30 * math.ceil(minutes / 30))),
    }


def choose_name(origin: Origin, taken: Collection[str], wanted: str | None = None) -> str:
    """The key of a model's entry: what is wanted, or the last part of its id, made valid and unique.

    >>> choose_name(Origin("hub", "Qwen/Qwen2.5-0.5B", "0" * 40), [])
    'qwen2.5-0.5b'

    Raises:
        ConfigError: what is wanted is taken, or can't be a name.
    """
    if wanted is not None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", wanted):
            raise ConfigError(
                f"--name {wanted}: a model's name has lower-case letters, digits and . _ - and begins with a letter or "
                "digit. Choose another."
            )
        if wanted in taken:
            raise ConfigError(f"--name {wanted}: there is a model of this name under `models`. Choose another.")
        return wanted
    last = Path(origin.id).resolve().name if origin.source != "hub" else origin.id.rpartition("/")[2]
    name = re.sub(r"[^a-z0-9._-]+", "-", last.lower().removesuffix(".gguf")).strip("-._") or "model"
    if name not in taken:
        return name
    if origin.revision and f"{name}-{origin.revision[:7]}" not in taken:
        return f"{name}-{origin.revision[:7]}"
    return next(each for i in range(2, len(taken) + 3) if (each := f"{name}-{i}") not in taken)
