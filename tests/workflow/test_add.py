"""`cornerstone add`, and the workflow with what it has written."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.unit.adding.models import save
from tests.workflow.runner import Workflow, configuration

pytestmark = pytest.mark.workflow


def test_a_model_that_was_added_is_planned_and_scored(real_assets: Path, tmp_path: Path) -> None:
    workflow = Workflow.create(tmp_path / "work", real_assets, configuration(2, 1, 4))
    save("jamba", workflow.folder / "New")
    command = [workflow.python, "-m", "cornerstone.cli", "add", "New"]
    done = subprocess.run(command, cwd=workflow.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("config.yaml: added models.new.\n")
    assert done.stderr == "cornerstone: recognising its layout\n"
    path = workflow.folder / "config.yaml"
    text = path.read_text()
    assert text.count("run:\n- tiny\n") == 1
    path.write_text(text.replace("run:\n- tiny\n", "run:\n- new\n"))
    said = workflow.succeed("--dry-run")
    assert "Evaluating 10 coalitions of new on arc_easy" in said  # all sublayers, all but one of the 8, and none
    result = "results/new/openbookqa/coalitions/drop-mamba0-moe1.json"
    workflow.succeed(result)
    assert json.loads((workflow.folder / result).read_text())["coalition"]["removed"] == ["mamba0", "moe1"]
