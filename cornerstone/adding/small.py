"""A tiny copy of a model's configuration: few blocks of small size, each kind of block of the original among them.

Sizes are set by the names that transformers' configurations have for them. A model type with names of its own may have
no tiny copy; nothing is guessed then.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cornerstone.engine import structure

VOCABULARY = 320
LARGEST = 30_000_000
"""Parameters of a copy at most."""

_WIDTHS: dict[tuple[str, ...], int] = {
    ("vocab_size", "text_vocab_size", "vocab_size_per_layer_input"): VOCABULARY,
    ("hidden_size", "n_embd", "d_model", "dim", "n_embed", "word_embed_proj_dim", "embedding_size", "lru_width"): 32,
    ("embedding_dim",): 32,
    ("intermediate_size", "n_inner", "ffn_dim", "dff", "decoder_ffn_dim", "encoder_ffn_dim", "dim_ff"): 64,
    ("dense_intermediate_size", "shared_intermediate_size", "intermediate_size_mlp", "ffn_hidden_size"): 64,
    ("moe_intermediate_size", "shared_expert_intermediate_size", "moe_shared_expert_intermediate_size"): 32,
    ("num_attention_heads", "n_head", "n_heads", "decoder_attention_heads", "encoder_attention_heads"): 4,
    ("swa_num_attention_heads", "linear_num_attention_heads"): 4,
    ("num_key_value_heads", "num_kv_heads", "swa_num_key_value_heads"): 2,
    ("head_dim", "kv_channels", "swa_head_dim", "swa_v_head_dim", "global_head_dim", "lightning_head_dim"): 8,
    ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "dim_head", "attention_head_dim"): 8,
    ("rotary_dim",): 8,
    ("qk_head_dim", "kv_lora_rank", "q_lora_rank", "o_lora_rank"): 16,
    ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_routed_experts"): 4,
    ("num_experts_per_tok", "num_experts_per_token", "moe_k", "moe_topk", "top_k_experts", "moe_top_k"): 2,
    ("num_heads",): 8,
    ("n_group", "topk_group", "num_expert_group", "n_shared_experts", "num_shared_experts"): 1,
    ("moe_num_shared_experts",): 1,
    ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length", "model_max_length", "max_seq_len"): 512,
    ("original_max_position_embeddings",): 512,
    ("sliding_window", "window_size", "attention_window_size", "attention_chunk_size"): 24,
    ("mamba_d_state", "ssm_state_size", "state_size", "mamba_d_head", "mamba_head_dim", "mamba_headdim"): 8,
    ("mamba_n_heads", "mamba_num_heads", "num_mamba_heads", "n_mamba_heads", "mamba_dt_rank", "time_step_rank"): 8,
    ("mamba_n_groups", "n_groups", "mamba_ngroups", "mamba_expand_ratio"): 1,
    ("mamba_d_ssm",): 64,
    ("mamba_chunk_size", "chunk_size"): 16,
    ("linear_key_head_dim", "linear_value_head_dim", "linear_num_key_heads", "linear_num_value_heads"): 4,
    ("index_n_heads",): 4,
    ("index_head_dim",): 16,
    ("hidden_size_per_layer_input",): 8,
    ("num_kv_shared_layers", "num_nextn_predict_layers"): 0,
}
_SMALL = {key: value for keys, value in _WIDTHS.items() for key in keys}
_PAIRS = (
    ("num_attention_heads", "num_key_value_heads"), ("n_head", "num_kv_heads"), ("num_attention_heads", "num_kv_heads"),
    ("swa_num_attention_heads", "swa_num_key_value_heads"),
)  # fmt: skip
_DEPTHS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_blocks", "decoder_layers")
_SPREAD = ("initializer_range", "init_std", "initializer_factor")
_KEPT_OF_ROPE = ("rope_theta", "partial_rotary_factor", "rope_type")


def small_copies(config: Any, kinds_of: Any) -> Iterator[Any]:
    """Configurations of tiny models like one, the closest first.

    Args:
        config: of a model.
        kinds_of: for each of its blocks, anything that tells blocks of different kind apart.
    """
    yield config
    blocks = len(kinds_of)
    fewest = 1 + max(kinds_of.index(kind) for kind in dict.fromkeys(kinds_of))
    for count in dict.fromkeys((min(blocks, max(2, fewest)), blocks)):
        try:
            made = type(config)(**_smaller(config.to_dict(), blocks, count))
        except Exception:  # a type with rules of its own about its sizes
            continue
        yield made


def kinds_of_blocks(model: Any) -> list[Any]:
    """For each block of a model what tells kinds of blocks apart: layout, classes, and what config.json calls it."""
    config = model.config.get_text_config(decoder=True)
    types = getattr(config, "layer_types", None) or []
    found = []
    for i, (block, layout) in enumerate(zip(structure.blocks_of(model)[1], structure.layouts_of(model), strict=True)):
        classes = tuple(sorted({type(module).__name__ for module in block.modules()}))
        found.append((layout, classes, types[i] if i < len(types) else None))
    return found


def _smaller(settings: dict[str, Any], blocks: int, count: int) -> dict[str, Any]:
    """Settings with small sizes, and the first `count` blocks of `blocks`; those of parts (vision, text) too."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if key in ("quantization_config", "dtype", "torch_dtype", "model_type", "transformers_version"):
            continue
        if key.startswith("rope_") and isinstance(value, dict):
            found[key] = _plain_rope(value)
        elif isinstance(value, dict) and "model_type" in value:
            found[key] = _smaller(value, blocks, count) | {"model_type": value["model_type"]}
        elif isinstance(value, dict) and key == "per_layer_config":
            kept = {place: own for place, own in value.items() if int(place) < count}
            found[key] = {place: {each: _size(each, size) for each, size in own.items()} for place, own in kept.items()}
        elif key.endswith(("_token_id", "_token_index")):
            found[key] = _token(key, value)
        elif isinstance(value, list) and len(value) == blocks:
            found[key] = [_size(key, each) for each in value[:count]]
        elif value == blocks and not isinstance(value, bool) and key in _DEPTHS:
            found[key] = count
        else:
            found[key] = _size(key, value)
    for heads, shared in _PAIRS:
        if heads in settings and isinstance(settings.get(shared), int) and isinstance(settings[heads], int):
            found[shared] = found[heads] if settings[heads] == settings[shared] else min(found[heads], found[shared])
    return found | {key: 0.5 for key in _SPREAD if isinstance(settings.get(key), float)}


def _size(key: str, value: Any) -> Any:
    """A size, made no larger; of heads a power of two, so that the width is a multiple."""
    if key not in _SMALL or isinstance(value, bool) or not isinstance(value, int):
        return value
    size = min(value, _SMALL[key])
    return 2 if size == 3 and "heads" in key else size


def _token(key: str, value: Any) -> Any:
    """The number of a token, within the small vocabulary."""
    special = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    return value if value is None else special.get(key, VOCABULARY - 1)


def _plain_rope(value: dict[str, Any]) -> dict[str, Any]:
    """Rotary embeddings without scaling, whose factors belong to a size."""
    kept = {key: _plain_rope(each) if isinstance(each, dict) else each for key, each in value.items()}
    kept = {key: each for key, each in kept.items() if isinstance(each, dict) or key in _KEPT_OF_ROPE}
    return kept | ({"rope_type": "default"} if "rope_type" in kept else {})
