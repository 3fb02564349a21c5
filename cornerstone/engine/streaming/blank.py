"""A model whose parameters have no values yet, made ready for a walk: parameters put in place, buffers computed."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from cornerstone.errors import ModelError


def put(model: nn.Module, name: str, parameter: nn.Parameter) -> None:
    """Put a value in the place of the model's parameter, or buffer that is kept in files, of that name."""
    path, _, key = name.rpartition(".")
    owner = model.get_submodule(path)
    if key in owner._buffers:
        owner._buffers[key] = parameter.data
    else:
        owner._parameters[key] = parameter


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
