"""A new estimator is a file and a line, a new figure a module and an entry: each of ten lines here, run for real."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.workflow.runner import Workflow

pytestmark = pytest.mark.workflow

ESTIMATOR = """\
from cornerstone.estimators import ablation
from cornerstone.estimators.base import Estimator
from cornerstone.estimators.values import Values
from cornerstone.game.coalitions import ablation_coalitions
class Mine(Estimator):
    kind: __import__("typing").Literal["mine"]
    name = property(lambda self: "mine")
    coalitions = lambda self, players, seed: ablation_coalitions(players)
    estimate = lambda self, games, seed, bootstrap: {k: Values(2 * ablation.estimate(g)) for k, g in games.items()}
"""
FIGURE = """\
from matplotlib.figure import Figure
def draw(frames, model, width):
    figure = Figure()
    rows = frames["shapley"].query("task == 'mean'")
    figure.subplots().plot(rows["position"], rows["value"])
    figure.suptitle(model)
    return figure
"""
ENTRY = '    FigureKind("mine", ("shapley",), "The values of {model} as a line", "They have none."),\n'


def test_an_estimator_and_a_figure_of_ten_lines(straight: Workflow, tmp_path: Path) -> None:
    assert max(len(ESTIMATOR.splitlines()), len(FIGURE.splitlines())) <= 10
    workflow = straight.copy(tmp_path / "work")
    asked = {"estimators": [{"kind": "mine"}], "value_functions": ["margin"], "deletion": {"orders": []}}
    workflow.write_config(workflow.config() | {"run_tasks": ["arc_easy"]} | asked)
    package = workflow.folder / "cornerstone"
    (package / "estimators" / "mine.py").write_text(ESTIMATOR)
    (package / "present" / "figures" / "mine.py").write_text(FIGURE)
    insert(package / "estimators" / "__init__.py", "    WindowEstimator,\n", "    Mine,\n")
    insert(package / "estimators" / "__init__.py", "from cornerstone.estimators.base", "from .mine import Mine\n")
    insert(package / "present" / "figures" / "__init__.py", "FIGURES: Final = (\n", "", ENTRY)
    workflow.succeed()
    results = workflow.folder / "results"
    values = pd.read_csv(results / "tiny" / "shapley_mine.csv")
    drops = pd.read_csv(results / "tiny" / "ablation.csv")
    assert (values["value"] == 2 * drops["drop"]).all()
    margins = pd.read_csv(results / "tiny" / "shapley_mine_margin.csv")
    assert margins["value"].any()
    assert all(
        (results / "figures" / "tiny" / f"mine.{ending}").stat().st_size > 1000 for ending in ("svg", "pdf", "png")
    )
    summary = (results / "summary.md").read_text()
    assert "The values of tiny as a line" in summary
    assert "estimator: mine" in summary


def insert(path: Path, place: str, before: str, after: str = "") -> None:
    """Put text before or after the first place where some text stands."""
    text = path.read_text()
    assert place in text
    path.write_text(text.replace(place, before + place + after, 1))
