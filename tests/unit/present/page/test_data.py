"""What the charts are drawn from is what the CSV files hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cornerstone.config.config import Config
from cornerstone.errors import StoreError
from cornerstone.files import read_csv
from cornerstone.game.coalitions import name, without
from cornerstone.plan.layout import Layout
from cornerstone.present.page import comparison, flips, published, removal, size, trust, values
from cornerstone.present.page.source import Source
from tests import pages
from tests.helpers import configured, documents


def test_values_stand_in_execution_order(source: Source) -> None:
    found = values.shapley(source)
    for function, factor in (("accuracy", 100.0), ("margin", 1.0)):
        for estimator in ("window-k2", "window-k1"):
            frame = source.values(estimator, function)
            for task, rows in frame.groupby("task"):
                rows = rows.sort_values("position")
                shown = found[function][estimator][str(task)]
                np.testing.assert_allclose(np.array(shown["value"], float), factor * rows["value"], rtol=1e-4)
                np.testing.assert_allclose(np.array(shown["high"], float), factor * rows["high"], rtol=1e-4)
                assert shown["rank_low"] == rows["rank_low"].tolist()
    assert [player["name"] for player in values.players(source)][:3] == ["attn0", "ffn0", "attn1"]


def test_the_axis_names_blocks_or_the_few_players_that_are_no_sublayers(source: Source, tmp_path: Path) -> None:
    assert values.axis(source) == {"title": "block", "ticks": {str(2 * i): str(i) for i in range(6)}}
    deep = pages.config_of(tmp_path, blocks=40)
    frame = pd.DataFrame(
        [(p.name, p.position, p.kind, p.block) for p in deep.models["base"].all_players()],
        columns=["player", "position", "kind", "block"],
    )
    made = Source(deep, "base")
    made.__dict__["players"] = frame
    ticks = values.axis(made)["ticks"]
    assert len(ticks) <= values.TICKS
    assert all(int(place) == 2 * int(block) for place, block in ticks.items())
    made.__dict__["players"] = frame.head(4).assign(kind="group", player=list("abcd"))
    assert values.axis(made)["ticks"] == {"0": "a", "1": "b", "2": "c", "3": "d"}


def test_pairs_are_counted(source: Source) -> None:
    found = values.interactions(source)["functions"]["accuracy"]
    frame = source.table("interactions")
    frame = frame[frame["task"] == "mean"]
    assert found["total"] == len(frame) == len(found["value"])
    assert found["excluded"] == ((frame["low"] > 0) | (frame["high"] < 0)).sum()
    assert found["found"] == (frame["q"] <= 0.05).sum()


def test_of_too_many_pairs_the_surest_are_kept(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "MOST_PAIRS", 5)
    found = values.interactions(source)["functions"]["accuracy"]
    assert len(found["value"]) == 5
    assert found["total"] > 5


def test_what_flips_is_what_the_table_of_values_says(config: Config, source: Source) -> None:
    found = flips.of(source, pages.reader(config))
    players = config.models["base"].all_players()
    for task in config.run_tasks:
        table = pd.read_parquet(Layout(config).values("base", task))
        metric = config.tasks[task].metric
        whole = table[table["coalition"] == "full"].set_index("doc_id")[metric]
        for place in range(len(players)):
            one = table[table["coalition"] == name(without([place], players), players)].set_index("doc_id")[metric]
            lost, won = int((whole > one).sum()), int((whole < one).sum())
            assert found["counts"][place].get(task, [0, 0]) == [lost, won]
            shown = [row for row in found["players"][place] if found["documents"][row[0]]["task"] == task]
            assert len(shown) == min(flips.EACH, lost + won)
    assert sum(len(rows) for rows in found["players"]) > 3


def test_of_the_flips_those_with_the_largest_change_are_shown(config: Config, source: Source) -> None:
    read = pages.reader(config)
    found = flips.of(source, read)
    rows = [row for row in found["players"][1] if found["documents"][row[0]]["task"] == "alpha"]
    layout = Layout(config)
    before, after = (
        np.array(read(Path(layout.coalition("base", "alpha", which)))["documents"]["loglikelihood"])
        for which in ("full", "drop-ffn0")
    )
    margins = (after[:, 0] - after[:, 1]) - (before[:, 0] - before[:, 1])
    table = pd.read_parquet(layout.values("base", "alpha")).set_index(["coalition", "doc_id"])["acc"]
    changed = np.flatnonzero((table["full"] != table["drop-ffn0"]).to_numpy())
    largest = sorted(np.abs(margins[changed]), reverse=True)[: len(rows)]
    np.testing.assert_allclose([abs(row[2]) for row in rows], largest, rtol=1e-4)
    text = found["documents"][rows[0][0]]
    np.testing.assert_allclose(rows[0][3], after[text["id"]], rtol=1e-4)
    np.testing.assert_allclose(text["with"], before[text["id"]], rtol=1e-4)
    assert text["gold"] == [0]
    assert pages.HOSTILE in text["prompt"]


def test_the_page_holds_a_limited_number_of_documents(
    config: Config, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flips, "MOST_DOCUMENTS", 2)
    found = flips.of(source, pages.reader(config))
    assert len(found["documents"]) == 2
    assert {row[0] for rows in found["players"] for row in rows} == {0, 1}


def test_a_missing_result_is_named(source: Source) -> None:
    def read(path: Path) -> Mapping[str, Any]:
        raise StoreError(f"{path} is missing")

    with pytest.raises(StoreError, match=r"full\.json"):
        flips.of(source, read)


def test_margins_are_those_of_the_metric() -> None:
    (document,) = documents([[("q", " a"), ("q", " bcd")]]).documents
    assert flips.margin(document, [-1.0, -2.0], per_character=False) == 1.0
    assert flips.margin(document, [-1.0, -2.0], per_character=True) == pytest.approx(-0.5 + 0.5)
    both = flips.text_of(documents([[("one", " x"), ("two", " x")]]).documents[0])
    assert both["prompt"] == ""
    assert both["choices"] == ["one x", "two x"]
    long = flips.text_of(documents([[("a" * 5000, " x"), ("a" * 5000, " y")]]).documents[0])
    assert len(long["prompt"]) == flips.CHARACTERS
    assert long["cut"]


def test_the_layers_that_go_are_those_of_the_curve(config: Config, source: Source) -> None:
    found = removal.of(source)
    mean = source.headline[source.headline["task"] == "mean"]
    by_value = mean.sort_values(["value", "position"])["player"].tolist()
    farthest = found["counts"][-1]
    assert found["layers"]["shapley"]["least"] == by_value[:farthest]
    assert found["layers"]["depth"]["most"] == mean.sort_values("position")["player"].tolist()[:farthest]
    players = config.models["base"].all_players()
    gone = [player.position for player in players if player.name in by_value[:3]]
    assert found["coalitions"]["shapley"]["least"]["3"] == name(without(gone, players), players)
    frame = source.table("deletion")
    curve = next(c for c in found["curves"] if (c["order"], c["direction"], c["task"]) == ("shapley", "least", "mean"))
    rows = frame[(frame["order"] == "shapley") & (frame["direction"] == "least") & (frame["task"] == "mean")]
    np.testing.assert_allclose(np.array(curve["accuracy"], float), 100 * rows["accuracy"], rtol=1e-4)
    np.testing.assert_allclose(np.array(curve["loss"][1:], float), 100 * rows["loss"][1:], rtol=1e-4, atol=1e-9)
    assert curve["loss"][0] is None


def test_what_a_removal_costs_is_the_paired_loss(source: Source) -> None:
    frame, able = source.table("deletion"), source.table("baselines").assign(original=0.8, chance=0.25)
    some = (frame["removed"] > 0) & (frame["task"] == "mean") & (frame["order"] == "shapley")
    counts = sorted(frame[some]["removed"].unique())
    wide = frame.assign(loss=0.3, loss_low=-0.02, loss_high=0.62)
    said = removal.summary(pages.told(source, deletion=wide, baselines=able))
    assert said.startswith(
        f"Removing {counts[-1]} sublayers by Shapley value, least important first, costs 30.0 points"
    )
    assert "(−2.0 to 62.0) in the mean over tasks. No removal that was measured clearly costs accuracy." in said
    # intervals of the accuracies overlap, but not that of their difference
    clear = wide.assign(low=0.0, high=1.0, loss_low=np.where(frame["removed"] >= counts[1], 0.01, -0.02))
    said = removal.summary(pages.told(source, deletion=clear, baselines=able))
    assert said.startswith(f"Removing {counts[1]} sublayers")
    assert f"clearly more than nothing. Removing {counts[0]} does not clearly cost anything." in said
    said = removal.summary(pages.told(source, deletion=wide, baselines=able.assign(original=0.2)))
    assert said.startswith("The whole model is at chance or below in the mean over tasks, so there is nothing to lose.")


def test_curves_that_name_their_layers_and_are_cross_fitted_are_shown_so(source: Source) -> None:
    frame = source.table("deletion")
    frame["layers"] = [" ".join(["ffn3", "attn2", "ffn0", "attn5", "ffn1", "attn0"][:n]) for n in frame["removed"]]
    frame["cross_fitted"] = frame["order"] != "depth"
    for column, value in (("above_depth", 0.01), ("above_depth_low", -0.02), ("above_depth_high", float("nan"))):
        frame[column] = value
    told = pages.told(source, deletion=frame)
    found = removal.of(told)
    assert found["layers"]["shapley"]["least"] == ["ffn3", "attn2", "ffn0", "attn5", "ffn1", "attn0"]
    assert found["coalitions"]["shapley"]["least"]["3"] == "drop-ffn0-attn2-ffn3"
    curve = found["curves"][0]
    assert (curve["above_depth"][0], curve["above_depth_low"][0], curve["above_depth_high"][0]) == (1.0, -2.0, None)
    assert trust.CHOSEN not in trust.not_counted(told)
    assert trust.CHOSEN in trust.not_counted(pages.told(source, deletion=frame.assign(cross_fitted=False)))


def test_without_deletion_curves_there_is_nothing_to_remove() -> None:
    assert removal.of(Source(configured({"deletion.orders": []}), "tiny")) == {}


def test_what_is_saved_is_not_said_without_the_models_config(source: Source) -> None:
    assert size.of(source) == {}


def test_tables_of_the_paper_are_those_files(source: Source) -> None:
    shown = {table.name: table for table in published.tables(source)}
    assert list(shown) == ["table1", "table2", "table3", "table4"]
    assert shown["table2"].head == ["top three", "cornerstones", "above median", "published"]
    assert shown["table2"].rows[0][1] == "ffn0"
    assert shown["table1"].files["tex"] == "tables/table1.tex"
    claims = published.claims(source)
    assert [claim.verdict for claim in claims] == source.table("hypotheses")["verdict"].tolist()
    assert [claim.task for claim in claims] == source.table("hypotheses")["task"].tolist()
    assert {claim.mark for claim in claims} <= {"✓", "✗", "?"}


def test_estimators_are_compared_in_points(source: Source) -> None:
    head, rows = trust.estimators(source)
    frame = source.table("estimators")
    frame = frame[frame["task"] == "mean"]
    assert [row[0] for row in rows] == ["window-k2", "window-k1"]
    gap = float(rows[0][head.index("gap")].replace("−", "-"))
    assert gap == pytest.approx(100 * frame["gap"].iloc[0], abs=0.051)
    assert "error against exact" not in head


def test_a_comparison_holds_the_rows_of_its_tables(compared: Config) -> None:
    pair = compared.pairs[0]
    charts = comparison.charts(compared, pair)
    assert list(charts) == ["depth", "difference", "ranks"]
    frame = read_csv(Path(Layout(compared).compared(pair)["differences"]))
    frame = frame[frame["task"] == "mean"].reset_index(drop=True)
    rows = charts["difference"]["rows"]
    assert [row["player"] for row in rows] == frame["player"].tolist()
    np.testing.assert_allclose([row["difference"] for row in rows], 100 * frame["difference"], rtol=1e-4, atol=1e-9)
    assert comparison.settings(compared, pair) == [["id", "/nowhere", "/elsewhere"]]
