"""Loading a model from a folder, and encoding requests the way lm-eval does."""

from __future__ import annotations

import logging
import os
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from cornerstone.assets.documents import Document
from cornerstone.engine.architectures import architecture_of
from cornerstone.engine.tries import PackedDocument, pack
from cornerstone.errors import ModelError, first_line


def load(folder: Path, dtype: str, device_map: str = "auto", gpus: int = 0) -> tuple[nn.Module, Any]:
    """Load a causal language model and its tokenizer; nothing is downloaded, no code of the folder is run.

    Args:
        folder: config.json, safetensors weights, tokenizer.
        dtype: `float32`, `bfloat16` or `float16`.
        device_map: `auto` (the job's GPUs, or the CPU where it asks for none) or a device.
        gpus: GPUs that the job asks for.

    Raises:
        ModelError: unknown architecture, files that do not load or lack weights, or not enough GPUs or memory.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import AutoModelForCausalLM, AutoTokenizer, PretrainedConfig
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    try:
        settings, _ = PretrainedConfig.get_config_dict(folder)
        if "model_type" not in settings:
            raise OSError("config.json is missing or names no model_type")
        architecture_of(str(settings["model_type"]))
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            device_map=_device_map(device_map, gpus),
            use_safetensors=True,
            output_loading_info=True,
        )
        model, report = loaded
        tokenizer = AutoTokenizer.from_pretrained(folder)
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


def encode(model: nn.Module, tokenizer: Any, documents: Sequence[Document]) -> list[PackedDocument]:
    """Tokenise and pack documents.

    lm-eval's own HFLM does the tokenisation (special tokens, spaces between context and continuation, empty
    contexts), so that each choice has exactly the tokens that a stock run scores.
    """
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    class Encoder(HFLM):
        """HFLM that hands back the encoded requests instead of scoring them."""

        def _loglikelihood_tokens(self, requests: Any, *args: Any, **kwargs: Any) -> Any:
            return [(context, continuation) for _, context, continuation in requests]

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encoder = Encoder(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=1)
    instances = [
        Instance(request_type="loglikelihood", doc={}, arguments=request, idx=0)
        for document in documents
        for request in document.requests
    ]
    encoded: list[Any] = encoder.loglikelihood(instances, disable_tqdm=True)
    packed, start = [], 0
    for document in documents:
        stop = start + len(document.requests)
        packed.append(pack(encoded[start:stop], encoder.max_length))
        start = stop
    return packed
