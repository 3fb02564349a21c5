"""Attention on CPUs in half precision: two batched matrix products around a softmax.

In bfloat16 the CPU kernel behind `scaled_dot_product_attention` is no faster than in float32: on the short rows that
are scored here, products over all heads at once take half of its time. This is the same arithmetic as the `eager`
attention of transformers, registered through its own interface for such functions, so that the architectures'
attention modules stay as they are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

NAME = "cornerstone_products"
_PLAIN = {"dropout", "scaling", "is_causal", "sliding_window"}
"""Arguments beside the tensors that products can honour (the mask holds what the last two say)."""


def products(
    module: nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: Any, **kwargs: Any
) -> tuple[torch.Tensor, None]:
    """Attention of [B, heads, T, d] queries to [B, key heads, T, d] keys, for values of width e; [B, T, heads, e].

    Query heads that share a key head are folded into one longer product. Without an additive mask (the model's own
    forward pass, outside a sweep) it is the attention of transformers' `sdpa`.
    """
    extra = {name for name, given in kwargs.items() if given is not None and name not in _PLAIN}
    if (
        attention_mask is None
        or not attention_mask.is_floating_point()
        or extra & {"softcap", "position_bias", "s_aux"}
    ):
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    size, heads, width, depth = query.shape
    key_heads = key.shape[1]
    folded = (size * key_heads, heads // key_heads * width, depth)
    scale = kwargs.get("scaling")
    query = query.reshape(folded) * (depth**-0.5 if scale is None else scale)
    scores = torch.bmm(query, key.reshape(size * key_heads, width, depth).transpose(1, 2))
    scores.view(size, heads, width, width).add_(attention_mask)
    mixed = torch.bmm(scores.softmax(-1), value.reshape(size * key_heads, width, value.shape[-1]))
    return mixed.view(size, heads, width, value.shape[-1]).transpose(1, 2).contiguous(), None


def use_products(model: Any) -> None:
    """Have attention modules use `products` in place of sdpa where that is faster: on CPUs in half precision."""
    if model.device.type == "cpu" and model.dtype.itemsize == 2 and model.config._attn_implementation == "sdpa":
        from transformers import AttentionInterface, AttentionMaskInterface
        from transformers.masking_utils import sdpa_mask

        AttentionInterface.register(NAME, products)
        AttentionMaskInterface.register(NAME, sdpa_mask)
        model.set_attn_implementation(NAME)
