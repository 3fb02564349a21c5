"""What is wrong is said once and clearly, before any job is submitted."""

from __future__ import annotations

import collections
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cornerstone.cluster import slurm as package
from cornerstone.config.source import plain
from tests.helpers import script
from tests.hpc.cluster import Cluster
from tests.hpc.container import Apptainer
from tests.hpc.site import Site, settings
from tests.workflow.runner import ROOT, Workflow

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


def three_gpus(config: dict[str, Any]) -> None:
    config["models"]["tiny"]["resources"]["gpus"] = 3


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
    "more GPUs than a node has": (
        three_gpus,
        [],
        "jobs of tiny ask for 3 GPUs on one node (models.tiny.resources.gpus), and nodes of the cluster's default "
        "partition have 2 at most. Set models.tiny.resources.gpus to 2 or less",
    ),
    "no account": (
        nothing,
        ["--default-resources", "slurm_partition=billed"],
        "SLURM says: partition billed needs an account",
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
    assert "missing or wrong, and jobs need it (1):" in done.stdout
    assert "Traceback" not in done.stdout
    assert site.cluster.jobs() == before
    assert not list((site.workflow.folder / "results").glob("[!.]*"))


HOSTILE = (
    "$(hostile)",
    "a`hostile`",
    ";hostile;",
    "x|hostile",
    "x&hostile&",
    "'\nhostile\n'",
    '";hostile;"',
    "x>hostile",
)
"""Strings that a shell would run."""


def test_hostile_strings_reach_no_shell(
    site: Site, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each string in each place that becomes part of a command of SLURM or Apptainer: all are said at once."""
    script(tmp_path / "bin", "hostile", f"touch '{tmp_path / 'ran'}'")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    subprocess.run("$(hostile)", shell=True, check=False)  # the trap works
    (tmp_path / "ran").unlink()
    config = settings(image)
    tiny = config["models"]["tiny"]
    for index, text in enumerate(HOSTILE):
        resources = {"partition": text, "account": text, "constraint": text}
        config["models"][f"m{index}"] = {**tiny, "resources": resources}
        config["tasks"][f"t{index}"] = {"metric": "acc", "documents": f"{text}.jsonl", "fewshot_documents": text}
        config["models"][text] = tiny
        config["tasks"][text] = {"metric": "acc"}
    config |= {"container": HOSTILE[0], "paths": {"results": HOSTILE[1], "resources": HOSTILE[2]}}
    site.workflow.write_config(config)
    before = site.cluster.jobs()
    done = site.run("results/tiny/arc_easy/values.parquet")
    assert done.returncode != 0
    places = ["container", "paths.results", "paths.resources"]
    for index, text in enumerate(HOSTILE):
        places += [f"tasks.t{index}.{key}" for key in ("documents", "fewshot_documents")]
        places += [f"models.m{index}.resources.{key}" for key in ("partition", "account")]
        places += [f"models.{plain(text)}: ", f"tasks.{plain(text)}: "]
        if text[1] not in "|&":  # by which SLURM joins features; test_workflow.py has such a one quoted
            places.append(f"models.m{index}.resources.constraint")
    assert [place for place in places if f": {place}" not in done.stdout] == []
    assert "Traceback" not in done.stdout
    assert site.cluster.jobs() == before
    assert not (tmp_path / "ran").exists()
    assert not list(site.workflow.folder.rglob("hostile"))


@pytest.mark.parametrize(
    "option",
    ["--mem=900000", "--gpus=16", "--gpus=3 --nodes=1", "--constraint=v100", "--time=99-0", "--account=x -pnope"],
)
def test_what_the_controller_refuses(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    for key, value in cluster.environment.items():
        monkeypatch.setenv(key, value)
    assert package.refusal(["--mem=1000", "--gpus=1", "--ntasks=1", "--constraint=a100|h100"]) is None
    assert str(package.refusal(["--ntasks=1", *option.split()])).startswith("SLURM says: ")


def test_no_apptainer(site: Site, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.workflow.write_config(settings(image))
    environment = {**site.environment, "PATH": site.cluster.environment["PATH"]}
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
    assert done.stdout.count("weights of tiny: resources/models/tiny.json is missing") == 1
    assert done.stdout.count("missing or wrong, and jobs need it") == 1
    site.succeed("fetch")
    assert "cornerstone: ok: weights of tiny" in site.succeed("preflight")


ASKED = re.compile(
    r"^Job \d+: Evaluating .* of (\S+) on \w+: (\d+) GPUs?, (\d+) MB, (\d+) minutes, (\d+) CPUs$", re.MULTILINE
)


def test_the_papers_models(site: Site, image: Path) -> None:
    """What a dry run shows for the three models: jobs, GPUs, memory and time that clusters of A100 or H100 have."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["run"] = ["llama3-8b", "llama3-70b", "mixtral-8x7b"]
    site.workflow.write_config({**config, "container": str(image)})
    asked = collections.Counter(ASKED.findall(site.succeed("--dry-run")))
    assert asked == {
        ("llama3-8b", "1", str(64 * 1024), "480", "8"): 12 + 6,
        ("llama3-70b", "4", str(256 * 1024), "1440", "16"): 48 + 6,
        ("mixtral-8x7b", "2", str(192 * 1024), "960", "16"): 24 + 6,
    }
    weights = {"llama3-8b": 16, "llama3-70b": 141, "mixtral-8x7b": 93}  # GB in bfloat16
    for name, gpus, megabytes, minutes, threads in asked:
        # nine tenths of the GPUs' memory leave a good part to hidden states beside the weights
        assert 1.3 * weights[name] < 0.9 * 80 * int(gpus)
        assert "memory" not in config["models"][name]  # a job uses what it has
        assert weights[name] < int(megabytes) / 1024 <= 128 * int(gpus)  # a node of 8 GPUs has 1 TB and more
        assert int(threads) <= 16 * int(gpus)
        assert int(minutes) <= 2 * 24 * 60
