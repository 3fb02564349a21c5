"""Looking at all that is stored: every result, every table, the documents and the weights, by their checksums.

A run looks at a file when it is new or has another date. This looks at everything, and changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cornerstone import reading
from cornerstone.assets import documents, fetch
from cornerstone.config.config import Config
from cornerstone.errors import AssetError, CoalitionError, StoreError, UnreadableError
from cornerstone.evaluate import check, result
from cornerstone.evaluate.seal import SEAL
from cornerstone.files import MADE_AGAIN, NOTES, note_of, noted
from cornerstone.files import check as check_table
from cornerstone.game.coalitions import parse
from cornerstone.plan import fingerprint
from cornerstone.plan.layout import Layout

FOLDERS = ("coalitions", "deletion")
"""Folders of results below that of a task: see `Layout`."""
UNNOTED = {"README.md", "report.html", "plan.md"}
"""Files beside tables that nothing is made from, or that Snakemake writes itself."""
_FROM = re.compile(r"^# from ([0-9a-f]{64}) (.+)$", re.MULTILINE)


@dataclass
class Verified:
    """What was looked at.

    Attributes:
        wrong: a message for each file that is not what it should be.
        seen: what was looked at -> how many there are.
        notes: what is no error, but worth knowing.
    """

    wrong: list[str] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def count(self, what: str) -> None:
        """Count one more."""
        self.seen[what] = self.seen.get(what, 0) + 1

    def __str__(self) -> str:
        looked = ", ".join(f"{count} {what}" for what, count in self.seen.items()) or "nothing: there is nothing yet"
        end = f"{len(self.wrong)} of them are not what was written" if self.wrong else "all are what was written"
        return "\n".join([*self.wrong, *self.notes, f"looked at {looked}{f'; {end}' if self.seen else ''}"])


def verify(config: Config) -> Verified:
    """Look at all results and tables in the folder of results, and at the assets that the active models need."""
    found = Verified()
    results = Path(config.paths.results)
    unsealed = stale = 0
    for path in _results(results):
        found.count("results")
        try:
            sections = result.read(path)
        except StoreError as error:
            found.wrong.append(str(error))
            continue
        unsealed += SEAL not in sections
        if problem := check.problem(sections) or _misplaced(config, path, sections):
            found.wrong.append(UnreadableError(path, problem).then(result.again(path)))
        stale += _is_stale(config, path, sections)
    for table in _tables(results):
        found.count("tables")
        try:
            check_table(table)
            if problem := _outdated(table):
                found.notes.append(problem)
        except UnreadableError as error:
            found.wrong.append(error.then(MADE_AGAIN))
    for path in _without_note(results):
        found.count("tables")
        found.wrong.append(
            f"{path} has no note of its checksum ({note_of(path)}), as its neighbours have: whether it is what was "
            "written can't be told. If the workflow made it, delete it and run the workflow, which makes it again."
        )
    _assets(config, found)
    if unsealed:
        found.notes.append(
            f"{unsealed} results carry no checksum, as an older version wrote them: their metrics follow from their "
            "log-likelihoods, which can't be checked themselves"
        )
    if stale:
        found.notes.append(
            f"{stale} results are of other settings or code than today's; the next run makes those anew that it needs, "
            "or `cornerstone results adopt` lets them stay"
        )
    return found


def _results(folder: Path) -> Iterator[Path]:
    for name in FOLDERS:
        yield from sorted(folder.glob(f"*/*/{name}/[!.]*.json"))


def _tables(folder: Path) -> Iterator[Path]:
    """The tables that have a note of their checksum, there or not."""
    for note in sorted(folder.rglob(f"{NOTES}/*.sha256")):
        yield note.parents[1] / note.name.removesuffix(".sha256")


def _without_note(folder: Path) -> Iterator[Path]:
    """Files without a note where others of their kind, in the same folder, have one."""
    for notes in sorted(folder.rglob(NOTES)):
        noted_there = {note.name.removesuffix(".sha256") for note in notes.glob("*.sha256")}
        kinds = {Path(name).suffix for name in noted_there}
        for path in sorted(notes.parent.glob("[!.]*")):
            if path.suffix in kinds and path.name not in noted_there | UNNOTED and not path.is_dir():
                yield path


def _misplaced(config: Config, path: Path, sections: dict[str, object]) -> str:
    """Why a result is not that of its file's name; empty where it is."""
    told = sections["coalition"]
    name = told.get("name") if isinstance(told, dict) else None
    if name != path.stem:
        return f"holds the result of {name}"
    model, task = path.parts[-4], path.parts[-3]
    if isinstance(sections["results"], dict) and task not in sections["results"]:
        return f"holds a result of {', '.join(sections['results'])}"
    if model in config.models and isinstance(told, dict):
        try:
            mask = parse(str(name), config.models[model].all_players())
        except CoalitionError:
            return ""  # of other players: stale
        if told.get("kept_mask") != f"{mask:#x}":
            return "was changed: its `kept_mask` is not that of its coalition"
    return ""


def _is_stale(config: Config, path: Path, sections: dict[str, object]) -> bool:
    model, task, made = path.parts[-4], path.parts[-3], sections["provenance"]
    active = model in config.run and task in config.scored_tasks
    return active and isinstance(made, dict) and made.get("fingerprint") != fingerprint.of_result(config, model, task)


def _outdated(table: Path) -> str:
    """Which table that a table was made from is another one now; empty where none is."""
    for digest, source in _FROM.findall(reading.text(note_of(table))):
        if noted(Path(source)) not in (None, digest):
            return f"{table} was made from another {source} than is there now. The next run makes it anew"
    return ""


def _assets(config: Config, found: Verified) -> None:
    layout = Layout(config)
    for path in dict.fromkeys(
        layout.documents_for(model, task) for model in config.run for task in config.scored_tasks
    ):
        if Path(path).exists() or Path(path).is_symlink():
            found.count("files of documents")
            try:
                documents.read(Path(path))
            except AssetError as error:
                found.wrong.append(str(error))
    for model in config.run:
        marker = Path(layout.model_marker(model))
        if marker.exists() or marker.is_symlink():
            found.count("models")
            try:
                fetch.model_folder(marker, config.models[model])
            except AssetError as error:
                found.wrong.append(str(error))
