"""What a change of code makes again: what depends on it, and nothing else."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.workflow.conftest import BLOCKS, LIMIT
from tests.workflow.runner import Workflow, save_model

pytestmark = pytest.mark.workflow

BASELINES = "results/tiny/baselines.csv"
"""A file that is made of all values."""
PICTURES = {"tables", "figure", "summary", "page", "package"}
ESTIMATES = {"estimate", "interactions_tiny", "deletion_tiny", "deletion_curves", *PICTURES}
VALUES = {"collect", *ESTIMATES}
RESULTS = {"evaluate_tiny_0", *VALUES}

OPERATORS: dict[str, tuple[str, str, str, set[str]]] = {
    "game": ("game/game.py", "(1 << len(self.players)) - 1", "(1 << len(self.players)) + 1", RESULTS),
    "estimators": ("estimators/exact.py", "count * comb(", "count + comb(", ESTIMATES),
    "config": ("config/reference.py", '"\\n".join(rows) + "\\n"', '"\\n".join(rows) * "\\n"', set()),
    "engine": ("engine/attention.py", "depth**-0.5", "depth*-0.5", RESULTS),
    "assets": ("assets/contents.py", "most, -low, high", "most, +low, high", {"fetch_documents_embedded", *RESULTS}),
    "schedule": ("schedule/groups.py", "together * max(batches) <= room", "together * max(batches) < room", set()),
    "plan": ("plan/plan.py", "done + work[stop] / 2", "done - work[stop] / 2", set()),
    "analysis": ("analysis/intervals.py", "groups / (groups - 1)", "groups / (groups + 1)", ESTIMATES),
    "evaluate": ("evaluate/scoring.py", "golden - others", "golden + others", VALUES),
    "present": ("present/figures/drawing.py", "0.05 * (high - low)", "0.05 + (high - low)", PICTURES),
    "style sheet": ("present/figures/style.mplstyle", "font.size", "axes.titlesize: 7\nfont.size", PICTURES),
    "template": ("present/page/templates/model.html.j2", "The highest layers", "The best layers", PICTURES),
    "task names": ("present/tables.py", '"BoolQ"', '"Boolean questions"', PICTURES),
    "forecast": ("forecast/walk_time.py", "done - sum(computes)", "done + sum(computes)", set()),
    "cluster": ("cluster/slurm.py", "1 + GROWTH * (attempt - 1)", "1 + GROWTH * (attempt + 1)", set()),
    "adding": ("adding/proof.py", "value += _SPREAD * torch", "value += _SPREAD + torch", set()),
    "command": ("command/said.py", "100 * value", "100 + value", set()),
    "prune": ("prune/blocks.py", "sum(place < value", "sum(place <= value", set()),
    "outputs": ("outputs/package.py", '"bytes": path.stat()', '"octets": path.stat()', {"package"}),
    "description": ("outputs/description.yaml", "name of the model", "the model's name", {"package"}),
    "files": ("files.py", "count /= 1000", "count /= 1024", set()),
}


@pytest.fixture
def workflow(straight: Workflow, tmp_path: Path) -> Workflow:
    return straight.copy(tmp_path / "work")


def test_every_folder_has_a_changed_operator() -> None:
    package = Path(__file__).parents[2] / "cornerstone"
    folders = {path.name for path in package.iterdir() if (path / "__init__.py").is_file()}
    assert folders <= OPERATORS.keys()


def change(workflow: Workflow, folder: str) -> None:
    name, old, new, _ = OPERATORS[folder]
    path = workflow.folder / "cornerstone" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("folder", [folder for folder, (*_, expected) in OPERATORS.items() if expected])
def test_a_changed_operator_reruns_what_depends_on_it(folder: str, workflow: Workflow) -> None:
    change(workflow, folder)
    assert set(workflow.planned_jobs()) == OPERATORS[folder][-1]


def test_changed_operators_that_decide_nothing_rerun_nothing(workflow: Workflow) -> None:
    folders = [folder for folder, (*_, expected) in OPERATORS.items() if not expected]
    assert len(folders) >= 9
    for folder in folders:
        change(workflow, folder)
    assert workflow.planned_jobs() == {}


def test_changed_words_rerun_nothing(workflow: Workflow) -> None:
    """Another comment, docstring and blank line in every module of the package and every script."""
    paths = [path for name in ("cornerstone", "scripts") for path in (workflow.folder / name).rglob("*.py")]
    assert len(paths) > 80
    for path in paths:
        text = path.read_text()
        docstring = ast.get_docstring(ast.parse(text), clean=False)
        assert docstring, path
        path.write_text(
            "# another remark\n\n" + text.replace(docstring, f"{docstring} And more.", 1) + "\n\n# the end\n"
        )
    assert "Nothing to be done" in workflow.succeed("--dry-run")


def without_notes(workflow: Workflow, folder: Path) -> Workflow:
    """A fresh copy of code, config and assets, to which results were copied; Snakemake has no notes of them."""
    copied = workflow.copy(folder)
    for name in (".snakemake", "logs"):
        shutil.rmtree(folder / name)
    return copied


def test_results_that_fit_are_used_without_notes(straight: Workflow, tmp_path: Path) -> None:
    assert without_notes(straight, tmp_path / "work").planned_jobs() == {}


def test_results_that_do_not_fit_are_made_again_without_notes(straight: Workflow, tmp_path: Path) -> None:
    workflow = without_notes(straight, tmp_path / "work")
    config = workflow.config()
    config["documents"]["limit"] = LIMIT - 2
    config["models"]["tiny"]["dtype"] = "bfloat16"
    workflow.write_config(config)
    assert set(workflow.planned_jobs()) == RESULTS
    before = workflow.results("arc_easy")
    workflow.succeed(BASELINES)
    after = workflow.results("arc_easy")
    assert after.keys() == before.keys()
    assert all(len(result["documents"]["doc_id"]) == LIMIT - 2 for result in after.values())
    assert pd.read_csv(workflow.folder / "results/tiny/baselines.csv")["documents"].tolist() == [LIMIT - 2] * 2
    assert workflow.planned_jobs(BASELINES) == {}


def test_estimates_of_other_settings_are_made_again_without_notes(straight: Workflow, tmp_path: Path) -> None:
    workflow = without_notes(straight, tmp_path / "work")
    config = workflow.config()
    config["intervals"]["level"] = 0.8
    workflow.write_config(config)
    assert set(workflow.planned_jobs()) == ESTIMATES
    config["intervals"]["level"] = yaml.safe_load((straight.folder / "config.yaml").read_text())["intervals"].get(
        "level", 0.95
    )
    workflow.write_config(config)
    assert workflow.planned_jobs() == {}


def test_weights_that_are_replaced_in_place_are_fetched_and_evaluated_again(straight: Workflow, tmp_path: Path) -> None:
    workflow = straight.copy(tmp_path / "work")
    assert workflow.planned_jobs() == {}
    marker, said = workflow.folder / "resources" / "models" / "tiny.json", workflow.folder / "model" / "config.json"
    known = marker.read_bytes()
    said.rename(tmp_path / "config.json")
    assert workflow.run("fetch").returncode != 0
    assert marker.read_bytes() == known  # fetching failed, and what was fetched is still known
    (tmp_path / "config.json").rename(said)
    workflow.succeed("fetch")
    assert workflow.planned_jobs() == {}
    before = workflow.results("arc_easy")
    save_model(workflow.folder / "model", BLOCKS, 32)  # random: others
    assert {"fetch_model", *RESULTS} <= set(workflow.planned_jobs())
    workflow.succeed(BASELINES)
    after = workflow.results("arc_easy")
    assert after.keys() == before.keys()
    for name, result in after.items():
        assert result["provenance"]["fingerprint"] != before[name]["provenance"]["fingerprint"]
        assert result["documents"]["loglikelihood"] != before[name]["documents"]["loglikelihood"]
    assert workflow.planned_jobs(BASELINES) == {}
