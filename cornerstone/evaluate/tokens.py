"""The documents of a task in a model's tokens, and what results say of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import torch

from cornerstone.engine.blocks import Piece
from cornerstone.engine.encoding import encode
from cornerstone.engine.tries import PackedDocument
from cornerstone.errors import TaskError
from cornerstone.evaluate.result import Scored
from cornerstone.evaluate.wanted import Wanted
from cornerstone.log import warn


def encoded(label: str, model: Any, tokenizer: Any, wanted: Wanted, places: Sequence[int]) -> dict[int, PackedDocument]:
    """Documents by their place in the task.

    Args:
        label: of the job, in what is logged: documents that are longer than the model reads are counted.
        model: of transformers; its parameters need no values.
        tokenizer: its tokenizer.
        wanted: the task.
        places: of the documents.

    Raises:
        ModelError, TaskError: see `encode`.
    """
    documents = [wanted.whole.documents[place] for place in places]
    requests, names = [document.requests for document in documents], [document.doc_id for document in documents]
    try:
        packed = encode(model, tokenizer, requests, names, wanted.whole.rolling)
    except TaskError as error:
        raise TaskError(f"task '{wanted.whole.task}', {error}") from error
    if cut := sum(document.cut for document in packed):
        warn(
            f"{label}: {cut} of {len(packed)} documents are longer than the model reads: cut on the left, as in lm-eval"
        )
    return dict(zip(places, packed, strict=True))


def scored(
    pieces: Sequence[Piece],
    loglikelihoods: Sequence[Sequence[float]],
    greedy: Sequence[torch.Tensor],
    packed: Mapping[int, PackedDocument],
    rolling: bool,
) -> list[Scored]:
    """What a coalition says of each piece.

    Args:
        pieces: which documents were scored together.
        loglikelihoods: of their documents, one piece after another.
        greedy: of the same; empty where no metric asks.
        packed: documents in the model's tokens, by their place in the task.
        rolling: whether the choices of a document are windows of one text.
    """
    left, best, found = iter(loglikelihoods), iter(greedy), []
    for piece in pieces:
        documents = [packed[place] for place in piece.places]
        tokens = [[sum(each.predicted)] if rolling else each.predicted for each in documents]
        rows, marks = list(islice(left, piece.count)), [row.tolist() for row in islice(best, piece.count)]
        found.append(Scored(piece, rows, tokens, [each.cut for each in documents], marks))
    return found
