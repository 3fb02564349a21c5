"""What goes wrong on a cluster, made to go wrong: finished results stay each time, and the rest is computed once."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.hpc.cluster import Cluster, wait
from tests.hpc.container import Apptainer
from tests.hpc.site import Site, settings, submitted
from tests.workflow.runner import Workflow

pytestmark = [pytest.mark.workflow, pytest.mark.hpc]
TASK, TARGET = "arc_easy", "results/tiny/arc_easy/values.parquet"
BLOCKS, LARGEST = 16, 4
PLANNED = 1 + LARGEST * 2 * BLOCKS - LARGEST * (LARGEST - 1) // 2 + 1
ENOUGH = 10
"""Results that are there when the fault happens."""


@pytest.fixture(scope="module")
def straight(real_assets: Path, image: Path, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """A model that takes a while, and its results from a local run without any fault."""
    config = settings(image, BLOCKS, LARGEST, limit=40, memory_gb=3)
    config["run_tasks"] = [TASK]
    config["models"]["tiny"]["memory_budget_gb"] = 0.004  # few coalitions together: results come bit by bit
    workflow = Workflow.create(tmp_path_factory.mktemp("faults") / "straight", real_assets, config, width=256)
    fresh = workflow.copy(workflow.folder.with_name("fresh"))
    workflow.succeed(TARGET)
    assert len(workflow.results(TASK)) == PLANNED
    workflow.fresh = fresh  # type: ignore[attr-defined]
    return workflow


class Trial:
    """A run through SLURM that is disturbed, and then compared with the straight one."""

    def __init__(self, site: Site, straight: Workflow) -> None:
        self.site, self.straight = site, straight
        self.kept: dict[str, int] = {}

    def begin(self) -> Any:
        """Start the run and wait until it has some results; returns the process."""
        process = self.site.start(TARGET)
        self.site.wait_for_results(TASK, ENOUGH)
        return process

    def fault(self) -> str:
        """Note what is finished; returns the id of the one job that runs."""
        self.kept = self.inodes()
        assert ENOUGH <= len(self.kept) < PLANNED - ENOUGH
        (job,) = self.site.cluster.running()
        return job

    def inodes(self) -> dict[str, int]:
        """A file that is written again gets another inode."""
        return {name: path.stat().st_ino for name, path in self.site.workflow.coalitions(TASK).items()}

    def check(self) -> None:
        """Nothing that was finished was computed twice, and all is as without the fault."""
        now = self.inodes()
        assert {name: now[name] for name in self.kept} == self.kept
        assert self.site.workflow.results(TASK) == self.straight.results(TASK)
        assert (self.site.workflow.folder / TARGET).is_file()

    def finishes(self, process: Any, seconds: float = 240) -> None:
        try:
            code = process.wait(seconds)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        assert code == 0, self.site.said() + self.site.logs()


@pytest.fixture
def trial(straight: Workflow, cluster: Cluster, apptainer: Apptainer, tmp_path: Path) -> Trial:
    fresh: Workflow = straight.fresh  # type: ignore[attr-defined]
    return Trial(Site(fresh.copy(tmp_path / "work"), cluster, apptainer), straight)


def test_node_dies(trial: Trial) -> None:
    process = trial.begin()
    job = trial.fault()
    cluster = trial.site.cluster
    node = cluster.running()[job]
    cluster.kill_node(node)
    trial.finishes(process)
    assert cluster.jobs()[job] == ("COMPLETED", next(name for name in cluster.names if name != node))
    assert submitted(trial.site.said()) == [job]  # SLURM itself has put it back into the queue
    trial.check()


def test_preempted(trial: Trial) -> None:
    process = trial.begin()
    job = trial.fault()
    cluster = trial.site.cluster
    cluster.client(
        "sbatch", "--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap", "sleep 5"
    )
    wait(lambda: job not in cluster.running(), 30, "preempted")
    trial.finishes(process)
    assert "Restarts=1" in cluster.client("scontrol", "show", "job", job)
    assert submitted(trial.site.said()) == [job]
    trial.check()


def test_cancelled(trial: Trial) -> None:
    process = trial.begin()
    job = trial.fault()
    trial.site.cluster.client("scancel", job)
    trial.finishes(process)
    first, second = submitted(trial.site.said())
    assert first == job
    assert [trial.site.cluster.jobs()[name][0] for name in (first, second)] == ["CANCELLED", "COMPLETED"]
    trial.check()


def test_time_limit(trial: Trial) -> None:
    """The second try asks for half as much more time."""
    process = trial.begin()
    job = trial.fault()
    cluster = trial.site.cluster
    assert "TimeLimit=00:10:00" in cluster.client("scontrol", "show", "job", job)
    cluster.client("scontrol", "update", f"JobId={job}", "EndTime=now")
    wait(lambda: cluster.jobs()[job][0] == "TIMEOUT", 60, "time limit reached")
    trial.finishes(process)
    _, second = submitted(trial.site.said())
    assert "TimeLimit=00:15:00" in cluster.client("scontrol", "show", "job", second)
    trial.check()


def test_controller_restarted(trial: Trial) -> None:
    process = trial.begin()
    job = trial.fault()
    trial.site.cluster.restart_controller(pause=6)
    trial.finishes(process)
    assert submitted(trial.site.said()) == [job]
    trial.check()


def test_snakemake_killed_and_started_again_at_once(trial: Trial) -> None:
    """The first job goes on while a second one is submitted for the same files."""
    process = trial.begin()
    first = trial.fault()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    said = trial.site.succeed(TARGET)
    assert submitted(said) != [first]
    (second,) = submitted(said)
    wait(lambda: not trial.site.cluster.running(), 120, "both jobs ended")
    jobs = trial.site.cluster.jobs()
    assert jobs[first][0] == jobs[second][0] == "COMPLETED"
    trial.check()
    assert "Nothing to be done" in trial.site.succeed(TARGET)


def test_snakemake_killed_and_jobs_gone(trial: Trial) -> None:
    """As after a reboot of the login node on which somebody has cleaned up: one command goes on."""
    process = trial.begin()
    job = trial.fault()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    trial.site.cluster.client("scancel", job)
    said = trial.site.succeed(TARGET)
    assert len(submitted(said)) == 1
    trial.check()
