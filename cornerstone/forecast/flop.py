"""Floating-point operations of a sweep, counted from shapes.

Those of matrix products, two for a multiplication and an addition. For n evaluations of a sublayer, T tokens in batches
of padded width S, and R rows at which a token is scored:

    attention      n * sum over batches (2 * W * T  +  4 * h * d * T * S)
    feed-forward   n * sum over batches  2 * W * T   (the last one, where it runs by itself: R in place of T)
    head           coalitions * 2 * hidden * vocabulary * R

W: entries of the sublayer's weight matrices; of a mixture's experts, those of the experts that a token is sent to.
h * d: query heads x width of a head; scores and weighted values are 2 * d operations each for every pair of positions,
masked ones included, because masks are dense. Norms, activations and the softmax are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from cornerstone.engine.architectures import is_parallel
from cornerstone.engine.network import Network
from cornerstone.engine.tries import Batch
from cornerstone.game.players import is_attention


@dataclass(frozen=True)
class Documents:
    """The packed documents of a task.

    Attributes:
        count: documents.
        tokens: tokens that go through each sublayer, padding included.
        pairs: (token, position) pairs of attention, padding included.
        rows: rows of the head.
        batches: tokens of each batch.
        width: padded length of the longest batch.
    """

    count: int
    tokens: int
    pairs: int
    rows: int
    batches: tuple[int, ...]
    width: int

    @classmethod
    def of(cls, batches: Sequence[Batch]) -> Documents:
        """Measure what `tries.batches` made."""
        return cls(
            count=sum(len(batch.documents) for batch in batches),
            tokens=sum(batch.tokens for batch in batches),
            pairs=sum(batch.tokens * batch.input_ids.shape[1] for batch in batches),
            rows=sum(len(batch.rows) for batch in batches),
            batches=tuple(batch.tokens for batch in batches),
            width=max(batch.input_ids.shape[1] for batch in batches),
        )


@dataclass(frozen=True)
class Arithmetic:
    """What decides a model's floating-point operations.

    Attributes:
        weights: of each sublayer, in execution order: entries of the matrices that a token is multiplied with.
        attention: query heads x width of a head.
        head: entries of the head's matrix.
        largest: (rows, columns) of the largest matrix of the feed-forward sublayers.
        parallel: whether both sublayers of a block run in parallel.
    """

    weights: tuple[float, ...]
    attention: int
    head: int
    largest: tuple[int, int]
    parallel: bool = False

    @classmethod
    def of(cls, network: Network) -> Arithmetic:
        """Read the shapes off a model; its parameters need no values."""
        config, layout = network.config, network.architecture
        weights, shapes = [], []
        for block in network.blocks:
            for part in (layout.attention, layout.feed_forward):
                found = [p.shape for path in part.modules for p in block.get_submodule(path).parameters() if p.ndim > 1]
                weights.append(sum(_used(shape, config) for shape in found))
                shapes += [tuple(shape[-2:]) for shape in found] if part is layout.feed_forward else []
        heads = config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // heads
        head = sum(p.numel() for p in network.head.parameters() if p.ndim > 1)
        largest = max(shapes, key=lambda shape: shape[0] * shape[1])
        return cls(tuple(weights), heads * width, head, largest, is_parallel(layout, config))

    def flops(self, evaluations: Mapping[int, int], coalitions: int, documents: Documents) -> float:
        """Floating-point operations of a walk: how often each sublayer is evaluated, for how many coalitions."""
        total = 2.0 * self.head * documents.rows * coalitions
        for sublayer, count in evaluations.items():
            alone_and_last = sublayer == len(self.weights) - 1 and not self.parallel
            tokens = documents.rows if alone_and_last else documents.tokens
            total += count * 2 * self.weights[sublayer] * tokens
            if is_attention(sublayer):
                total += count * 4 * self.attention * documents.pairs
        return total


def _used(shape: torch.Size, config: Any) -> float:
    """Entries of a weight that one token meets: all of [out, in]; of [experts, out, in] those of its chosen experts."""
    share = config.num_experts_per_tok / shape[0] if len(shape) == 3 else 1
    return shape.numel() * share
