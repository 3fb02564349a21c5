"""Floating-point operations of a sweep, counted from shapes.

Those of matrix products, two for a multiplication and an addition. For n evaluations of a sublayer, T tokens in batches
of padded width S, and R rows at which a token is scored:

    attention      n * sum over batches (2 * W * T  +  4 * h * d * T * S)
    feed-forward   n * sum over batches  2 * W * T   (the last one, where it runs by itself: R in place of T)
    heads          for each set of heads: sum over batches 2 * P * T, where heads are players
    head           coalitions * 2 * hidden * vocabulary * R

W: entries of the sublayer's weight matrices; of a mixture's experts, those of the experts that a token is sent to.
P: entries of an attention's output projection.
h * d: query heads x width of a head; scores and weighted values are 2 * d operations each for every pair of positions,
masked ones included, because masks are dense. Norms, activations and the softmax are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cornerstone.engine.network import Network
from cornerstone.engine.tries import Batch
from cornerstone.engine.weights import matrices_of


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
        mixing: places of the sublayers that are attention.
        last_by_token: whether the last sublayer is computed only where a token is scored.
        projections: place of each attention whose heads are players -> entries of its output projection.
    """

    weights: tuple[float, ...]
    attention: int
    head: int
    largest: tuple[int, int]
    mixing: frozenset[int]
    last_by_token: bool = True
    projections: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, network: Network) -> Arithmetic:
        """Read the shapes off a model; its parameters need no values."""
        config, found = network.config, matrices_of(network.model)
        shapes = [m.shape[-2:] for kind, matrices in found if kind in ("ffn", "moe") for m in matrices]
        shapes = shapes or [m.shape[-2:] for _, matrices in found for m in matrices]
        heads = getattr(config, "num_attention_heads", None) or 0
        width = getattr(config, "head_dim", None) or (config.hidden_size // heads if heads else 0)
        head = sum(p.numel() for p in network.head.parameters() if p.ndim > 1)
        rows, columns = max(shapes, key=math.prod)
        return cls(
            weights=tuple(sum(m.met for m in matrices) for _, matrices in found),
            attention=heads * width,
            head=head,
            largest=(rows, columns),
            mixing=frozenset(i for i, (kind, _) in enumerate(found) if kind == "attn"),
            last_by_token=network.last_by_token,
            projections={
                place: heads.entries for place in range(len(found)) if (heads := network.heads(place)) is not None
            },
        )

    def flops(self, evaluations: Mapping[int, int], coalitions: int, documents: Documents) -> float:
        """Floating-point operations of a walk: its `sweep.work_by_sublayer`, and how many coalitions it has."""
        total = 2.0 * self.head * documents.rows * coalitions
        for sublayer, count in evaluations.items():
            if sublayer < 0:
                total += count * 2 * self.projections[~sublayer] * documents.tokens
                continue
            only_rows = sublayer == len(self.weights) - 1 and self.last_by_token
            tokens = documents.rows if only_rows else documents.tokens
            total += count * 2 * self.weights[sublayer] * tokens
            if sublayer in self.mixing:
                total += count * 4 * self.attention * documents.pairs
        return total
