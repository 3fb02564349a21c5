"""The batches of documents that a model needs, so that each choice is computed as it would be alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from cornerstone.engine import structure
from cornerstone.engine.blocks import Piece
from cornerstone.engine.tries import MULTIPLE, Batch, PackedDocument, batches, choice_of
from cornerstone.errors import ModelError


def batches_for(model: Any, documents: Sequence[PackedDocument], most_tokens: int) -> list[Batch]:
    """Pack documents for a model; its parameters need no values.

    Each choice is a row of its own where the model can't see a token trie. Where rotary embeddings are scaled by the
    longest sequence of a batch (longrope), sequences above and below the limit go into different batches.

    Args:
        model: of transformers.
        documents: in the model's tokens.
        most_tokens: of a batch, padding included.

    Raises:
        ModelError: a document is so long that what the model makes of it depends on what else is in its batch.
    """
    unfolded = structure.unfolded(model)
    depths = [deepest(document) for document in documents]
    config = model.config.get_text_config(decoder=True)
    chosen = getattr(config, "index_topk", None)
    if chosen is not None and max(depths) > chosen:
        raise ModelError(
            f"a document has {max(depths)} tokens, and the sparse attention of this "
            f"{config.model_type} model chooses among them from {chosen} tokens on (index_topk): what it chooses "
            "depends on padding. Choose a task with shorter documents."
        )
    limit = _rotary_limit(config)
    if limit is not None and unfolded and any(limit - MULTIPLE < depth <= limit for depth in depths):
        raise ModelError(
            f"a document is so near to {limit} tokens that padding would change the rotary embedding of this "
            f"{config.model_type} model (longrope). Choose a task with other documents, or another model."
        )
    short: list[_Row] = []
    long: list[_Row] = []
    for i, document in enumerate(documents):
        for row in _rows(i, document, limit):
            (short if limit is None or deepest(row.packed) <= limit else long).append(row)
    made = []
    for rows in (short, long):
        for batch in batches([row.packed for row in rows], most_tokens, unfolded):
            firsts = [rows[i].first + first for i, first in zip(batch.documents, batch.first_choices, strict=True)]
            whole = tuple(rows[i].document for i in batch.documents)
            made.append(replace(batch, documents=whole, first_choices=tuple(firsts)))
    return made


def batches_by_piece(
    model: Any, documents: Sequence[PackedDocument], chosen: Sequence[Piece], most_tokens: int
) -> list[Batch]:
    """Pack documents for a model, each piece by itself.

    Args:
        model: see `batches_for`.
        documents: those of the pieces, one piece after another.
        chosen: the pieces.
        most_tokens: see `batches_for`.

    Returns:
        The batches; their `documents` are indices into `documents`.

    Raises:
        ModelError: see `batches_for`.
    """
    made: list[Batch] = []
    start = 0
    for piece in chosen:
        for batch in batches_for(model, documents[start : start + piece.count], most_tokens):
            made.append(replace(batch, documents=tuple(start + i for i in batch.documents)))
        start += piece.count
    return made


@dataclass(frozen=True)
class _Row:
    """A document, or one choice of it: its index, the choice that it begins with, and its tokens."""

    document: int
    first: int
    packed: PackedDocument


def _rows(index: int, document: PackedDocument, limit: int | None) -> list[_Row]:
    """A document whole, or choice by choice where some choices are longer than a limit and some are not."""
    choices = [choice_of(document, choice) for choice in range(document.choices)] if limit is not None else []
    if len({len(choice) <= (limit or 0) for choice in choices}) < 2:
        return [_Row(index, 0, document)]
    return [_Row(index, place, choice) for place, choice in enumerate(choices)]


def deepest(document: PackedDocument) -> int:
    """Tokens of a document's longest choice that the model reads."""
    depths: list[int] = []
    for parent in document.parents:
        depths.append(1 if parent < 0 else depths[parent] + 1)
    return max(depths)


def _rotary_limit(config: Any) -> int | None:
    """Up to how many tokens rotary embeddings are those of a short sequence; None where length plays no part."""
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = [rope, *(value for value in rope.values() if isinstance(value, dict))]
    limits = [
        kind.get("original_max_position_embeddings") or getattr(config, "original_max_position_embeddings", None)
        for kind in kinds
        if kind.get("rope_type") == "longrope"
    ]
    return min((int(limit) for limit in limits if limit), default=None)
