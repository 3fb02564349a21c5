"""The choices of documents in a model's tokens, encoded the way lm-eval does."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from itertools import islice
from typing import Any

from cornerstone.engine.tries import PackedDocument, pack
from cornerstone.errors import ModelError, TaskError

Requests = Sequence[tuple[str, str]]
"""(context, continuation) of each choice of a document."""

NO_PREFIX = (
    "the tokenizer in {folder} has neither a token for the beginning of a text nor one for its end, and a context is "
    "empty: lm-eval puts one of them there. Add one to tokenizer_config.json, or choose tasks without empty contexts."
)


def encode(
    model: Any,
    tokenizer: Any,
    documents: Sequence[Requests],
    names: Sequence[object] | None = None,
    rolling: bool = False,
) -> list[PackedDocument]:
    """Tokenise and pack documents, each given by its requests.

    lm-eval's own HFLM does the tokenisation (special tokens, spaces between context and continuation, empty
    contexts, windows of a long text), so that each choice has exactly the tokens that a stock run scores.

    Args:
        model: of transformers; its parameters need no values.
        tokenizer: its tokenizer.
        documents: the requests of each.
        names: what errors call each document by, its place by default.
        rolling: whether each document is one text, cut into windows, each of which becomes a choice of its own; the
            log-likelihood of the text is the sum of theirs.

    Raises:
        ModelError: a token that the model has no embedding for, or a tokenizer that lacks what lm-eval needs.
        TaskError: a choice that is no token, or has more tokens than the model reads.
    """
    encoder = _encoder(model, tokenizer)
    try:
        encoded = _windows(encoder, documents) if rolling else _choices(encoder, documents)
    except TypeError as error:  # what some tokenizers raise for a token that is None
        raise ModelError(NO_PREFIX.format(folder=tokenizer.name_or_path)) from error
    if any(None in context for requests in encoded for context, _ in requests):
        raise ModelError(NO_PREFIX.format(folder=tokenizer.name_or_path))
    rows = model.get_input_embeddings().weight.shape[0]
    packed = []
    for i, requests in enumerate(encoded):
        name = names[i] if names is not None else i
        for choice, (_, continuation) in enumerate(requests):
            if not 0 < len(continuation) <= encoder.max_length:
                size = f"{len(continuation)} tokens" if continuation else "no token"
                raise TaskError(
                    f"document {name}: choice {choice} has {size} in this model's vocabulary; 1 to "
                    f"{encoder.max_length} can be scored, as that is what the model reads. Leave the task out, or "
                    "choose a model that reads more."
                )
        if not requests:
            raise TaskError(f"document {name} has no token in this model's vocabulary. Leave it out.")
        packed.append(pack(requests, encoder.max_length))
        if max(packed[-1].tokens) >= rows or max(token for _, token, _ in packed[-1].targets) >= rows:
            raise ModelError(
                f"the tokenizer in {tokenizer.name_or_path} (tokenizer.json) makes tokens of document {name} for which "
                f"the model has no embedding (it has {rows}): they do not belong together. Copy the tokenizer's files "
                "of the model that it was made from into the folder."
            )
    return packed


def _encoder(model: Any, tokenizer: Any) -> Any:
    """HFLM that keeps the encoded requests in `seen` instead of scoring them."""
    from lm_eval.models.huggingface import HFLM

    class Encoder(HFLM):
        """See the function."""

        def _loglikelihood_tokens(self, requests: Any, *args: Any, **kwargs: Any) -> Any:
            self.seen.extend((context, continuation) for _, context, continuation in requests)
            return [(0.0, False)] * len(requests)

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encoder = Encoder(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=1)
    encoder.seen = []
    return encoder


def _choices(encoder: Any, documents: Sequence[Requests]) -> list[list[Any]]:
    """(context, continuation) in tokens of each choice of each document."""
    from lm_eval.api.instance import Instance

    encoder.loglikelihood(
        [
            Instance(request_type="loglikelihood", doc={}, arguments=request, idx=0)
            for requests in documents
            for request in requests
        ],
        disable_tqdm=True,
    )
    found = iter(encoder.seen)
    return [list(islice(found, len(requests))) for requests in documents]


def _windows(encoder: Any, documents: Sequence[Requests]) -> list[list[Any]]:
    """(context, continuation) in tokens of each window of each text, as `loglikelihood_rolling` cuts it."""
    from lm_eval.api.instance import Instance

    found = []
    for ((_, text),) in documents:
        encoder.seen = []
        instance = Instance(request_type="loglikelihood_rolling", doc={}, arguments=(text,), idx=0)
        encoder.loglikelihood_rolling([instance], disable_tqdm=True)
        found.append(encoder.seen)
    return found
