"""A finished run of a tiny model, copies of it to be hurt, and what tells a hurt one from the finished one."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from pathlib import Path
from typing import Any

from cornerstone.files import NOTES
from tests.soak.outcomes import Said, call
from tests.workflow.runner import CODE, ROOT, Workflow, configuration, without_seconds

ENDS = 300
"""Seconds after which a command counts as hanging; what it does takes some seconds of a free core."""

VALUES = "results/tiny/arc_easy/values.parquet"


def code(*also: str) -> str:
    """Checksum of the code that is tried, and of other folders: what came of other code is tried anew."""
    found = hashlib.sha256()
    for name in (*(name for name in CODE if name not in ("envs", "containers", "report")), "envs/run.lock", *also):
        root = ROOT / name
        for path in sorted(root.rglob("*") if root.is_dir() else [root]):
            held = path.read_bytes() if path.is_file() and "__pycache__" not in path.parts else b""
            if held and (name != "scripts" or b"log.script(" in held):  # the others are no part of a run
                found.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + held)
    return found.hexdigest()[:12]


def settings() -> dict[str, Any]:
    """Two tasks of four documents; one coalition a group, so that results come bit by bit."""
    config = configuration(blocks=4, largest=2, limit=4)
    config["models"]["tiny"]["memory"] = {"weights": "resident", "budget_gb": 0.001}
    return config


class Lab:
    """Makes the finished run once, for one state of the code, and copies of it.

    Args:
        folder: for everything; only this is written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base = Workflow(folder / f"finished-{code()}")
        self.out = folder / "said"

    def ready(self) -> None:
        """Make the finished run where it is not there yet.

        Raises:
            SystemExit: it can't be made; what Snakemake said is shown.
        """
        if (self.base.folder / "took.json").exists():
            return
        for old in (*self.folder.glob("finished-*"), self.folder / "quick"):
            shutil.rmtree(old, ignore_errors=True)
        Workflow.create(self.base.folder, ROOT / "resources", settings())
        took = {}
        for what in ("documents", "fetch", "values", "all"):
            arguments = {"documents": ["--force", "fetch_documents_embedded"], "values": [VALUES], "all": []}
            started = time.monotonic()
            said = self.run(self.base, *arguments.get(what, [what]), seconds=1800)
            if said.code != 0:
                raise SystemExit(f"the undisturbed run failed:\n{said.text}")
            took[what] = time.monotonic() - started
        (self.base.folder / "took.json").write_text(json.dumps(took))

    def took(self, what: str) -> float:
        """Seconds that a step of the undisturbed run took: `values` of one task, then `all` that is left."""
        return float(json.loads((self.base.folder / "took.json").read_text())[what])

    def case(self) -> Workflow:
        """A fresh copy of the finished run; the one before is deleted."""
        place = self.folder / "case"
        shutil.rmtree(place, ignore_errors=True)
        return self.base.copy(place)

    def quick(self) -> Workflow:
        """A copy that may be used again: for cases that are refused before they change anything."""
        place = self.folder / "quick"
        return Workflow(place) if place.exists() else self.base.copy(place)

    def run(self, workflow: Workflow, *arguments: str, seconds: float = ENDS, before: tuple[str, ...] = ()) -> Said:
        """Run Snakemake there.

        Args:
            workflow: where.
            arguments: Snakemake's.
            seconds: after which it is ended.
            before: words before the command: a program that runs it.
        """
        return call([*before, *workflow.command(*arguments)], workflow.folder, self.out, seconds)

    def verify(self, workflow: Workflow) -> Said:
        """Run `cornerstone results verify` there."""
        command = [workflow.python, "-m", "cornerstone.cli", "results", "verify"]
        return call(command, workflow.folder, self.out, ENDS)

    def differences(self, workflow: Workflow) -> list[str]:
        """Files of the results, and assets, that are not those of the finished run, but for the time that jobs took."""
        ours, theirs = contents(self.base.folder), contents(workflow.folder)
        return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


def contents(folder: Path) -> dict[str, str]:
    """What each file of the results and each asset holds, as a checksum. Hidden files count where they are notes."""
    found = {}
    for root in ("results", "resources/documents", "model"):
        for path in (folder / root).rglob("*"):
            name = path.relative_to(folder)
            if any(part.startswith(".") and part != NOTES for part in name.parts):
                continue  # a killed writer may leave a hidden file
            if path.is_symlink() or path.is_file():
                found[name.as_posix()] = summed(path)
            elif not path.is_dir():
                found[name.as_posix()] = "no file"
    return found


def summed(path: Path) -> str:
    """Checksum of a file's content; of a result without the seconds of its jobs."""
    if path.is_symlink() or not path.is_file():
        return "a link"
    held = path.read_bytes()
    if path.parent.name in ("coalitions", "deletion"):
        try:
            held = json.dumps(without_seconds(json.loads(held)), sort_keys=True).encode()
        except (ValueError, KeyError, TypeError, RecursionError):
            return f"damaged {hashlib.sha256(held).hexdigest()}"
    return hashlib.sha256(held).hexdigest()
