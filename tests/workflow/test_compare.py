"""Two models side by side in real runs: a tuned copy with equal players, and a shorter model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.workflow.conftest import BLOCKS
from tests.workflow.runner import Workflow, save_model

pytestmark = pytest.mark.workflow

NAMES = {"tiny--tuned": ["agreement", "depth", "differences"], "tiny--short": ["depth"]}
TABLES = ["compare_agreement", "compare_depth", "compare_layers", "compare_shares"]
TARGETS = [
    *(f"results/figures/compare/{name}/{kind}.png" for name, kinds in NAMES.items() for kind in kinds),
    *(f"results/tables/{table}.md" for table in TABLES),
]
COMPARISONS = {"compare_tiny--tuned", "compare_tiny--short", "comparison_tables", "comparison_figure"}


def comparing(config: dict[str, Any]) -> dict[str, Any]:
    """The config of the straight run with two more models, of one task (the other is much the same)."""
    tiny = config["models"]["tiny"]
    more = {"tuned": tiny | {"id": "tuned"}, "short": tiny | {"id": "short", "blocks": BLOCKS - 1}}
    config["models"] |= more
    pairs = [name.split("--") for name in NAMES]
    return config | {"run": ["tiny", *more], "run_tasks": ["arc_easy"], "compare": pairs}


@pytest.fixture(scope="module")
def finished(straight: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    workflow = straight.copy(tmp_path_factory.mktemp("compare") / "work")
    save_model(workflow.folder / "tuned", BLOCKS, 32)
    save_model(workflow.folder / "short", BLOCKS - 1, 32)
    workflow.write_config(comparing(workflow.config()))
    workflow.succeed(*TARGETS)
    return workflow


def test_a_comparison_makes_tables_and_figures(finished: Workflow) -> None:
    results = finished.folder / "results"
    for target in TARGETS:
        assert (finished.folder / target).stat().st_size > 100
    differences = pd.read_csv(results / "compare" / "tiny--tuned" / "differences.csv")
    assert set(differences["player"]) == {f"{kind}{block}" for block in range(BLOCKS) for kind in ("attn", "ffn")}
    own = pd.read_csv(results / "tuned" / "ablation.csv") if (results / "tuned" / "ablation.csv").is_file() else None
    assert own is None  # a comparison needs no estimates of the models, only their results
    rows = differences[(differences["quantity"] == "drop") & (differences["task"] == "mean")]
    drops = pd.read_csv(results / "tiny" / "ablation.csv").query("task == 'arc_easy'")
    assert rows["first_value"].tolist() == pytest.approx(drops["drop"].tolist())
    assert not (results / "compare" / "tiny--short" / "differences.csv").exists()
    depth = pd.read_csv(results / "compare" / "tiny--short" / "depth.csv")
    assert depth.groupby("model")["depth"].agg(["min", "max"]).to_numpy().tolist() == [[0, 1], [0, 1]]


def test_nothing_is_compared_twice(finished: Workflow) -> None:
    assert "Nothing to be done" in finished.succeed(*TARGETS)


def test_other_results_of_one_model_are_compared_again(finished: Workflow, tmp_path: Path) -> None:
    """Also where Snakemake has no notes; the comparison that the model has no part in stays."""
    workflow = finished.copy(tmp_path / "work")
    config = workflow.config()
    config["models"]["tuned"]["dtype"] = "bfloat16"
    workflow.write_config(config)
    expected = {"evaluate_tuned_0", "collect", "compare_tiny--tuned", "comparison_tables", "comparison_figure"}
    assert set(workflow.planned_jobs(*TARGETS)) == expected
    (workflow.folder / ".snakemake" / "metadata").rename(workflow.folder / "forgotten")
    assert set(workflow.planned_jobs(*TARGETS)) == expected


@pytest.mark.parametrize(
    ("module", "expected"),
    [("analysis/paired.py", COMPARISONS), ("present/comparisons.py", {"comparison_tables", "comparison_figure"})],
)
def test_changed_code_compares_again(finished: Workflow, tmp_path: Path, module: str, expected: set[str]) -> None:
    workflow = finished.copy(tmp_path / "work")
    with (workflow.folder / "cornerstone" / module).open("a") as stream:
        stream.write("\nCHANGED = True\n")
    assert set(workflow.planned_jobs(*TARGETS)) == expected


def test_results_that_were_copied_are_compared_again_where_they_do_not_fit(finished: Workflow, tmp_path: Path) -> None:
    """A comparison of an older code, beside values of today's: its own provenance says so."""
    workflow = finished.copy(tmp_path / "work")
    path = workflow.folder / "results" / "compare" / "tiny--short" / "provenance.json"
    path.write_text(path.read_text().replace('"fingerprint": "', '"fingerprint": "0'))
    assert set(workflow.planned_jobs(*TARGETS)) == {"compare_tiny--short", "comparison_tables", "comparison_figure"}


def test_a_pair_that_can_not_be_compared_is_refused(finished: Workflow, tmp_path: Path) -> None:
    workflow = finished.copy(tmp_path / "work")
    config = workflow.config()
    config["models"]["tuned"]["documents"] = {"limit": 2}
    workflow.write_config(config)
    done = workflow.run(*TARGETS)
    assert done.returncode != 0
    assert "tiny is scored on 6 documents of arc_easy, tuned on 2; set the same limit" in done.stdout
    assert "Traceback" not in done.stdout
