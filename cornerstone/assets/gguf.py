"""A GGUF file as a folder of float32 safetensors: de-quantised by transformers, and nothing of the file lost."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cornerstone import reading
from cornerstone.assets import gguf_header
from cornerstone.assets.gguf_header import ROPE_FREQS, Header
from cornerstone.errors import AssetError, CornerstoneError, first_line
from cornerstone.files import need_space, size
from cornerstone.log import log


def convert(paths: Sequence[Path], folder: Path) -> None:
    """Make a folder of a GGUF model: config.json, float32 safetensors, tokenizer. It appears whole, or not at all.

    Args:
        paths: the file, or all files of a split model in order.
        folder: is replaced.

    Raises:
        AssetError: the files can't be read, transformers does not know their architecture, or would not use all that
            they hold.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    packed = sum(path.stat().st_size for path in paths)
    need_space(folder.parent, 10 * packed)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        whole = join(paths, Path(temporary)) if len(paths) > 1 else paths[0]
        log(f"de-quantising {paths[0].name} ({size(packed)}) to float32")
        _save(whole, Path(temporary) / "model")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.move(Path(temporary) / "model", folder)


def join(paths: Sequence[Path], folder: Path) -> Path:
    """The files of a split model as one file in `folder`.

    Raises:
        AssetError: they are not the files of one model, in order.
    """
    from gguf import GGUFValueType, GGUFWriter

    read = [gguf_header.read(path) for path in paths]
    for i, (header, _) in enumerate(read):
        if header.splits != len(paths) or header.keys.get("split.no") != i:
            raise AssetError(
                f"{header.path} is file {header.keys.get('split.no', '?')} of {header.splits} by its own account, not "
                f"{i} of {len(paths)}. Give the files of one model, as they were downloaded."
            )
    promised, there = read[0][0].keys.get("split.tensors.count"), sum(len(header.tensors) for header, _ in read)
    if promised not in (None, there):
        raise AssetError(
            f"{paths[0]} promises {promised} tensors, its {len(paths)} files hold {there}. Get them again."
        )
    target = folder / "joined.gguf"
    writer = GGUFWriter(target, read[0][0].architecture)
    writer.add_custom_alignment(int(read[0][1].alignment))
    for field in read[0][1].fields.values():
        if not field.name.startswith(("GGUF.", "split.", "general.architecture", "general.alignment")):
            kind = field.types[0]
            inner = field.types[-1] if kind == GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), kind, sub_type=inner)
    tensors = [tensor for _, reader in read for tensor in reader.tensors]
    for tensor in tensors:
        data = tensor.data
        writer.add_tensor_info(tensor.name, data.shape, data.dtype, data.nbytes, tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in tensors:
        writer.write_tensor_data(tensor.data)
    writer.close()
    return target


def _save(path: Path, target: Path) -> None:
    """De-quantise one file."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    header, reader = gguf_header.read(path)
    gguf_header.refuse_other_files(header)
    source: dict[str, Any] = {
        "pretrained_model_name_or_path": str(path.parent),
        "gguf_file": path.name,
        "trust_remote_code": False,
    }
    try:
        tokenizer = AutoTokenizer.from_pretrained(**source)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            **source,
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
            output_loading_info=True,
        )
        model, report = loaded
    except CornerstoneError:
        raise
    except Exception as error:  # transformers raises nearly any kind for a file that it does not map
        raise AssetError(
            f"transformers can't read {path} (architecture '{header.architecture}'): {first_line(error)} Take the "
            "model's safetensors weights, or a GGUF file of another architecture."
        ) from error
    if report["missing_keys"]:
        absent = sorted(report["missing_keys"])
        raise AssetError(
            f"{path} lacks {len(absent)} tensors that a {header.architecture} model needs, such as {absent[0]}. Get it "
            "again, or take the model's safetensors weights."
        )
    gguf_header.refuse_tensors(header, _used(header, model, report))
    _scale_attention(header, model.config)
    gguf_header.refuse_keys(header, model.config, _read_keys(header))
    if ROPE_FREQS in header.tensors:
        _honour_rope_freqs(header, reader, model.config)
    if hasattr(model.config, "quantization_config"):  # it is no longer quantised
        del model.config.quantization_config
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    _split_digits(header, target)


def _used(header: Header, model: Any, report: Any) -> set[str]:
    """The tensors of a file that transformers has used, by its own account."""
    from transformers.integrations.gguf import is_gguf_arch_supported
    from transformers.modeling_gguf_pytorch_utils import TENSOR_PROCESSORS, TensorProcessor, get_gguf_hf_weights_map

    if is_gguf_arch_supported(header.architecture):
        left = {str(name).removesuffix(".weight").removesuffix(".bias") for name in report["unexpected_keys"]}
        return {name for name in header.tensors if name.removesuffix(".weight").removesuffix(".bias") not in left}
    processor = TENSOR_PROCESSORS.get(header.architecture, TensorProcessor)(config=model.config.to_dict())
    return set(get_gguf_hf_weights_map(model, processor)) | ({"output.weight"} if _has_head(header, model) else set())


def _has_head(header: Header, model: Any) -> bool:
    """Whether the head is filled from the file in a way of its own (GPT-2)."""
    return header.architecture == "gpt2" and not model.config.tie_word_embeddings


def _read_keys(header: Header) -> set[str]:
    """The keys of the architecture that transformers takes over into its configuration."""
    from transformers.integrations.ggml import GGUF_CONFIG_MAPPING
    from transformers.integrations.gguf import GGUF_CONFIG_ARCHS

    if header.architecture in GGUF_CONFIG_ARCHS:
        keys = _Noted({key: len(v) if key.endswith("tokens") else v for key, v in header.keys.items()})
        GGUF_CONFIG_ARCHS[header.architecture](keys, tuple(header.tensors))
        return {key.removeprefix(f"{header.architecture}.") for key in keys.seen}
    names = {header.architecture, header.architecture.replace("-", "_"), header.architecture.replace("moe", "_moe")}
    known: dict[str, Any] = dict(GGUF_CONFIG_MAPPING)
    return {key for name in names for key in known.get(name, {})}


class _Noted(dict[str, Any]):
    """Keys and values that note which of them were looked up."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.seen: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.seen.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.seen.add(key)
        return super().get(key, default)


def _scale_attention(header: Header, config: Any) -> None:
    """The one size of Gemma 2 and of Gemma 3 that scales attention by its width, which no key says."""
    if (header.architecture, config.num_hidden_layers) in (("gemma2", 46), ("gemma3", 62)):
        config.query_pre_attn_scalar = config.hidden_size // config.num_attention_heads


def _honour_rope_freqs(header: Header, reader: Any, config: Any) -> None:
    """Divide the rotary frequencies by the file's factors.

    transformers' `longrope` does that with any factors. With the same ones for short and long texts and no other
    scaling it is the same as Llama 3.1's own formula, from which the factors were computed.

    Raises:
        AssetError: the architecture has no place for them.
    """
    (tensor,) = [each for each in reader.tensors if each.name == ROPE_FREQS]
    factors = [float(value) for value in tensor.data.reshape(-1)]
    rope = getattr(config, "rope_parameters", None)
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    if not isinstance(rope, dict) or rope.get("rope_type", "default") != "default" or len(factors) != width // 2:
        raise AssetError(
            f"{header.path} has {len(factors)} factors of rotary frequencies ({ROPE_FREQS}), for which a "
            f"{config.model_type} model of transformers has no place. Take the model's safetensors weights."
        )
    config.rope_parameters = {
        "rope_type": "longrope",
        "rope_theta": rope["rope_theta"],
        "short_factor": factors,
        "long_factor": factors,
        "factor": 1.0,
        "attention_factor": 1.0,
        "original_max_position_embeddings": config.max_position_embeddings,
    }


def _split_digits(header: Header, target: Path) -> None:
    """Have a saved tokenizer take digits apart where the file's model does."""
    if header.keys.get("tokenizer.ggml.pre") in gguf_header.SPLIT_DIGITS:
        path = target / "tokenizer.json"
        made = reading.parsed(path, reading.LARGE)
        digits = {"type": "Digits", "individual_digits": True}
        made["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [digits, made["pre_tokenizer"]]}
        path.write_text(json.dumps(made, ensure_ascii=False), encoding="utf-8")
