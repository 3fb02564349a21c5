"""What readers see of the estimates, as tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cornerstone.analysis import paper, power
from cornerstone.analysis.power import Pilot
from cornerstone.config.config import Config
from cornerstone.files import read_csv
from cornerstone.plan.layout import Layout
from cornerstone.present import tables
from tests.helpers import configured, left_over
from tests.unit.present.conftest import MODELS

PLAYERS = ["attn0", "ffn0", "attn1", "ffn1"]
ENDINGS = ("csv", "md", "tex")


def test_the_list_of_cornerstones_orders_by_rank_and_says_none() -> None:
    frame = pd.DataFrame(
        {
            "model": ["mine"] * 4 + ["mixtral-8x7b"] * 4,
            "player": [*PLAYERS, "attn0", "moe0", "attn1", "moe1"],
            "rank": [2, 1, 4, 3, 1, 2, 4, 3],
            "top_three": [True, True, False, True] * 2,
            "above_median": [False] * 4 + [True, True, False, False],
            "cornerstone": [False] * 4 + [False, True, False, True],
        }
    )
    mine, mixtral = tables.cornerstone_list(frame).to_dict("records")
    assert (mine["model"], mine["top_three"]) == ("mine", "ffn0 attn0 ffn1")
    assert mine["above_median"] == "none"
    assert mine["cornerstones"] == "none"
    assert pd.isna(mine["published"])
    assert (mixtral["above_median"], mixtral["published"]) == ("attn0 moe0", "attn0 moe0 moe1")
    assert mixtral["cornerstones"] == "moe0 moe1"


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model": ["my_model", "llama3-8b"],
            "task": ["arc_easy", "my_task"],
            "clipped_percent": [1 / 3, -0.04],
            "published_percent": [None, 29.1],
            "documents": [10, 100],
        }
    )


def test_write_table_csv_keeps_full_precision(frame: pd.DataFrame, tmp_path: Path) -> None:
    tables.write_table(frame, tmp_path / "new" / "table3.v1", "Drops")
    lines = (tmp_path / "new" / "table3.v1.csv").read_text().splitlines()
    assert lines[0] == "model,task,clipped_percent,published_percent,documents"
    assert lines[1] == f"my_model,arc_easy,{1 / 3!r},,10"


def test_write_table_markdown_is_for_readers(frame: pd.DataFrame, tmp_path: Path) -> None:
    tables.write_table(frame, tmp_path / "table3", "Drops in %")
    lines = (tmp_path / "table3.md").read_text().splitlines()
    assert lines[0] == "Drops in %"
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert cells[0] == ["model", "task", "clipped (%)", "published (%)", "documents"]
    assert cells[2] == ["my_model", "ARC-Easy", "0.3", "–", "10"]
    assert cells[3] == ["llama3-8b", "my_task", "0.0", "29.1", "100"]


def test_write_table_latex_is_escaped(frame: pd.DataFrame, tmp_path: Path) -> None:
    tables.write_table(frame, tmp_path / "table3", "Drops in % – a_b")
    tex = (tmp_path / "table3.tex").read_text()
    assert r"\caption{Drops in \% -- a\_b}" in tex
    assert r"\begin{tabular}{@{}l l S[table-format=1.1] S[table-format=2.1] S[table-format=3.0]@{}}" in tex
    assert r"my\_model & ARC-Easy & 0.3 & {--} & 10 \\" in tex
    assert r"\shortstack{clipped \\ (\%)}" in tex
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert tex.count(rule) == 1


def test_every_missing_cell_is_a_dash_even_in_a_column_of_none(tmp_path: Path) -> None:
    row = pd.DataFrame({"model": ["mine", "mine"], "clipped_percent": [0.5, 1.5], "published_percent": [None, None]})
    tables.write_table(row, tmp_path / "t", "c")
    for line in (tmp_path / "t.md").read_text().splitlines()[4:]:
        assert line.strip("| ").endswith("–")


def test_write_table_leaves_nothing_but_the_table(frame: pd.DataFrame, tmp_path: Path) -> None:
    for _ in range(2):
        tables.write_table(frame, tmp_path / "t", "c")
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == ["t.csv", "t.md", "t.tex"]
    assert left_over(tmp_path) == []


def write_tables(config: Config, folder: Path) -> None:
    """As the workflow has them written."""
    shown = {model: Layout(config).shown(model) for model in MODELS}
    sources = {table.reads: [Path(shown[model][table.reads]) for model in MODELS] for table in tables.TABLES}
    paths = [folder / f"{table.name}.{ending}" for table in tables.TABLES for ending in ENDINGS]
    tables.write(sources, paths, note=tables.measured_by(config))


def test_all_tables_in_all_formats(config: Config, tmp_path: Path) -> None:
    write_tables(config, tmp_path)
    assert {path.name for path in tmp_path.glob("[!.]*")} == {f"{t.name}.{e}" for t in tables.TABLES for e in ENDINGS}
    first, second, third, fourth = (pd.read_csv(tmp_path / f"table{n}.csv") for n in (1, 2, 3, 4))
    assert first["model"].tolist() == second["model"].tolist() == MODELS
    assert third["model"].tolist() == [model for model in MODELS for _ in range(2)]
    assert fourth["task"].tolist() == ["alpha", "beta"] * 2
    assert first["published_percent"].isna().tolist() == [True, False]
    for table in tables.TABLES:
        note = tables.measured_by(config)
        assert (tmp_path / f"{table.name}.md").read_text().startswith(f"{table.caption} {note}\n")
    for name in ("hypotheses", "estimators", "power"):
        assert pd.read_csv(tmp_path / f"{name}.csv")["model"].unique().tolist() == MODELS


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"documents.limit": 12}, "12 documents a task"),
        ({"documents.limit": 12, "tasks.alpha.limit": 6}, "6 to 12 documents a task"),
        ({"documents.limit": None, "tasks.alpha.limit": 6}, "6 or all documents a task"),
        ({"documents.limit": None}, "all documents a task"),
    ],
)
def test_a_caption_says_what_was_measured(changes: dict[str, Any], said: str) -> None:
    assert f"`, {said}, intervals of 95 %." in tables.measured_by(configured(changes))


def test_names_of_tables_are_those_of_their_files_and_each_reads_what_is_there(config: Config) -> None:
    assert len({table.name for table in tables.TABLES}) == len(tables.TABLES)
    for table in tables.TABLES:
        assert table.reads in Layout(config).shown("tiny")


def test_tables_repeat_themselves(config: Config, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_tables(config, tmp_path / folder)
    for path in (tmp_path / "a").glob("[!.]*"):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_each_model_has_its_own_numbers(config: Config, tmp_path: Path) -> None:
    write_tables(config, tmp_path)
    third = pd.read_csv(tmp_path / "table3.csv").set_index(["model", "layers"])
    for model in MODELS:
        drops, table = (read_csv(Path(Layout(config).csv(model, stem))) for stem in ("ablation", "cornerstones"))
        top = paper.top_players(table, model)
        rows = drops[(drops["task"] != "mean") & drops["player"].isin(top)]
        found = third.loc[(model, "top three"), "unclipped_percent"]
        assert found == pytest.approx(100 * rows["drop"].mean())


def test_hypotheses_are_shown_in_points_with_the_verdicts_of_the_tasks() -> None:
    frame = pd.DataFrame(
        {
            "model": "m", "task": ["alpha", "beta", "mean"], "hypothesis": 1, "prediction": "it holds",
            "expected": "<= 0 (+- 0.02)", "value": [0, 0, 0.25], "low": 0.125, "high": 0.5, "p_holm": 0.01,
            "verdict": ["open", "fails", "holds"], "intact": 0.75, "layers": "attn0", "documents": "held out",
        }
    )  # fmt: skip
    (row,) = tables.hypotheses(frame).to_dict("records")
    assert row == {
        "model": "m", "hypothesis": "1", "prediction": "it holds", "expected": "<= 0", "measured_percent": 25,
        "low": 12.5, "high": 50, "intact": 75, "verdict": "holds", "on_tasks": "0/1/1", "layers": "attn0",
        "documents": "held out",
    }  # fmt: skip


def test_estimators_are_compared_by_their_mean_over_tasks() -> None:
    numbers = {"gap": 0.5, "se": 0.25, "se_documents": 0.25, "se_coalitions": 0.0, "largest_error": np.nan}
    frame = pd.DataFrame(
        {
            "model": "m", "task": ["alpha", "mean"] * 2, "estimator": ["a", "a", "b", "b"], "coalitions": 7,
            "evaluations": 90,
            "error": [1, 0.125, 1, np.nan], "rank_correlation": [1, 0.987, 1, np.nan], **numbers,
        }
    )  # fmt: skip
    first, second = tables.estimators(frame).to_dict("records")
    assert (first["estimator"], first["coalitions"], first["gap_percent"], first["error_percent"]) == (
        "a",
        "7",
        50,
        12.5,
    )
    assert first["evaluations"] == "90"
    assert (first["rank_correlation"], second["rank_correlation"]) == ("0.99", "")
    assert np.isnan(second["error_percent"])


def test_documents_that_answers_take_are_counted_or_never_enough() -> None:
    pilot = Pilot(np.array([0.2, 0.1, 0.0, 0.0, 0.0]), np.eye(5) / 4, np.zeros((5, 5)), 40)
    frame = power.forecast(pilot, power.POINT, 0.95, 0, there=300).assign(model="m", value_function="accuracy")
    (row,) = tables.power(frame).to_dict("records")
    assert (row["value_function"], row["half_width"], row["documents"], row["there"]) == (
        "accuracy",
        "0.01",
        "9,604",  # (1.96 * 0.5 / 0.01)^2
        "300",
    )
    assert (row["top"], row["plug_in"]) == ("3", "never")  # the third is no higher than the fourth
