"""Mean contributions and heads in a real run: of two entries of one model, one coalition of each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers import windows
from tests.workflow.runner import Workflow

pytestmark = pytest.mark.workflow


def test_entries_of_the_same_weights_with_other_players_and_removal(straight: Workflow, tmp_path: Path) -> None:
    workflow = straight.copy(tmp_path / "work")
    before = workflow.coalitions("arc_easy")["drop-attn1"].read_bytes()
    config = workflow.config()
    mean = {"kind": "mean", "documents": {"task": "openbookqa", "limit": 4}}
    config["models"]["other"] = {**config["models"]["tiny"], "players": "heads", "heads": 4, "removal": mean}
    workflow.write_config({**config, "run": ["tiny", "other"], "estimators": windows(1)})
    target = "results/other/arc_easy/coalitions/drop-attn1h2-ffn2.json"
    workflow.succeed(target)
    said = json.loads((workflow.folder / target).read_text())
    assert said["coalition"]["removed"] == ["attn1h2", "ffn2"]
    assert said["coalition"]["players"] == 3 * 5
    assert said["provenance"]["model"]["removal"] == mean
    assert len(list((workflow.folder / "results" / "other").glob("means-*.safetensors"))) == 1
    log = workflow.log("evaluate/other/arc_easy.drop-attn1h2-ffn2")
    assert "other: mean contributions of its sublayers over 4 documents of openbookqa, the last of their order" in log
    assert workflow.coalitions("arc_easy")["drop-attn1"].read_bytes() == before
    stale = {rule for rule in workflow.planned_jobs("all") if rule.startswith("evaluate")}
    assert stale == {"evaluate_other_0"}  # the other entry's results fit as they are
