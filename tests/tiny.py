"""Tiny random models of every architecture, with a tokenizer, made when a test needs them.

`MODULES` says which module's output to zero in order to remove a sublayer. It is written out here by hand, and
not taken from the package, so that the parity tests share no code with the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from cornerstone.engine.network import Network
from cornerstone.engine.weights import Weights
from cornerstone.game.players import Player, alike, players_of
from tests.device import DEVICE

TEXT = (
    "Question: Which of these is a renewable source of energy?\nAnswer: the wind and the sun. "
    "Sarah was a much better surgeon than Maria so the hard cases went to her. yes no "
    "How do you boil an egg? Put it into hot water for some minutes, then into cold water."
)
VOCABULARY = 320
BLOCKS = 4


def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on one paragraph: any text can be encoded."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator([TEXT], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", pad_token="</s>", model_max_length=4096
    )


@dataclass(frozen=True)
class Tiny:
    """How to make a tiny model of an architecture, and which modules a sublayer's removal zeroes."""

    model_type: str
    settings: dict[str, Any]
    attention: str = "model.layers.{}.self_attn"
    feed_forward: str = "model.layers.{}.mlp"
    kind: Literal["ffn", "moe"] = "ffn"


_COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "initializer_range": 0.5,  # large, so that each sublayer matters
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}
_MOE = {"num_experts_per_tok": 2}

TINY: dict[str, Tiny] = {
    "llama": Tiny("llama", _COMMON),
    "mistral": Tiny("mistral", {**_COMMON, "sliding_window": 24}),
    "mixtral": Tiny("mixtral", {**_COMMON, **_MOE, "num_local_experts": 4}, kind="moe"),
    "qwen2": Tiny("qwen2", {**_COMMON, "use_sliding_window": True, "sliding_window": 24, "max_window_layers": 2}),
    "qwen3": Tiny("qwen3", {**_COMMON, "head_dim": 8}),
    "qwen3_moe": Tiny(
        "qwen3_moe",
        {**_COMMON, **_MOE, "head_dim": 8, "num_experts": 4, "moe_intermediate_size": 32},
        kind="moe",
    ),
    "gemma2": Tiny("gemma2", {**_COMMON, "head_dim": 8, "sliding_window": 24}),
    "olmo2": Tiny("olmo2", _COMMON),
    "phi3": Tiny("phi3", {**_COMMON, "sliding_window": None}),
    "gpt_neox": Tiny(
        "gpt_neox",
        {**_COMMON, "use_parallel_residual": True},
        "gpt_neox.layers.{}.attention",
        "gpt_neox.layers.{}.mlp",
    ),
    "gpt_neox_sequential": Tiny(
        "gpt_neox",
        {**_COMMON, "use_parallel_residual": False},
        "gpt_neox.layers.{}.attention",
        "gpt_neox.layers.{}.mlp",
    ),
    "gpt2": Tiny(
        "gpt2",
        {
            "vocab_size": VOCABULARY,
            "n_embd": 32,
            "n_layer": BLOCKS,
            "n_head": 4,
            "n_positions": 2048,
            "initializer_range": 0.5,
            "bos_token_id": 0,
            "eos_token_id": 1,
        },
        "transformer.h.{}.attn",
        "transformer.h.{}.mlp",
    ),
    "opt": Tiny(
        "opt",
        {**_COMMON, "ffn_dim": 64, "word_embed_proj_dim": 32, "init_std": 0.5},
        "model.decoder.layers.{}.self_attn",
        "model.decoder.layers.{}.fc2",
    ),
}


def make(name: str, seed: int = 0) -> Any:
    """A tiny random model, float32, in eval mode."""
    tiny = TINY[name]
    torch.manual_seed(seed)
    config = CONFIG_MAPPING[tiny.model_type](**tiny.settings)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).to(DEVICE).eval()


def network(
    model: Any, name: str, players: tuple[Player, ...] | None = None, weights: Weights | None = None
) -> Network:
    """The model as the engine sees it; its players are its sublayers unless others are given."""
    kind = TINY[name].kind
    return Network(model, players or players_of(alike(BLOCKS, kind)), alike(BLOCKS, kind), weights)


def save(name: str, folder: Path, seed: int = 0) -> Path:
    """Save a tiny model and its tokenizer in `folder`, as the config's `source: folder` wants it."""
    make(name, seed).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder
