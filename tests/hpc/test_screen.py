"""What a failing job of the cluster says reaches the screen of the machine that submitted it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hpc.cluster import Cluster
from tests.hpc.container import Apptainer
from tests.hpc.site import Site, settings
from tests.workflow.runner import Workflow

pytestmark = [pytest.mark.workflow, pytest.mark.hpc]
TARGET = "results/tiny/openbookqa/values.parquet"


def shown(site: Site) -> list[str]:
    """The end of the screen, from the first job that failed."""
    done = site.run(TARGET)
    print(done.stdout)
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    return done.stdout[done.stdout.index("\nFAILED: ") :].strip().splitlines()


def test_a_message_of_a_job_is_shown_once(
    real_assets: Path, cluster: Cluster, apptainer: Apptainer, image: Path, tmp_path: Path
) -> None:
    config = settings(image, limit=2)
    config["models"]["tiny"]["blocks"] = 3
    workflow = Workflow.create(tmp_path / "work", real_assets, config)
    config["models"]["tiny"]["blocks"] = 4
    workflow.write_config(config)
    site = Site(workflow, cluster, apptainer)
    lines = shown(site)
    jobs = site.submitted()
    assert len(jobs) == 1  # a mistake of the user's is not tried again, though the profile has retries
    assert len(lines) <= 15
    assert lines[0] == "FAILED: model tiny, task openbookqa, chunk 0 (evaluating)"
    assert lines[1].startswith("  ModelError: config.yaml says blocks: 4, but the weights have 3.")
    assert f"logs/evaluate/tiny/openbookqa.0.log, logs/slurm/rule_evaluate_tiny_0/openbookqa/{jobs[-1]}.log" in lines[3]
    assert lines[-1] == "What to do: Set blocks: 3 in this model's entry."


def test_a_job_that_cannot_say_why(
    real_assets: Path, cluster: Cluster, apptainer: Apptainer, image: Path, tmp_path: Path
) -> None:
    """700 MB of weights do not fit beside the packages in 1 GiB, and there is no second try."""
    config = settings(image, blocks=8, largest=1, limit=2, memory_gb=1)
    config["models"]["tiny"]["memory"] = {"weights": "resident"}  # else it would stream them
    site = Site(Workflow.create(tmp_path / "work", real_assets, config, width=1536), cluster, apptainer)
    done = site.run(TARGET, "--retries", "0")
    print(done.stdout)
    assert done.returncode != 0
    lines = done.stdout[done.stdout.index("\nFAILED: ") :].strip().splitlines()
    assert lines[0] == "FAILED: model tiny, task openbookqa, chunk 0 (evaluating)"
    assert len(lines) <= 15
    assert "memory limit" in lines[1]
    assert lines[-1].startswith("What to do: Raise resources.memory_gb of models.tiny in config.yaml")
