"""Looking at a model before it is fetched: its config.json and its tokenizer, wherever they are.

A few megabytes are copied to a folder: from a repository of the Hugging Face hub, a folder, or the header of a GGUF
file.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cornerstone import reading
from cornerstone.assets import contents, gguf_header, hub, screen
from cornerstone.errors import AssetError, UnreadableError, first_line
from cornerstone.log import log

_NAME = "the name (organisation/name, as on the model's page; there is no folder of this name, either)"


@dataclass(frozen=True)
class Origin:
    """Where a model is, in the words of its entry in config.yaml.

    Attributes:
        source: `hub`, `folder` or `gguf`.
        id: repository, path of the folder, or path of the GGUF file.
        revision: the commit of a hub repository; else None.
    """

    source: str
    id: str
    revision: str | None = None


def look(where: str, folder: Path, revision: str | None = None) -> Origin:
    """Bring config.json and the tokenizer of a model to a folder.

    Args:
        where: a folder, a .gguf file, a hub repository (`organisation/name`), or the address of its page.
        folder: gets the files; it is empty.
        revision: of a hub repository: commit, branch or tag; None: the newest commit.

    Raises:
        AssetError: there is no such thing, or it can't be had, or is no model in a format that is loaded.
    """
    path = Path(where).expanduser()
    name, pinned = _address(where)
    if where and (path.is_dir() or path.suffix == ".gguf"):
        if revision is not None:
            raise AssetError(f"--revision is for a repository of the hub, and {where} is on disk. Leave it out.")
        return _file(path, folder) if path.suffix == ".gguf" and not path.is_dir() else _folder(path, folder)
    if path.is_file():
        raise AssetError(
            f"{where} is neither the folder of a model nor a GGUF file (.gguf). Give the folder that holds config.json."
        )
    if name is None:
        raise AssetError(
            f"there is no folder {where}, and it is no name of a hub repository (organisation/name). Correct it, or "
            "give a .gguf file."
        )
    return _hub(name, revision or pinned or "main", folder)


def _address(where: str) -> tuple[str | None, str | None]:
    """(repository, revision) that is named, by itself or as the address of its page; None where it is no such name."""
    hubs = "|".join(re.escape(each) for each in ("https://huggingface.co", "https://hf.co", hub.endpoint()))
    part = r"[\w-][\w.-]*"
    found = re.fullmatch(rf"(?:{hubs})/({part}/{part})(?:/tree/([\w.-]+))?(?:/.*)?|({part}(?:/{part})?)", where)
    return (found[1] or found[3], found[2]) if found else (None, None)


def _folder(source: Path, folder: Path) -> Origin:
    names = sorted(path.name for path in source.iterdir() if path.is_file())
    _need_model(str(source), names)
    screen.refuse(source)
    for name in hub.OUTLINE:
        if name in names:
            shutil.copy(source / name, folder / name)
    return Origin("folder", str(source))


def _file(path: Path, folder: Path) -> Origin:
    """Turn the header of a GGUF file into config.json and a tokenizer; its tensors are not read."""
    if not path.is_file():
        raise AssetError(f"there is no file {path}. Correct the path.")
    from transformers import AutoConfig, AutoTokenizer

    log(f"reading the header of {path.name}")
    header, _ = gguf_header.read(contents.split_files(path)[0])
    gguf_header.refuse_other_files(header)
    source: dict[str, Any] = {"gguf_file": path.name, "trust_remote_code": False}
    try:
        AutoConfig.from_pretrained(path.parent, **source).save_pretrained(folder)
        AutoTokenizer.from_pretrained(path.parent, **source).save_pretrained(folder)
    except Exception as error:  # transformers raises nearly any kind for a file that it does not map
        raise AssetError(
            f"transformers can't read {path} (architecture '{header.architecture}'): {first_line(error).rstrip('.')}. "
            "Take the model's safetensors weights, or a GGUF file of another architecture."
        ) from error
    return Origin("gguf", str(path))


def _hub(name: str, revision: str, folder: Path) -> Origin:
    command = "cornerstone add"
    asked = hub.Repository(name, revision, command=command, id_in=_NAME, revision_in="--revision")
    repository = replace(asked, revision=hub.commit_of(asked))
    files = hub.listing(repository)
    _need_model(f"{name} at {repository.revision}", sorted(files))
    hub.download(repository, [each for each in hub.OUTLINE if each in files], folder, files)
    screen.refuse(folder)
    return Origin("hub", name, repository.revision)


def _need_model(where: str, names: list[str]) -> None:
    """Raise AssetError where files are not those of a model that is loaded."""
    here = [name for name in names if "/" not in name]
    packed = [name for name in here if name.endswith(".gguf")]
    if contents.ADAPTER_CONFIG in here and contents.CONFIG not in here:
        raise AssetError(
            f"{where} is a LoRA adapter, no whole model. Add the model that it was trained on (its adapter_config.json "
            "names it), and write the adapter's entry by hand: docs/adding-a-model.md."
        )
    if contents.CONFIG not in here:
        hint = (
            f"It holds {packed[0]}: download that file and add it by its path."
            if packed
            else f"It holds {_some(here)}."
        )
        raise AssetError(f"{where} has no {contents.CONFIG}, so it is no model that transformers can load. {hint}")
    if not any(name.endswith(".safetensors") for name in here):
        raise AssetError(
            f"{where} holds no *.safetensors file. Only safetensors weights (or a GGUF file) are loaded; convert the "
            f"model, or choose another. It holds {_some(here)}."
        )


def _some(names: list[str]) -> str:
    return ", ".join([*names[:5], *(["..."] if len(names) > 5 else [])]) or "nothing"


def read_settings(folder: Path) -> dict[str, Any]:
    """What config.json says.

    Raises:
        AssetError: it can't be read.
    """
    try:
        settings = reading.parsed(folder / contents.CONFIG)
    except UnreadableError as error:
        raise AssetError(error.then("Get the model again.")) from error
    if not isinstance(settings, dict):
        raise AssetError(f"{contents.CONFIG} holds no settings, but {type(settings).__name__}. Get the model again.")
    return settings
