from __future__ import annotations

import types
from typing import Any

import pytest
import torch

from cornerstone.engine import attention
from tests import tiny


def some(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float32).to(dtype)


def causal_mask(size: int, width: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    hidden = torch.ones(width, width, dtype=torch.bool).triu(1)
    return torch.zeros(size, 1, width, width, dtype=dtype).masked_fill(hidden, torch.finfo(dtype).min)


@pytest.mark.parametrize("key_heads", [1, 2, 6])
@pytest.mark.parametrize("scaling", [None, 0.3])
def test_products_are_attention(key_heads: int, scaling: float | None) -> None:
    size, heads, width, depth = 3, 6, 16, 8
    query, mask = some(size, heads, width, depth), causal_mask(size, width)
    key, value = some(size, key_heads, width, depth), some(size, key_heads, width, depth + 0)
    module = types.SimpleNamespace(num_key_value_groups=heads // key_heads)
    found, _ = attention.products(module, query, key, value, mask, scaling=scaling, dropout=0.0)  # type: ignore[arg-type]
    wanted = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, scale=scaling, enable_gqa=True
    )
    torch.testing.assert_close(found, wanted.transpose(1, 2))


@pytest.mark.parametrize("extra", [{}, {"position_bias": some(1, 2, 8, 8)}])
def test_what_products_do_not_know_is_left_to_sdpa(extra: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[dict[str, Any]] = []

    def sdpa(*_: Any, **options: Any) -> tuple[None, None]:
        called.append(options)
        return None, None

    monkeypatch.setattr("transformers.integrations.sdpa_attention.sdpa_attention_forward", sdpa)
    query = some(1, 2, 8, 4)
    mask = causal_mask(1, 8) if extra else None
    attention.products(torch.nn.Identity(), query, query, query, mask, scaling=None, **extra)
    assert len(called) == 1


def test_only_half_precision_on_a_cpu_uses_them() -> None:
    for dtype, expected in ((torch.float32, "sdpa"), (torch.bfloat16, attention.NAME)):
        model = tiny.make("llama").to(dtype)
        attention.use_products(model)
        assert model.config._attn_implementation == expected


def test_a_models_own_forward_pass_stays_as_it_was() -> None:
    model = tiny.make("llama").to(torch.bfloat16)
    tokens = torch.arange(2, 30)[None]
    with torch.inference_mode():
        before = model(input_ids=tokens).logits
        attention.use_products(model)
        assert torch.equal(model(input_ids=tokens).logits, before)
