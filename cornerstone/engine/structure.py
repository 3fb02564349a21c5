"""A model of transformers as this package sees it: its list of blocks, their layouts, and what they are called with.

The model itself runs with its blocks made to return their input: that brings the embedding, with whatever the model
does to it, and all that it hands to its blocks (rotary embeddings, masks). Made to return something else at the end, it
brings the logits of that: the final norm, the head, scales and caps are the model's own.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from cornerstone.engine import kinds
from cornerstone.engine.layouts import BlockLayout
from cornerstone.engine.recognition import block_layout
from cornerstone.errors import ModelError
from cornerstone.game.players import Kinds

_ELSEWHERE = ("vision", "audio", "image", "encoder", "speech")
"""Parts of models of several kinds of input that are not the language model."""
UNFOLDED = ("gpt_neo", "bloom", "mpt")
"""Model types whose attention goes by the place in a row, whatever positions it is told."""
_layouts: WeakKeyDictionary[nn.Module, tuple[BlockLayout, ...]] = WeakKeyDictionary()


def blocks_of(model: Any) -> tuple[str, Sequence[nn.Module]]:
    """The path of a model's list of blocks, and the blocks in order.

    Raises:
        ModelError: it has no such list.
    """
    # classes such as BartForCausalLM take the mark off their model's config
    if model.config.is_encoder_decoder or getattr(type(model.config), "is_encoder_decoder", False):
        raise ModelError(
            f"the model type {model.config.model_type} is a decoder that attends to an encoder: what it does alone is "
            "not what it was trained for. Choose a decoder-only language model (docs/architectures.md)."
        )
    config = model.config.get_text_config(decoder=True)
    count = getattr(config, "num_hidden_layers", None)
    lists = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList)
        and not any(word in part for word in _ELSEWHERE for part in name.split(".")[:-1])
    ]
    found = [(name, blocks) for name, blocks in lists if len(blocks) == count and "." in name]
    if not found:
        shown = ", ".join(f"{name} ({len(blocks)})" for name, blocks in lists[:4]) or "none"
        raise ModelError(
            f"the model type {model.config.model_type} has no list of {count} blocks outside of an encoder; its lists "
            f"are: {shown}. Choose a decoder-only language model; docs/architectures.md lists those that work."
        )
    name, blocks = found[0]
    return name, blocks  # type: ignore[return-value]


def layouts_of(model: Any) -> tuple[BlockLayout, ...]:
    """The layouts of a model's blocks: sublayers, kinds and modules. Its parameters need no values.

    Raises:
        ModelError: no blocks are found, or a layout is not recognised.
    """
    if model not in _layouts:
        memo: dict[str, Any] = {}
        _layouts[model] = tuple(block_layout(block, None, memo) for block in blocks_of(model)[1])
    return _layouts[model]


def kinds_of(model: Any) -> Kinds:
    """The kinds of the sublayers of each block of a model; its parameters need no values.

    Raises:
        ModelError: see `layouts_of`.
    """
    return tuple(layout.kinds for layout in layouts_of(model))


def running_layouts(model: Any, calls: Sequence[tuple[torch.Tensor, dict[str, Any]]]) -> tuple[BlockLayout, ...]:
    """The layouts of a model's blocks as functions that can be run, given what it called its blocks with."""
    memo: dict[str, Any] = {}
    blocks = blocks_of(model)[1]
    return tuple(block_layout(block, arguments, memo) for block, (_, arguments) in zip(blocks, calls, strict=True))


def unfolded(model: Any) -> bool:
    """Whether each choice of a document must be a row of its own: a token trie would give other numbers.

    So it is where a sublayer carries a state along the sequence (a mixer that is no attention, a convolution), and
    where attention goes by places in the row, not by the positions that it is told.
    """
    config = model.config.get_text_config(decoder=True)
    if config.model_type in UNFOLDED or getattr(config, "alibi", False):
        return True
    if "position_ids" not in inspect.signature(type(model.base_model).forward).parameters:
        return True
    return any(
        kinds.goes_along(block.get_submodule(name) for name in part.modules)
        for block, layout in zip(blocks_of(model)[1], layouts_of(model), strict=True)
        for part in layout.sublayers
    )


def by_name(
    block: nn.Module, stream: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[torch.Tensor, dict[str, Any]]:
    """The stream and the other arguments, by name, of a call of a block; `stream`: the name of the first."""
    signature = inspect.signature(type(block).forward)
    bound = dict(signature.bind(block, *args, **kwargs).arguments)
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            bound |= bound.pop(parameter.name, {})
    del bound[next(iter(signature.parameters))]
    return bound.pop(stream), bound


@contextmanager
def blocks_replaced(
    blocks: Sequence[nn.Module], layouts: Sequence[BlockLayout], last: torch.Tensor | None = None
) -> Iterator[list[tuple[torch.Tensor, dict[str, Any]]]]:
    """Make each block return its input, the last one `last` if it is given; record (input, arguments by name)."""
    calls: list[tuple[torch.Tensor, dict[str, Any]]] = []
    originals = [vars(block).get("forward") for block in blocks]  # where accelerate has put its own in front

    def replacement(block: nn.Module, layout: BlockLayout) -> Any:
        def forward(*args: Any, **kwargs: Any) -> Any:
            hidden, arguments = by_name(block, layout.input, args, kwargs)
            calls.append((hidden, arguments))
            given = last if last is not None and len(calls) == len(blocks) else hidden
            return given if layout.outputs is None else (given, *[None] * (layout.outputs - 1))

        return forward

    try:
        for block, layout in zip(blocks, layouts, strict=True):
            block.forward = replacement(block, layout)
        yield calls
    finally:
        for block, before in zip(blocks, originals, strict=True):
            del block.forward
            if before is not None:
                block.forward = before


def accepted(model: Any, **arguments: Any) -> dict[str, Any]:
    """Those of the arguments that a model's forward knows by name."""
    parameters = inspect.signature(type(model).forward).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return arguments
    return {name: value for name, value in arguments.items() if name in parameters}
