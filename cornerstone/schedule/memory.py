"""What a job's memory is spent on: whether weights stay in memory or are streamed, and how much is left for states.

How much there is on the device that computes, `limits` says. It is spent on

    the process itself     PROCESS: interpreter, libraries, on a GPU the context
    weights                all of them, or embedding, final norm, head and the slots
    working memory         what a single sublayer or the head needs besides, for the largest batch
    hidden states          the rest

Of several GPUs each holds its share of the weights, but the states of a walk are on one at a time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cornerstone.config.models import Model
from cornerstone.engine.streaming.streamed import SLOTS
from cornerstone.engine.weights import Footprint, footprint, matrices_of
from cornerstone.errors import ConfigError
from cornerstone.schedule.limits import GIB, Limit, on_gpus

PROCESS = 3 * GIB // 4
"""Bytes of the process itself. Measured on a CPU: 0.50 GiB after the imports, with a tokenizer and an outline."""
LEAST_TOGETHER = 8
"""Coalitions for whose states there must be room beside resident weights; with less, streaming is the better choice."""
GENERATIONS = 2
"""States alive per coalition where weights are resident: before and after a sublayer, at most."""
IN_HAND = 3
"""States of one batch that a streamed walk needs besides those of all coalitions: what it just computes."""
ENOUGH = 2**60
"""Bytes for hidden states where nobody knows how much memory there will be."""
_HEAD_ROWS, _HEAD_ROWS_GPU = 256, 2048
"""Rows of the vocabulary-wide logits that `engine.network` keeps at once, on a CPU and on a GPU."""


@dataclass(frozen=True)
class Room:
    """How a job's memory is used.

    Attributes:
        weights: whether they stay in memory.
        weight_bytes: what they take there.
        working: bytes that a sublayer or the head needs besides.
        states: bytes for hidden states.
    """

    weights: Literal["resident", "streamed"]
    weight_bytes: int
    working: int
    states: int

    @property
    def streamed(self) -> bool:
        """Whether weights pass through memory."""
        return self.weights == "streamed"

    @property
    def total(self) -> int:
        """Bytes that all of it takes, the process included."""
        return PROCESS + self.weight_bytes + self.working + self.states

    def __str__(self) -> str:
        return (
            f"weights {self.weights} ({self.weight_bytes / GIB:.2f} GiB), {self.states / GIB:.2f} GiB for hidden "
            f"states, {self.working / GIB:.2f} to compute a sublayer"
        )


def working_bytes(model: Any, tokens: int, width: int, gpu: bool = False) -> int:
    """An estimate of what one sublayer or the head needs besides weights and states.

    Intermediate values of a sublayer (attention with its scores written out), norms in float32, a copy of the largest
    matrix (kernels of CPUs repack it), and logits.

    Args:
        model: its parameters need no values.
        tokens: of the largest batch.
        width: padded length of the longest batch.
        gpu: whether it computes there.
    """
    config, bytes_each = model.config.get_text_config(decoder=True), model.dtype.itemsize
    hidden, heads = config.hidden_size, getattr(config, "num_attention_heads", None) or 0
    values, largest = 0.0, 0
    for kind, matrices in matrices_of(model):
        total = sum(matrix.met for matrix in matrices) / hidden
        values = max(values, 2 * total + heads * width * 2 if kind not in ("ffn", "moe") else total)
        entries = [math.prod(m.shape[-2:]) for m in matrices]
        largest = max(largest, *entries, 0)
    values *= tokens * bytes_each
    logits = min(tokens, _HEAD_ROWS_GPU if gpu else _HEAD_ROWS) * config.vocab_size * (bytes_each + 4)
    return int(values + tokens * hidden * 2 * 4 + largest * bytes_each + logits)


def _sharing(entry: Model) -> int:
    """GPUs that share a model's weights; a device that is named, or the CPU, has them all."""
    return entry.resources.gpus if entry.device_map == "auto" else 0


def why_streamed(entry: Model) -> str:
    """What is said of a model that is streamed although nobody asked for it."""
    said = "its weights do not fit beside a sensible number of hidden states, so they are streamed: same scores, slower"
    if _sharing(entry) > 1:
        said += (
            f"; one of its {entry.resources.gpus} GPUs computes, the others idle: set resources.gpus to 1, or to more"
        )
    return said


def room(name: str, entry: Model, limit: Limit | None, model: Any, batches: Sequence[int], width: int) -> Room:
    """Decide where a model's weights are, and how much memory is left for hidden states.

    Args:
        name: of the model.
        entry: its section of the config.
        limit: the memory that a job has; None where nobody knows yet: then weights are taken to stay in memory.
        model: its parameters need no values.
        batches: tokens of each batch.
        width: padded length of the longest batch.

    Raises:
        ConfigError: too little memory even to stream, or streaming asked of several GPUs.
    """
    largest = max(batches)
    state = largest * model.config.get_text_config(decoder=True).hidden_size * model.dtype.itemsize
    working = working_bytes(model, largest, width, on_gpus(entry))
    try:
        return _room(entry.memory.weights, limit, footprint(model), working, state, _sharing(entry))
    except ConfigError as error:
        raise ConfigError(f"models.{name}: {error}") from None


def _room(
    asked: Literal["auto", "resident", "streamed"],
    limit: Limit | None,
    weights: Footprint,
    working: int,
    state: int,
    gpus: int,
) -> Room:
    if asked == "streamed" and gpus > 1:
        raise ConfigError(
            f"memory.weights: streamed computes on one GPU, and resources.gpus is {gpus}. Set it to 1, or "
            "memory.weights to resident."
        )
    shares, slots = max(1, gpus), weights.streamed(SLOTS)
    if limit is None:
        streams = asked == "streamed"
        return Room("streamed" if streams else "resident", slots if streams else weights.resident, working, ENOUGH)
    resident = (limit.bytes - weights.resident) // shares - PROCESS - working
    # the walk of a streamed model is on one GPU, however many the job has
    streamed = limit.bytes // shares - PROCESS - slots - working - IN_HAND * state
    in_memory = Room("resident", weights.resident, working, max(resident, GENERATIONS * state))
    if asked == "resident":
        return in_memory
    if asked == "auto" and resident >= LEAST_TOGETHER * GENERATIONS * state:
        return in_memory
    if streamed >= state and (asked == "streamed" or streamed > resident):
        return Room("streamed", slots, working, streamed)
    if asked == "auto" and resident >= GENERATIONS * state:
        return in_memory
    least = shares * (PROCESS + working + (1 + IN_HAND) * state + slots)
    if asked == "auto":
        least = min(least, weights.resident + shares * (PROCESS + working + GENERATIONS * state))
    raise ConfigError(
        f"{limit} is too little even to stream the weights: they take {weights.resident / GIB:.2f} GiB "
        f"({slots / GIB:.2f} streamed), a sublayer's values {working / GIB:.2f}, one hidden state {state / GIB:.2f}, "
        f"the process {PROCESS / GIB:.2f}. {limit.enough(least)}"
    )
