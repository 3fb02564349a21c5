"""What stands in the place of a removed sublayer: its mean contribution over reference documents.

One vector for each sublayer, the mean of what it adds to the residual stream over all tokens of the documents, in one
pass of the whole model. Adding a constant is not removing: a coalition then lacks what a sublayer says of the text at
hand, and keeps what it always says (mean ablation; Miller, Chughtai, Saunders 2024, arXiv 2407.08734, compare it with
others).

A contribution is what is added to the stream: behind norms and scales that belong to the sublayer. What a block does
to the stream besides (a norm after the sum) is done to the sum with the mean in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Means:
    """Mean contributions.

    Attributes:
        contributions: of each sublayer in execution order, [S, H] float32.
        heads: sublayer -> mean results of its heads side by side, [heads x width] float32, where heads are players.
    """

    contributions: torch.Tensor
    heads: dict[int, torch.Tensor]

    def of(self, removed: Sequence[int], x: torch.Tensor) -> torch.Tensor:
        """The sum for some sublayers, [H], as the stream x has its numbers."""
        return self.contributions[list(removed)].sum(0).to(x)

    def of_heads(self, sublayer: int) -> torch.Tensor:
        """Of the heads of a sublayer."""
        return self.heads[sublayer]
