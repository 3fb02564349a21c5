"""Loading a model from a folder, and encoding requests the way lm-eval does."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from cornerstone.errors import ModelError, first_line
from cornerstone.packing import PackedDocument, pack
from cornerstone.players import architecture_of
from cornerstone.tasks import Document


def load(folder: Path, dtype: str, device_map: str = "auto") -> tuple[nn.Module, Any]:
    """Load a causal language model and its tokenizer; nothing is downloaded, no code of the folder is run.

    Args:
        folder: config.json, safetensors weights, tokenizer.
        dtype: `float32`, `bfloat16` or `float16`.
        device_map: `auto` (GPUs, if there are any, else CPU) or a device.

    Raises:
        ModelError: unknown architecture, or files that do not load.
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
            device_map=_device_map(device_map),
            use_safetensors=True,
            output_loading_info=True,
        )
        model, report = loaded
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"the model in {folder} can't be loaded: {first_line(error)}. Fetch it again, or correct its entry."
        ) from error
    if report["missing_keys"]:  # transformers would fill them with random numbers
        absent = sorted(report["missing_keys"])
        raise ModelError(
            f"the weights in {folder} lack {len(absent)} tensors that config.json asks for, such as {absent[0]}. "
            "Fetch the model again, or choose a revision that is whole."
        )
    model.eval()
    return model, tokenizer


def _device_map(device_map: str) -> str | None:
    """accelerate's `auto` is for GPUs; on the CPU an ordinary load is the same without its hooks."""
    if device_map == "auto" and not torch.cuda.is_available():
        return None
    return device_map


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
