"""Loading a model from a folder: with its weights, or its shapes only. Nothing is downloaded, no code of it is run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from cornerstone.errors import ModelError, first_line


def load(folder: Path, dtype: str, device_map: str = "auto", gpus: int = 0) -> tuple[Any, Any]:
    """Load a causal language model and its tokenizer; nothing is downloaded, no code of the folder is run.

    Args:
        folder: config.json, safetensors weights, tokenizer.
        dtype: `float32`, `bfloat16` or `float16`.
        device_map: `auto` (the job's GPUs, or the CPU where it asks for none) or a device.
        gpus: GPUs that the job asks for.

    Raises:
        ModelError: unknown architecture, files that do not load or lack weights, or not enough GPUs or memory.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, PretrainedConfig
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    try:
        settings, _ = PretrainedConfig.get_config_dict(folder)
        if "model_type" not in settings:
            raise OSError("config.json is missing or names no model_type")
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            device_map=_device_map(device_map, gpus),
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
        model, report = loaded
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, RuntimeError, AssertionError, SafetensorError) as error:
        raise ModelError(
            f"the model in {folder} can't be loaded: {first_line(error)}. Fetch it again, or correct its entry."
        ) from error
    if report["missing_keys"]:  # transformers would fill them with random numbers
        absent = sorted(report["missing_keys"])
        raise ModelError(
            f"the weights in {folder} lack {len(absent)} tensors that config.json asks for, such as {absent[0]}. "
            "Fetch the model again, or choose a revision that is whole."
        )
    if any(parameter.device.type == "meta" for parameter in model.parameters()):
        raise ModelError(
            f"the weights in {folder} do not fit the memory of the job's {gpus} GPU(s). Raise `resources.gpus` of the "
            "model in config.yaml, or take a smaller dtype."
        )
    model.eval()
    return model, tokenizer


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
        ModelError: unknown architecture or unreadable files.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PretrainedConfig

    try:
        settings, _ = PretrainedConfig.get_config_dict(folder)
        if "model_type" not in settings:
            raise OSError("config.json is missing or names no model_type")
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype), trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise ModelError(
            f"config and tokenizer in {folder} can't be read: {first_line(error)}. Fetch the model again, or correct "
            "its entry."
        ) from error
    return model.eval(), tokenizer
