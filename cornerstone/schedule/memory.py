"""What a memory budget is spent on: whether weights stay in memory or are streamed, and how much is left for states.

The budget is that of one evaluate job on the device that computes. It covers

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

from cornerstone.config.models import Memory
from cornerstone.engine.streaming.streamed import SLOTS
from cornerstone.engine.weights import Footprint, footprint, matrices_of
from cornerstone.errors import ConfigError

GIB = 2**30
PROCESS = 3 * GIB // 4
"""Bytes of the process itself. Measured on a CPU: 0.50 GiB after the imports, with a tokenizer and an outline."""
LEAST_TOGETHER = 8
"""Coalitions for whose states there must be room beside resident weights; with less, streaming is the better choice."""
GENERATIONS = 2
"""States alive per coalition where weights are resident: before and after a sublayer, at most."""
IN_HAND = 3
"""States of one batch that a streamed walk needs besides those of all coalitions: what it just computes."""
_HEAD_ROWS = 2048


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

    def __str__(self) -> str:
        return (
            f"weights {self.weights} ({self.weight_bytes / GIB:.2f} GiB), {self.states / GIB:.2f} GiB for hidden "
            f"states, {self.working / GIB:.2f} to compute a sublayer"
        )


def working_bytes(model: Any, tokens: int, width: int) -> int:
    """An estimate of what one sublayer or the head needs besides weights and states.

    Intermediate values of a sublayer (attention with its scores written out), norms in float32, a copy of the largest
    matrix (kernels of CPUs repack it), and logits.

    Args:
        model: its parameters need no values.
        tokens: of the largest batch.
        width: padded length of the longest batch.
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
    logits = min(tokens, _HEAD_ROWS) * config.vocab_size * (bytes_each + 4)
    return int(values + tokens * hidden * 2 * 4 + largest * bytes_each + logits)


def room(memory: Memory, model: Any, batches: Sequence[int], width: int, gpus: int) -> Room:
    """Decide where a model's weights are, and how much memory is left for hidden states.

    Args:
        memory: the config's section.
        model: its parameters need no values.
        batches: tokens of each batch.
        width: padded length of the longest batch.
        gpus: of the job.

    Raises:
        ConfigError: a budget that is too small, or streaming asked of several GPUs.
    """
    largest = max(batches)
    state = largest * model.config.get_text_config(decoder=True).hidden_size * model.dtype.itemsize
    return _room(memory, footprint(model), working_bytes(model, largest, width), state, gpus)


def _room(memory: Memory, weights: Footprint, working: int, state: int, gpus: int) -> Room:
    budget, shares = int(memory.budget_gb * GIB), max(1, gpus)
    resident = (budget - weights.resident) // shares - PROCESS - working
    slots = weights.streamed(SLOTS)
    streamed = budget - PROCESS - slots - working - IN_HAND * state
    in_memory = Room("resident", weights.resident, working, max(resident, GENERATIONS * state))
    if memory.weights == "resident":
        return in_memory
    if memory.weights == "auto" and resident >= LEAST_TOGETHER * GENERATIONS * state:
        return in_memory
    if gpus > 1:
        if memory.weights == "streamed":
            raise ConfigError(
                f"memory.weights: streamed computes on one GPU, and resources.gpus is {gpus}. Set it to 1, or "
                "memory.weights to resident."
            )
    elif streamed >= state and (memory.weights == "streamed" or streamed > resident):
        return Room("streamed", slots, working, streamed)
    if memory.weights == "auto" and resident >= GENERATIONS * state:
        return in_memory
    least = PROCESS + working + (1 + IN_HAND) * state + slots
    if gpus > 1:
        least = weights.resident + shares * (PROCESS + working + GENERATIONS * state)
    raise ConfigError(
        f"memory.budget_gb: {memory.budget_gb:g} is too little: weights take {weights.resident / GIB:.2f} GiB "
        f"({slots / GIB:.2f} streamed), a sublayer's values {working / GIB:.2f}, one hidden state {state / GIB:.2f}, "
        f"the process {PROCESS / GIB:.2f}. Set it to {least / GIB + 0.005:.2f} or more, or lower batch_tokens."
    )
