"""The whole workflow through `snakemake --profile slurm`, each evaluate job in the image, on nodes without network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from cornerstone import files
from cornerstone.cluster import slurm
from cornerstone.config.config import load
from tests.helpers import windows
from tests.hpc.cluster import Cluster, wait
from tests.hpc.container import Apptainer
from tests.hpc.site import Site, settings
from tests.workflow.runner import ROOT, Workflow, without_seconds

pytestmark = [pytest.mark.workflow, pytest.mark.hpc]
TASKS = ("arc_easy", "openbookqa")
OFFLINE = "--apptainer-args=--nv --net --network none"


@pytest.fixture(scope="module")
def finished(
    real_assets: Path,
    running_cluster: Cluster,
    apptainer: Apptainer,
    image: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Site, list[str]]:
    """A straight run from nothing to figures, and the SLURM ids of its jobs."""
    folder = tmp_path_factory.mktemp("hpc") / "work"
    config = settings(image)
    config["models"]["tiny"]["threads"] = 2
    site = Site(Workflow.create(folder, real_assets, config), running_cluster, apptainer)
    site.workflow.copy(folder.with_name("local"))
    site.succeed(OFFLINE)
    return site, site.submitted()


def test_equal_to_a_local_run(finished: tuple[Site, list[str]]) -> None:
    site, _ = finished
    local = Workflow(site.workflow.folder.with_name("local"))
    local.succeed("results/tiny/deletion.csv")
    for task in TASKS:
        assert len(local.results(task)) >= 13
        assert site.workflow.results(task) == local.results(task)
    for name in ("ablation.csv", "shapley_window-k2.csv", "cornerstones.csv", "deletion.csv"):
        ours, theirs = (pd.read_csv(w.folder / "results/tiny" / name) for w in (site.workflow, local))
        pd.testing.assert_frame_equal(ours, theirs)
    assert (site.workflow.folder / "results/summary.md").is_file()


def test_few_jobs(finished: tuple[Site, list[str]]) -> None:
    """One job for each task's evaluation and one for its deletion curves; everything else runs where Snakemake does."""
    site, jobs = finished
    assert len(jobs) == 4
    for job in jobs:
        shown = site.cluster.client("scontrol", "show", "job", job)
        for part in ("TresPerJob=gres:gpu:1", "MinMemoryNode=2G", "TimeLimit=00:10:00", "NumCPUs=2 ", "Requeue=1"):
            assert part in shown
    logs = [path.read_text() for path in sorted(site.workflow.folder.glob("logs/slurm/**/*.log"))]
    assert len(logs) == 4  # kept, also of jobs that ended well
    said = site.workflow.log("evaluate/tiny/arc_easy.0")
    assert "the memory of this job: 1.80 GiB (90% of the 2.00 of what the job asked the cluster for)" in said
    assert all(f"Activating singularity image {site.workflow.config()['container']}" in log for log in logs)


def test_what_is_asked_for_by_name_is_one_job(
    real_assets: Path, cluster: Cluster, apptainer: Apptainer, image: Path, tmp_path: Path
) -> None:
    """In an empty folder: one file, one job, planned or not; several files are one job, too.

    Every name is as odd as the config lets it be: what a shell would take for more than a name is quoted all the way.
    """
    odd, config = "re sults@%+=~.x", settings(image, constraint="(a100|h100)", partition="gpu,billed")
    config |= {"paths": {"results": odd}, "container": "im@%+=~age.sif"}
    config["models"]["tiny"]["id"] = "mo del@%+=~"
    workflow = Workflow.create(tmp_path / "wo@%+=~rk", real_assets, config)
    (workflow.folder / "model").rename(workflow.folder / config["models"]["tiny"]["id"])
    (workflow.folder / config["container"]).symlink_to(image)
    (workflow.folder / odd).mkdir()
    (workflow.folder / "results").symlink_to(odd)
    site = Site(workflow, cluster, apptainer)
    folder = f"{odd}/tiny/arc_easy/coalitions"
    one, several = f"{folder}/drop-attn0.json", [f"{folder}/{name}.json" for name in ("drop-attn0-ffn2", "full")]
    site.succeed(one)
    assert len(site.submitted()) == 1
    assert list((site.workflow.folder / odd).rglob("*.json")) == [site.workflow.folder / one]
    before = site.workflow.results("arc_easy")
    inode = (site.workflow.folder / one).stat().st_ino
    site.succeed(one, *several, "--forcerun", one)
    assert len(site.submitted()) == 1
    assert "0 of 3 coalitions are there, 3 to do" in site.workflow.log(
        "of-re-sults-.x/evaluate/tiny/arc_easy.drop-attn0-and-2-more"
    )
    after = site.workflow.results("arc_easy")
    assert set(after) == {"drop-attn0", "drop-attn0-ffn2", "full"}
    assert after["drop-attn0"] == before["drop-attn0"]
    assert (site.workflow.folder / one).stat().st_ino != inode


def test_gpus_of_a_job_are_on_one_node(cluster: Cluster) -> None:
    """With one GPU left on each of two nodes, SLURM gives a job of two one of each where it is not told."""
    for node in cluster.names:
        submit(cluster, f"--nodelist={node}", "--gpus=1", "--mem=100", "--time=10")
    wait(lambda: len(cluster.running()) == 2, 30, "a GPU of each node is taken")
    entry = load(settings(Path(__file__), gpus=2, memory_gb=1)).models["tiny"]
    options = slurm.request(entry, {}, Path("not fetched"))
    split = submit(cluster, *(option for option in options if option != "--nodes=1"))
    wait(lambda: cluster.running().get(split) == "n[0-1]", 30, "GPUs of two nodes")
    cluster.client("scancel", split)
    wait(lambda: split not in cluster.running(), 30, "they are free again")
    whole = submit(cluster, *options)
    wait(lambda: "Reason=Resources" in cluster.client("scontrol", "show", "job", whole), 30, "it waits for a node")
    cluster.client("scancel", next(job for job, node in cluster.running().items() if node == "n1"))
    wait(lambda: cluster.running().get(whole) == "n1", 30, "both GPUs of one node")


def submit(cluster: Cluster, *options: str) -> str:
    """Submit a job that only waits; returns its id."""
    return cluster.client("sbatch", "--parsable", "--output=/dev/null", *options, "--wrap", "sleep 300").strip()


def test_what_does_not_fit_is_streamed(
    real_assets: Path, cluster: Cluster, apptainer: Apptainer, image: Path, tmp_path: Path
) -> None:
    """Weights of 700 MB in the 1 GiB that a job asked for: nothing in the config says so."""
    config = settings(image, blocks=8, largest=1, limit=2, memory_gb=1)
    site = Site(Workflow.create(tmp_path / "work", real_assets, config, width=1536), cluster, apptainer)
    site.succeed("results/tiny/openbookqa/coalitions/full.json", "--retries", "0")
    said = site.workflow.log("evaluate/tiny/openbookqa.full")
    assert "the memory of this job: 0.90 GiB (90% of the 1.00 of what the job asked the cluster for)" in said
    assert "its weights do not fit beside a sensible number of hidden states, so they are streamed" in said


@pytest.mark.rare
def test_embedded_default(
    real_assets: Path, cluster: Cluster, apptainer: Apptainer, image: Path, tmp_path: Path
) -> None:
    """The real model of config.yaml on a few real documents, from nothing to figures."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text())
    config |= {
        "container": str(image),
        "container_sha256": files.sha256(image),
        "run_tasks": ["openbookqa", "winogrande"],
    }
    config["documents"]["limit"] = 2
    config["estimators"] = windows(1)
    config["deletion"] = {"share": 0.1, "points": 1, "orders": ["depth"]}
    config["models"]["smollm2-135m"]["resources"] = {"gpus": 0, "memory_gb": 4, "runtime_minutes": 20}
    site = Site(Workflow.lay_out(tmp_path / "work", config), cluster, apptainer)
    (site.workflow.folder / "resources").symlink_to(real_assets)  # on another disk, as often on a cluster
    local = site.workflow.copy(tmp_path / "local")
    site.succeed(OFFLINE)
    assert len(site.submitted()) == 5  # a task: its coalitions, those of its deletion curves; and the noise floor
    local.succeed("results/smollm2-135m/deletion.csv")
    results = [w.folder / "results" for w in (site.workflow, local)]
    for task in config["run_tasks"]:
        found = [read_all(folder / "smollm2-135m" / task / "coalitions") for folder in results]
        assert len(found[0]) == 62
        assert found[0] == found[1]
    for name in ("shapley_window-k1.csv", "deletion.csv"):
        ours, theirs = (pd.read_csv(folder / "smollm2-135m" / name) for folder in results)
        pd.testing.assert_frame_equal(ours, theirs)
    assert "## smollm2-135m" in (results[0] / "summary.md").read_text()
    assert (results[0] / "figures/smollm2-135m/values.png").stat().st_size > 1000


def read_all(folder: Path) -> dict[str, Any]:
    return {path.stem: without_seconds(json.loads(path.read_text())) for path in folder.glob("[!.]*.json")}
