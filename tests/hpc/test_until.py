"""`until` on the cluster: rounds through SLURM, killed between two looks, end as they do on one machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.hpc.cluster import Cluster, wait
from tests.hpc.container import Apptainer
from tests.hpc.site import QUICK, Site, settings
from tests.workflow.runner import Workflow

pytestmark = [pytest.mark.workflow, pytest.mark.hpc, pytest.mark.rare]
LOOKS = ["4.json", "8.json", "16.json"]
LOCAL, SLURM = ("--cores", "2"), ("--profile", "slurm")


def start(workflow: Workflow, environment: dict[str, str], *options: str) -> subprocess.Popen[bytes]:
    """Start `cornerstone run` there and go on."""
    with (workflow.folder / "run.out").open("ab") as out:
        command = [workflow.python, "-m", "cornerstone.cli", "run", *options]
        return subprocess.Popen(
            command, cwd=workflow.folder, env=environment, stdout=out, stderr=out, start_new_session=True
        )


def ends(run: subprocess.Popen[bytes], workflow: Workflow) -> None:
    code = run.wait(500)
    assert code == 0, (workflow.folder / "run.out").read_text()


def until(run: subprocess.Popen[bytes], there: bool) -> bool:
    """Whether it is there, of a run that has not ended."""
    assert run.poll() is None, "it ended too early"
    return there


def looks(workflow: Workflow) -> dict[str, Any]:
    """What each look says, by its file."""
    folder = workflow.folder / "results/tiny/looks"
    return {path.name: json.loads(path.read_text()) for path in folder.glob("[!.]*.json")}


def documents(workflow: Workflow) -> int:
    """How many documents the coalitions of a task are scored on, all together."""
    results = workflow.results("arc_easy").values()
    return sum(block["count"] for result in results for block in result["blocks"])


def test_rounds_that_are_killed_go_on_and_say_the_same(
    real_assets: Path, cluster: Cluster, apptainer: Apptainer, image: Path, tmp_path: Path
) -> None:
    config = settings(image, limit=4)
    config["until"] = {"half_width": 0.0001, "at_most": 16}  # never there: all three looks are made
    workflow = Workflow.create(tmp_path / "work", real_assets, config)
    local = workflow.copy(tmp_path / "local")
    site = Site(workflow, cluster, apptainer)
    options = [f"{name}={value}" for name, value in zip(QUICK[::2], QUICK[1::2], strict=True)]
    run = start(workflow, site.environment, *SLURM, *options)
    try:
        wait(lambda: until(run, (workflow.folder / "results/until.json").exists()), 400, "the first look is made")
        before = documents(workflow)
        assert sorted(looks(workflow)) == LOOKS[:1]
        wait(lambda: until(run, documents(workflow) > before), 200, "the second round has results")
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    assert "16.json" not in looks(workflow)
    ends(start(workflow, site.environment, *SLURM, *options), workflow)
    ends(start(local, dict(os.environ), *LOCAL), local)
    assert sorted(looks(workflow), key=LOOKS.index) == LOOKS
    assert looks(workflow) == looks(local)
    assert [found["last"] for _, found in sorted(looks(local).items(), key=lambda item: LOOKS.index(item[0]))] == [
        False, False, True
    ]  # fmt: skip
    for task in ("arc_easy", "openbookqa"):
        ours, theirs = (each.results(task) for each in (workflow, local))
        assert {name: result["documents"] for name, result in ours.items()} == {
            name: result["documents"] for name, result in theirs.items()
        }
        assert all(len(result["documents"]["doc_id"]) == 16 for result in ours.values())
    assert "not settled at 16 documents a task" in (workflow.folder / "run.out").read_text()
    assert (workflow.folder / "results/index.html").is_file()
