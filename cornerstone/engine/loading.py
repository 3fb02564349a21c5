"""A model without its weights: parameters that have shapes and no values, and which sublayer each belongs to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cornerstone.engine.architectures import Architecture, architecture_of
from cornerstone.engine.weights import Footprint, aligned
from cornerstone.errors import ModelError, first_line


def skeleton(folder: Path, dtype: str) -> tuple[Any, Any]:
    """A causal LM on torch's `meta` device, made from config.json alone, and its tokenizer.

    Raises:
        ModelError: unknown architecture or unreadable files.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PretrainedConfig

    try:
        settings, _ = PretrainedConfig.get_config_dict(folder)
        if "model_type" not in settings:
            raise OSError("config.json is missing or names no model_type")
        architecture_of(str(settings["model_type"]))
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype), trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise ModelError(
            f"config and tokenizer in {folder} can't be read: {first_line(error)}. Fetch the model again, or correct "
            "its entry."
        ) from error
    return model.eval(), tokenizer


def is_parallel(architecture: Architecture, config: Any) -> bool:
    """Whether both sublayers of a block read the block's input."""
    return bool(architecture.parallel and getattr(config, architecture.parallel))


def names_by_sublayer(model: Any) -> list[list[str]]:
    """Names of the parameters of each sublayer, norms included, in execution order.

    Raises:
        ModelError: a block has parameters that belong to no sublayer, or to two.
    """
    architecture = architecture_of(str(model.config.model_type))
    blocks = model.get_submodule(architecture.blocks)
    found: list[list[str]] = []
    for i, block in enumerate(blocks):
        names = [name for name, _ in block.named_parameters()]
        seen: list[str] = []
        for layout in (architecture.attention, architecture.feed_forward):
            paths = (*layout.modules, layout.pre_norm, layout.post_norm)
            own = [name for name in names if any(path and name.startswith(f"{path}.") for path in paths)]
            found.append([f"{architecture.blocks}.{i}.{name}" for name in own])
            seen += own
        if sorted(seen) != sorted(names):
            strange = sorted({name for name in names if seen.count(name) != 1})
            raise ModelError(
                f"block {i} has parameters that are not those of exactly one sublayer, such as {strange[0]}: it can't "
                "be streamed. Correct its architecture's entry in cornerstone/architectures.py, or set "
                "memory.weights: resident."
            )
    return found


def footprint(model: Any) -> Footprint:
    """The memory that a model's weights take; its parameters need no values."""
    parameters = dict(model.named_parameters())
    sizes = [
        sum(aligned(parameters.pop(name).nbytes) for name in names if name in parameters)
        for names in names_by_sublayer(model)
    ]
    if is_parallel(architecture_of(str(model.config.model_type)), model.config):
        sizes = [attention + feed_forward for attention, feed_forward in zip(sizes[::2], sizes[1::2], strict=True)]
    return Footprint(sum(p.nbytes for p in parameters.values()), tuple(sizes))


def put(model: nn.Module, name: str, parameter: nn.Parameter) -> None:
    """Put a parameter in the place of the model's parameter of that name."""
    path, _, key = name.rpartition(".")
    model.get_submodule(path)._parameters[key] = parameter


@torch.no_grad()
def real_buffers(model: Any, device: torch.device) -> None:
    """Give values to what no file holds and the model computes from its config: rotary frequencies, masks, scales.

    Call it while parameters have no values: it uses transformers' own initialisation, which would overwrite them.

    Raises:
        ModelError: a buffer that transformers' initialisation leaves as it was.
    """
    names = [name for name, _ in model.named_non_persistent_buffers()]
    owners = {name: model.get_submodule(name.rpartition(".")[0]) for name in names}

    def filled(value: int) -> dict[str, torch.Tensor]:
        for name, owner in owners.items():
            key = name.rpartition(".")[2]
            owner._buffers[key] = torch.full_like(owner._buffers[key], value, device="cpu")
        for owner in dict.fromkeys(owners.values()):
            model._init_weights(owner)
        return {name: owner._buffers[name.rpartition(".")[2]] for name, owner in owners.items()}

    first, second = filled(0), filled(1)
    for name, owner in owners.items():
        if not torch.equal(first[name], second[name]):
            raise ModelError(
                f"the buffer {name} gets no value without loading the whole model, so this model can't be streamed. "
                "Set memory.weights: resident in its entry."
            )
        owner._buffers[name.rpartition(".")[2]] = second[name].to(device)
    persistent = sorted({name for name, _ in model.named_buffers()} - set(names))
    if persistent:
        raise ModelError(
            f"the model keeps {persistent[0]} in its files, which is no parameter: it can't be streamed. Set "
            "memory.weights: resident in its entry."
        )
