"""Whole runs of games so small that ranks, correlations and pairs have next to nothing to go by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.workflow.runner import Workflow, configuration

pytestmark = pytest.mark.workflow
THREE = {"groups": {"early": ["block0"], "middle": ["block1"], "late": ["block2"]}}


@pytest.mark.parametrize(("players", "count"), [({"blocks": 2}, 2), (THREE, 3)])
def test_all_that_a_run_makes(real_assets: Path, tmp_path: Path, players: Any, count: int) -> None:
    config = configuration(3, 1, limit=8)
    config["estimators"] = [{"kind": "window", "removed": 1}, {"kind": "exact"}]
    config["models"]["tiny"]["players"] = players
    workflow = Workflow.create(tmp_path / "work", real_assets, config)
    workflow.succeed("all")
    results = workflow.folder / "results"
    assert len(workflow.coalitions("arc_easy")) == 2**count
    assert len(pd.read_csv(results / "tiny" / "shapley_exact.csv").query("task == 'mean'")) == count
    assert "</html>" in (results / "index.html").read_text()
    for made in ("summary.md", "figures/tiny/values.pdf", "tables/table1.tex"):
        assert (results / made).stat().st_size > 0
