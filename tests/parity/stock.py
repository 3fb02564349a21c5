"""Stock lm-eval on a model whose removed sublayers are hooked to zero. Shares no code with the engine."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM


def _zero(module: Any, inputs: Any, output: Any) -> Any:
    if isinstance(output, tuple | list):
        return type(output)([torch.zeros_like(output[0]), *output[1:]])
    return torch.zeros_like(output)


@contextmanager
def zeroed(model: Any, paths: Iterable[str]) -> Iterator[None]:
    """Make the outputs of the modules at `paths` zero."""
    handles = [model.get_submodule(path).register_forward_hook(_zero) for path in paths]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def harness(model: Any, tokenizer: Any, batch_size: int = 8) -> HFLM:
    """lm-eval's own wrapper of a transformers model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return HFLM(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=batch_size)


def loglikelihoods(lm: HFLM, requests: Sequence[tuple[str, str]], removed: Iterable[str]) -> list[float]:
    """Log-likelihood of each (context, continuation), with the modules `removed` zeroed."""
    instances = [Instance(request_type="loglikelihood", doc={}, arguments=r, idx=0) for r in requests]
    with zeroed(lm.model, removed):
        return [score for score, _ in lm.loglikelihood(instances, disable_tqdm=True)]
