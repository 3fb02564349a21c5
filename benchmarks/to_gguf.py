"""Weights of a model of Llama's kind as a BF16 GGUF, for llama.cpp.

The file has the weights alone. It has no tokenizer: the benchmark gives llama.cpp the tokens that the sweep reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
"""Modules of a block in transformers -> in GGUF."""


def interleaved(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of a query or key projection in llama.cpp's order: [heads * width, in] -> the same shape.

    Rotary positions turn pairs of rows: transformers pairs row i of a head with row i + width / 2, llama.cpp with the
    row beside it.
    """
    rows, into = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, into).swapaxes(1, 2).reshape(rows, into).contiguous()


def tensors(model: Any) -> dict[str, torch.Tensor]:
    """GGUF's name of each weight -> the weight, those of matrices as bfloat16 and those of norms as float32."""
    config, weights = model.config, model.state_dict()
    found = {
        "token_embd.weight": weights["model.embed_tokens.weight"],
        "output_norm.weight": weights["model.norm.weight"],
    }
    if not config.tie_word_embeddings:
        found["output.weight"] = weights["lm_head.weight"]
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for block in range(config.num_hidden_layers):
        for theirs, ours in NAMES.items():
            weight = weights[f"model.layers.{block}.{theirs}.weight"]
            found[f"blk.{block}.{ours}.weight"] = interleaved(weight, heads[ours]) if ours in heads else weight
    return {name: weight.to(torch.float32 if weight.dim() == 1 else torch.bfloat16) for name, weight in found.items()}


def write(model: Any, path: Path) -> None:
    """Write the file.

    Args:
        model: of transformers.
        path: of the file.

    Raises:
        ValueError: the model is not of Llama's kind.
    """
    import gguf

    config = model.config
    if config.model_type != "llama":
        raise ValueError(f"a model of type {config.model_type}: only llama is written as GGUF here")
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("none")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    for name, weight in tensors(model).items():
        if weight.dtype == torch.bfloat16:
            data = weight.view(torch.uint8).numpy()
            writer.add_tensor(name, data, raw_dtype=gguf.GGMLQuantizationType.BF16)
        else:
            writer.add_tensor(name, weight.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
