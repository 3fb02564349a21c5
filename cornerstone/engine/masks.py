"""Attention masks for token tries: who sees whom in the trie, and what the model itself would hide by distance.

Which positions a block's attention may see (all before; a sliding window; the same chunk) is asked of the model: it
makes its masks for one plain sequence, and the mask of two tokens of a trie is that of their positions there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from cornerstone.engine.tries import Batch


class Masks:
    """The masks of a model's blocks.

    Args:
        arguments: of each block, when the model is called with one sequence of so many tokens and masks written out.
        longest: tokens that the model can be called with.
        dtype: of the masks.
        device: where they go.
    """

    def __init__(
        self,
        arguments: Callable[[int], Sequence[Mapping[str, Any]]],
        longest: int | None,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self._arguments, self._longest, self._dtype, self._device = arguments, longest, dtype, device
        self._allowed: list[torch.Tensor | None] = []
        self._length = 0

    def of(self, batch: Batch) -> list[torch.Tensor]:
        """The additive mask of each block, [B, 1, T, T]; blocks that see alike share one."""
        deepest = int(batch.positions.max()) + 1
        if deepest > self._length:
            self._length = 1 << (deepest - 1).bit_length()
            self._allowed = self._asked(self._length)
        made: dict[int, torch.Tensor] = {}
        for allowed in self._allowed:
            if id(allowed) not in made:
                visible = batch.visible
                if allowed is not None:
                    visible = visible & allowed[batch.positions[:, :, None], batch.positions[:, None, :]]
                mask = torch.zeros(visible.shape, dtype=self._dtype)
                mask.masked_fill_(~visible, torch.finfo(self._dtype).min)
                made[id(allowed)] = mask[:, None].to(self._device)
        return [made[id(allowed)] for allowed in self._allowed]

    def _asked(self, length: int) -> list[torch.Tensor | None]:
        """Of each block, which position sees which, [length, length] bool; None where it is all before."""
        calls = self._arguments(max(2, min(length, self._longest or length)))
        masks = [arguments.get("attention_mask") for arguments in calls]
        causal = torch.ones(length, length, dtype=torch.bool).tril()
        known = {id(mask): _as_visible(mask, causal) for mask in masks}
        return [known[id(mask)] for mask in masks]


def _as_visible(mask: Any, causal: torch.Tensor) -> torch.Tensor | None:
    """A mask of transformers, boolean or additive, as what is visible; None where that is all before."""
    if not isinstance(mask, torch.Tensor) or mask.ndim != 4:
        return None
    mask = mask[0, 0].cpu()
    seen = mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2
    visible = causal.clone()
    visible[: len(seen), : len(seen)] &= seen
    return None if torch.equal(visible, causal) else visible


@contextmanager
def written_out(model: Any) -> Iterator[None]:
    """Have transformers write masks out, which it leaves to the kernel where it can."""
    configs = {id(c): c for c in (model.config, model.config.get_text_config(decoder=True), model.base_model.config)}
    before = {key: config._attn_implementation for key, config in configs.items()}
    try:
        for config in configs.values():
            config._attn_implementation = "eager"
        yield
    finally:
        for key, config in configs.items():
            config._attn_implementation = before[key]
