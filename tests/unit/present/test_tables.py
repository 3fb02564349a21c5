"""The tables against numbers worked out by hand."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cornerstone.analysis import paper
from cornerstone.errors import CornerstoneError
from cornerstone.present import tables

PLAYERS = ["attn0", "ffn0", "attn1", "ffn1"]
def test_table2_orders_by_rank_and_says_none() -> None:
    frame = pd.DataFrame(
        {
            "model": ["mine"] * 4 + ["mixtral-8x7b"] * 4,
            "player": [*PLAYERS, "attn0", "moe0", "attn1", "moe1"],
            "rank": [2, 1, 4, 3, 1, 2, 4, 3],
            "top_three": [True, True, False, True] * 2,
            "above_median": [False] * 4 + [True, True, False, False],
            "cornerstone": [None] * 4 + [False, True, False, True],
        }
    )
    mine, mixtral = tables.table2(frame).to_dict("records")
    assert (mine["model"], mine["top_three"]) == ("mine", "ffn0 attn0 ffn1")
    assert mine["above_median"] == "none"
    assert mine["confirmed"] == "too few documents"
    assert pd.isna(mine["published"])
    assert (mixtral["above_median"], mixtral["published"]) == ("attn0 moe0", "attn0 moe0 moe1")
    assert mixtral["confirmed"] == "moe0 moe1"
    nobody = tables.table2(frame.assign(cornerstone=False))
    assert nobody["confirmed"].tolist() == ["none", "none"]




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
    assert r"\begin{tabular}{llrrr}" in tex
    assert r"my\_model & ARC-Easy & 0.3 & -- & 10 \\" in tex
    assert r"clipped (\%)" in tex
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert tex.count(rule) == 1


def test_every_missing_cell_is_a_dash_even_in_a_column_of_none(tmp_path: Path) -> None:
    row = tables.table3(DROPS, PLAYERS, "unpublished", ["ffn0"])
    tables.write_table(row, tmp_path / "t", "c")
    for line in (tmp_path / "t.md").read_text().splitlines()[4:]:
        assert line.strip("| ").endswith("–")


def test_write_table_leaves_nothing_but_the_table(frame: pd.DataFrame, tmp_path: Path) -> None:
    for _ in range(2):
        tables.write_table(frame, tmp_path / "t", "c")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv", "t.md", "t.tex"]
