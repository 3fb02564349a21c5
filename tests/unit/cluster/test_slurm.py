from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cornerstone.cluster import slurm
from tests.helpers import configured, script

RESOURCES = {"gpus": 4, "memory_gb": 256, "runtime_minutes": 1440}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in front of PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def resources(**changes: Any) -> dict[str, Any]:
    entry = configured({"models.tiny.resources": {**RESOURCES, **changes}}).models["tiny"]
    return slurm.job_resources(entry)


def test_each_try_asks_for_more() -> None:
    made = resources()
    assert [made["mem_mb"](None, attempt) for attempt in (1, 2, 3)] == [262144, 393216, 524288]
    assert [made["runtime"](None, attempt) for attempt in (1, 2, 3)] == [1440, 2160, 2880]
    assert made["gpu"] == 4


def test_what_a_dry_run_shows() -> None:
    models = configured({"models.tiny.resources": {"gpus": 2}}).models
    filled = (
        slurm.resources_message(models["tiny"])
        .replace("{resources.mem_mb}", "8192")
        .replace("{resources.runtime}", "240")
    )
    assert filled == ": 2 GPUs, 8192 MB, 240 minutes, 1 CPUs"
    assert slurm.resources_message(models["other"]) == ""


def test_what_is_not_set_is_left_to_the_profile() -> None:
    assert set(resources(gpus=0)) == {"mem_mb", "runtime"}
    named = resources(partition="a100", account="project", constraint="a100|h100")
    assert [named[key] for key in ("slurm_partition", "slurm_account", "constraint")] == [
        "a100",
        "project",
        "a100|h100",
    ]


def test_the_model_is_stronger_than_the_profile() -> None:
    config = configured({"models.tiny.resources": {"partition": "large"}, "models.tiny.threads": 3})
    options = slurm.request(config.models["tiny"], {"slurm_partition": "small", "slurm_account": "project"})
    assert options == [
        "--mem=8192", "--time=240", "--ntasks=1", "--cpus-per-task=3", "--partition=large", "--account=project"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "code", "found"),
    [
        ("sbatch: Job 4 to start at 2030-01-01T00:00:00", 0, None),
        ("allocation failure: Required node not available (down, drained or reserved)", 1, None),
        ("sbatch: error: Batch job submission failed: Unable to contact slurm controller", 1, None),
        (
            "sbatch: error: invalid partition specified: nope\nallocation failure: Invalid partition name specified",
            1,
            "SLURM says: invalid partition specified: nope; Invalid partition name specified",
        ),
        ("", 3, "SLURM says: exit code 3"),
    ],
)
def test_what_slurm_answers(programs: Path, answer: str, code: int, found: str | None) -> None:
    script(programs, "sbatch", f'printf "%s\\n" "{answer}" >&2; exit {code}')
    assert slurm.refusal(["--mem=1"]) == found


def test_each_request_is_asked_for_once(programs: Path) -> None:
    script(programs, "sbatch", f'echo "$@" >> {programs}/asked; echo "allocation failure: no" >&2; exit 1')
    config = configured({"run": ["tiny", "other"], "models.other.blocks": 4})
    found = slurm.refusals(config, {"slurm_partition": "gpu"})
    assert set(found) == {"tiny", "other"}
    assert "SLURM says: no. Partition and account are set in profiles/slurm/config.yaml" in found["tiny"]
    assert len((programs / "asked").read_text().splitlines()) == 1


def test_no_slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "there is no `sbatch` here" in str(slurm.refusal([]))
