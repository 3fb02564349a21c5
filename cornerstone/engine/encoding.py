"""The choices of documents in a model's tokens, encoded the way lm-eval does."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import Any

from torch import nn

from cornerstone.engine.tries import PackedDocument, pack

Requests = Sequence[tuple[str, str]]
"""(context, continuation) of each choice of a document."""


def encode(model: nn.Module, tokenizer: Any, documents: Sequence[Requests]) -> list[PackedDocument]:
    """Tokenise and pack documents, each given by its requests.

    lm-eval's own HFLM does the tokenisation (special tokens, spaces between context and continuation, empty
    contexts), so that each choice has exactly the tokens that a stock run scores.
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
    packed, start = [], 0
    for requests in documents:
        stop = start + len(requests)
        packed.append(pack(encoded[start:stop], encoder.max_length))
        start = stop
    return packed
