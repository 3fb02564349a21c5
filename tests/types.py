"""A tiny random model of every causal language model type of transformers, and what removes its sublayers by hand.

`python -m tests.architectures` compares all of them with stock lm-eval and writes docs/architectures.md.

Sizes are set by the names of the config's keys. Which modules a removal zeroes is told by the names of a block's
children: a second way to the sublayers, beside the data flow that the package follows.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from tests.device import DEVICE

TYPES: tuple[str, ...] = tuple(sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES))
BLOCKS = 4

_SIZES: dict[tuple[str, ...], Any] = {
    ("vocab_size", "text_vocab_size", "vocab_size_per_layer_input"): 320,
    ("hidden_size", "n_embd", "d_model", "dim", "n_embed", "word_embed_proj_dim", "embedding_size", "lru_width"): 32,
    ("intermediate_size", "n_inner", "ffn_dim", "dff", "decoder_ffn_dim", "encoder_ffn_dim", "dim_ff"): 64,
    ("dense_intermediate_size", "shared_intermediate_size", "intermediate_size_mlp", "ffn_hidden_size"): 64,
    ("moe_intermediate_size", "shared_expert_intermediate_size", "moe_shared_expert_intermediate_size"): 32,
    ("num_hidden_layers", "n_layer", "n_layers", "num_blocks", "decoder_layers"): BLOCKS,
    ("num_attention_heads", "n_head", "n_heads", "decoder_attention_heads", "encoder_attention_heads"): 4,
    ("num_key_value_heads", "num_kv_heads", "swa_num_key_value_heads"): 2,
    ("swa_num_attention_heads", "linear_num_attention_heads"): 4,
    ("head_dim", "kv_channels", "swa_head_dim", "swa_v_head_dim", "global_head_dim", "lightning_head_dim"): 8,
    ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "dim_head", "attention_head_dim", "qk_head_dim"): 8,
    ("kv_lora_rank", "q_lora_rank", "o_lora_rank"): 16,
    ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_routed_experts"): 4,
    ("num_experts_per_tok", "num_experts_per_token", "moe_k", "moe_topk", "top_k_experts", "moe_top_k"): 2,
    ("n_group", "topk_group", "n_shared_experts", "num_shared_experts", "moe_num_shared_experts"): 1,
    ("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index", "num_first_dense_layers"): 1,
    ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length", "model_max_length", "max_seq_len"): 2048,
    ("original_max_position_embeddings",): 2048,
    ("sliding_window", "window_size", "attention_window_size", "attention_chunk_size"): 24,
    ("mamba_d_state", "ssm_state_size", "state_size", "mamba_d_head", "mamba_head_dim", "mamba_headdim"): 8,
    ("mamba_n_heads", "mamba_num_heads", "num_mamba_heads", "n_mamba_heads", "mamba_dt_rank", "time_step_rank"): 8,
    ("mamba_n_groups", "n_groups", "mamba_ngroups", "mamba_expand_ratio"): 1,
    ("mamba_d_ssm",): 64,
    ("mamba_expand", "expand"): 2,
    ("mamba_chunk_size", "chunk_size"): 16,
    ("linear_key_head_dim", "linear_value_head_dim", "linear_num_key_heads", "linear_num_value_heads"): 4,
    ("index_n_heads", "index_head_dim"): 4,
    ("hidden_size_per_layer_input",): 8,
    ("num_kv_shared_layers", "num_nextn_predict_layers"): 0,
    ("initializer_range", "init_std", "initializer_factor"): 0.5,  # large, so that each sublayer matters
    ("bos_token_id",): 0,
    ("eos_token_id", "pad_token_id"): 1,
}
SIZES = {key: value for keys, value in _SIZES.items() for key in keys}
_MLA = {"num_key_value_heads": 4, "qk_head_dim": 16}
EXTRA: dict[str, dict[str, Any]] = {
    "kimi_linear": {
        **_MLA,
        "num_hidden_layers": 2,
        "layer_types": ["linear_attention", "full_attention"],
        "mlp_layer_types": ["dense", "sparse"],
    },
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2},
    "gptj": {"rotary_dim": 8},
    "codegen": {"rotary_dim": 8},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "mamba2": {"num_heads": 8, "head_dim": 8, "n_groups": 1},
    "zaya": {"num_experts_per_tok": 1},
    "ministral": {"layer_types": ["sliding_attention", "full_attention"] * 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1},
    "bamba": {"attn_layer_indices": [1, 3]},
}
"""What a type needs besides."""
for _name in ("axk1", "bailing_hybrid", "deepseek_v2", "deepseek_v3", "glm4_moe_lite", "minicpm3", "youtu"):
    EXTRA[_name] = dict(_MLA)
for _name in ("axk2", "deepseek_v32", "glm_moe_dsa", "hy_v4", "dots3_note", "dots3_note_text"):
    EXTRA[_name] = {**_MLA, "index_head_dim": 16}


def config(model_type: str) -> Any:
    """The config of a tiny model."""
    made = CONFIG_MAPPING[model_type]
    known = _keys(made)
    settings = {key: value for key, value in SIZES.items() if key in known}
    if "layer_types" in known:
        kinds = _layer_types(made)
        if kinds and not isinstance(getattr(made, "layers_block_type", None), property):
            settings["layer_types"] = kinds
    settings |= EXTRA.get(model_type, {})
    text = getattr(made, "sub_configs", {}).get("text_config")
    if text is not None and "text_config" not in settings:
        settings = {"text_config": config(text.model_type).to_dict(), **EXTRA.get(model_type, {})}
    return made(**settings)


def _keys(made: Any) -> set[str]:
    fields = set(getattr(made, "__dataclass_fields__", ()))
    return fields | set(getattr(made, "attribute_map", {}))


def _layer_types(made: Any) -> list[str] | None:
    """Four blocks in which each kind of the type's own default appears."""
    try:
        kinds = list(dict.fromkeys(made().layer_types))
    except Exception:  # a type without a usable default
        return None
    return list(itertools.islice(itertools.cycle(kinds), BLOCKS)) if kinds else None


def make(model_type: str, seed: int = 0) -> Any:
    """A tiny random model, float32, in eval mode."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config(model_type), dtype=torch.float32).eval()
    with torch.no_grad():  # norms and scales begin at 1 or 0, where a mistake with them would not be seen
        for name, parameter in model.named_parameters():
            if parameter.ndim <= 1 and "bias" not in name:
                parameter += 0.1 * torch.randn_like(parameter)
    return model.to(DEVICE)


MIXERS = (
    "mamba", "self_attn", "self_attention", "attention", "attn", "linear_attn", "mixer", "temporal_block", "conv",
    "multi_head_attention", "mlstm_layer",
)  # fmt: skip
ADDING = {"self_attention": "self_attention.dense", "mlp": "mlp.dense_4h_to_h", "ffn": "ffn.down_proj"}
"""Bloom and MPT add to the stream inside of the sublayer: what is zeroed is its last projection."""
PER_TOKEN = ("mlp", "feed_forward", "ffn", "mlp_block", "fc2", "block_sparse_moe", "shared_mlp")


def removals(block: nn.Module) -> list[list[str]]:
    """For each sublayer of a block, in execution order, the children whose output is zero when it is removed."""
    children = dict(block.named_children())
    if type(block).__name__ in ("BloomBlock", "MptBlock"):
        return [[ADDING.get(name, name)] for name in children if name in ("self_attention", "attn", "mlp", "ffn")]
    mixers = [[name] for name in MIXERS if name in children]
    rest = [name for name in PER_TOKEN if name in children]
    layers = [["post_per_layer_input_norm"]] if "post_per_layer_input_norm" in children else []
    return mixers + ([rest] if rest else []) + layers
