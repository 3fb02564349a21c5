"""Stock lm-eval on a model whose removed sublayers are hooked to zero or a vector. Shares no code with the engine."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
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


@contextmanager
def replaced(model: Any, vectors: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Make the outputs of the modules at some paths a vector [H], the same for every token."""

    def hook(path: str) -> Any:
        def constant(module: Any, inputs: Any, output: Any) -> Any:
            first = output[0] if isinstance(output, tuple | list) else output
            vector = vectors[path].to(first.dtype).expand_as(first)
            return type(output)([vector, *output[1:]]) if isinstance(output, tuple | list) else vector

        return constant

    handles = [model.get_submodule(path).register_forward_hook(hook(path)) for path in vectors]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def mean_outputs(model: Any, paths: Sequence[str], texts: Iterable[Sequence[int]]) -> dict[str, torch.Tensor]:
    """The mean output of modules over all tokens of some texts, each run by itself: path -> [H] float64."""
    seen: dict[str, list[torch.Tensor]] = {path: [] for path in paths}

    def note(path: str) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            seen[path].append((output[0] if isinstance(output, tuple | list) else output).flatten(0, -2).double())

        return hook

    handles = [model.get_submodule(path).register_forward_hook(note(path)) for path in paths]
    with torch.inference_mode():
        for tokens in texts:
            model(input_ids=torch.tensor([list(tokens)], device=model.device))
    for handle in handles:
        handle.remove()
    return {path: torch.cat(parts).mean(0) for path, parts in seen.items()}


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
