"""The cards, the warnings and the sentence on how sure it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from cornerstone.errors import StoreError
from cornerstone.present.page import answer, power
from cornerstone.present.page.source import Source
from cornerstone.present.page.units import mean_unit, unit_of
from tests.helpers import configured
from tests.pages import told


def test_a_whole_model_that_is_no_better_than_an_empty_one_is_said(source: Source) -> None:
    rows = source.table("baselines")
    words = "no better than the model without any sublayer (40 %)"
    for original, said in ((0.3, True), (0.4, True), (0.5, False)):
        found = answer.warnings(told(source, baselines=rows.assign(original=original, empty=0.4)))
        assert any(words in line for line in found) == said


def test_there_is_a_card_for_each_value_function_the_declared_one_first(source: Source) -> None:
    cards = answer.cards(source)
    assert [(card.function, card.headline) for card in cards] == [("accuracy", True), ("margin", False)]
    for card in cards:
        rows = source.table("cornerstones", card.function)
        assert card.cornerstones == rows.loc[rows["cornerstone"], "player"].tolist()
        assert card.lines[0].startswith(f"{rows['above_median'].sum()} of {len(rows)} sublayers clearly above")
        assert f"Highest: {rows.sort_values('rank')['player'].iloc[0]} " in card.lines[1]
    assert cards[0].cornerstones == ["ffn0"]  # which adds by far the most
    assert cards[0].verdict == "ffn0"


def test_without_a_confirmed_layer_the_card_says_so(source: Source) -> None:
    rows = source.table("cornerstones").assign(cornerstone=False)
    shown = told(source, cornerstones=rows)
    assert answer.cards(shown)[0].verdict == "none confirmed"
    assert any("confirms no sublayer" in line for line in answer.how_sure(shown))


def test_equal_values_are_no_ranking(source: Source) -> None:
    rows = source.table("cornerstones").assign(value=0.0)
    card = answer.cards(told(source, cornerstones=rows))[0]
    assert card.lines == ["All 12 values are 0: there is nothing to rank."]


def test_a_tie_for_the_third_place_is_said(source: Source) -> None:
    rows = source.table("cornerstones").sort_values("rank").reset_index(drop=True)
    rows["value"] = [0.9, 0.8, 0.7, 0.7, 0.7, *(0.1 - 0.01 * i for i in range(len(rows) - 5))]
    assert "(3 share the third value" in answer.cards(told(source, cornerstones=rows))[0].lines[2]
    assert "share" not in answer.cards(source)[1].lines[2]


@pytest.mark.parametrize(
    ("original", "words"),
    [
        (0.30, "at or below chance on alpha (30 %, chance 50 %)."),
        (0.50, "at or below chance on alpha (50 %, chance 50 %)."),
        (0.55, "open whether the whole model is above chance on alpha (55 %, chance 50 %)."),
        (0.90, None),
    ],
)
def test_a_task_that_is_not_above_chance_is_named(source: Source, original: float, words: str | None) -> None:
    rows = source.table("baselines").assign(chance=0.5, original_se=0.05)
    rows["original"] = [original, 0.95]
    found = [line for line in answer.warnings(told(source, baselines=rows)) if "chance" in line]
    assert len(found) == (words is not None)
    assert all(words in line for line in found if words)


def test_a_task_without_choices_has_no_chance(source: Source) -> None:
    rows = source.table("baselines").assign(chance=float("nan"))
    assert not [line for line in answer.warnings(told(source, baselines=rows)) if "chance" in line]


def test_the_gap_of_the_headline_estimator_is_measured(source: Source) -> None:
    rows = source.table("estimators").assign(gap=-0.079)
    assert any("7.9 points of accuracy less" in line for line in answer.warnings(told(source, estimators=rows)))
    none = source.table("estimators").assign(gap=0.0)
    assert not any("add up" in line for line in answer.warnings(told(source, estimators=none)))


def test_removals_that_change_nothing_are_said(source: Source) -> None:
    rows = source.table("ablation").assign(drop=0.0)
    assert any("alpha and beta: removing any single" in line for line in answer.warnings(told(source, ablation=rows)))


def test_half_the_width_of_the_typical_interval_is_said(source: Source) -> None:
    rows = source.table("cornerstones").assign(low=-0.031, high=0.031)
    assert (
        "24 documents a task the typical interval is ± 3.1 points of accuracy"
        in answer.how_sure(told(source, cornerstones=rows))[0]
    )


def test_the_forecast_is_shown_only_where_there_is_one(tmp_path: Path) -> None:
    assert power.sentences(tmp_path) == []
    path = tmp_path / power.FILE
    head = "value_function,question,layers,half_width,plug_in,value,there"
    rows = [
        "accuracy,documents_for_half_width,,0.01,,412,1000",
        "accuracy,documents_for_top,1,,80,90,1000",
        "accuracy,documents_for_top,3,,1180,inf,1000",
        "margin,documents_for_top,3,,20,45,1000",
        "log-probability,chance_above_median,3,,0.5,0.5,1000",
    ]
    path.write_text("\n".join([head, *rows]))
    assert power.sentences(tmp_path) == [
        "By accuracy, intervals of ± 1 point take about 410 documents a task; to confirm the top three takes about "
        "1,200 documents a task, or any number more (they hold 1,000).",
        "By margin, to confirm the top three takes about 20 to 45 documents a task.",
    ]
    path.write_text("a,b\n1,2\n")
    with pytest.raises(StoreError, match=r"power\.csv lacks columns"):
        power.sentences(tmp_path)


def test_units_follow_from_the_value_function_and_the_metric() -> None:
    config = configured()
    assert unit_of("accuracy", config).name == "points of accuracy"
    assert unit_of("accuracy", config).factor == 100
    assert unit_of("margin", config).name == "nats per character"
    assert mean_unit("margin", config).name == "standard deviations"
    assert mean_unit("accuracy", config) == unit_of("accuracy", config)
    assert unit_of("log-probability", config).name == "nats"
    assert unit_of("log-probability-per-token", config).name == "nats per token"
    texts = configured({"tasks.alpha": {"metric": "word_perplexity"}, "run_tasks": ["alpha"]})
    assert unit_of("accuracy", texts).name == "hundredths of -ln of word_perplexity"
