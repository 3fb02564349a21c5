"""What goes wrong on a cluster, made to go wrong: finished results stay each time, and the rest is computed once."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hpc.cluster import Cluster, wait
from tests.hpc.container import Apptainer
from tests.hpc.site import Site, settings
from tests.workflow.runner import Workflow

pytestmark = [pytest.mark.workflow, pytest.mark.hpc, pytest.mark.rare]
TASKS = ("arc_easy", "openbookqa")
BLOCKS, LARGEST = 12, 4
PLANNED = 1 + LARGEST * 2 * BLOCKS - LARGEST * (LARGEST - 1) // 2 + 1
LIMIT = 36
"""Documents of each task."""
ENOUGH = 6
"""Results of each task that are there when something happens."""


def target(task: str) -> str:
    return f"results/tiny/{task}/values.parquet"


def fresh(straight: Workflow) -> Path:
    """The same folder as it was before the run."""
    return straight.folder.with_name("fresh")


@pytest.fixture(scope="module")
def straight(real_assets: Path, image: Path, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """Jobs that outlast the half minute after which SLURM looks at time limits, run locally without any fault."""
    config = settings(image, BLOCKS, LARGEST, limit=LIMIT, memory_gb=3)
    config["run_tasks"] = list(TASKS)
    config["models"]["tiny"]["memory"] = {
        "weights": "resident",
        "budget_gb": 0.001,
    }  # few coalitions together: results come bit by bit
    workflow = Workflow.create(tmp_path_factory.mktemp("faults") / "straight", real_assets, config, width=128)
    workflow.copy(fresh(workflow))
    workflow.succeed(*map(target, TASKS))
    assert all(len(workflow.results(task)) == PLANNED for task in TASKS)
    return workflow


def by_whomever(results: dict[str, Any]) -> dict[str, Any]:
    """Results without the jobs that made them: what one has begun before it ended early, another one ends."""
    for result in results.values():
        del result["provenance"]["jobs"]
        for block in result["blocks"]:
            del block["job"]
    return results


class Trial:
    """A run through SLURM that is disturbed, and then compared with the straight one."""

    def __init__(self, site: Site, straight: Workflow) -> None:
        self.site, self.straight = site, straight
        self.kept: dict[str, dict[str, int]] = {}
        self.processes: list[Any] = []

    def begin(self, *tasks: str) -> Any:
        """Start the run and wait until each task has some results; returns the process."""
        process = self.site.start(*map(target, tasks))
        self.processes.append(process)
        for task in tasks:
            self.site.wait_for_results(task, ENOUGH)
        self.kept = {task: self.inodes(task) for task in tasks}
        for task, kept in self.kept.items():
            assert ENOUGH <= len(kept) < PLANNED, f"{task} was too quick: {len(kept)}"
        return process

    def more(self, task: str) -> None:
        """Wait until the job has added to what the fault left."""
        self.site.wait_for_results(task, len(self.inodes(task)) + 2)
        self.kept[task] = self.inodes(task)

    def job_of(self, task: str) -> str:
        """The SLURM id of a task's first job, from its log's name."""
        folder = self.site.workflow.folder / "logs/slurm/rule_evaluate_tiny_0" / task
        return min((path.stem for path in folder.glob("*.log")), key=int)

    def inodes(self, task: str) -> dict[str, int]:
        """Of results that hold all documents. A file that is written again gets another inode."""
        return {
            name: path.stat().st_ino
            for name, path in self.site.workflow.coalitions(task).items()
            if sum(block["count"] for block in json.loads(path.read_text())["blocks"]) == LIMIT
        }

    def check(self) -> None:
        """Nothing that was finished was computed twice, and all is as without the fault."""
        for task, kept in self.kept.items():
            now = self.inodes(task)
            assert {name: now[name] for name in kept} == kept
            assert by_whomever(self.site.workflow.results(task)) == by_whomever(self.straight.results(task))
            assert (self.site.workflow.folder / target(task)).is_file()

    def finishes(self, process: Any, seconds: float = 400) -> None:
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = f"still running after {seconds:.0f} s"
        assert code == 0, f"{code}\n{self.site.said()}\n{self.site.logs()}\n{self.site.cluster.logs()}"

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.fixture
def trial(straight: Workflow, cluster: Cluster, apptainer: Apptainer, tmp_path: Path) -> Iterator[Trial]:
    made = Trial(Site(Workflow(fresh(straight)).copy(tmp_path / "work"), cluster, apptainer), straight)
    try:
        yield made
    finally:
        made.close()


def test_cancelled_and_out_of_time(trial: Trial) -> None:
    """Of two jobs one is cancelled and one reaches its time limit: each is tried again, with more time."""
    cluster = trial.site.cluster
    process = trial.begin(*TASKS)
    cancelled, late = map(trial.job_of, TASKS)
    assert "TimeLimit=00:10:00" in cluster.client("scontrol", "show", "job", late)
    cluster.client("scontrol", "update", f"JobId={late}", "EndTime=now")
    cluster.client("scancel", cancelled)
    trial.finishes(process)
    jobs = cluster.jobs()
    assert [jobs[job][0] for job in (cancelled, late)] == ["CANCELLED", "TIMEOUT"]
    again = [job for job in trial.site.submitted() if job not in (cancelled, late)]
    assert len(again) == 2
    for job in again:
        assert jobs[job][0] == "COMPLETED"
        assert "TimeLimit=00:15:00" in cluster.client("scontrol", "show", "job", job)
    trial.check()


def test_node_dies_controller_restarts_job_is_preempted(trial: Trial) -> None:
    """One after another to the same job: SLURM itself puts it back into the queue, nothing is submitted again."""
    cluster = trial.site.cluster
    process = trial.begin(TASKS[0])
    (job,) = cluster.running()
    node = cluster.running()[job]
    other = next(name for name in cluster.names if name != node)
    cluster.kill_node(node)
    wait(lambda: cluster.running().get(job) == other, 120, "the job runs on the other node")
    trial.more(TASKS[0])  # an srun that finds no controller would only try again after two minutes
    cluster.restart_controller(pause=4)
    trial.more(TASKS[0])
    cluster.client(
        "sbatch", "--partition=urgent", f"--nodelist={other}", "--exclusive", "--output=/dev/null", "--wrap", "sleep 2"
    )
    wait(lambda: job not in cluster.running(), 60, "the job is preempted")
    trial.finishes(process)
    assert "Restarts=2" in cluster.client("scontrol", "show", "job", job)
    assert trial.site.submitted() == [job]
    trial.check()


def test_snakemake_killed_and_started_again_at_once(trial: Trial) -> None:
    """The first job goes on while a second one is submitted for the same files."""
    process = trial.begin(TASKS[0])
    (first,) = trial.site.cluster.running()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    trial.site.succeed(target(TASKS[0]))
    (second,) = trial.site.submitted()
    wait(lambda: not trial.site.cluster.running(), 480, "both jobs ended")
    jobs = trial.site.cluster.jobs()
    assert jobs[first][0] == jobs[second][0] == "COMPLETED"
    trial.check()
    assert "Nothing to be done" in trial.site.succeed(target(TASKS[0]))


def test_out_of_memory(real_assets: Path, cluster: Cluster, apptainer: Apptainer, image: Path, tmp_path: Path) -> None:
    """700 MB of weights do not fit beside the packages in the 1 GiB asked for; a later try asks for more."""
    config = settings(image, blocks=8, largest=1, limit=2, memory_gb=1)
    config["models"]["tiny"]["memory"] = {"weights": "resident"}  # else it would stream them
    site = Site(Workflow.create(tmp_path / "work", real_assets, config, width=1536), cluster, apptainer)
    site.succeed(target(TASKS[0]))
    jobs = site.submitted()
    states = [cluster.jobs()[job][0] for job in jobs]
    assert 2 <= len(jobs) <= 3
    assert states[-1] == "COMPLETED"
    assert set(states[:-1]) <= {"OUT_OF_MEMORY", "CANCELLED", "FAILED"}
    asked = [re.search(r"MinMemoryNode=(\S+)", cluster.client("scontrol", "show", "job", job)) for job in jobs]
    assert [found[1] for found in asked if found] == ["1G", "1.50G", "2G"][: len(jobs)]
    log = next(site.workflow.folder.glob(f"logs/slurm/**/{jobs[0]}.log")).read_text()
    assert "memory limit" in log
    assert len(site.workflow.results(TASKS[0])) == 18
