"""Which parameters of a sublayer must be zero so that it adds exactly nothing to the residual stream.

Found by trying: the modules of a sublayer are taken from the one that is called last backwards (its output projection),
norms behind it last. A choice counts where the contribution is zero in every component, on a stream of random numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from cornerstone.engine import kinds
from cornerstone.engine.network import Network
from cornerstone.engine.sublayers import Sublayer
from cornerstone.errors import ModelError

_TOKENS = 7


def silencing(network: Network, places: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """The parameters to zero for each of some sublayers.

    Args:
        network: the model, all of its weights in memory.
        places: of the sublayers, in execution order.

    Returns:
        Place -> names of parameters in the model's `state_dict`, as few as will do.

    Raises:
        ModelError: a sublayer adds something whatever its parameters are.
    """
    names = {id(parameter): name for name, parameter in network.model.named_parameters()}
    generator = torch.Generator().manual_seed(0)
    found = {}
    with torch.inference_mode():
        calls = network.calls(torch.arange(_TOKENS)[None] % network.model.get_input_embeddings().weight.shape[0])
        noise = torch.randn(calls[0][0].shape, generator=generator)
        x = calls[0][0] + noise.to(calls[0][0])
        given = [arguments for _, arguments in calls]
        parts = [
            Sublayer(network.blocks[block], part, block)
            for block, layout in enumerate(network.layouts)
            for part in layout.sublayers
        ]
        for place in places:
            sublayer = parts[place]
            chosen = _chosen(sublayer, x, sublayer.arguments(given))
            if chosen is None:
                raise ModelError(
                    f"a sublayer of kind {sublayer.part.kind} in block {sublayer.place} of this "
                    f"{network.config.model_type} model adds something even where its parameters are zero, so it can't "
                    "be removed inside a checkpoint. Remove whole blocks, or choose another model."
                )
            found[place] = tuple(names[id(parameter)] for parameter in chosen)
    return found


def _chosen(sublayer: Sublayer, x: torch.Tensor, arguments: dict[str, Any]) -> list[nn.Parameter] | None:
    """The fewest parameters, as near to the sublayer's end as may be."""

    def silent(parameters: Sequence[nn.Parameter]) -> bool:
        with _zero(parameters):
            return not sublayer(x, arguments).any()

    modules = _by_call(sublayer, x, arguments)
    for module in modules:
        own = list(module.parameters(recurse=False))
        for choice in ([own[-1]], own):
            if silent(choice):
                return choice
    together: list[nn.Parameter] = []
    for module in modules:
        together += [p for p in reversed(list(module.parameters(recurse=False))) if all(p is not q for q in together)]
        if silent(together):
            for parameter in reversed(list(together)):
                fewer = [other for other in together if other is not parameter]
                together = fewer if silent(fewer) else together
            return together
    return None


def _by_call(sublayer: Sublayer, x: torch.Tensor, arguments: dict[str, Any]) -> list[nn.Module]:
    """The modules with parameters of their own, the one that returns last first; norms after all others."""
    order: list[nn.Module] = []
    handles = [
        module.register_forward_hook(lambda module, args, output: order.append(module))
        for module in sublayer.modules()
        if any(True for _ in module.parameters(recurse=False))
    ]
    try:
        sublayer(x, arguments)
    finally:
        for handle in handles:
            handle.remove()
    last = list(dict.fromkeys(reversed(order)))
    return [m for m in last if not kinds.is_norm(m)] + [m for m in last if kinds.is_norm(m)]


@contextmanager
def _zero(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Have parameters be zero for a while."""
    before = [parameter.detach().clone() for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.zero_()
        yield
    finally:
        for parameter, value in zip(parameters, before, strict=True):
            parameter.copy_(value)
