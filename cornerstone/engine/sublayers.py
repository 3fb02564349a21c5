"""A sublayer as a function of the residual stream: a part of a block, with the modules that it calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from cornerstone.engine import kinds
from cornerstone.engine.layouts import Part


class Sublayer(nn.Module):
    """A part of a block, with the modules that it calls.

    Attributes:
        part: what was read off the block.
        place: the block's.
        device: where it computes.
        by_token: whether it works on each token by itself, given nothing but the stream.
    """

    def __init__(self, block: nn.Module, part: Part, place: int) -> None:
        super().__init__()
        self.code, self.names, self.place, self.part = part.code, part.arguments, place, part
        for path in (*part.modules, *part.parameters):
            name = path.partition(".")[0]
            setattr(self, name, getattr(block, name))
        self.block_class = type(block).__name__
        self.device = next(block.parameters()).device
        self.by_token = part.kind in ("ffn", "moe") and not part.arguments and not kinds.goes_along(self.children())

    @property
    def experts(self) -> nn.Module | None:
        """What holds the experts of a mixture."""
        return next(iter(kinds.experts_in(self.children())), None)

    def arguments(self, given: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Those of its block's arguments that it uses, where it computes; `given`: of each block, by name."""
        return {name: _to(given[self.place][name], self.device) for name in self.names}

    def forward(self, x: torch.Tensor, arguments: dict[str, Any]) -> torch.Tensor:
        """The contribution to the residual stream x, [B, T, H]."""
        return self.code(self, x, **arguments)

    def of_experts(self, experts: Sequence[int], x: torch.Tensor, arguments: dict[str, Any]) -> torch.Tensor:
        """The contribution of some experts alone: the others are given weight 0 after routing."""
        with _only(self.experts, experts):  # a hook, which compiled code would not see
            return self.forward(x, arguments)


@contextmanager
def _only(module: nn.Module | None, experts: Sequence[int]) -> Iterator[None]:
    """Give the other experts of a mixture weight 0. `module` is called with (x, chosen experts, their weights)."""
    assert module is not None  # the network has checked it

    names = kinds.EXPERT_ARGUMENTS

    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        x, chosen, weights = [*args, *(kwargs[name] for pair in names for name in pair if name in kwargs)]
        kept = torch.isin(chosen, torch.tensor(experts, device=chosen.device))
        return (x, chosen, weights * kept.to(weights.dtype)), {}

    handle = module.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _to(value: Any, device: torch.device) -> Any:
    """Move a tensor, or the tensors of a tuple or dictionary, to a device; leave the rest."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, tuple):
        return tuple(_to(item, device) for item in value)
    return value
