"""Which files of a folder are a model, and what is in them: weights on disk are told apart by content.

Weights from the hub or a wheel are pinned. A folder or a GGUF file on disk is not: it may be replaced in place. So its
content is part of the fingerprint of results, and it is compared when weights are loaded. Checksums are kept beside
what was fetched, with each file's size and times (`files.state`): a file is read once, and again when it has changed.
"""

from __future__ import annotations

import hashlib
import json
import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from cornerstone import reading
from cornerstone.config.weights import Weights
from cornerstone.errors import AssetError, UnreadableError
from cornerstone.files import sha256, size, state, write_text
from cornerstone.log import log

CONFIG = "config.json"
ADAPTER_CONFIG, ADAPTER = "adapter_config.json", "adapter_model.safetensors"
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "chat_template.jinja",
)
"""Files that make a tokenizer, with its chat template; a model has some of them."""
CACHE = ".contents.json"
"""Checksums of files that were read before, in the folder of the markers."""
LONG = 4 * 10**9
"""Bytes from which reading is said to take a while."""


def shards(index: Path) -> list[str]:
    """The names of the weights' files, by their index.

    Raises:
        AssetError: the index is damaged, or names a file outside of its folder.
    """
    try:
        names = sorted(set(reading.parsed(index, reading.LARGE)["weight_map"].values()))
        strange = [name for name in names if Path(name).name != name or not name.endswith(".safetensors")]
    except UnreadableError as error:
        raise AssetError(error.then("Get the file again.")) from error
    except (KeyError, AttributeError, TypeError) as error:
        raise AssetError(f"{index} is no index of weights ({error}). Get the file again.") from error
    if strange or not names:
        named = f"names {strange[0]}" if strange else "names no file"
        raise AssetError(f"{index} {named}; only *.safetensors files beside it are loaded. Get the file again.")
    return names


def weight_files(folder: Path) -> list[str]:
    """The names of the files that hold a model's weights: those that transformers loads.

    Raises:
        AssetError: there are none, or one that the index names is missing.
    """
    if (folder / SINGLE).is_file():
        return [SINGLE]
    if not (folder / INDEX).is_file():
        there = ", ".join(sorted(path.name for path in folder.iterdir() if _is_weights(path.name))[:4])
        raise AssetError(
            f"{folder} holds neither {SINGLE} nor {INDEX}{f' (it has {there})' if there else ''}. Only safetensors "
            "weights are loaded, by these names: convert or rename them (transformers' save_pretrained does), or "
            "choose a revision that has them."
        )
    names = shards(folder / INDEX)
    gone = [name for name in names if not (folder / name).is_file()]
    if gone:
        raise AssetError(
            f"{folder / INDEX} names {len(names)} files of weights, and {len(gone)} of them are missing, such as "
            f"{gone[0]}. Copy the rest into the folder, or save the model again."
        )
    return names


def _is_weights(name: str) -> bool:
    return name.endswith((".safetensors", ".bin", ".pt", ".pth", ".gguf", ".ckpt", ".h5", ".msgpack"))


def model_files(folder: Path) -> list[Path]:
    """The files of a folder that decide what its model is: config, tokenizer and weights, or those of an adapter.

    Files that are not there are left out, so that a model that is not whole has a content, too.
    """
    names = [CONFIG, ADAPTER_CONFIG, ADAPTER, INDEX, SINGLE, *TOKENIZER]
    with suppress(AssetError):
        names += shards(folder / INDEX)
    return sorted({folder / name for name in names if (folder / name).is_file()})


def split_files(first: Path) -> list[Path]:
    """The files of a GGUF model whose first file is given: itself, or all of `name-00001-of-00003.gguf`.

    Raises:
        AssetError: a file is missing, or another than the first is given.
    """
    stem, _, count = first.stem.rpartition("-of-")
    name, _, number = stem.rpartition("-")
    if not (name and len(count) == len(number) == 5 and count.isdigit() and number.isdigit()):
        paths = [first]
    elif int(number) != 1:
        raise AssetError(f"{first} is not the first file of its model: give {name}-00001-of-{count}.gguf.")
    else:
        paths = [first.with_name(f"{name}-{i + 1:05}-of-{count}.gguf") for i in range(int(count))]
    gone = [path for path in paths if not path.is_file()]
    if gone:
        raise AssetError(f"{gone[0]} is not there. Correct `id` in config.yaml, or bring the file.")
    return paths


def checksums(paths: list[Path], cache: Path) -> dict[str, str]:
    """SHA-256 of files, by name; those that have not changed since they were last read are looked up in `cache`."""
    try:
        known = reading.parsed(cache, reading.LARGE)
    except UnreadableError:
        known = {}
    known = known if isinstance(known, dict) else {}
    for path in paths:
        reading.size(path)  # says what is wrong where one is no file
    states = {path: state(path) for path in paths}
    keys = {path: " ".join(map(str, (path.resolve(), *found))) for path, found in states.items()}
    new = [path for path in paths if keys[path] not in known]
    if new:
        total = sum(states[path][0] for path in new)
        if total >= LONG:
            log(f"taking checksums of {len(new)} files ({size(total)}) in {new[0].parent}: once, as they are new")
        with ThreadPoolExecutor(4) as pool:
            known |= dict(zip([keys[path] for path in new], pool.map(sha256, new), strict=True))
        with suppress(OSError):  # a compute node may see the folder read-only; then files are read again next time
            there = {key: value for key, value in known.items() if Path(key.rsplit(" ", 3)[0]).exists()}
            write_text(cache, json.dumps(there, indent=0) + "\n")
    return {path.name: known[keys[path]] for path in paths}


def content(weights: Weights, cache: Path) -> str | None:
    """16 hexadecimal digits of what a folder or GGUF file holds, its base included; None where all is pinned.

    None, too, where the folder or file is not there: who fetches or loads it says so.
    """
    found: dict[str, Any] = {}
    if weights.source == "folder" and Path(weights.id).is_dir():
        found["files"] = checksums(model_files(Path(weights.id)), cache)
    if weights.source == "gguf":
        with suppress(AssetError):
            found["files"] = checksums(split_files(Path(weights.id)), cache)
    base = getattr(weights, "base", None)
    if base is not None and (inside := content(base, cache)) is not None:
        found["base"] = inside
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16] if found else None


def largest(folder: Path) -> float:
    """The largest absolute value of a model's weights, all of which are read.

    Raises:
        AssetError: a file that can't be read, or a weight that is no finite number.
    """
    import torch
    from safetensors import safe_open

    def of_file(name: str) -> float:
        most = 0.0
        try:
            with reading.foreign(folder / name, "safetensors file"), safe_open(folder / name, "pt") as opened:
                for key in opened.keys():  # noqa: SIM118 - it is no dictionary
                    tensor = opened.get_tensor(key)
                    if tensor.is_floating_point() and tensor.numel():
                        low, high = (float(value) for value in torch.aminmax(tensor))
                        if not math.isfinite(low) or not math.isfinite(high):
                            raise AssetError(
                                f"{key} in {folder / name} holds infinities or NaN: the weights are damaged, or "
                                "overflowed when they were saved. Get them again, or save them in bfloat16 or float32."
                            )
                        most = max(most, -low, high)
        except UnreadableError as error:
            raise AssetError(error.then("Get the file again.")) from error
        return most

    names = weight_files(folder)
    total = sum((folder / name).stat().st_size for name in names)
    if total >= LONG:
        log(f"looking through the weights in {folder} ({size(total)}) for numbers that are not finite")
    with ThreadPoolExecutor(2) as pool:
        return max(pool.map(of_file, names), default=0.0)
