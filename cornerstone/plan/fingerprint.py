"""What decides a number, as a hash: settings and code. What it does not hold may change without a rerun.

Code counts by its meaning (`meaning`). It counts by folder, as a folder is a promise about what it decides (see its
`__init__`).
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from cornerstone import reading
from cornerstone.assets.contents import content
from cornerstone.assets.identity import beyond_keys
from cornerstone.assets.recipe import recipe
from cornerstone.config.config import Config
from cornerstone.config.pairs import Pair
from cornerstone.errors import UnreadableError
from cornerstone.game.functions import SOFT
from cornerstone.plan.layout import Layout
from cornerstone.plan.meaning import meaning

PACKAGE = Path(__file__).parents[1]
SCRIPTS = PACKAGE.parent / "scripts"

RESULTS = ("game", "engine")
"""Folders that decide what a coalition's log-likelihoods are."""
DRAWING = ("game", "estimators")
"""Folders that decide which coalitions are drawn."""
DOCUMENTS = ("assets",)
"""Folders that decide what the documents of a task are."""
VALUES = ("evaluate",)
"""Folders that decide how results become a table of values."""
ESTIMATES = ("game", "estimators", "analysis")
"""Folders that decide what is made of the values."""
PICTURES = ("present",)
"""Folders that decide how estimates are shown."""

DESCRIBED = ("outputs",)
"""Folders that decide how files are described."""

COUNTED = (".py", ".mplstyle", ".j2", ".css", ".js", "description.yaml")
"""Endings and names of files that count; others, such as those of editors and of Python itself, come and go."""

DECISIVE = {
    *("source", "id", "revision", "file", "sha256", "blocks", "feed_forward", "sublayers", "experts", "players"),
    *("heads", "removal", "dtype", "batch_tokens", "compile"),
}
"""Keys of a model's entry that decide its numbers."""
LATER = {"heads": None, "removal": "zero"}
"""Keys among these that older versions did not have, with what they did: so much is left out, and their results fit."""


def of_result(config: Config, model: str, task: str) -> str:
    """16 hexadecimal digits that change with whatever decides a result.

    These are: the weights and how they are computed, where documents come from, and the code of `RESULTS`. What only
    decides where or how fast (chunks, threads, memory, GPUs) and what is made from results later (metric, estimators)
    is left out. So is the limit: a result says which documents it holds.
    """
    return _short(settings(config, model, task), code(*RESULTS))


def settings(config: Config, model: str, task: str) -> str:
    """16 hexadecimal digits that change with the settings that decide a result, whatever the code."""
    decisive = _of_model(config, model)
    decisive["documents"] = recipe(config, model, task).decisive
    return _short(json.dumps(decisive, sort_keys=True))


def of_means(config: Config, model: str) -> str:
    """16 hexadecimal digits that change with whatever decides a model's mean contributions."""
    return _short(json.dumps(_of_model(config, model), sort_keys=True), code(*RESULTS))


def _of_model(config: Config, model: str) -> dict[str, Any]:
    """What decides a model's numbers, whatever it is scored on."""
    entry = config.models[model]
    decisive = entry.model_dump(include=DECISIVE)
    decisive = {key: value for key, value in decisive.items() if key not in LATER or value != LATER[key]}
    decisive |= beyond_keys(entry, _content(config, model))
    if (reference := entry.reference) is not None:
        decisive["removal"] = ["mean", reference.limit, *recipe(config, model, reference.task).decisive]
    return decisive


def _content(config: Config, model: str) -> str | None:
    """What a model on disk holds, or held when it was fetched where it is gone; None for one that is pinned."""
    layout, entry = Layout(config), config.models[model]
    found = content(entry, Path(layout.checksums))
    if found is None and entry.source in ("folder", "gguf"):
        try:
            found = str(reading.parsed(Path(layout.model_marker(model)))["content"])
        except (UnreadableError, KeyError, TypeError):
            found = "not there"
    return found


def of_values(config: Config, model: str, task: str) -> str:
    """16 hexadecimal digits that change with whatever decides a table of values, the number of documents included."""
    temperature = config.temperature if SOFT in config.value_functions else None
    worth = [config.limit(model, task), config.value_functions, temperature]
    worth += [config.samples] if config.samples else []
    return _short(of_result(config, model, task), json.dumps(worth), code(*VALUES))


def of_estimates(config: Config, model: str) -> str:
    """16 hexadecimal digits that change with whatever decides the estimates of a model."""
    decisive = config.model_dump(
        include={"estimators", "interactions", "value_functions", "deletion", "intervals", "seed", "run_tasks"}
    )
    decisive["metrics"] = {task: config.tasks[task].metric for task in config.run_tasks}
    decisive["groups"] = {task: [config.members(task), config.tasks[task].by_size] for task in config.run_tasks}
    decisive["values"] = {task: of_values(config, model, task) for task in config.scored_tasks}
    return _short(json.dumps(decisive, sort_keys=True), code(*ESTIMATES))


def of_comparison(config: Config, pair: Pair) -> str:
    """16 hexadecimal digits that change with whatever decides the comparison of two models."""
    return _short(*pair, *(of_estimates(config, model) for model in pair))


def of_fetched_documents() -> str:
    """16 hexadecimal digits of the code that makes files of documents."""
    return code(*DOCUMENTS, script="fetch_documents")


def forget() -> None:
    """Read the code again when it is asked for next."""
    code.cache_clear()
    _parts.cache_clear()


@lru_cache
def code(*folders: str, script: str | None = None) -> str:
    """16 hexadecimal digits that change with the meaning of the files in some folders of the package.

    Args:
        folders: of the package, subfolders included. Files that are not Python (a style sheet) count byte by byte;
            files that are not `COUNTED` do not count.
        script: one of `scripts/`, too.

    Raises:
        FileNotFoundError: there is no such folder or script.
    """
    digest = hashlib.sha256()
    for folder in folders:
        for part in _parts(folder):
            digest.update(part)
    if script is not None:
        digest.update(meaning(SCRIPTS / f"{script}.py"))
    return digest.hexdigest()[:16]


@lru_cache
def _parts(folder: str) -> tuple[bytes, ...]:
    """The files of a folder that count: name and meaning by turns. Read once, as many fingerprints hold them.

    Raises:
        FileNotFoundError: see `code`.
    """
    paths = sorted(
        path
        for path in (PACKAGE / folder).rglob("[!.]*")
        if {path.suffix, path.name} & set(COUNTED) and "__pycache__" not in path.parts
    )
    if not paths:
        raise FileNotFoundError(f"the package has no folder {folder} to take a fingerprint of")
    names = [f"{path.relative_to(PACKAGE).as_posix()}\0".encode() for path in paths]
    return tuple(part for name, path in zip(names, paths, strict=True) for part in (name, meaning(path)))


def _short(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
