"""GGUF files of tiny models, written with the gguf package as llama.cpp's converter would."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import gguf
import numpy as np

NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def _permuted(weight: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp keeps the two halves that are rotated together next to each other."""
    split = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return split.swapaxes(1, 2).reshape(weight.shape)


def tensors(model: Any) -> dict[str, np.ndarray]:
    """The tensors of a Llama model under llama.cpp's names."""
    state = {name: value.float().numpy() for name, value in model.state_dict().items()}
    found = {"token_embd.weight": state["model.embed_tokens.weight"], "output_norm.weight": state["model.norm.weight"]}
    if not model.config.tie_word_embeddings:
        found["output.weight"] = state["lm_head.weight"]
    for i in range(model.config.num_hidden_layers):
        for ours, theirs in NAMES.items():
            found[f"blk.{i}.{ours}.weight"] = state[f"model.layers.{i}.{theirs}.weight"]
        for ours, heads in (
            ("attn_q", model.config.num_attention_heads),
            ("attn_k", model.config.num_key_value_heads),
        ):
            found[f"blk.{i}.{ours}.weight"] = _permuted(found[f"blk.{i}.{ours}.weight"], heads)
    return found


def write(
    path: Path,
    model: Any,
    tokenizer: Any,
    more: dict[str, np.ndarray] | None = None,
    keys: dict[str, Any] | None = None,
    split: int = 1,
    arch: str = "llama",
    pre: str = "default",
) -> list[Path]:
    """Write a Llama model, with more tensors and keys; in `split` files if that is more than one. Returns the files."""
    config = model.config
    found = {**tensors(model), **(more or {})}
    paths = (
        [path] if split == 1 else [path.with_name(f"{path.stem}-{i + 1:05}-of-{split:05}.gguf") for i in range(split)]
    )
    for i, each in enumerate(paths):
        writer = gguf.GGUFWriter(str(each), arch)
        if split > 1:
            writer.add_uint16("split.no", i)
            writer.add_uint16("split.count", split)
            writer.add_int32("split.tensors.count", len(found))
        if i == 0:
            _add_keys(writer, config, tokenizer, pre)
            for key, value in (keys or {}).items():
                add: dict[type, Any] = {
                    str: writer.add_string,
                    bool: writer.add_bool,
                    int: writer.add_uint32,
                    float: writer.add_float32,
                }
                add[type(value)](key, value)
        for name, tensor in list(found.items())[i::split]:
            writer.add_tensor(name, np.ascontiguousarray(tensor, dtype=np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return paths


def _add_keys(writer: gguf.GGUFWriter, config: Any, tokenizer: Any, pre: str) -> None:
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    raw = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    words = [word for word, _ in sorted(raw["vocab"].items(), key=lambda item: item[1])]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(words)
    writer.add_token_types([3 if word in ("<s>", "</s>") else 1 for word in words])
    writer.add_token_merges([" ".join(merge) if isinstance(merge, list) else merge for merge in raw["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)


LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "high_freq_factor": 4.0,
    "low_freq_factor": 1.0,
    "original_max_position_embeddings": 16,
}
"""Llama 3.1's scaling, on texts so short that it matters for tiny models."""


def llama3_factors(width: int) -> np.ndarray:
    """What llama.cpp keeps as rope_freqs for `LLAMA3`: the divisor of each frequency, by Llama 3.1's formula."""
    factor, low, high = (float(LLAMA3[key]) for key in ("factor", "low_freq_factor", "high_freq_factor"))  # type: ignore[arg-type]
    old = 16.0
    found = []
    for frequency in 1 / 10000.0 ** (np.arange(0, width, 2) / width):
        wave = 2 * math.pi / frequency
        if wave < old / high:
            found.append(1.0)
        elif wave > old / low:
            found.append(factor)
        else:
            smooth = (old / wave - low) / (high - low)
            found.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(found, dtype=np.float32)
