"""The choices of documents in a model's tokens, encoded the way lm-eval does."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import Any

from cornerstone.engine.tries import PackedDocument, pack
from cornerstone.errors import ModelError

Requests = Sequence[tuple[str, str]]
"""(context, continuation) of each choice of a document."""


def encode(model: Any, tokenizer: Any, documents: Sequence[Requests]) -> list[PackedDocument]:
    """Tokenise and pack documents, each given by its requests.

    lm-eval's own HFLM does the tokenisation (special tokens, spaces between context and continuation, empty
    contexts), so that each choice has exactly the tokens that a stock run scores.

    Raises:
        ModelError: a token that the model has no embedding for.
    """
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    class Encoder(HFLM):
        """HFLM that hands back the encoded requests instead of scoring them."""

        def _loglikelihood_tokens(self, requests: Any, *args: Any, **kwargs: Any) -> Any:
            return [(context, continuation) for _, context, continuation in requests]

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encoder = Encoder(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=1)
    instances = [
        Instance(request_type="loglikelihood", doc={}, arguments=request, idx=0)
        for requests in documents
        for request in requests
    ]
    encoded: list[Any] = encoder.loglikelihood(instances, disable_tqdm=True)
    rows = model.get_input_embeddings().weight.shape[0]
    packed, start = [], 0
    for requests in documents:
        stop = start + len(requests)
        packed.append(pack(encoded[start:stop], encoder.max_length))
        if max(packed[-1].tokens) >= rows or max(token for _, token, _ in packed[-1].targets) >= rows:
            raise ModelError(
                f"the tokenizer makes tokens of a document for which the model has no embedding (it has {rows}): they "
                "do not belong together. Copy the tokenizer's files of the model that it was made from into the folder."
            )
        start = stop
    return packed
