"""The examples do what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cornerstone.outputs.package import undescribed
from tests import tiny
from tests.helpers import ROOT
from tests.workflow.runner import Workflow

pytestmark = pytest.mark.workflow


@pytest.mark.parametrize("name", ["llama", pytest.param("mixtral", marks=pytest.mark.rare)])
def test_the_engine_on_any_model(name: str, tmp_path: Path) -> None:
    folder = tiny.save(name, tmp_path)
    script = ROOT / "examples" / "sweep.py"
    assert sum(bool(line.strip()) for line in script.read_text().splitlines()) <= 20
    ffn = tiny.TINY[name].kind
    command = [sys.executable, str(script), str(folder), "full", "drop-attn0", f"drop-{ffn}0-attn1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["full", "drop-attn0", f"drop-{ffn}0-attn1"]
    assert len({line.split(maxsplit=1)[1] for line in lines}) == 3  # each removal changes the scores


def test_the_notebook_reads_results(straight: Workflow, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = json.loads((ROOT / "examples" / "results.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(code) == 3
    monkeypatch.chdir(straight.folder)
    names: dict[str, Any] = {}
    for cell in code:
        exec(cell.replace("smollm2-135m", "tiny"), names)
    assert set(names["games"]) == {"arc_easy", "openbookqa"}
    assert names["drops"].shape == (6, 2)
    assert os.getcwd() == str(straight.folder)


def test_the_notebook_of_tables_reads_results(straight: Workflow, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = json.loads((ROOT / "examples" / "tables.ipynb").read_text())["cells"]
    monkeypatch.chdir(straight.folder)
    names: dict[str, Any] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert len(names["means"]) == 6
    assert names["contrast"]["task"].tolist() == ["arc_easy", "openbookqa", "mean"]
    assert names["coalitions"]["coalition"].iloc[0] == "full"
    assert isinstance(names["flipped"], list)


def test_every_file_and_column_is_described(straight: Workflow) -> None:
    assert undescribed(straight.folder / "results") == {}
