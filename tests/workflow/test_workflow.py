"""Real Snakemake runs: straight, killed and resumed, with a file deleted, a setting or a module changed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cornerstone.command import rounds
from cornerstone.config.config import load_files
from cornerstone.present import looks
from tests.helpers import windows
from tests.workflow.conftest import LIMIT
from tests.workflow.runner import Workflow, configuration

pytestmark = pytest.mark.workflow
BLOCKS, LARGEST = 3, 2
PLANNED = 1 + LARGEST * 2 * BLOCKS - LARGEST * (LARGEST - 1) // 2 + 1  # the windows, and nobody


@pytest.fixture(scope="module")
def finished(straight: Workflow) -> Workflow:
    return straight


@pytest.fixture
def workflow(finished: Workflow, tmp_path: Path) -> Workflow:
    return finished.copy(tmp_path / "work")


def inodes(workflow: Workflow) -> dict[str, int]:
    """A file that is written again gets another inode (Snakemake's own touch of its date does not)."""
    return {name: path.stat().st_ino for name, path in workflow.coalitions("arc_easy").items()}


def test_straight_run_makes_everything(finished: Workflow) -> None:
    results = finished.folder / "results"
    for task in ("arc_easy", "openbookqa"):
        assert len(finished.coalitions(task)) >= PLANNED
    for kind in ("shares", "ablation", "values", "interactions", "assumptions", "deletion"):
        for ending in ("svg", "pdf", "png"):
            assert (results / "figures" / "tiny" / f"{kind}.{ending}").stat().st_size > 1000
    for table in ("table1", "table2", "table3", "table4", "hypotheses", "estimators"):
        for ending in ("csv", "md", "tex"):
            assert (results / "tables" / f"{table}.{ending}").read_text().strip()
    values = pd.read_csv(results / "tiny" / f"shapley_window-k{LARGEST}.csv")
    assert values.groupby("task")["player"].count().to_dict() == dict.fromkeys(["arc_easy", "mean", "openbookqa"], 6)
    assert ((values["low"] <= values["value"]) & (values["value"] <= values["high"])).all()
    assert "## tiny" in (results / "summary.md").read_text()


def test_jobs_share_memory(finished: Workflow) -> None:
    """Snakemake says how many run at once, and no one set a budget."""
    said = finished.log("evaluate/tiny/arc_easy.0")
    assert re.search(r"the memory of this job: [\d.]+ GiB \(\d+% of .*, shared by the 2 jobs that run at once\)", said)
    assert "weights resident" in said


def test_nothing_is_done_twice(workflow: Workflow) -> None:
    assert "Nothing to be done" in workflow.succeed()


def asked(jobs: dict[str, int]) -> list[int]:
    """How many jobs each rule makes of coalitions that were asked for by name, where no other rule makes any."""
    assert all(name.startswith("evaluate_asked_") for name in jobs)
    return list(jobs.values())


def path_of(name: str, task: str = "arc_easy") -> str:
    return f"results/tiny/{task}/coalitions/{name}.json"


def test_what_is_asked_for_by_name_is_made_and_nothing_else(workflow: Workflow) -> None:
    """In a folder without results: planned or not, one job for each task, which walks its coalitions together."""
    shutil.rmtree(workflow.folder / "results")
    shutil.rmtree(workflow.folder / ".snakemake")
    one, several = path_of("drop-ffn1"), [path_of(name) for name in ("full", "drop-attn0-ffn2", "drop-ffn1")]
    assert asked(workflow.planned_jobs(one)) == [1]
    workflow.succeed(one)
    assert list(workflow.coalitions("arc_easy")) == ["drop-ffn1"]
    assert list(workflow.folder.glob("results/**/*.json")) == [workflow.folder / one]
    assert workflow.planned_jobs(one) == {}
    made = inodes(workflow)
    assert asked(workflow.planned_jobs(*several, path_of("full", "openbookqa"))) == [1, 1]
    workflow.succeed(*several)
    assert "1 of 3 coalitions are there, 2 to do" in workflow.log("evaluate/tiny/arc_easy.drop-attn0-ffn2-and-2-more")
    assert set(workflow.coalitions("arc_easy")) == {"drop-ffn1", "full", "drop-attn0-ffn2"}
    assert inodes(workflow)["drop-ffn1"] == made["drop-ffn1"]
    assert workflow.planned_jobs(*several) == {}


def test_a_coalition_is_computed_again_on_demand(workflow: Workflow) -> None:
    path = workflow.coalitions("arc_easy")["drop-ffn1"]
    before, old = workflow.results("arc_easy"), inodes(workflow)
    target = path_of("drop-ffn1")
    assert workflow.planned_jobs(target) == {}
    path.write_text(path.read_text().replace('"loglikelihood": [[-', '"loglikelihood": [[-1'))
    assert asked(workflow.planned_jobs(target)) == [1]  # it is not what was written: its checksum says so
    workflow.succeed(target, "--forcerun", target)
    assert workflow.results("arc_easy") == before
    new = inodes(workflow)
    assert [name for name in new if new[name] != old[name]] == ["drop-ffn1"]
    assert asked(workflow.planned_jobs("--force", target)) == [1]


def test_planned_results_that_are_missing_or_damaged_are_made_again(workflow: Workflow) -> None:
    """By a plain run, though the tables that were made from them are newer."""
    files = workflow.coalitions("arc_easy")
    before, old = workflow.results("arc_easy"), inodes(workflow)
    files["drop-ffn1"].unlink()
    files["drop-attn1"].write_text(files["drop-attn1"].read_text()[:200])
    jobs = workflow.planned_jobs()
    assert jobs["evaluate_tiny_0"] == jobs["collect"] == 1
    assert jobs["estimate"] == 1
    workflow.succeed("results/tiny/arc_easy/values.parquet")
    assert f"{PLANNED - 2} of {PLANNED} coalitions are there, 2 to do" in workflow.log("evaluate/tiny/arc_easy.0")
    assert workflow.results("arc_easy") == before
    new = inodes(workflow)
    assert {name for name in new if new[name] != old[name]} == {"drop-ffn1", "drop-attn1"}
    assert "evaluate_tiny_0" not in workflow.planned_jobs()


def test_chunks_that_are_cut_otherwise_compute_nothing(workflow: Workflow) -> None:
    config = workflow.config()
    config["models"]["tiny"]["chunks"] = 3
    workflow.write_config(config)
    assert not [name for name in workflow.planned_jobs() if name.startswith("evaluate")]


def test_metric_changed(workflow: Workflow) -> None:
    """A metric is chosen from what is stored: no evaluation, no collecting."""
    config = workflow.config()
    config["tasks"]["arc_easy"]["metric"] = "acc"
    workflow.write_config(config)
    jobs = workflow.planned_jobs()
    assert jobs.pop("deletion_tiny") == 2  # the order of removal may change
    assert jobs == {
        "estimate": 1, "interactions_tiny": 1, "deletion_curves": 1, "figure": 6, "tables": 1, "summary": 1,
        "package": 1, "page": 1,
    }  # fmt: skip


def test_headline_changed(workflow: Workflow) -> None:
    config = workflow.config()
    config["estimators"] = windows(1, LARGEST)
    workflow.write_config(config)
    jobs = workflow.planned_jobs()
    assert {name: jobs.get(name, 0) for name in ("estimate", "tables", "summary", "collect")} == {
        "estimate": 1, "tables": 1, "summary": 1, "collect": 0
    }  # fmt: skip


def test_other_weights_are_never_passed_off(workflow: Workflow) -> None:
    """Even where Snakemake has forgotten what it did: the marker of the weights is compared with the config."""
    config = workflow.config()
    (workflow.folder / "model").rename(workflow.folder / "model2")
    config["models"]["tiny"]["id"] = "model2"
    workflow.write_config(config)
    shutil.rmtree(workflow.folder / ".snakemake")
    done = workflow.run("results/tiny/arc_easy/coalitions/drop-attn0-ffn2.json")
    assert done.returncode != 0
    assert "describes model at None, but the config asks for model2" in done.stdout


def test_limits_that_grow_and_shrink(workflow: Workflow, tmp_path: Path) -> None:
    """8, then 24, then 16 documents: only what is missing is computed, and it is what a fresh run of 24 computes."""
    table, said = "results/tiny/arc_easy/values.parquet", "evaluate/tiny/arc_easy.0"
    shutil.rmtree(workflow.folder / "results")
    fresh = workflow.copy(tmp_path / "fresh")

    def run(folder: Workflow, limit: int) -> pd.DataFrame:
        config = folder.config()
        config["tasks"]["arc_easy"]["limit"] = limit
        folder.write_config(config)
        folder.succeed(table)
        return pd.read_parquet(folder.folder / table)

    assert len(run(workflow, 8)) == PLANNED * 8
    before = workflow.results("arc_easy")
    whole = run(workflow, 24)
    assert f"0 of {PLANNED} coalitions are there, {PLANNED} to do" in workflow.log(said)
    assert f"{PLANNED} lack 16 of 24 documents" in workflow.log(said)
    after, files = workflow.results("arc_easy"), inodes(workflow)
    for name, result in before.items():
        assert after[name]["documents"]["loglikelihood"][:8] == result["documents"]["loglikelihood"]
    (workflow.folder / "logs" / f"{said}.log").unlink()
    part = run(workflow, 16)
    assert not (workflow.folder / "logs" / f"{said}.log").exists()  # there is no job
    assert inodes(workflow) == files
    chosen = list(dict.fromkeys(whole["doc_id"]))[:16]
    pd.testing.assert_frame_equal(part, whole[whole["doc_id"].isin(chosen)].reset_index(drop=True), check_exact=True)
    pd.testing.assert_frame_equal(run(fresh, 24), whole, check_exact=True)
    for name, result in fresh.results("arc_easy").items():
        assert result["documents"] == after[name]["documents"]


def test_the_next_look_computes_the_new_documents_only(workflow: Workflow, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a run goes on that was killed after it had raised the number of documents: from 6 to 8, the most allowed."""
    monkeypatch.chdir(workflow.folder)
    config = workflow.config()
    config["until"] = {"settled": "top3", "at_most": LIMIT + 2}
    workflow.write_config(config)
    assert workflow.planned_jobs("looks") == {"look_tiny": 1, "looks": 1}
    workflow.succeed("looks")
    before, now = workflow.results("arc_easy"), load_files([Path("config.yaml")])
    found = looks.read(now, "tiny")
    assert found
    assert (found["settled"], found["last"]) == (False, False)
    rounds.raise_limits(now, rounds.unsettled(now, {"tiny": found}))
    workflow.succeed("looks")
    assert f"{PLANNED} lack 2 of 8 documents" in workflow.log("evaluate/tiny/arc_easy.0")
    for name, result in before.items():
        lines = workflow.results("arc_easy")[name]["documents"]["loglikelihood"]
        assert lines[:LIMIT] == result["documents"]["loglikelihood"]
    found = looks.read(load_files([Path("config.yaml")]), "tiny")
    assert found
    assert (found["last"], found["documents_by_task"]) == (True, {"arc_easy": 8, "openbookqa": 8})
    assert {path.name for path in Path("results/tiny/looks").glob("*.json")} == {"6.json", "8.json"}
    assert not [job for job in workflow.planned_jobs() if job.startswith(("evaluate_tiny", "look"))]


def test_settings_that_decide_no_number_rerun_nothing(workflow: Workflow) -> None:
    config = workflow.config()
    config["models"]["tiny"] |= {"threads": 2, "memory": {"budget_gb": 2.0}, "resources": {"memory_gb": 9}}
    workflow.write_config(config)
    assert workflow.planned_jobs() == {}
    workflow.write_config({**config, "noise": {"coalitions": 2}})
    assert workflow.planned_jobs() == {"noise_tiny": 1, "summary": 1, "page": 1, "package": 1}
    workflow.succeed("results/summary.md", "results/index.html")
    for page in ("summary.md", "index.html"):  # the job had two threads
        said = (workflow.folder / "results" / page).read_text()
        assert "Recomputed with other batches and threads, the same coalitions differ by at most" in said
    assert set(pd.read_csv(workflow.folder / "results" / "tiny" / "noise.csv")["how"]) > {"1 thread"}
    changed = {**config["tasks"], "arc_easy": {"metric": "acc"}}
    workflow.write_config({**config, "noise": {"coalitions": 2}, "tasks": changed})
    assert "noise_tiny" not in workflow.planned_jobs()  # another metric is chosen from what was measured
    workflow.write_config(config)
    table = workflow.folder / "results" / "tiny" / "ablation.csv"
    table.write_text(table.read_text()[:-9])  # a table that was cut is made again, though it is new
    assert workflow.planned_jobs("results/tiny/ablation.csv") == {"estimate": 1}


@pytest.mark.parametrize(
    ("module", "reruns", "stays"),
    [("engine/sweep", "evaluate_tiny_0", "fetch_model"), ("analysis/intervals", "estimate", "evaluate_tiny_0")],
)
def test_code_changed(workflow: Workflow, module: str, reruns: str, stays: str) -> None:
    with (workflow.folder / "cornerstone" / f"{module}.py").open("a") as stream:
        stream.write("\nCHANGED = True\n")
    jobs = workflow.planned_jobs()
    assert reruns in jobs
    assert stays not in jobs


FAILING = """
_calls, _choice_scores = 0, choice_scores


def choice_scores(*arguments):
    global _calls
    _calls += 1
    if _calls == 3:
        raise MemoryError("made by a test")
    return _choice_scores(*arguments)
"""


def test_failure_keeps_what_was_made_anew(workflow: Workflow) -> None:
    """Results of older code are replaced group by group; a failure must not bring the older ones back."""
    old = workflow.results("arc_easy")
    with (workflow.folder / "cornerstone" / "schedule" / "groups.py").open("a") as stream:
        stream.write("\nMOST_TOGETHER = 5\n")
    module = workflow.folder / "cornerstone" / "engine" / "sweep.py"
    code = module.read_text()
    module.write_text(code + FAILING)
    target = "results/tiny/arc_easy/values.parquet"
    done = workflow.run(target)
    assert done.returncode != 0
    assert "out of memory with" in done.stdout
    assert "no backup found" not in done.stdout
    new = workflow.results("arc_easy")
    assert sum(new[name]["provenance"] != old[name]["provenance"] for name in old) == 10
    module.write_text(code + FAILING.replace("== 3", "== 99"))  # other code again: everything is stale
    workflow.succeed(target)
    assert f"0 of {PLANNED} coalitions are there" in workflow.log("evaluate/tiny/arc_easy.0")


def test_report_is_made(workflow: Workflow) -> None:
    workflow.succeed("--report", "report.html")
    assert "arc_easy acc_norm" in (workflow.folder / "report.html").read_text()


def test_kill_and_resume(real_assets: Path, tmp_path: Path) -> None:
    """kill -9 in the middle of an evaluate job: what was finished stays, and the result is that of a straight run."""
    config: dict[str, Any] = configuration(blocks=16, largest=4, limit=8)
    config["run_tasks"] = ["arc_easy"]
    killed = Workflow.create(tmp_path / "killed", real_assets, config, width=128)
    killed.succeed("fetch")
    straight = killed.copy(tmp_path / "straight")
    target = "results/tiny/arc_easy/values.parquet"
    running = subprocess.Popen(
        killed.command(target),
        cwd=killed.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not killed.coalitions("arc_easy") and running.poll() is None:  # however slow the machine is
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    kept = inodes(killed)
    planned = 1 + 4 * 32 - 6 + 1
    assert 0 < len(kept) < planned
    killed.succeed(target)
    there = f"{len(kept)} of {planned} coalitions are there, {planned - len(kept)} to do"
    assert there in killed.log("evaluate/tiny/arc_easy.0")
    files = inodes(killed)
    assert len(files) == planned
    assert {name: files[name] for name in kept} == kept
    straight.succeed(target)
    assert killed.results("arc_easy") == straight.results("arc_easy")
