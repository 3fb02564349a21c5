"""What a GGUF file says of its model, key by key: understood, compared with what transformers made of it, or refused.

transformers reads the keys and tensors that it knows and passes over the others. A key that scales logits, stretches
positions or cuts attention would be lost that way, and the model would compute something else than the file stands for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cornerstone import reading
from cornerstone.errors import AssetError, UnreadableError

ROPE_FREQS = "rope_freqs.weight"
"""Tensor of llama.cpp by which it divides the rotary frequencies (Llama 3.1 and newer)."""

COMPARED = {
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "context_length": "max_position_embeddings",
    "vocab_size": "vocab_size",
    "attention.head_count": "num_attention_heads",
    "attention.key_length": "head_dim",
    "attention.value_length": "head_dim",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.layer_norm_epsilon": "layer_norm_eps",
    "attention.sliding_window": "sliding_window",
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
    "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
    "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
    "expert_weights_norm": "norm_topk_prob",
    "use_parallel_residual": "use_parallel_residual",
}
"""Key, without its architecture -> attribute of transformers' configuration that must say the same."""
NAMES = {
    "layer_norm_eps": ("norm_eps", "norm_epsilon", "layer_norm_epsilon", "rms_norm_eps"),
    "num_experts": ("num_local_experts", "n_routed_experts"),
    "max_position_embeddings": ("n_ctx", "n_positions"),
    "rms_norm_eps": ("norm_eps",),
}
"""Other names of such attributes."""
NOTHING: dict[str, Any] = {
    "rope.scaling.type": "none",
    "rope.scaling.factor": 1.0,
    "rope.scaling.attn_factor": 1.0,
    "expert_count": 0,
    "expert_used_count": 0,
    "attention.causal": True,
    "attention.max_alibi_bias": 0.0,
    "attention.clamp_kqv": 0.0,
    "logit_scale": 1.0,
    "residual_scale": 1.0,
    "embedding_scale": 1.0,
    "pooling_type": 0,
}
"""Keys with the value that means nothing."""
HARMLESS = {"rope.scaling.finetuned", "rope.scaling.original_context_length", "nextn_predict_layers"}
"""Keys that change no number by themselves: what they go with is looked at."""
SPLIT_LIKE_GPT2 = {"default", "gpt-2", "gpt2", "olmo", "jais", "phi-2", "mpt"}
"""Names of llama.cpp for GPT-2's way to split a text before its tokens are looked up: transformers' default."""
SPLIT_DIGITS = {"smollm", "starcoder", "refact", "codeshell", "command-r", "exaone"}
"""The same with each digit apart."""


@dataclass(frozen=True)
class Header:
    """Keys and tensors of a GGUF file.

    Attributes:
        path: the file.
        architecture: llama.cpp's name of the architecture.
        keys: every key and its value; arrays in full.
        tensors: every tensor's name and its shape, outermost dimension first.
        splits: files of the model, of which this is one.
    """

    path: Path
    architecture: str
    keys: Mapping[str, Any]
    tensors: Mapping[str, tuple[int, ...]]
    splits: int

    def own(self) -> dict[str, Any]:
        """The keys of the architecture, without its name."""
        start = f"{self.architecture}."
        return {key.removeprefix(start): value for key, value in self.keys.items() if key.startswith(start)}


def read(path: Path) -> tuple[Header, Any]:
    """A file's header, and gguf's reader of it.

    Raises:
        AssetError: it is no GGUF file, is cut off, or has no architecture.
    """
    from gguf import GGUFReader

    try:
        size = reading.size(path)
        _refuse_lengths(path, size)
        with reading.foreign(path, "GGUF file"):  # gguf looks at nothing: a cut file raises nearly any kind of error
            reader = GGUFReader(path)
            ends = [(tensor.data_offset + tensor.n_bytes, tensor.name) for tensor in reader.tensors]
    except UnreadableError as error:
        raise AssetError(error.then("Get it again.")) from error
    if ends and max(ends)[0] > size:
        raise AssetError(f"{path} is cut off: {max(ends)[1]} ends at byte {max(ends)[0]}, it has {size}. Get it again.")
    keys = {name: field.contents() for name, field in reader.fields.items()}
    if "general.architecture" not in keys:
        if not keys.get("split.no"):
            raise AssetError(f"{path} names no architecture (general.architecture): it is no language model's file.")
        keys["general.architecture"] = ""  # of a split model the first file says it
    tensors = {tensor.name: tuple(int(n) for n in reversed(tensor.shape.tolist())) for tensor in reader.tensors}
    return Header(path, keys["general.architecture"], keys, tensors, int(keys.get("split.count", 1))), reader


def refuse_other_files(header: Header) -> None:
    """Check that a file is a whole language model, and split texts in a way that is known.

    Raises:
        AssetError: it is an adapter, a projector or a matrix of importance; or its tokenizer can't be made.
    """
    kind = header.keys.get("general.type", "model")
    if kind != "model":
        raise AssetError(f"{header.path} is no model but a '{kind}' (general.type). Give the model's own file.")
    if not header.keys.get("tokenizer.ggml.tokens"):
        raise AssetError(f"{header.path} holds no tokenizer. Give a file that has one, or the model's folder.")
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

    split = str(header.keys.get("tokenizer.ggml.pre", "default"))
    known = SPLIT_LIKE_GPT2 | SPLIT_DIGITS | set(GGUF_PRE_TOKENIZER_SPLITS)
    if header.keys.get("tokenizer.ggml.model") == "gpt2" and split not in known:
        raise AssetError(
            f"{header.path} splits texts as '{split}' does (tokenizer.ggml.pre), which transformers does not know: its "
            "tokens would be others. Take the model's safetensors weights."
        )


def refuse_tensors(header: Header, used: Iterable[str]) -> None:
    """Check that every tensor is used.

    Raises:
        AssetError: transformers would pass over some.
    """
    left = sorted(header.tensors.keys() - set(used) - {ROPE_FREQS})
    if left:
        raise AssetError(
            f"{header.path} holds {len(left)} tensor(s) that transformers has no place for in a {header.architecture} "
            f"model, such as {left[0]}: the model would compute something else than the file stands for. Take the "
            "model's safetensors weights."
        )


def refuse_keys(header: Header, config: Any, read_by_transformers: Iterable[str]) -> None:
    """Check that every key of the architecture is understood: read by transformers, equal to its value, or nothing.

    Args:
        header: of the file.
        config: transformers' configuration of the model that was made of the file.
        read_by_transformers: keys, without their architecture, that it has taken over.

    Raises:
        AssetError: naming the key, what the file says and what transformers has.
    """
    taken = set(read_by_transformers)
    for key, value in header.own().items():
        if key in NOTHING and _same(value, NOTHING[key]):
            continue
        if key in COMPARED:
            name, have = _attribute(config, COMPARED[key])
            if have is not None and not _same(value, have) and not _per_block(value, have, config):
                raise AssetError(_differs(header, key, value, f"transformers' {name} is {have}"))
            if have is not None:
                continue
        if key == "rope.dimension_count":
            _rotary_width(header, config, int(value))
            continue
        if key in ("rope.freq_base", "rope.freq_base_swa"):
            _rotary_base(header, config, key, float(value))
            continue
        if key == "attention.sliding_window_pattern" and _same_pattern(value, config):
            continue
        if key not in taken and key not in HARMLESS:
            raise AssetError(_differs(header, key, value, "transformers does not read this key"))


def _differs(header: Header, key: str, value: Any, but: str) -> str:
    shown = value if not isinstance(value, list) or len(value) < 6 else f"[{value[0]}, ...]"
    return (
        f"{header.path}: {header.architecture}.{key} is {shown}, but {but}: the model would compute something else "
        "than the file stands for. Take the model's safetensors weights."
    )


def _attribute(config: Any, name: str) -> tuple[str, Any]:
    for each in (name, *NAMES.get(name, ())):
        if (have := getattr(config, each, None)) is not None:
            return each, have
    if name == "head_dim" and getattr(config, "hidden_size", None):
        return "hidden_size / num_attention_heads", config.hidden_size // config.num_attention_heads
    return name, None


def _same(value: Any, have: Any) -> bool:
    if isinstance(value, bool) or isinstance(have, bool) or isinstance(value, str) or isinstance(have, str):
        return value == have
    try:
        return math.isclose(float(value), float(have), rel_tol=1e-6)
    except (TypeError, ValueError):
        return False


def _per_block(value: Any, have: Any, config: Any) -> bool:
    """Whether a list with a value for each block says the same for all of them."""
    return isinstance(value, list) and len(value) == config.num_hidden_layers and all(_same(v, have) for v in value)


def _same_pattern(value: Any, config: Any) -> bool:
    """Whether sliding attention is in the same blocks: given as a period, or as a list of yes and no."""
    types = getattr(config, "layer_types", None) or []
    period = value if isinstance(value, int) else None
    wanted = [bool((i + 1) % period) for i in range(len(types))] if period else value
    return bool(types) and [kind == "sliding_attention" for kind in types] == [bool(each) for each in wanted]


def _rope(config: Any, kind: str) -> dict[str, Any]:
    parameters = getattr(config, "rope_parameters", None) or {}
    return parameters.get(kind, parameters) if "rope_theta" not in parameters else parameters


def _rotary_width(header: Header, config: Any, value: int) -> None:
    share = _rope(config, "full_attention").get("partial_rotary_factor", getattr(config, "partial_rotary_factor", None))
    width = int(_attribute(config, "head_dim")[1] * (1.0 if share is None else share))
    if value != width:
        raise AssetError(_differs(header, "rope.dimension_count", value, f"transformers rotates {width} dimensions"))


def _rotary_base(header: Header, config: Any, key: str, value: float) -> None:
    have = _rope(config, "sliding_attention" if key.endswith("_swa") else "full_attention").get("rope_theta")
    if have is None or not _same(value, have):
        raise AssetError(_differs(header, key, value, f"transformers' rope_theta is {have}"))


_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""GGUF's number of a type of fixed size -> its bytes."""
_STRING, _ARRAY = 8, 9


def _refuse_lengths(path: Path, size: int) -> None:
    """Raise where a header claims more than the file can hold: gguf would go through it, or take memory for it.

    Files of the other byte order, and what is no GGUF file, are left to gguf, which refuses them.
    """
    with reading.foreign(path, "GGUF file"), path.open("rb") as stream:

        def whole(count: int) -> int:
            return int.from_bytes(stream.read(count), "little")

        def skip(count: int, least: int = 1) -> None:
            if count * least > size - stream.tell():
                raise UnreadableError(path, f"is cut off or damaged: its header claims {count} entries at once")
            if least:
                stream.seek(count * least, 1)

        def value(kind: int, depth: int = 0) -> None:
            if kind in _SIZES:
                skip(1, _SIZES[kind])
            elif kind == _STRING:
                skip(whole(8))
            elif kind == _ARRAY and depth < 8:
                inner, count = whole(4), whole(8)
                if inner in _SIZES:
                    skip(count, _SIZES[inner])
                    return
                if 8 * count > size - stream.tell():
                    raise UnreadableError(path, f"is cut off or damaged: its header claims {count} entries at once")
                for _ in range(count):
                    value(inner, depth + 1)
            else:
                raise UnreadableError(path, f"is damaged: its header has a value of the unknown type {kind}")

        if stream.read(4) != b"GGUF" or whole(4) not in (2, 3):
            return
        tensors, keys = whole(8), whole(8)
        if 24 * tensors + 12 * keys > size:
            raise UnreadableError(path, f"is cut off or damaged: its header claims {tensors} tensors and {keys} keys")
        for _ in range(keys):
            skip(whole(8))
            value(whole(4))
        for _ in range(tensors):
            skip(whole(8))
            skip(whole(4), 8)
            skip(1, 12)
