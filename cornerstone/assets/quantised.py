"""Quantised checkpoints: plain weights are made of them once, by transformers, where it can on this machine."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from pathlib import Path
from typing import Any

from cornerstone import reading
from cornerstone.assets import contents
from cornerstone.errors import AssetError, CornerstoneError, UnreadableError, first_line
from cornerstone.files import need_space
from cornerstone.log import log

METHODS = {"fp8": None, "mxfp4": None, "compressed-tensors": "compressed_tensors", "bitsandbytes": "bitsandbytes"}
"""Methods that transformers can undo, and the package that it needs for it."""
ELSE = "Take the checkpoint that it was made from (its page names it), or a GGUF file of the model."


def method_of(folder: Path) -> str | None:
    """How a checkpoint is quantised, by its config.json; None where it is not.

    Raises:
        AssetError: config.json can't be read.
    """
    path = folder / contents.CONFIG
    try:
        found = reading.parsed(path)
        settings = found.get("quantization_config") or found.get("compression_config")
        return None if not settings else str(settings.get("quant_method", "a method that is not named"))
    except UnreadableError as error:
        raise AssetError(error.then("Get the file again.")) from error
    except AttributeError as error:
        raise AssetError(f"{path} can't be read ({first_line(error)}). Get the file again.") from error


def refuse(folder: Path) -> None:
    """Check, before weights are downloaded, that they can be de-quantised here.

    Raises:
        AssetError: they can't.
    """
    method = method_of(folder)
    if method is None:
        return
    if method not in METHODS:
        raise AssetError(
            f"the weights in {folder} are quantised by {method}, which transformers can't undo here (it can: "
            f"{', '.join(METHODS)}). {ELSE}"
        )
    package = METHODS[method]
    if package and not importlib.util.find_spec(package):
        raise AssetError(
            f"the weights in {folder} are quantised by {method}; undoing it needs the package {package}, which is not "
            f"installed (pip install {package.replace('_', '-')}). {ELSE}"
        )


def undo(folder: Path, target: Path) -> None:
    """Make a folder of plain weights: bfloat16 where they were quantised. It appears whole, or not at all.

    Args:
        folder: the quantised checkpoint.
        target: is replaced.

    Raises:
        AssetError: transformers can't, or would not use all that the files hold.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    method = method_of(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    need_space(target.parent, 4 * sum((folder / name).stat().st_size for name in contents.weight_files(folder)))
    log(f"de-quantising the weights in {folder} ({method})")
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        dtype = config.dtype if isinstance(config.dtype, torch.dtype) else torch.bfloat16
        if method != "bitsandbytes":
            config.quantization_config = {**_plain(config.quantization_config), "dequantize": True}
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
        model, report = loaded
        if method == "bitsandbytes":
            model = model.dequantize(dtype=dtype)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except CornerstoneError:
        raise
    except Exception as error:  # each method raises its own kinds, those of its package included
        raise AssetError(
            f"transformers can't de-quantise the weights in {folder} ({method}) here: {first_line(error)}. {ELSE}"
        ) from error
    for kind in ("missing_keys", "unexpected_keys"):
        if report[kind]:
            raise AssetError(
                f"de-quantising the weights in {folder} ({method}) leaves {len(report[kind])} {kind.replace('_', ' ')}"
                f", such as {min(report[kind])}. {ELSE}"
            )
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as temporary:
        made = Path(temporary) / "model"
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model._weight_conversions = None  # saving would undo what loading has done, and quantise again
        model.save_pretrained(made)
        tokenizer.save_pretrained(made)
        shutil.rmtree(target, ignore_errors=True)
        shutil.move(made, target)


def _plain(settings: Any) -> dict[str, Any]:
    return settings if isinstance(settings, dict) else settings.to_dict()
