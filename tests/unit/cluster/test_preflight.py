from __future__ import annotations

import json
import os
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch

from cornerstone.assets.fetch import asset_key
from cornerstone.cluster import preflight
from cornerstone.cluster.preflight import Circumstances, look
from cornerstone.config.config import Config
from cornerstone.errors import PreflightError
from cornerstone.plan.layout import Layout
from cornerstone.schedule import limits
from cornerstone.schedule.limits import Limit
from tests import tiny
from tests.helpers import configured, script

LOCAL = Circumstances(container=False, cluster=False, defaults={})


@pytest.fixture(autouse=True)
def _work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def problems(config: Config, how: Circumstances = LOCAL, fetched: bool = False) -> dict[str, str]:
    return {finding.what: finding.problem for finding in look(config, how, fetched) if finding.problem}


def test_all_is_well() -> None:
    findings = look(configured(), LOCAL, fetched=False)
    assert len(findings) >= 2
    preflight.require(findings)


def test_every_missing_thing_is_named_at_once() -> None:
    how = Circumstances(container=True, cluster=False, defaults={})
    with pytest.raises(PreflightError) as caught:
        preflight.require(look(configured({"models.tiny.resources": {"gpus": 2}}), how))
    said = str(caught.value)
    assert said.startswith("missing or wrong, and jobs need it (5):")
    for part in ("there is no image", "weights of tiny", "alpha.json", "beta.json", "tiny asks for 2"):
        assert part in said


def test_a_disk_that_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path: usage(1000, 0, 1000))
    found = problems(configured())["room for results"]
    assert "its disk has 1.0 kB" in found
    assert "paths.results" in found


def test_gpus_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "bin", "nvidia-smi", "echo 'GPU 0: H100'; echo 'GPU 1: H100'")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert problems(configured({"models.tiny.resources": {"gpus": 2}})) == {}
    found = problems(configured({"models.tiny.resources": {"gpus": 3}}))["GPUs of this machine"]
    assert "tiny asks for 3 (`resources.gpus`), nvidia-smi shows 2" in found
    on_cpu: dict[str, Any] = {"models.tiny.resources": {"gpus": 3}, "models.tiny.device_map": "cpu"}
    assert problems(configured(on_cpu)) == {}


def test_slurm_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "bin", "sbatch", 'echo "allocation failure: $*" >&2; exit 1')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    how = Circumstances(container=False, cluster=True, defaults={"slurm_partition": "gpu"})
    found = problems(configured({"models.tiny.resources": {"gpus": 2}}), how)
    assert set(found) == {"SLURM takes jobs of tiny"}  # GPUs are the cluster's, not this machine's
    assert "--nodes=1 --gpus=2 --cpus-per-task=1 --partition=gpu" in found["SLURM takes jobs of tiny"]


def test_memory_is_foreseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny.save("llama", tmp_path / "model")
    config = configured({"models.tiny.id": str(folder)})

    def memory(free: int) -> preflight.Finding:
        monkeypatch.setattr(limits, "host", lambda own=0: [Limit(free, "what is pretended", 0.5, 1, "More: {least}.")])
        (found,) = [each for each in look(config, LOCAL) if each.what.startswith("memory of tiny")]
        return found

    assert not [each for each in look(config, LOCAL) if each.what.startswith("memory")]  # not fetched
    marker = Path(Layout(config).model_marker("tiny"))
    marker.parent.mkdir(parents=True)
    marker.write_text(json.dumps({"path": str(folder), "asset": asset_key(config.models["tiny"])}))
    enough = memory(4 << 30)
    assert enough.problem is None
    assert "a job has 2.00 GiB (50% of the 4.00 of what is pretended); weights resident (0.00 GiB)" in enough.what
    little = memory(1 << 30)
    assert little.what == "memory of tiny"
    assert str(little.problem).startswith("models.tiny: 0.50 GiB (50% of the 1.00 of what is pretended) is too little")
    assert "More: 1." in str(little.problem)
    config = configured({"models.tiny.id": str(folder), "models.tiny.resources": {"gpus": 1}})
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert "that of its GPUs, which are not here; its weights take 0.00 GiB" in memory(1).what
