"""What is wrong is said once and clearly, before any job is submitted."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.hpc.cluster import Cluster
from tests.hpc.container import Apptainer
from tests.hpc.site import Site, settings
from tests.workflow.runner import Workflow

pytestmark = [pytest.mark.workflow, pytest.mark.hpc]
Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def site(
    real_assets: Path,
    running_cluster: Cluster,
    apptainer: Apptainer,
    image: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Site:
    folder = tmp_path_factory.mktemp("refused") / "work"
    return Site(Workflow.create(folder, real_assets, settings(image)), running_cluster, apptainer)


def nothing(config: dict[str, Any]) -> None:
    return None


BAD: dict[str, tuple[Change, list[str], str]] = {
    "no image": (
        lambda c: c.update(container="nowhere.sif"),
        [],
        "there is no image at nowhere.sif (`container` in config.yaml). Build it with `make image`",
    ),
    "another image": (
        lambda c: c.update(container_sha256="0" * 64),
        [],
        "but container_sha256 in config.yaml says 0000",
    ),
    "no such partition": (
        nothing,
        ["--default-resources", "slurm_partition=nope"],
        "SLURM says: invalid partition specified: nope",
    ),
    "no account": (
        nothing,
        ["--default-resources", "slurm_partition=billed"],
        "SLURM says: partition billed needs an account",
    ),
    "too much memory": (
        lambda c: c["models"]["tiny"]["resources"].update(memory_gb=900),
        [],
        "SLURM says: Requested node configuration is not available",
    ),
    "too many GPUs": (
        lambda c: c["models"]["tiny"]["resources"].update(gpus=16),
        [],
        "--gpus=16) would be refused. SLURM says: Requested node configuration is not available",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_refused(site: Site, image: Path, case: str) -> None:
    change, arguments, message = BAD[case]
    config = settings(image)
    change(config)
    site.workflow.write_config(config)
    before = site.cluster.jobs()
    done = site.run("results/tiny/arc_easy/values.parquet", *arguments)
    assert done.returncode != 0
    assert done.stdout.count(message) == 1
    assert "1 thing(s) that jobs need are missing or wrong" in done.stdout
    assert "Traceback" not in done.stdout
    assert site.cluster.jobs() == before
    assert not (site.workflow.folder / "results").exists()


def test_no_apptainer(site: Site, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.workflow.write_config(settings(image))
    environment = {**site.environment, "PATH": os.pathsep.join([site.cluster.environment["PATH"]])}
    monkeypatch.setattr(Site, "environment", environment)
    done = site.run("results/tiny/arc_easy/values.parquet")
    assert done.returncode != 0
    assert done.stdout.count("The apptainer or singularity command has to be available") == 1
    assert "Traceback" not in done.stdout


def test_preflight_lists_what_is_there_and_what_is_missing(site: Site, image: Path) -> None:
    site.workflow.write_config(settings(image))
    done = site.run("preflight")
    assert done.returncode != 0
    for what in (f"image {image}", "pins of the image", "room for results", "SLURM takes jobs of tiny"):
        assert f"cornerstone: ok: {what}" in done.stdout
    assert "weights of tiny: resources/models/tiny.json is missing or damaged" in done.stdout
    site.succeed("fetch")
    assert "cornerstone: ok: weights of tiny" in site.succeed("preflight")


def test_the_papers_models(site: Site, image: Path) -> None:
    """What a dry run shows for the three models: jobs, GPUs, memory and time that clusters of A100 or H100 have."""
    import re

    import yaml

    from tests.workflow.runner import ROOT

    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["run"] = ["llama3-8b", "llama3-70b", "mixtral-8x7b"]
    site.workflow.write_config({**config, "container": str(image)})
    said = site.succeed("--dry-run")
    asked: dict[str, set[tuple[int, int, int]]] = {}
    jobs: dict[str, int] = {}
    for block in re.split(r"\n(?=rule |localrule |\[)", said):
        name = re.search(r"rule (evaluate|deletion)_(llama3-8b|llama3-70b|mixtral-8x7b)", block)
        if name is None or "resources:" not in block:
            continue
        values = {key: int(re.search(rf"\b{key}=(\d+)", block)[1]) for key in ("gpu", "mem_mb", "runtime")}  # type: ignore[index]
        jobs[name[2]] = jobs.get(name[2], 0) + 1
        asked.setdefault(name[2], set()).add((values["gpu"], values["mem_mb"] // 1024, values["runtime"]))
    assert jobs == {"llama3-8b": 12 + 6, "llama3-70b": 48 + 6, "mixtral-8x7b": 24 + 6}
    assert asked == {"llama3-8b": {(1, 64, 480)}, "llama3-70b": {(4, 256, 1440)}, "mixtral-8x7b": {(2, 192, 960)}}
    gigabytes = {"llama3-8b": 16, "llama3-70b": 141, "mixtral-8x7b": 93}  # weights in bfloat16
    for name, ((gpus, memory, minutes),) in ((name, tuple(values)) for name, values in asked.items()):
        assert gigabytes[name] + 32 < 80 * gpus  # with room for hidden states
        assert gigabytes[name] < memory <= 120 * gpus  # a node of 8 GPUs has 1 TB and more
        assert minutes <= 2 * 24 * 60
