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


def test_published_numbers_cover_the_same_models_and_add_up() -> None:
    models = {"llama3-8b", "llama3-70b", "mixtral-8x7b"}
    assert set(paper.CORNERSTONES) == set(paper.SHARE_PERCENT) == set(paper.DROP_PERCENT) == models
    for model in models:
        assert len(paper.CORNERSTONES[model]) == 3
        per_task = paper.OTHER_DROP_PERCENT[model]
        assert list(per_task) == [task for task in tables.TASK_NAMES if task != "mean"]
        # Table 3's NC is the mean of table 4, up to rounding.
        mean = np.mean(list(per_task.values()))
        assert mean == pytest.approx(paper.DROP_PERCENT[model]["other"], abs=0.1)


@pytest.mark.parametrize("table", [tables.table1, tables.table3, tables.table4])
def test_a_label_for_each_document_is_wanted(table: Callable[..., pd.DataFrame]) -> None:
    with pytest.raises(CornerstoneError, match="3 documents"):
        table({"boolq": np.ones((3, 4))}, PLAYERS, "m", ["ffn0"], clusters={"boolq": ["a", "b"]})


def test_table1_clips_after_the_mean_over_documents_and_averages_shares() -> None:
    values = {
        # Means 0.3, 0.1, -0.2, 0.1: the share of the first two is 0.4 / 0.5.
        "boolq": np.array([[0.5, 0.2, 0.4, 0.1], [0.1, 0.0, -0.8, 0.1]]),
        # Means 0.2, -0.1, 0.2, 0.4: 0.2 / 0.8.
        "piqa": np.array([[0.2, -0.1, 0.2, 0.4], [0.2, -0.1, 0.2, 0.4]]),
    }
    row = tables.table1(values, PLAYERS, "mine", ["attn0", "ffn0"]).iloc[0]
    assert row["share_percent"] == pytest.approx(100 * (0.8 + 0.25) / 2)
    assert row["players"] == "attn0 ffn0"
    assert pd.isna(row["published_percent"])
    assert row["low"] <= row["high"]


def test_shares_of_all_players_add_up_to_100_percent() -> None:
    values = {"boolq": np.random.default_rng(1).normal(0.05, 0.2, (30, 4))}
    shares = [tables.table1(values, PLAYERS, "m", [player])["share_percent"].item() for player in PLAYERS]
    assert sum(shares) == pytest.approx(100)
    assert tables.table1(values, PLAYERS, "m", PLAYERS)["share_percent"].item() == pytest.approx(100)


def test_table1_bootstrap_repeats_itself_and_follows_the_seed() -> None:
    values = {task: np.random.default_rng(2).normal(0.1, 0.3, (20, 4)) for task in ("boolq", "piqa")}
    first, again, other = (tables.table1(values, PLAYERS, "m", ["ffn0"], seed=seed) for seed in (7, 7, 8))
    pd.testing.assert_frame_equal(first, again)
    assert first["low"].item() != other["low"].item()
    assert first["low"].item() < first["high"].item()


def test_table1_resamples_whole_clusters() -> None:
    rng = np.random.default_rng(3)
    once = rng.uniform(0.0, 0.5, (12, 4))
    # Every document twice: by cluster that is the same information, so the same replicates.
    twice = np.repeat(once, 2, axis=0)
    passages = {"boolq": np.repeat([f"p{i}" for i in range(10, 22)], 2)}
    expected = tables.table1({"boolq": once}, PLAYERS, "m", ["ffn0"])
    clustered = tables.table1({"boolq": twice}, PLAYERS, "m", ["ffn0"], clusters=passages)
    naive = tables.table1({"boolq": twice}, PLAYERS, "m", ["ffn0"])
    pd.testing.assert_frame_equal(clustered, expected)
    assert (naive["high"] - naive["low"]).item() < (expected["high"] - expected["low"]).item()


def test_table1_of_one_document_has_no_interval() -> None:
    row = tables.table1({"boolq": np.array([[0.1, 0.3, 0, 0]])}, PLAYERS, "llama3-8b", ["ffn0"]).iloc[0]
    assert row["share_percent"] == pytest.approx(75)
    assert math.isnan(row["low"])
    assert row["published_percent"] == 29.1


def test_table1_has_no_interval_where_the_spread_says_nothing() -> None:
    # Drawing the second document twice leaves nothing positive; all other draws give the share 1.
    values = {"boolq": np.array([[0.9, 0.0, 0.0, 0.0], [-0.1, 0.0, 0.0, 0.0]])}
    row = tables.table1(values, PLAYERS, "m", ["attn0"]).iloc[0]
    assert row["share_percent"] == 100
    assert math.isnan(row["low"])
    assert math.isnan(row["high"])


def test_table1_of_a_task_without_a_positive_value_has_no_share() -> None:
    values = {"boolq": np.ones((3, 4)), "piqa": -np.ones((3, 4))}
    row = tables.table1(values, PLAYERS, "m", ["ffn0"]).iloc[0]
    assert row[["share_percent", "low", "high"]].isna().all()


def test_table1_interval_is_a_normal_one_around_the_share() -> None:
    values = {task: np.random.default_rng(i).normal(0.1, 0.2, (40, 4)) for i, task in enumerate(("boolq", "piqa"))}
    widths = {}
    for level in (0.5, 0.95):
        row = tables.table1(values, PLAYERS, "m", ["ffn0"], level=level).iloc[0]
        assert row["high"] - row["share_percent"] == pytest.approx(row["share_percent"] - row["low"])
        widths[level] = row["high"] - row["low"]
    assert widths[0.95] / widths[0.5] == pytest.approx(1.959964 / 0.674490, rel=1e-5)


def test_table1_interval_ends_at_0_and_100_percent() -> None:
    values = {"boolq": np.array([[0.9, 0.01, 0.0, 0.0], [0.1, -0.02, 0.0, 0.0], [0.0, 0.1, 0.0, 0.0]])}
    rows = [tables.table1(values, PLAYERS, "m", [player]).iloc[0] for player in ("attn0", "ffn0")]
    assert rows[0]["high"] == 100
    assert rows[1]["low"] == 0


@pytest.mark.parametrize(
    ("values", "top", "message"),
    [
        ({}, ["ffn0"], "no task"),
        ({"boolq": np.ones((3, 5))}, ["ffn0"], r"expected \[documents, 4 players\]"),
        ({"boolq": np.ones((0, 4))}, ["ffn0"], "expected"),
        ({"boolq": np.full((3, 4), np.nan)}, ["ffn0"], "missing"),
        ({"boolq": np.ones((3, 4))}, ["moe0"], "not players of this model: moe0"),
        ({"boolq": np.ones((3, 4))}, [], "empty"),
    ],
)
def test_inputs_that_disagree_are_refused(values: dict[str, np.ndarray], top: list[str], message: str) -> None:
    for table in (tables.table1, tables.table3):
        with pytest.raises(CornerstoneError, match=message):
            table(values, PLAYERS, "m", top)


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


DROPS = {
    # Means 0.5, 0, -0.5, 0.25.
    "boolq": np.array([[1, 0, -1, 0.5], [0, 0, 0, 0]]),
    # Means 0.5, 1, 0.5, -0.5.
    "piqa": np.array([[1, 1, 1, -1], [0, 1, 0, 0]]),
}


def test_table3_clips_each_player_on_each_task_before_averaging() -> None:
    cornerstone, other = tables.table3(DROPS, PLAYERS, "llama3-8b", ["attn0", "ffn0"]).to_dict("records")
    assert [cornerstone["layers"], other["layers"]] == ["cornerstone", "other"]
    assert cornerstone["clipped_percent"] == pytest.approx(100 * (0.5 + 0 + 0.5 + 1) / 4)
    assert cornerstone["unclipped_percent"] == cornerstone["clipped_percent"]
    # Averaging first would have clipped -0.0625 to 0.
    assert other["clipped_percent"] == pytest.approx(100 * (0 + 0.25 + 0.5 + 0) / 4)
    assert other["unclipped_percent"] == pytest.approx(100 * (-0.5 + 0.25 + 0.5 - 0.5) / 4)
    assert (cornerstone["published_percent"], other["published_percent"]) == (29.3, 1.6)


def test_table3_interval_by_hand() -> None:
    other = tables.table3(DROPS, PLAYERS, "m", ["attn0", "ffn0"]).iloc[1]
    # Means over the group per document: boolq -0.25 and 0, piqa 0 and 0. The first's se is its half range, 0.125;
    # t with one degree of freedom is 12.7062. The second never differs: its half-width is that of Clopper and
    # Pearson for 0 of 2, 1 - sqrt(0.025). Two tasks, half-widths combined as standard errors are.
    half = 100 * math.hypot(12.7062 * 0.125, 1 - math.sqrt(0.025)) / 2
    assert other["high"] - other["unclipped_percent"] == pytest.approx(half, rel=1e-5)
    assert other["unclipped_percent"] - other["low"] == pytest.approx(half, rel=1e-5)
    assert pd.isna(other["published_percent"])


def test_table3_interval_uses_the_fewest_clusters_and_widens_with_them() -> None:
    rng = np.random.default_rng(4)
    drops = {"boolq": np.repeat(rng.normal(0, 1, (20, 4)), 2, axis=0), "piqa": rng.normal(0, 1, (40, 4))}
    passages = {"boolq": np.repeat(np.arange(20), 2)}
    plain = tables.table3(drops, PLAYERS, "m", ["ffn0"]).iloc[1]
    clustered = tables.table3(drops, PLAYERS, "m", ["ffn0"], clusters=passages).iloc[1]
    assert clustered["high"] - clustered["low"] > plain["high"] - plain["low"]
    assert clustered["unclipped_percent"] == plain["unclipped_percent"]


def test_table3_of_one_document_is_refused() -> None:
    with pytest.raises(CornerstoneError, match="two independent documents"):
        tables.table3({"boolq": np.ones((1, 4))}, PLAYERS, "m", ["ffn0"])


def test_groups_may_not_be_empty() -> None:
    for table in (tables.table3, tables.table4):
        with pytest.raises(CornerstoneError, match="empty"):
            table(DROPS, PLAYERS, "m", PLAYERS)


def test_table4_is_table3_of_one_task() -> None:
    frame = tables.table4(DROPS, PLAYERS, "llama3-8b", ["attn0", "ffn0"]).set_index("task")
    assert list(frame.index) == ["boolq", "piqa"]
    assert frame["clipped_percent"].tolist() == pytest.approx([12.5, 25])
    assert frame["unclipped_percent"].tolist() == pytest.approx([-12.5, 0])
    assert frame["published_percent"].tolist() == [2.8, 1.5]
    single = tables.table3({"boolq": DROPS["boolq"]}, PLAYERS, "llama3-8b", ["attn0", "ffn0"]).iloc[1]
    assert frame.loc["boolq", "low"] == pytest.approx(single["low"])


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
