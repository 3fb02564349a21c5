"""Blocks removed from a model for good: the list of blocks, and all of config.json that counts blocks."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from cornerstone.engine import structure
from cornerstone.errors import ModelError, first_line

FIRST = ("first_k_dense_replace", "max_window_layers", "num_dense_layers", "n_dense_layers")
"""Keys that say for how many of the first blocks something holds."""
NOT_BY_LAYER = ("_token_id", "_token_ids", "architectures", "id2label", "label2id")
"""Endings of keys whose lists are not of blocks, however long they are."""
_OWN = ("training", "layer_idx", "layer_id", "layer_index", "layer_number", "block_idx")
"""Attributes of modules that say in which block they are, or how they are used now."""


def without_blocks(model: Any, removed: Sequence[int]) -> Any:
    """Remove whole blocks of a model, in place.

    Args:
        model: a causal LM of transformers.
        removed: places of the blocks.

    Returns:
        Its new configuration.

    Raises:
        ModelError: transformers would make other blocks of what is left than they were, as something in config.json
            goes by a block's place in a way that is not known here; or no block would be left.
    """
    path, blocks = structure.blocks_of(model)
    kept = [place for place in range(len(blocks)) if place not in set(removed)]
    if not kept:
        raise ModelError("no block would be left of this model. Remove fewer layers.")
    config = _config_of(model.config, len(blocks), kept)
    _check(model, config, [blocks[place] for place in kept])
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, nn.ModuleList([blocks[place] for place in kept]))
    model.config = config
    return config


def _config_of(config: Any, count: int, kept: Sequence[int]) -> Any:
    """A model's configuration with some of its blocks only."""
    made = copy.deepcopy(config)
    text = made.get_text_config(decoder=True)
    for key, value in list(vars(text).items()):
        if key in FIRST and isinstance(value, int):
            setattr(text, key, sum(place < value for place in kept))
        elif isinstance(value, list | tuple) and not key.startswith("_") and not key.endswith(NOT_BY_LAYER):
            if _places(key, value, count):
                setattr(text, key, [kept.index(place) for place in value if place in kept])
            elif len(value) == count:
                setattr(text, key, type(value)(value[place] for place in kept))
    text.num_hidden_layers = len(kept)
    return made


def _places(key: str, value: Sequence[Any], count: int) -> bool:
    """Whether a list is one of places of blocks, such as `mlp_only_layers: [0, 2]`."""
    whole = all(isinstance(item, int) and not isinstance(item, bool) for item in value)
    if not whole or not any(word in key for word in ("layers", "idx", "indices", "index")):
        return False
    distinct = len(set(value)) == len(value) and all(0 <= item < count for item in value)
    return bool(value) and distinct and not (len(value) == count and set(value) <= {0, 1})


def _check(model: Any, config: Any, kept: Sequence[nn.Module]) -> None:
    """Compare the blocks that are kept with those that transformers makes of the new configuration."""
    try:
        with torch.device("meta"):
            made = type(model)(copy.deepcopy(config))
        blocks = structure.blocks_of(made)[1]
    except Exception as error:  # whatever a configuration's own checks raise
        raise ModelError(
            f"a model of type {config.model_type} can't be made with {len(kept)} blocks ({type(error).__name__}: "
            f"{first_line(error)}). {_INSTEAD}"
        ) from error
    for place, (old, new) in enumerate(zip(kept, blocks, strict=True)):
        if (where := _difference(old, new)) is not None:
            raise ModelError(
                f"a block of this {config.model_type} model would be another one as block {place} ({where}): its place "
                f"decides what it is. {_INSTEAD}"
            )


_INSTEAD = "Keep all blocks (--keep-blocks): their output projections are set to zero instead, with the same scores."


def _difference(old: nn.Module, new: nn.Module) -> str | None:
    """Where two blocks differ: modules, shapes, or what a module notes about itself; None where they are alike."""
    ours, theirs = dict(old.named_modules()), dict(new.named_modules())
    if ours.keys() != theirs.keys():
        return f"modules {sorted(ours.keys() ^ theirs.keys())[:3]}"
    for name, module in ours.items():
        other = theirs[name]
        if type(module) is not type(other):
            return f"{name} is {type(other).__name__}, was {type(module).__name__}"
        shapes = [{n: tuple(p.shape) for n, p in m.named_parameters(recurse=False)} for m in (module, other)]
        if shapes[0] != shapes[1]:
            return f"parameters of {name or 'the block'}"
        for key, value in vars(module).items():
            plain = isinstance(value, str | int | float | bool | tuple) or value is None
            if plain and not key.startswith("_") and key not in _OWN and value != vars(other).get(key, value):
                return f"{f'{name}.' if name else ''}{key} is {vars(other)[key]}, was {value}"
    return None
