from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cornerstone.assets import contents
from cornerstone.assets.fetch import asset_key
from cornerstone.cluster import slurm
from cornerstone.config.models import Model
from tests.helpers import configured, script

NOWHERE = Path("/nowhere/tiny.json")
RESOURCES = {"gpus": 4, "memory_gb": 256, "runtime_minutes": 1440}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in front of PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


@pytest.fixture(autouse=True)
def no_checksums(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten gigabytes of zeros take twenty seconds to read."""
    monkeypatch.setattr(contents, "sha256", lambda path: "0" * 64)


def resources(**changes: Any) -> dict[str, Any]:
    entry = configured({"models.tiny.resources": {**RESOURCES, **changes}}).models["tiny"]
    return slurm.job_resources(entry, NOWHERE)


def test_each_try_asks_for_more() -> None:
    made = resources()
    assert [made["mem_mb"](None, attempt) for attempt in (1, 2, 3)] == [262144, 393216, 524288]
    assert [made["runtime"](None, attempt) for attempt in (1, 2, 3)] == [1440, 2160, 2880]
    assert made["gpu"] == 4
    assert made["nodes"] == 1  # or SLURM may take the GPUs from several


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
    assert set(resources(gpus=0)) == {"mem_mb", "runtime", "nodes"}
    named = resources(partition="a100", account="project", constraint="a100|h100")
    assert [named[key] for key in ("slurm_partition", "slurm_account", "constraint")] == [
        "a100",
        "project",
        "a100|h100",
    ]


def test_the_model_is_stronger_than_the_profile() -> None:
    config = configured({"models.tiny.resources": {"partition": "large"}, "models.tiny.threads": 3})
    options = slurm.request(config.models["tiny"], {"slurm_partition": "small", "slurm_account": "project"}, NOWHERE)
    assert options == [
        "--mem=8192", "--time=240", "--nodes=1", "--ntasks=1", "--cpus-per-task=3", "--partition=large",
        "--account=project",
    ]  # fmt: skip


def test_gpus_are_asked_for_as_the_executor_does() -> None:
    entry = configured({"models.tiny.resources": {"gpus": 2}}).models["tiny"]
    options = slurm.request(entry, {}, NOWHERE)
    assert options == ["--mem=8192", "--time=240", "--nodes=1", "--gpus=2", "--cpus-per-task=1"]


def fetched(folder: Path, changes: dict[str, Any]) -> tuple[Model, Path]:
    """A model with 10 GiB of float32 numbers, of which the file has the header only."""
    entry = configured({"models.tiny.id": str(folder), **changes}).models["tiny"]
    shapes = {"a": {"dtype": "F32", "shape": [1 << 20, 1 << 11], "data_offsets": [0, 1 << 33]}}
    shapes["b"] = {"dtype": "F32", "shape": [1 << 29], "data_offsets": [1 << 33, 10 << 30]}
    header = json.dumps(shapes).encode()
    with (folder / "model.safetensors").open("wb") as stream:
        stream.write(len(header).to_bytes(8, "little") + header)
        stream.truncate(8 + len(header) + (10 << 30))
    marker = folder / "tiny.json"
    marker.write_text(json.dumps({"path": str(folder), "asset": asset_key(entry)}))
    return entry, marker


@pytest.mark.parametrize(
    ("changes", "gigabytes"),
    [({}, 16), ({"models.tiny.dtype": "bfloat16"}, 10), ({"models.tiny.resources": {"memory_gb": 3}}, 3)],
)
def test_memory_follows_from_the_weights(tmp_path: Path, changes: dict[str, Any], gigabytes: int) -> None:
    entry, marker = fetched(tmp_path, changes)
    found = slurm.job_resources(entry, marker)["mem_mb"]
    assert [found(None, attempt) for attempt in (1, 2)] == [gigabytes * 1024, gigabytes * 1536]
    assert slurm.request(entry, {}, marker)[0] == f"--mem={gigabytes * 1024}"


def test_as_long_as_they_are_not_fetched_nobody_knows(tmp_path: Path) -> None:
    entry, marker = fetched(tmp_path, {})
    assert slurm.memory_gb(entry, NOWHERE) == 8
    (tmp_path / "model.safetensors").write_bytes(b"cut off")
    assert slurm.memory_gb(entry, marker) == 8


SINFO = """
fast*|gpu:a100:4(S:0-1)
fast*|(null)
mixed|gpu:a100:2(S:0,2),gpu:v100:1,shard:8
cpus|(null)
plain|gpu:2
"""


@pytest.mark.parametrize(
    ("partition", "most"), [(None, 4), ("fast", 4), ("mixed", 3), ("cpus", 0), ("plain,cpus", 2), ("nope", None)]
)
def test_gpus_of_nodes(programs: Path, partition: str | None, most: int | None) -> None:
    script(programs, "sinfo", f"cat <<'END'{SINFO}END")
    assert slurm.gpus_of_nodes(partition) == most


def test_without_sinfo_the_controller_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert slurm.gpus_of_nodes(None) is None


def test_more_gpus_than_a_node_has(programs: Path) -> None:
    script(programs, "sinfo", f"cat <<'END'{SINFO}END")
    script(programs, "sbatch", "exit 0")
    changes = {"models.tiny.resources": {"gpus": 3}}
    assert slurm.refusals(configured(changes), {}) == {}
    found = slurm.refusals(configured(changes), {"slurm_partition": "plain"})["tiny"]
    assert found == (
        "jobs of tiny ask for 3 GPUs on one node (models.tiny.resources.gpus), and nodes of partition 'plain' have 2 "
        "at most. Set models.tiny.resources.gpus to 2 or less (weights that do not fit are streamed), or choose "
        "another partition (profiles/slurm/config.yaml, or models.tiny.resources.partition)."
    )
    found = slurm.refusals(configured(changes), {"slurm_partition": "cpus"})["tiny"]
    assert "nodes of partition 'cpus' have none. Choose another partition" in found
    assert slurm.refusals(configured(changes), {"slurm_partition": "nope"}) == {}  # sbatch knows better


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
