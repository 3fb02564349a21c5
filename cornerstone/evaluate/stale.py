"""What of the results that lie there can be used: looked at before anything runs.

Snakemake decides by dates and by its own notes in `.snakemake`. It knows one file of each chunk of the plan, which says
that the chunk's results are there. Whether that is true, the results say themselves. So each is looked at: once when it
is new, later only whether its file is still the one that was looked at.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from cornerstone import reading
from cornerstone.assets import documents
from cornerstone.assets.recipe import Recipe, fetched
from cornerstone.config.config import Config
from cornerstone.config.pairs import name_of
from cornerstone.errors import AssetError, UnreadableError
from cornerstone.evaluate import result
from cornerstone.evaluate.wanted import Wanted
from cornerstone.files import write_atomically, write_text
from cornerstone.game import coalitions
from cornerstone.log import log
from cornerstone.plan import fingerprint
from cornerstone.plan.asked import Asked
from cornerstone.plan.layout import Layout
from cornerstone.plan.plan import Plan
from cornerstone.plan.snakemake import (
    ASKED,
    COMPARISON,
    DOCUMENTS,
    ESTIMATES,
    VALUES,
    chunk_note,
    forget_notes,
    note,
    notes,
)


def note_stale(config: Config, plans: Mapping[str, Mapping[str, Plan]], asked: Iterable[Asked] = ()) -> list[str]:
    """Have Snakemake run the rules again whose results are missing, damaged, or made by other settings or code.

    A job that is run again makes only what does not fit. Where all results of a chunk are there and only the file that
    says so is not, or is older than they are, that file is written here.

    Args:
        config: the configuration.
        plans: of each active model, by task.
        asked: coalitions that were asked for by name.

    Returns:
        The notes that are newer than what was made.
    """
    named, newer = {(each.model, each.task): each for each in asked}, []
    for model, of_model in plans.items():
        reasons: dict[str, str] = {}
        for task in config.scored_tasks:
            results = Results(config, model, task)
            for number, names in enumerate(of_model[task].chunks):
                reasons[chunk_note(task, number)] = _of_chunk(results, number, names)
            wanted = named.get((model, task))
            reasons[task + ASKED] = (next(iter(wanted.again), "") or results.lacking(wanted.names)) if wanted else ""
            results.remember()
        made = Path(Layout(config).provenance(model))
        for task in config.scored_tasks:
            reasons[task + VALUES] = _differ(_said(made, "values", task), fingerprint.of_values(config, model, task))
        reasons[ESTIMATES] = _differ(_said(made, "fingerprint"), fingerprint.of_estimates(config, model))
        newer += [path for what, reason in reasons.items() if (path := _noted(note(config, model, what), reason))]
    for name, (_, recipes) in fetched(config).items():
        reason = next((reason for made in recipes if (reason := _of_documents(config, made))), "")
        newer += [path] if (path := _noted(note(config, DOCUMENTS, name), reason)) else []
    for pair in config.pairs:
        made = Path(Layout(config).comparison_provenance(pair))
        reason = _differ(_said(made, "fingerprint"), fingerprint.of_comparison(config, pair))
        newer += [path] if (path := _noted(note(config, name_of(pair), COMPARISON), reason)) else []
    return newer


def _of_documents(config: Config, recipe: Recipe) -> str:
    """Why a file of documents that is there is not what is asked for; empty where it is, or where there is none."""
    path = Path(Layout(config).documents(recipe))
    if not path.is_file():
        return ""
    try:
        there = documents.read(path)
    except AssetError:
        return f"{path} can't be read"
    return _differ(there.made_from, recipe.made_from) or _differ(there.code, fingerprint.of_fetched_documents())


def _noted(name: str, reason: str) -> str:
    """Write a note that is newer than anything where there is a reason, else older; return its name where newer."""
    path = Path(name)
    if reason:
        # Snakemake takes a file as it was if it says the same, however new it is
        write_text(path, f"{path.name}: {reason}, seen at {time.time_ns()}")
        return name
    if not path.is_file() or path.stat().st_size:
        write_atomically(path, lambda temporary: os.utime(temporary, (0, 0)))
    return ""


def _of_chunk(results: Results, number: int, names: Sequence[str]) -> str:
    """A coalition for which a chunk is evaluated although a file says that all are there; empty where there is none."""
    marker = Path(Layout(results.config).chunk(results.model, results.task, number))
    lacking = results.lacking(names)
    if lacking:
        return lacking if marker.is_file() else ""
    if _said(marker) != results.covered(names) or marker.stat().st_mtime_ns < results.newest(names):
        results.say_covered(number, names)
        forget_notes(marker)  # of what Snakemake knows about an older one
    return ""


class Results:
    """The coalitions of a model and task: which of their files hold what the config asks for."""

    def __init__(self, config: Config, model: str, task: str) -> None:
        self.config, self.model, self.task = config, model, task
        self.layout = Layout(config)
        self.fingerprint = fingerprint.of_result(config, model, task)
        self.players = config.models[model].all_players()
        self.documents = Path(self.layout.documents_for(model, task))
        self.seen_file = notes(config, model) / f"{task}.seen.json"
        self._changed = False

    @cached_property
    def files(self) -> dict[str, list[int]]:
        """Name of each coalition that has a file -> when it was written (nanoseconds) and its size."""
        try:
            with os.scandir(self.layout.coalitions(self.model, self.task)) as entries:
                found = {}
                for entry in entries:
                    if entry.name.endswith(".json") and not entry.name.startswith("."):
                        status = entry.stat(follow_symlinks=os.path.exists(entry.path))
                        found[entry.name.removesuffix(".json")] = [status.st_mtime_ns, status.st_size]
                return found
        except OSError:
            return {}

    @cached_property
    def wanted(self) -> Wanted | None:
        """The documents that are asked for; None where they are not fetched yet."""
        try:
            return Wanted.of(self.config, self.model, self.task, documents.read(self.documents))
        except AssetError:
            return None

    @cached_property
    def _key(self) -> list[Any]:
        """What a result was looked at for."""
        try:
            status = self.documents.stat()
            of_documents = [status.st_mtime_ns, status.st_size]
        except OSError:
            of_documents = []
        nested = [self.config.samples, _digest(sorted(map(repr, self.shares.items())))] if self.shares else []
        return [self.fingerprint, self.config.limit(self.model, self.task), of_documents, *nested]

    @cached_property
    def shares(self) -> Mapping[str, frozenset[int]]:
        """The coalitions that are asked for on a part of the documents only, see `Plan`."""
        return Plan(self.config, self.model, self.task).shares if self.config.samples else {}

    @cached_property
    def _seen(self) -> dict[str, list[int]]:
        """The results that were looked at before and held what is asked for: as `files`."""
        found = _said(self.seen_file)
        fits = isinstance(found, dict) and found.get("for") == self._key
        return dict(found["files"]) if fits and isinstance(found, dict) else {}

    def lacking(self, names: Iterable[str]) -> str:
        """One of some coalitions whose result has to be made, at least for some documents; empty where none has."""
        return next((name for name in names if not self._is_there(name)), "")

    def _is_there(self, name: str) -> bool:
        only = self.shares.get(name)
        if name not in self.files:
            return only is not None and self.wanted is not None and not self.wanted.within(only).places
        if self._seen.get(name) == self.files[name]:
            return True
        if self.wanted is None:
            return False
        path = Path(self.layout.coalition(self.model, self.task, name))
        coalition = coalitions.parse(name, self.players)
        if result.missing(path, self.fingerprint, self.wanted.within(only), coalition, self.players):
            if damage := result.damage(path):
                log(f"{damage} It is made again now.")
            return False
        self._seen[name] = self.files[name]
        self._changed = True
        return True

    def remember(self) -> None:
        """Write down which results were looked at."""
        if self._changed:
            write_text(self.seen_file, json.dumps({"for": self._key, "files": self._seen}))

    def newest(self, names: Iterable[str]) -> int:
        """When the last of some results was written, in nanoseconds."""
        return max((self.files[name][0] for name in names if name in self.files), default=0)

    def covered(self, names: Sequence[str]) -> dict[str, Any]:
        """What the file of a chunk says."""
        nested = {"samples": self.config.samples} if self.config.samples else {}
        return {
            "fingerprint": self.fingerprint,
            "limit": self.config.limit(self.model, self.task),
            "coalitions": len(names),
            "names": _digest(names),
            **nested,
        }

    def say_covered(self, number: int, names: Sequence[str]) -> None:
        """Write the file that says that a chunk's results are there."""
        path = Path(self.layout.chunk(self.model, self.task, number))
        write_text(path, json.dumps(self.covered(names)) + "\n")


def _digest(names: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(names).encode()).hexdigest()[:16]


def _differ(found: object, wanted: object) -> str:
    """Why something that was noted does not fit; empty where it does, or nothing was noted."""
    return "" if found is None or found == wanted else f"{found} is not {wanted}"


def _said(path: Path, *keys: str) -> object:
    """What a JSON file says under some keys; None when it is not there, and nothing that fits when it is damaged."""
    try:
        found = reading.parsed(path, reading.LARGE)
        for key in keys:
            found = found[key]
        return found
    except UnreadableError as error:
        return None if error.missing else ""
    except (KeyError, TypeError):
        return ""
