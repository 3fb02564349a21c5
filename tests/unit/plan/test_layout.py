from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cornerstone.plan.layout import Layout
from tests.helpers import configured, windows


def test_paths() -> None:
    layout = Layout(configured({"paths.results": "out", "models.other.documents": {"source": "hub"}}))
    assert layout.results == "out"
    assert layout.wheels == "resources/wheels"
    assert layout.model_marker("tiny") == "resources/models/tiny.json"
    assert layout.documents_for("tiny", "alpha") == "resources/documents/embedded/alpha.json"
    assert layout.documents_for("other", "alpha") == "resources/documents/hub/alpha.json"
    assert layout.drawn("pairs-2", "0f") == "resources/plans/pairs-2-0f.json"
    assert layout.coalition("tiny", "alpha", "full") == "out/tiny/alpha/coalitions/full.json"
    assert layout.deletion_coalition("tiny", "alpha", "full") == "out/tiny/alpha/deletion/full.json"
    assert layout.values("tiny", "alpha") == "out/tiny/alpha/values.parquet"
    assert layout.figure("tiny", "shares") == [
        f"out/figures/tiny/shares{ending}" for ending in (".svg", ".pdf", ".png", "-column.pdf", "-neurips.pdf")
    ]
    assert layout.table("table1") == [f"out/tables/table1.{ending}" for ending in ("csv", "md", "tex")]
    assert layout.provenance("{model}") == "out/{model}/provenance.json"


@pytest.mark.parametrize("change", [{"id": "else/where"}, {"revision": "1" * 40}])
def test_where_weights_come_from_is_part_of_their_folders_name(change: dict[str, str]) -> None:
    before, after = (
        Layout(configured({f"models.other.{key}": value for key, value in changes.items()})) for changes in ({}, change)
    )
    assert before.weights("other") != after.weights("other")
    assert before.outline("other") != after.outline("other")
    assert before.weights("other").startswith("resources/models/where-")
    same = Layout(configured({"models.other.threads": 7, "models.other.dtype": "float32"}))
    assert same.weights("other") == before.weights("other")


def test_the_outline_of_a_hub_model_is_its_own_until_the_weights_are_there(tmp_path: Path) -> None:
    layout = Layout(configured({"paths.resources": str(tmp_path)}))
    assert layout.outline_marker("tiny") == layout.model_marker("tiny")  # a folder: nothing is downloaded
    assert layout.outline_marker("other") == layout.outline_only("other") == f"{tmp_path}/outlines/other.json"
    marker = Path(layout.model_marker("other"))
    marker.parent.mkdir(parents=True)
    marker.write_text("{}")
    assert layout.outline_marker("other") == layout.model_marker("other")


def test_files_of_value_functions_have_its_name() -> None:
    layout = Layout(configured({"value_functions": ["margin"], "estimators": windows(3, 2)}))
    stems = ["shapley_window-k3", "shapley_window-k3_margin", "shapley_window-k2", "shapley_window-k2_margin"]
    stems += ["cornerstones", "cornerstones_margin"]
    stems += ["estimators", "power", "ablation", "baselines", "share", "mean_drop", "mean_drop_by_task", "orders"]
    assert layout.estimates("tiny") == [f"results/tiny/{stem}.csv" for stem in stems]


@pytest.mark.parametrize(
    ("changes", "stems"),
    [
        ({"estimators": windows(1)}, ["by_removed", "hypotheses"]),
        ({"estimators": windows(2)}, ["interactions_windows-k2", "by_distance", "by_removed", "hypotheses"]),
        (
            {"interactions": [{"kind": "pairs"}], "value_functions": ["margin"]},
            [
                *("interactions_pairs", "interactions_pairs_margin"),
                *("interactions_windows-k2", "interactions_windows-k2_margin"),
                *("by_distance", "by_removed", "hypotheses"),
            ],
        ),
    ],
)
def test_tables_of_relations(changes: dict[str, Any], stems: list[str]) -> None:
    assert Layout(configured(changes)).relations("tiny") == [f"results/tiny/{stem}.csv" for stem in stems]


def test_what_can_be_shown_is_named_by_its_stem_and_the_headlines_by_what_they_are() -> None:
    config = configured({"estimators": windows(3, 2), "interactions": [{"kind": "pairs"}]})
    layout = Layout(config)
    shown = layout.shown("tiny")
    assert shown["shapley"] == shown["shapley_window-k3"] == "results/tiny/shapley_window-k3.csv"
    assert shown["interactions"] == shown["interactions_pairs"] == "results/tiny/interactions_pairs.csv"
    every = [*layout.estimates("tiny"), *layout.relations("tiny"), *layout.deletion("tiny")]
    assert set(shown.values()) == set(every)
    assert all(Path(path).stem == name for name, path in shown.items() if name not in ("shapley", "interactions"))


def test_what_is_not_made_is_not_shown() -> None:
    shown = Layout(configured({"estimators": windows(1), "deletion.orders": []})).shown("tiny")
    assert not {"interactions", "by_distance", "deletion", "orders"} & set(shown)


@pytest.mark.parametrize(
    ("results", "logs"),
    [("results", "logs"), ("results-b", "logs/of-results-b"), ("../a b/results", "logs/of-a-b-results")],
)
def test_each_results_folder_has_logs_of_its_own(results: str, logs: str) -> None:
    """Studies share names of models and tasks, and two of them may run at once."""
    assert Layout(configured({"paths.results": results})).logs == logs
