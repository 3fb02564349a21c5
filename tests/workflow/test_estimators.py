"""A real run with several estimators, interactions and value functions, on a mixture whose players are groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests import tiny
from tests.workflow.runner import Workflow, configuration

pytestmark = pytest.mark.workflow
ESTIMATORS = {
    "exact": {"kind": "exact"},
    "window-k2": {"kind": "window", "removed": 2},
    "permutation-b100": {"kind": "permutation", "budget": 100, "replicates": 5},
    "kernelshap-b150": {"kind": "kernelshap", "budget": 150, "replicates": 3},
    "adjusted-msr-w400": {"kind": "adjusted-msr", "work": 400, "replicates": 4},
    "permutation-nested-b22": {"kind": "permutation", "budget": 22, "replicates": 2, "design": "nested"},
    "truncated-permutation-k2-b60": {"kind": "truncated-permutation", "removed": 2, "budget": 60, "replicates": 5},
}
INTERACTIONS = {"exact-k-sii": {"kind": "exact"}, "pairs-1": {"kind": "pairs", "per_distance": 1}}
FUNCTIONS = ("", "_margin", "_log-probability")
TABLES = [f"results/tiny/{name}.csv" for name in ("estimators", *(f"interactions_{kind}" for kind in INTERACTIONS))]


@pytest.fixture(scope="module")
def finished(real_assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    config = configuration(tiny.BLOCKS, 2, limit=32)  # two blocks, as a nested design needs
    config["estimators"] = list(ESTIMATORS.values())
    config["interactions"] = list(INTERACTIONS.values())
    config["value_functions"] = ["margin", "log-probability"]
    config["deletion"] = {"orders": []}
    groups = {"late": ["block3"], "a": ["attn0"], "b": ["moe0"], "c": ["attn1"], "d": ["moe1"], "e": ["block2"]}
    config["models"]["tiny"] |= {"feed_forward": "moe", "players": {"groups": groups}}
    workflow = Workflow.create(tmp_path_factory.mktemp("estimators") / "work", real_assets, config)
    tiny.save("mixtral", workflow.folder / "model")
    workflow.succeed(*TABLES)
    return workflow


def read(finished: Workflow, name: str) -> Any:
    """A table of the model."""
    return pd.read_csv(finished.folder / "results" / "tiny" / f"{name}.csv")


def test_shared_coalitions_are_evaluated_once(finished: Workflow) -> None:
    assert len(finished.coalitions("arc_easy")) == 2**6


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_each_estimator_says_something_of_each_player(finished: Workflow, estimator: str, function: str) -> None:
    frame = read(finished, f"shapley_{estimator}{function}")
    assert frame["estimator"].unique().tolist() == [estimator]
    assert frame["task"].value_counts().to_dict() == {"arc_easy": 6, "openbookqa": 6, "mean": 6}
    assert frame["player"].unique().tolist() == ["a", "b", "c", "d", "e", "late"]
    assert np.isfinite(frame[["value", "se", "low", "high"]]).all(axis=None)
    assert (frame["value"].abs() > 0).any()


@pytest.mark.parametrize(
    "estimator", ["exact", "permutation-b100", "permutation-nested-b22", "kernelshap-b150", "adjusted-msr-w400"]
)
def test_efficient_estimators_share_out_all_of_the_value(finished: Workflow, estimator: str) -> None:
    sums = read(finished, f"shapley_{estimator}").groupby("task")["value"].sum()
    base = read(finished, "baselines").set_index("task")
    for task in ("arc_easy", "openbookqa"):
        assert sums[task] == pytest.approx(base.loc[task, "original"] - base.loc[task, "empty"], abs=1e-7)


def test_the_comparison_is_with_the_exact_values(finished: Workflow) -> None:
    frame = read(finished, "estimators").set_index(["estimator", "task"])
    exact = read(finished, "shapley_exact").query("task == 'mean'")["value"].to_numpy()
    window = read(finished, "shapley_window-k2").query("task == 'mean'")["value"].to_numpy()
    assert frame.loc[("exact", "mean"), "error"] == 0
    assert frame.loc[("window-k2", "mean"), "error"] == pytest.approx(np.sqrt(np.mean((window - exact) ** 2)))
    assert frame.loc[("permutation-b100", "mean"), "se_coalitions"] > 0
    assert frame.loc[("exact", "mean"), "coalitions"] == 64
    assert frame.loc[("permutation-nested-b22", "mean"), "coalitions"] <= 22  # of one document
    assert frame.loc[("permutation-nested-b22", "mean"), "se_coalitions"] == 0  # the documents' error holds both


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(("name", "pairs"), [("exact-k-sii", 15), ("pairs-1", 5), ("windows-k4", 5 + 4 + 3)])
def test_interactions_are_there(finished: Workflow, name: str, pairs: int, function: str) -> None:
    frame = read(finished, f"interactions_{name}{function}")
    assert frame["task"].value_counts().to_dict() == {"arc_easy": pairs, "openbookqa": pairs, "mean": pairs}
    assert (frame["distance"] == frame["second_position"] - frame["first_position"]).all()


def test_nothing_is_done_twice(finished: Workflow) -> None:
    assert "Nothing to be done" in finished.succeed(*TABLES)
