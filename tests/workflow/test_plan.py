"""`snakemake plan` for real: a table, two files, and nothing evaluated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.workflow.runner import Workflow, configuration

pytestmark = pytest.mark.workflow
HUB = {"source": "hub", "id": "some/where", "revision": "a" * 40}


def wanted() -> dict[str, Any]:
    config = configuration(3, 2, limit=4)
    config["estimators"] = [{"kind": "window", "removed": 2}, {"kind": "exact"}]
    return config


@pytest.fixture
def workflow(real_assets: Path, tmp_path: Path) -> Workflow:
    return Workflow.create(tmp_path / "work", real_assets, wanted())


def test_a_plan_is_shown_each_time_and_evaluates_nothing(workflow: Workflow) -> None:
    first = workflow.succeed("plan")
    results = workflow.folder / "results"
    assert {path.name for path in results.glob("[!.]*")} == {"plan.csv", "plan.md"}
    table: Any = pd.read_csv(results / "plan.csv").set_index(["task", "estimator"])
    for task in ("arc_easy", "openbookqa"):
        rows = table.loc[task]
        assert rows["coalitions"].drop(index=["deletion", "all"]).tolist() == [8, 12, 64]
        assert rows["shared"].drop(index=["deletion", "all"]).tolist() == [0, 7, 13]
        assert rows.loc["deletion", "new"] == 0  # all 64 are planned
        assert rows.loc["all", "new"] == 64
        assert rows.loc["all", "tokens"] > 64 * 4 * 10
        assert (rows["speed_from"] == "measured here").all()
    assert table["hours"].notna().all()
    assert "- tiny: its weights take 0.00 GiB. A job has " in first
    assert "shared by the 2 jobs that run at once" in first
    shown = (results / "plan.md").read_text().partition("\n\n")[2].splitlines()
    assert shown[0] in first
    assert all(line in first for line in shown[2:] if " exact " in line)
    again = workflow.succeed("plan", "--config", "run_tasks=[arc_easy]")
    assert "openbookqa" not in again.partition("| model")[2]
    assert "| arc_easy" in again


def test_a_plan_needs_no_weights_of_a_hub_model(workflow: Workflow) -> None:
    config = wanted()
    config["models"]["tiny"].update(HUB)
    workflow.write_config(config)
    assert workflow.planned_jobs("plan") == {"fetch_outline": 1, "plan": 1}
    marker = workflow.folder / "resources" / "models" / "tiny.json"
    marker.parent.mkdir()
    marker.write_text("{}")  # with the weights at hand, theirs is used
    assert "fetch_outline" not in workflow.planned_jobs("plan")


def test_an_outline_that_cannot_be_had(workflow: Workflow, monkeypatch: pytest.MonkeyPatch) -> None:
    config = wanted()
    config["models"]["tiny"].update(HUB)
    workflow.write_config(config)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    done = workflow.run("plan")
    assert done.returncode != 0
    assert "AssetError: could not download some/where" in done.stdout
    assert "Traceback (most recent call last)" not in done.stdout


def test_a_config_that_does_not_fit(workflow: Workflow) -> None:
    config = wanted()
    config["models"]["tiny"]["blocks"] = 4
    workflow.write_config(config)
    done = workflow.run("plan")
    assert done.returncode != 0
    assert "ModelError: config.yaml says blocks: 4" in done.stdout
    assert "Traceback (most recent call last)" not in done.stdout
