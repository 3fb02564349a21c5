"""Whole runs where a system gives little: no home, no folder for temporary files, few open files, a wrong clock."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.workflow.runner import Workflow

pytestmark = pytest.mark.workflow
TARGETS = ("results/tiny/shapley_window-k2.csv", "results/tiny/cornerstones.csv", "results/summary.md")
BARE = 'umask 077; ulimit -n 256; exec env -i PATH="$PATH" LC_ALL=C LANG=C TMPDIR=/nowhere OMP_NUM_THREADS=1 "$@"'


def anew(straight: Workflow, folder: Path) -> Workflow:
    """A copy in which everything is to be computed."""
    workflow = straight.copy(folder)
    for name in ("results", ".snakemake", "logs"):
        shutil.rmtree(workflow.folder / name)
    return workflow


def tables(workflow: Workflow) -> dict[str, bytes]:
    return {name: (workflow.folder / name).read_bytes() for name in TARGETS}


def test_a_bare_environment_changes_nothing(straight: Workflow, tmp_path: Path) -> None:
    workflow = anew(straight, tmp_path / "work")
    command = ["bash", "-c", BARE, "bash", *workflow.command(*TARGETS)]
    done = subprocess.run(command, cwd=workflow.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert tables(workflow) == tables(straight)
    assert workflow.results("arc_easy") == straight.results("arc_easy")


def test_a_clock_that_went_back_is_said_and_loses_nothing(straight: Workflow, tmp_path: Path) -> None:
    """All that is there is of tomorrow, so what is made now would be older than what it is made from."""
    workflow = anew(straight, tmp_path / "work")
    workflow.succeed(*TARGETS)
    files = [*workflow.folder.rglob("results/**/*"), *workflow.folder.rglob("resources/**/*")]
    times = {path: path.stat().st_mtime for path in files if path.is_file() and not path.is_symlink()}
    before = {path: path.stat().st_ino for path in workflow.coalitions("arc_easy").values()}
    for path in times:
        os.utime(path, (time.time() + 86_400,) * 2)
    (workflow.folder / TARGETS[1]).unlink()
    done = workflow.run(*TARGETS)
    assert done.returncode != 0
    assert "has older modification time" in done.stdout
    assert "clock skew" in done.stdout
    assert "Traceback" not in done.stdout
    for path, then in times.items():
        if path.exists():
            os.utime(path, (then, then))
    workflow.succeed(*TARGETS)
    assert tables(workflow) == tables(straight)
    assert {path: path.stat().st_ino for path in before} == before
