"""Looking at a model's folder before any library does: nothing in it is run, points elsewhere, or is of absurd size.

transformers is told to trust no code of a model at each call. This looks at the files themselves, so that what a model
would need to run is said in one message, and a file that is no model's hurts nobody.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cornerstone import reading
from cornerstone.assets import contents
from cornerstone.errors import AssetError, UnreadableError

SETTINGS = (
    *(contents.CONFIG, contents.ADAPTER_CONFIG, "generation_config.json"),
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
)
"""Files of settings: JSON, each a mapping."""
MOST_TOKENIZER = 2**28
"""Bytes of a tokenizer's file; the largest known have 33 million."""
LONGEST_TEMPLATE = 2**17
"""Letters of a chat template; the longest known has twenty thousand."""
LARGEST = {
    "num_hidden_layers": 10**4,
    "n_layer": 10**4,
    "num_layers": 10**4,
    "hidden_size": 10**6,
    "n_embd": 10**6,
    "intermediate_size": 10**7,
    "moe_intermediate_size": 10**7,
    "num_attention_heads": 10**5,
    "num_key_value_heads": 10**5,
    "head_dim": 10**5,
    "num_experts": 10**5,
    "num_local_experts": 10**5,
    "n_routed_experts": 10**5,
    "vocab_size": 10**8,
    "max_position_embeddings": 10**10,
}
"""Keys of config.json that say how much is made -> more than any model has."""
KERNELS = ("attn_implementation", "_attn_implementation", "experts_implementation", "_experts_implementation")
"""Keys that may name a repository whose compiled code would be loaded."""
PLACES = ("tokenizer_file", "vocab_file", "merges_file", "spm_file", "sp_model_file")
"""Keys of a tokenizer's settings that may name a file in place of the one beside them."""
OTHERS = ("transformers_weights", "configuration_files", "fast_tokenizer_files")
"""Keys by which transformers loads other files than those that are looked at here and hashed, a pickle, too."""
_PICKLED = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"\x93NUMPY", b"\x89HDF")
_AGAIN = "Get the file again, or take another model."


def refuse(folder: Path) -> None:
    """Look at the files of a model, or of an adapter, as far as they are there.

    Raises:
        AssetError: one would run code, points out of the folder, is of absurd size, or is not what its name says.
    """
    try:
        for name in SETTINGS:
            path = folder / name
            if path.exists() or path.is_symlink():
                _refuse_settings(path, _mapping(path))
        if (folder / "custom_generate").exists():
            raise AssetError(
                f"{folder} has custom_generate/: code of its own that would write its texts. No code of a model is "
                "run; remove that folder, which scoring does not need."
            )
        for template in [folder / "chat_template.jinja", *sorted((folder / "additional_chat_templates").glob("*"))]:
            if template.exists() or template.is_symlink():
                _refuse_template(template, reading.text(template))
        _refuse_tokenizer(folder)
        for path in sorted(folder.glob("*.safetensors")):
            _refuse_header(path)
    except UnreadableError as error:
        raise AssetError(error.then(_AGAIN)) from error


def _mapping(path: Path) -> dict[str, Any]:
    found = reading.parsed(path)
    if not isinstance(found, dict):
        raise UnreadableError(path, f"holds no settings, but {type(found).__name__}")
    return found


def _inside(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Each key and value of nested settings."""
    todo = [(key, value)]
    while todo:
        name, found = todo.pop()
        yield name, found
        if isinstance(found, dict):
            todo += [(str(k), v) for k, v in found.items()]
        elif isinstance(found, list):
            todo += [(name, each) for each in found]


def _refuse_settings(path: Path, found: dict[str, Any]) -> None:
    _refuse_code(path, found)
    for key, value in _inside(found):
        if isinstance(value, float) and not math.isfinite(value):
            raise AssetError(f"{path}: {key} is {value}, which is no number. {_AGAIN}")
        if key in KERNELS and isinstance(value, str) and ("/" in value or ":" in value):
            raise AssetError(
                f"{path}: {key} names {value}, a repository of compiled code. No code of a model is run: remove the "
                "key."
            )
        if key in PLACES and isinstance(value, str) and (Path(value).is_absolute() or ".." in Path(value).parts):
            raise AssetError(
                f"{path}: {key} is {value}, a file outside of the model's folder. Remove the key: the tokenizer's "
                "files beside it are read."
            )
        if key in OTHERS and value:
            raise AssetError(
                f"{path}: {key} names other files than the usual ones ({str(value)[:60]}). What is loaded must be what "
                "was looked at: remove the key, and give the file that is meant the usual name."
            )
        if key == "chat_template":
            for text in [value] if isinstance(value, str) else [v for _, v in _inside(value) if isinstance(v, str)]:
                _refuse_template(path, text)
        if path.name == contents.CONFIG and key in LARGEST and not _is_possible(value, LARGEST[key]):
            raise AssetError(
                f"{path}: {key} is {str(value)[:40]!r}, which no model has (at most {LARGEST[key]}). {_AGAIN}"
            )


def _is_possible(value: Any, most: int) -> bool:
    """Whether a value, or each of several, is a whole number of some size, or says nothing."""
    if value is None or isinstance(value, dict | list):
        return True  # what is inside comes by itself
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _refuse_code(path: Path, found: dict[str, Any]) -> None:
    """Raise where transformers lacks the code of a model's type and would take the model's own."""
    brought = found.get("auto_map")
    if not brought:
        return
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    from transformers.models.auto.tokenization_auto import tokenizer_class_from_name

    if path.name == contents.CONFIG and found.get("model_type") not in CONFIG_MAPPING_NAMES:
        kind = found.get("model_type", "a type that is not named")
    elif path.name == "tokenizer_config.json":
        named = str(found.get("tokenizer_class", ""))
        if re.fullmatch(r"\w*", named) and (not named or tokenizer_class_from_name(named) is not None):
            return
        kind = f"the tokenizer {named}"
    else:
        return
    raise AssetError(
        f"{path} brings code of its own for {kind} (auto_map), which transformers does not know. No code of a model is "
        "ever run: take a model that transformers knows by itself, or a later version of it without auto_map."
    )


def _refuse_template(path: Path, text: str) -> None:
    """Raise where a chat template is too long, or reaches for what is behind its values."""
    if len(text) > LONGEST_TEMPLATE:
        raise AssetError(f"{path}: its chat template has {len(text)} letters, more than any. {_AGAIN}")
    if found := re.search(r"__\w+__|\|\s*attr\b|\bself\s*\.|\{%-?\s*(include|import|extends|from)\b", text):
        raise AssetError(
            f"{path}: its chat template holds `{found[0]}`, by which a template reaches for the program around it. "
            "Take that out of it, or take another model."
        )


def _refuse_tokenizer(folder: Path) -> None:
    for name in contents.TOKENIZER:
        path = folder / name
        if name in SETTINGS or not (path.exists() or path.is_symlink()):
            continue
        if reading.size(path) > MOST_TOKENIZER:
            raise UnreadableError(path, f"has {reading.size(path)} bytes, more than any tokenizer")
        if path.suffix == ".json" and not isinstance(reading.parsed(path, MOST_TOKENIZER), dict):
            raise UnreadableError(path, "holds no tokenizer")
    path = folder / "tokenizer.json"
    if path.exists():
        from tokenizers import Tokenizer

        with reading.foreign(path, "tokenizer", MOST_TOKENIZER):
            made = Tokenizer.from_file(str(path))
            highest = max(made.get_vocab(with_added_tokens=True).values(), default=0)
        if highest > LARGEST["vocab_size"]:
            raise UnreadableError(path, f"gives a token the number {highest}, more than any tokenizer has")


def _refuse_header(path: Path) -> None:
    """Raise where a file is no safetensors file by its first bytes: its tensors lie one behind another, to its end."""
    size = reading.size(path)
    with reading.foreign(path, "safetensors file"), path.open("rb") as stream:
        start = stream.read(8)
        if any(start.startswith(mark) for mark in _PICKLED):
            raise UnreadableError(
                path, "is no safetensors file: it is a pickle or an archive under another name, which could run code"
            )
        length = int.from_bytes(start, "little")
        if not 2 <= length <= min(10**8, size - 8):
            raise UnreadableError(path, f"is no safetensors file, or truncated: its header would have {length} bytes")
        try:
            header = json.loads(stream.read(length))
        except (ValueError, RecursionError):
            raise UnreadableError(path, "is no safetensors file: its header is no JSON") from None
        places = [
            (tuple(tensor["data_offsets"]), math.prod(tensor["shape"]), tensor["shape"])
            for name, tensor in header.items()
            if name != "__metadata__"
        ]
        for (first, last), count, shape in places:
            if not 0 <= first <= last <= size - 8 - length or any(side < 0 for side in shape) or count > 8 * (size + 1):
                raise UnreadableError(path, f"is damaged or truncated: a tensor of shape {shape} does not fit into it")
