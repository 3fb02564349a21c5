"""A working folder whose jobs go to the private cluster, in the image."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cornerstone import files
from tests.hpc.cluster import Cluster, wait
from tests.hpc.container import Apptainer
from tests.workflow import forked
from tests.workflow.runner import Workflow, configuration

QUICK = [
    "--slurm-status-command", "squeue",  # there is no accounting database
    "--slurm-init-seconds-before-status-checks", "1",
    "--max-status-checks-per-second", "2",
    "--max-jobs-per-timespan", "20/1s",
    "--latency-wait", "5",
]  # fmt: skip
"""Where the tests' cluster differs from a real one: it is small, quick, and has no database."""


OFTEN = """
import sys
import snakemake_executor_plugin_slurm as slurm
from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

pause = RemoteExecutor.next_seconds_between_status_checks
short = pause.setter(lambda self, seconds: pause.fset(self, min(seconds, 1)))
RemoteExecutor.next_seconds_between_status_checks = short
slurm.get_min_job_age = lambda: 36000
sys.exit(main())
"""
"""Snakemake, whose executor looks at jobs every second. By itself it waits ten seconds longer after each look that
finds nothing new: a job of 35 seconds is seen to have ended after 64. No option sets that.

And it does not ask the controller for MinJobAge (the cluster's is 36000) before each look: where the controller is
being restarted just then, the plugin asks sacct instead, which has no database here, and forgets the job
(docs/hpc.md)."""


def settings(image: Path, blocks: int = 3, largest: int = 2, limit: int = 6, **resources: Any) -> dict[str, Any]:
    """The tiny model's configuration: one pretended GPU, computed on the CPU."""
    config = configuration(blocks, largest, limit)
    config["container"] = str(image)
    config["container_sha256"] = files.sha256(image)
    wanted = {"gpus": 1, "memory_gb": 2, "runtime_minutes": 10, **resources}
    config["models"]["tiny"] |= {"device_map": "cpu", "resources": wanted}
    return config


@dataclass(frozen=True)
class Site:
    """A workflow's folder, the cluster and the container runtime."""

    workflow: Workflow
    cluster: Cluster
    apptainer: Apptainer

    @property
    def environment(self) -> dict[str, str]:
        ours = self.cluster.environment
        env = {**self.apptainer.environment, "SLURM_CONF": ours["SLURM_CONF"]}
        del env["APPTAINER_CACHEDIR"]  # a user has none; Snakemake would take it for its own
        env["PATH"] = f"{ours['PATH'].split(os.pathsep)[0]}{os.pathsep}{env['PATH']}"
        return env

    def command(self, *arguments: str) -> list[str]:
        """The command of the README: targets and other options first."""
        return [self.workflow.python, "-c", OFTEN, *arguments, "--profile", "slurm", *QUICK]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start it and go on."""
        with (self.workflow.folder / "snakemake.out").open("a") as out:
            return subprocess.Popen(
                self.command(*arguments),
                cwd=self.workflow.folder,
                env=self.environment,
                stdout=out,
                stderr=out,
                text=True,
                start_new_session=True,
            )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return forked.run(self.command(*arguments), self.workflow.folder, self.environment)

    def succeed(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + self.logs()
        return done.stdout

    def logs(self) -> str:
        """What jobs said, for a failed test's report."""
        return "\n".join(path.read_text()[-3000:] for path in sorted(self.workflow.folder.glob("logs/slurm/**/*.log")))

    def said(self) -> str:
        """What the runs started by `start` have printed."""
        return (self.workflow.folder / "snakemake.out").read_text()

    def submitted(self) -> list[str]:
        """The SLURM ids of the jobs that the last run submitted, from Snakemake's own log of it."""
        newest = max((self.workflow.folder / ".snakemake" / "log").glob("*.snakemake.log"))
        return re.findall(r"has been submitted with SLURM jobid (\d+)", newest.read_text())

    def wait_for_results(self, task: str, count: int, seconds: float = 240) -> None:
        """Wait until so many coalitions are finished."""
        wait(lambda: len(self.workflow.coalitions(task)) >= count, seconds, f"{count} results of {task}")
