"""Loading a model from a folder: with its weights, or its shapes only. Nothing is downloaded, no code of it is run."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from cornerstone.engine import matching, structure
from cornerstone.engine.stored import stored_tensors
from cornerstone.errors import CornerstoneError, ModelError, first_line


def load(folder: Path, dtype: str, device_map: str = "auto", gpus: int = 0) -> tuple[Any, Any]:
    """Load a causal language model and its tokenizer; nothing is downloaded, no code of the folder is run.

    Args:
        folder: config.json, safetensors weights, tokenizer.
        dtype: `float32`, `bfloat16` or `float16`.
        device_map: `auto` (the job's GPUs, or the CPU where it asks for none) or a device.
        gpus: GPUs that the job asks for.

    Raises:
        ModelError: unknown architecture, files that do not load, lack weights or have some that the model does not
            use, numbers that the dtype can't hold, or not enough GPUs or memory.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    with _one_message(f"the model in {folder} can't be loaded"):
        config = read_config(folder)
        matching.plain_numbers(stored_tensors(folder), folder)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=getattr(torch, dtype),
            device_map=_device_map(device_map, gpus),
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
        model, report = loaded
        tokenizer = read_tokenizer(folder, model)
    matching.complain_of_absent(sorted(report["missing_keys"]), folder)
    matching.match(model, stored_tensors(folder)).refuse_unused(folder)
    if any(parameter.device.type == "meta" for parameter in model.parameters()):
        raise ModelError(
            f"the weights in {folder} do not fit the memory of the job's {gpus} GPU(s). Raise `resources.gpus` of the "
            "model in config.yaml, or take a smaller dtype."
        )
    if dtype == "float16":
        _refuse_overflow(model, folder)
    model.eval()
    return model, tokenizer


def _refuse_overflow(model: Any, folder: Path) -> None:
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise ModelError(
                f"{name} of the weights in {folder} has numbers that float16 can't hold. Set dtype: bfloat16 or "
                "float32 in this model's entry."
            )


@contextmanager
def _one_message(what: str) -> Iterator[None]:
    """Turn whatever a library raises about a model's files into one message."""
    try:
        yield
    except (CornerstoneError, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # transformers, tokenizers and safetensors raise nearly every kind
        kind = "" if isinstance(error, OSError | ValueError | RuntimeError) else f"{type(error).__name__}: "
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        # validation says which field first, and what is wrong with it in the next line
        reason = " ".join(lines[:2]) if lines and lines[0].endswith(":") else first_line(error)
        raise ModelError(f"{what}: {kind}{reason.rstrip('.')}. Fetch it again, or correct its entry.") from error


def read_config(folder: Path) -> Any:
    """A model's configuration, as it is computed here: what config.json says of kernels for attention is left out.

    Raises:
        ModelError: unknown architecture, or quantised weights.
        Exception: whatever transformers raises about config.json.
    """
    from transformers import AutoConfig, PretrainedConfig

    settings, _ = PretrainedConfig.get_config_dict(folder)
    if "model_type" not in settings:
        raise ModelError(f"{folder / 'config.json'} is missing or names no model_type. Get the file again.")
    if quantised := settings.get("quantization_config") or settings.get("compression_config"):
        raise ModelError(
            f"the weights in {folder} are quantised ({quantised.get('quant_method', 'unknown method')}). `snakemake "
            "fetch` makes plain weights of those that transformers can de-quantise here; else take a checkpoint that "
            "is not quantised."
        )
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    config.output_attentions = False
    config._attn_implementation = None  # the sweep brings its own; flash_attention_2 would need a package
    config._experts_implementation = None
    return config


def read_tokenizer(folder: Path, model: Any) -> Any:
    """A model's tokenizer, checked against the model.

    Raises:
        ModelError: there is none, it needs a package that is not there, it has more tokens than the model, or neither
            a begin nor an end token.
        Exception: whatever transformers raises about its files.
    """
    from transformers import AutoTokenizer

    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    fast = {"tokenizer.json", "vocab.json", "vocab.txt"} & there
    pieces = sorted(name for name in there if name in ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model"))
    if not fast and not pieces:
        raise ModelError(
            f"{folder} has no tokenizer (tokenizer.json). Copy the tokenizer's files of the model that it was made "
            "from into it."
        )
    if not fast and not importlib.util.find_spec("sentencepiece"):
        raise ModelError(
            f"{folder} has its tokenizer as {pieces[0]} only, which needs the package sentencepiece. Make a "
            "tokenizer.json once: pip install sentencepiece, then in Python "
            f"transformers.AutoTokenizer.from_pretrained('{folder}').save_pretrained('{folder}')."
        )
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    rows = model.get_input_embeddings().weight.shape[0]
    if tokenizer.vocab_size > rows:
        raise ModelError(
            f"the tokenizer in {folder} has {tokenizer.vocab_size} tokens, but the model has embeddings for {rows} "
            "only: they do not belong together. Copy the tokenizer's files of the model that it was made from into the "
            "folder."
        )
    if tokenizer.bos_token_id is None and tokenizer.eos_token_id is None:
        raise ModelError(
            f"the tokenizer in {folder} has neither a begin nor an end token; lm-eval needs one in front of texts that "
            "have no context. Name one of its tokens as bos_token or eos_token in tokenizer_config.json."
        )
    return tokenizer


def _device_map(device_map: str, gpus: int) -> str | None:
    """What transformers is told; None is an ordinary load on the CPU, without accelerate's hooks."""
    if device_map == "auto" and gpus == 0:
        return None
    if device_map.startswith(("auto", "cuda")) and not torch.cuda.is_available():
        asked = f"{gpus} GPU(s) (`resources.gpus`)" if device_map == "auto" else f"`device_map: {device_map}`"
        raise ModelError(
            f"the model asks for {asked}, but torch sees no GPU here. Give the job GPUs (in a container: --nv), or set "
            "device_map: cpu to insist on the CPU."
        )
    return device_map


def device_of(device_map: str, gpus: int) -> torch.device:
    """Where a model computes that is on one device.

    Raises:
        ModelError: GPUs are asked for, and torch sees none.
    """
    chosen = _device_map(device_map, gpus) or "cpu"
    return torch.device("cuda:0" if chosen == "auto" else chosen)


def need_compiler(name: str) -> None:
    """Look for what torch.compile calls, before weights are read.

    Raises:
        ModelError: there is no C++ compiler.
    """
    if not any(shutil.which(program) for program in (os.environ.get("CXX") or "g++", "g++", "clang++")):
        raise ModelError(
            f"models.{name}.compile: true needs a C++ compiler (g++ or clang++), and there is none on the PATH of this "
            "job. Install one, in the image too if the job runs in one, or set compile: false."
        )


def shapes_only(folder: Path, dtype: str) -> tuple[Any, Any]:
    """A model without its weights, made from config.json alone, on torch's `meta` device, and its tokenizer.

    Its parameters have shapes and no values: enough for planning, and for streaming, which brings the values.

    Raises:
        ModelError: unknown architecture, quantised weights, or unreadable files.
    """
    from transformers import AutoModelForCausalLM

    with _one_message(f"config and tokenizer in {folder} can't be read"):
        config = read_config(folder)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype), trust_remote_code=False)
        tokenizer = read_tokenizer(folder, model)
    return model.eval(), tokenizer


def check_outline(folder: Path) -> Any:
    """Look at config and tokenizer, and whether the model's blocks are understood; returns the model without weights.

    Raises:
        ModelError: see `shapes_only`; a layout that is not recognised.
    """
    model, _ = shapes_only(folder, "float32")
    structure.layouts_of(model)
    return model


def check(folder: Path) -> None:
    """Look at everything of a model's folder that can be wrong, without reading a weight.

    Raises:
        ModelError: see `check_outline`; tensors that are missing, left over, of another shape or in a number format
            that needs scales; files that are missing or cut off.
    """
    model = check_outline(folder)
    with _one_message(f"the weights in {folder} can't be read"):
        matching.check(model, folder)
