"""Single query heads of an attention sublayer as players.

The last linear map of an attention, its output projection W, takes the results z of all heads side by side:

    attention(x) = W [z_0, z_1, ...] + b

Removing a head sets its part of z to zero (or to its mean): the same as setting the columns of W that read it to zero.
The bias b belongs to no head. It stays as long as any head stays; a sublayer without heads is removed as a whole, bias
included, so the model without players is the same whether sublayers or heads play.

The heads' results are computed once for a state. What follows (W, a norm after it, a scale) is computed for each set of
heads, by the block's own code, in which the attention module is made to return what W makes of that set.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from cornerstone.engine import kinds
from cornerstone.engine.sublayers import Sublayer
from cornerstone.errors import ModelError

FLOAT32 = 1e-5
"""Of the length of a contribution: how far rounding may bring what all heads make by themselves; else, eps."""
_COUNTS = ("num_heads", "num_attention_heads", "n_heads", "n_head")
"""What attention modules call the number of their query heads."""


@dataclass(frozen=True)
class Mixed:
    """What all heads of an attention made of a state.

    Attributes:
        projection: the output projection.
        heads: their results side by side, [..., heads x width], as the output projection is given them.
        returned: what the attention module returned.
        whole: the contribution of all heads, [B, T, H].
    """

    projection: nn.Module
    heads: torch.Tensor
    returned: Any
    whole: torch.Tensor


class Heads:
    """The heads of one attention sublayer.

    Args:
        sublayer: the attention.
        count: query heads, as the config says.
        config: of the language model.

    Raises:
        ModelError: the model has another number of heads, or its attention ends with no linear map of them.
    """

    def __init__(self, sublayer: Sublayer, count: int, config: Any) -> None:
        self.sublayer, self.count, self._type = sublayer, count, config.model_type
        self.mixer = self._mixer()
        said = next((n for name in _COUNTS if isinstance(n := getattr(self.mixer, name, None), int)), None)
        there = getattr(config, "num_attention_heads", None) if said is None else said
        if isinstance(there, int) and there != count:
            raise ModelError(
                f"config.yaml says heads: {count}, but the attention of block {sublayer.place} of the weights has "
                f"{there}. Set heads: {there} in this model's entry; where blocks differ, choose other `players`."
            )
        self._linear = self._linear_maps(config.hidden_size)

    def _mixer(self) -> nn.Module:
        """The module of the sublayer that is the attention."""
        for name in self.sublayer.part.modules:
            module = self.sublayer.get_submodule(name)
            if kinds.mixes(module, self.sublayer.block_class, name):
                return module
        raise self._refusal("no module of it is an attention")

    def _linear_maps(self, hidden: int) -> list[nn.Module]:
        """Linear maps from as many equal parts as there are heads to the stream: the one called last ends it."""
        fitting = [
            module
            for module in self.mixer.modules()
            if (widths := _widths(module)) is not None and widths[0] % self.count == 0 and widths[1] == hidden
        ]
        if not fitting:
            raise self._refusal(f"no linear map in it takes {self.count} equal parts to the {hidden} of the stream")
        return fitting

    @property
    def entries(self) -> int:
        """Of the output projection's matrix."""
        return math.prod(_widths(self._linear[-1]) or ())

    def _refusal(self, why: str) -> ModelError:
        return ModelError(
            f"players: heads is not possible for a model of type {self._type}: the attention of block "
            f"{self.sublayer.place} does not end with an output projection of its heads ({why}). Choose other "
            "`players` in its entry."
        )

    def mix(self, x: torch.Tensor, arguments: dict[str, Any]) -> Mixed:
        """Compute all heads at a state x, [B, T, H].

        Raises:
            ModelError: no linear map is called that could be the output projection.
        """
        given: list[tuple[nn.Module, torch.Tensor]] = []
        returned: list[Any] = []
        handles = [self.mixer.register_forward_hook(lambda module, args, output: returned.append(output))]
        for linear in self._linear:
            handles.append(linear.register_forward_pre_hook(lambda module, args: given.append((module, args[0]))))
        try:
            whole = self.sublayer.forward(x, arguments)  # not compiled: hooks would not be seen
        finally:
            for handle in handles:
                handle.remove()
        if not given or len(returned) != 1:
            raise self._refusal("its linear maps are not called as such")
        return Mixed(*given[-1], returned[0], whole)

    def contribution(
        self,
        mixed: Mixed,
        kept: Sequence[int] | None,
        x: torch.Tensor,
        arguments: dict[str, Any],
        instead: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """What some heads add to the stream, [B, T, H].

        Args:
            mixed: of all heads at x.
            kept: the heads that take part; None: all.
            x: the residual stream.
            arguments: of the block.
            instead: what goes into the output projection in the place of the other heads, [heads x width]; None: zero.
        """
        if kept is None:
            return mixed.whole
        stays = torch.zeros(self.count, dtype=torch.bool)
        stays[list(kept)] = True
        stays = stays.repeat_interleave(mixed.heads.shape[-1] // self.count).to(mixed.heads.device)
        other = torch.zeros_like(mixed.heads[..., :1]) if instead is None else instead.to(mixed.heads)
        projected = mixed.projection(torch.where(stays, mixed.heads, other))
        first, *rest = mixed.returned if isinstance(mixed.returned, tuple | list) else (mixed.returned,)
        projected = projected.view(first.shape)
        with _returns(self.mixer, projected if first is mixed.returned else (projected, *rest)):
            return self.sublayer.forward(x, arguments)

    def prove(self, x: torch.Tensor, arguments: dict[str, Any]) -> None:
        """Check at a state that what all heads make by `contribution` is what the sublayer makes.

        Raises:
            ModelError: it is not: something is done to what the output projection returns, such as a gate.
        """
        mixed = self.mix(x, arguments)
        found = self.contribution(mixed, range(self.count), x, arguments)
        off = (found - mixed.whole).float().norm() / mixed.whole.float().norm().clamp_min(1e-30)
        limit = FLOAT32 if found.dtype == torch.float32 else torch.finfo(found.dtype).eps
        if mixed.whole.isfinite().all() and not off <= limit:
            raise self._refusal("what that returns is not what its last linear map makes of them")


def _widths(module: nn.Module) -> tuple[int, int] | None:
    """(input, output) of a linear map; None where a module is none."""
    weight = getattr(module, "weight", None)
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    if type(module).__name__ == "Conv1D" and weight is not None and weight.ndim == 2:  # of GPT-2: [in, out]
        return weight.shape[0], weight.shape[1]
    return None


@contextmanager
def _returns(module: nn.Module, value: Any) -> Iterator[None]:
    """Have a module return a value, whatever it is called with."""
    before = vars(module).get("forward")  # where accelerate has put its own in front
    module.forward = lambda *args, **kwargs: value
    try:
        yield
    finally:
        del module.forward
        if before is not None:
            module.forward = before
