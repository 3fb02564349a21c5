"""Where each architecture keeps its sublayers and norms, as plain strings. The one place that knows architectures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cornerstone.errors import ModelError


@dataclass(frozen=True)
class SublayerLayout:
    """Where a block keeps one sublayer.

    `modules` are applied one after another (OPT has no feed-forward module of its own). The contribution to
    the residual stream is post_norm(modules(pre_norm(x))); a norm that an architecture lacks is None.
    """

    modules: tuple[str, ...]
    pre_norm: str | None = None
    post_norm: str | None = None


@dataclass(frozen=True)
class Architecture:
    """Where the modules of one `model_type` of transformers are, as attribute paths.

    `parallel` names the config flag that says that both sublayers of a block read the block's input
    (x + attn(x) + ffn(x)); None when they always follow each other. `requires` are config values without
    which the layout would not hold.
    """

    blocks: str
    final_norm: str
    attention: SublayerLayout
    feed_forward: SublayerLayout
    parallel: str | None = None
    requires: tuple[tuple[str, object], ...] = ()


_PRE_NORM = Architecture(
    blocks="model.layers",
    final_norm="model.norm",
    attention=SublayerLayout(("self_attn",), pre_norm="input_layernorm"),
    feed_forward=SublayerLayout(("mlp",), pre_norm="post_attention_layernorm"),
)

ARCHITECTURES: dict[str, Architecture] = {
    **dict.fromkeys(
        ("llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe", "phi3"),
        _PRE_NORM,
    ),
    "gemma2": Architecture(
        blocks="model.layers",
        final_norm="model.norm",
        attention=SublayerLayout(("self_attn",), pre_norm="input_layernorm", post_norm="post_attention_layernorm"),
        feed_forward=SublayerLayout(
            ("mlp",), pre_norm="pre_feedforward_layernorm", post_norm="post_feedforward_layernorm"
        ),
    ),
    "olmo2": Architecture(
        blocks="model.layers",
        final_norm="model.norm",
        attention=SublayerLayout(("self_attn",), post_norm="post_attention_layernorm"),
        feed_forward=SublayerLayout(("mlp",), post_norm="post_feedforward_layernorm"),
    ),
    "gpt_neox": Architecture(
        blocks="gpt_neox.layers",
        final_norm="gpt_neox.final_layer_norm",
        attention=SublayerLayout(("attention",), pre_norm="input_layernorm"),
        feed_forward=SublayerLayout(("mlp",), pre_norm="post_attention_layernorm"),
        parallel="use_parallel_residual",
    ),
    "gpt2": Architecture(
        blocks="transformer.h",
        final_norm="transformer.ln_f",
        attention=SublayerLayout(("attn",), pre_norm="ln_1"),
        feed_forward=SublayerLayout(("mlp",), pre_norm="ln_2"),
        requires=(("add_cross_attention", False),),
    ),
    "opt": Architecture(
        blocks="model.decoder.layers",
        final_norm="model.decoder.final_layer_norm",
        attention=SublayerLayout(("self_attn",), pre_norm="self_attn_layer_norm"),
        feed_forward=SublayerLayout(("fc1", "activation_fn", "fc2"), pre_norm="final_layer_norm"),
        # OPT-350m normalises the residual stream itself after each sublayer, so there is no contribution
        # that could be set to zero and leave x as it was.
        requires=(("do_layer_norm_before", True), ("_remove_final_layer_norm", False)),
    ),
}


def architecture_of(model_type: str) -> Architecture:
    """The layout of a transformers `model_type`.

    Raises:
        ModelError: when it is not known; the message says what to add and where.
    """
    try:
        return ARCHITECTURES[model_type]
    except KeyError:
        raise ModelError(
            f"architecture '{model_type}' is not known. Known: {', '.join(sorted(ARCHITECTURES))}. "
            f"To add it, put an entry '{model_type}' into ARCHITECTURES in cornerstone/engine/architectures.py that "
            "says where its blocks, norms, attention and feed-forward are, and a tiny random model of it into "
            "tests/tiny.py, which compares it with stock lm-eval."
        ) from None


def is_parallel(architecture: Architecture, config: Any) -> bool:
    """Whether both sublayers of a block read the block's input."""
    return bool(architecture.parallel and getattr(config, architecture.parallel))
