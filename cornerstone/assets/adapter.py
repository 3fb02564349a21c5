"""LoRA adapters: merged into their base once, so that the engine sees a model like any other.

A LoRA adapter holds, for some weights W of its base, two thin matrices A and B. The adapted model has W + s·B·A in the
place of W. That is all that is done here: a few lines of arithmetic on the files, checked so that nothing of the
adapter is lost. Variants that do more (DoRA, trained biases, prompts) are refused.
"""

from __future__ import annotations

import math
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cornerstone import reading
from cornerstone.assets import contents
from cornerstone.errors import AssetError, UnreadableError
from cornerstone.files import need_space
from cornerstone.log import log

if TYPE_CHECKING:
    import torch

PREFIX = "base_model.model."
UNDERSTOOD: dict[str, tuple[Any, ...]] = {
    "bias": ("none",),
    "use_dora": (False, None),
    "use_qalora": (False, None),
    "use_bdlora": (None, False),
    "layer_replication": (None, []),
    "megatron_config": (None,),
    "trainable_token_indices": (None, []),
    "target_parameters": (None, []),
    "alora_invocation_tokens": (None, []),
    "arrow_config": (None,),
    "corda_config": (None,),
    "lora_bias": (False, None),
}
"""Settings of peft that change what is computed, with the values under which it is W + s·B·A."""


@dataclass(frozen=True)
class Pair:
    """The two matrices of one weight: A [r, in] and B [out, r], or those of an embedding, A [r, rows], B [width, r]."""

    a: torch.Tensor
    b: torch.Tensor
    embedding: bool

    def product(self) -> torch.Tensor:
        """B·A in float32, in the shape of the weight that it is added to."""
        product = self.b.float() @ self.a.float()
        return product.T if self.embedding else product


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no whole model."""
    return (folder / contents.ADAPTER_CONFIG).is_file() and not (folder / contents.CONFIG).is_file()


def settings(folder: Path) -> dict[str, Any]:
    """An adapter's settings, where they are those of plain LoRA.

    Raises:
        AssetError: damaged, or another kind of adapter.
    """
    path = folder / contents.ADAPTER_CONFIG
    try:
        found = reading.parsed(path)
        kind = found["peft_type"]
    except UnreadableError as error:
        raise AssetError(error.then("Get the file again.")) from error
    except (KeyError, TypeError) as error:
        raise AssetError(f"{path} is no configuration of an adapter ({error}). Get the file again.") from error
    if kind != "LORA":
        raise AssetError(
            f"{path}: peft_type is {kind}; only LORA can be merged into the weights here. Merge it with peft "
            "(merge_and_unload), save the model, and give that folder."
        )
    for key, allowed in UNDERSTOOD.items():
        if found.get(key, allowed[0]) not in allowed:
            raise AssetError(
                f"{path}: {key} is {found[key]}, which is more than a sum W + s·B·A. Merge the adapter with peft "
                "(merge_and_unload), save the model, and give that folder."
            )
    return found


def merge(adapter: Path, base: Path, folder: Path) -> None:
    """Make a folder of the adapted model: the base's files, with the weights changed. It appears whole, or not at all.

    Args:
        adapter: adapter_config.json and adapter_model.safetensors; a tokenizer of its own is taken.
        base: config.json, safetensors weights, tokenizer.
        folder: is replaced.

    Raises:
        AssetError: an adapter of another kind, of another base, or with tensors that have no place in it.
    """
    from safetensors.torch import load_file, save_file

    said = settings(adapter)
    pairs, whole = _read(adapter)
    names = contents.weight_files(base)
    stored = {name: path for path in names for name in _names(base / path)}
    places = {_place(key, stored, adapter, base): pair for key, pair in pairs.items()}
    replaced = {_place(key, stored, adapter, base): tensor for key, tensor in whole.items()}
    need_space(folder.parent, sum((base / name).stat().st_size for name in names))
    log(f"merging the adapter in {adapter} ({len(pairs)} pairs of matrices) into {base}")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        target = Path(temporary) / "model"
        target.mkdir()
        for path in [*contents.model_files(base), *contents.model_files(adapter)]:  # the adapter's tokenizer counts
            if path.suffix != ".safetensors" and path.name != contents.ADAPTER_CONFIG:
                shutil.copy(path, target / path.name)
        for file in names:
            with reading.foreign(base / file, "safetensors file"):
                tensors = load_file(base / file)
            for name, tensor in tensors.items():
                if name in replaced:
                    _same(name, replaced[name].shape, tensor.shape, adapter, base)
                    tensor = replaced[name].to(tensor.dtype)
                if name in places:
                    change = places[name].product()
                    if said.get("fan_in_fan_out") and not places[name].embedding:
                        change = change.T
                    _same(name, change.shape, tensor.shape, adapter, base)
                    scale = _scale(said, name.removesuffix(".weight"), places[name].a.shape[0])
                    tensor = (tensor.float() + scale * change).to(tensor.dtype)
                tensors[name] = tensor.contiguous()
            save_file(tensors, target / file, metadata={"format": "pt"})
        shutil.rmtree(folder, ignore_errors=True)
        shutil.move(target, folder)


def _read(adapter: Path) -> tuple[dict[str, Pair], dict[str, torch.Tensor]]:
    """The pairs of matrices by the weight that they change, and weights that take the place of the base's."""
    from safetensors.torch import load_file

    path = adapter / contents.ADAPTER
    if not path.is_file():
        raise AssetError(
            f"{adapter} has no {contents.ADAPTER}. Save the adapter as safetensors (peft does by default)."
        )
    try:
        with reading.foreign(path, "safetensors file"):
            tensors = load_file(path)
    except UnreadableError as error:
        raise AssetError(error.then("Get the file again.")) from error
    halves: dict[str, dict[str, torch.Tensor]] = {}
    whole, embeddings = {}, set()
    for name, tensor in tensors.items():
        found = re.fullmatch(r"(.+?)\.(lora_(?:embedding_)?[AB])(?:\.\w+)?(?:\.weight)?", name)
        key = (found[1] if found else name).removeprefix(PREFIX)
        if found:
            halves.setdefault(f"{key}.weight", {})[found[2][-1]] = tensor
            embeddings |= {f"{key}.weight"} if "embedding" in found[2] else set()
        elif re.search(r"lora_|\.dora|magnitude_vector", name):
            raise AssetError(f"{path} holds {name}, which is no part of plain LoRA. Merge the adapter with peft first.")
        else:
            whole[key.replace(".modules_to_save.default", "").replace(".modules_to_save", "")] = tensor
    for key, each in halves.items():
        if each.keys() != {"A", "B"}:
            raise AssetError(f"{path} holds only one of the two matrices of {key}. Get the file again.")
    return {key: Pair(each["A"], each["B"], key in embeddings) for key, each in halves.items()}, whole


def _names(path: Path) -> list[str]:
    from safetensors import safe_open

    with reading.foreign(path, "safetensors file"), safe_open(path, "pt") as opened:
        return list(opened.keys())


def _place(key: str, stored: dict[str, str], adapter: Path, base: Path) -> str:
    """The name under which the base's files hold a weight: with or without the prefix of the whole model."""
    for name in (key, key.partition(".")[2], f"model.{key}", f"transformer.{key}"):
        if name in stored:
            return name
    raise AssetError(
        f"the adapter in {adapter} changes {key}, which the weights in {base} do not hold: it belongs to another base, "
        "or to one that transformers stores in another way. Correct `base`, or merge the adapter with peft first."
    )


def _same(name: str, found: torch.Size, expected: torch.Size, adapter: Path, base: Path) -> None:
    if found != expected:
        raise AssetError(
            f"the adapter in {adapter} is for a {name} of shape {list(found)}, but {base} has {list(expected)}: it "
            "belongs to another base. Correct `base` in config.yaml."
        )


def _scale(said: dict[str, Any], module: str, rank: int) -> float:
    """The factor s of B·A: alpha / r, or alpha / sqrt(r) (rsLoRA); patterns name modules with another alpha."""
    alpha = float(_by_pattern(said.get("alpha_pattern"), module, said["lora_alpha"]))
    expected = int(_by_pattern(said.get("rank_pattern"), module, said["r"]))
    if expected != rank:
        raise AssetError(
            f"{module} has matrices of rank {rank}, but {contents.ADAPTER_CONFIG} says {expected}. Get the adapter "
            "again."
        )
    return alpha / math.sqrt(rank) if said.get("use_rslora") else alpha / rank


def _by_pattern(patterns: dict[str, Any] | None, module: str, default: Any) -> Any:
    """The value of the pattern that matches the end of a module's name, as peft looks it up."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default
