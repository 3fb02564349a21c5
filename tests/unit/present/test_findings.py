"""The tables of the findings page: verdicts by hand, and pages that say what the CSV files say."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cornerstone.present import findings
from cornerstone.present.findings import Model
from scripts import findings as script
from tests.helpers import ROOT

NOTHING, FLOOR = "removing one other layer costs nothing", "without one of the top three, accuracy is at the floor"


def model(*, original: float = 0.6, se: float = 0.01) -> Model:
    """A model of two tasks and two predictions; those of the mean over tasks are shown."""
    rows = [
        {"prediction": NOTHING, "task": "piqa", "value": 0.9, "verdict": "fails"},
        {"prediction": NOTHING, "task": "mean", "value": 0.01, "verdict": "holds"},
        {"prediction": FLOOR, "task": "mean", "value": 0.03, "verdict": "open", "intact": 0.2},
    ]
    predictions = pd.DataFrame(rows).assign(low=-0.005, high=0.095)
    baselines = pd.DataFrame(
        {"task": ["boolq", "piqa"], "documents": 50, "original": original, "original_se": se, "chance": 0.5}
    )
    return Model("tiny", {"baselines": baselines, "hypotheses": predictions})


def test_claims_are_those_of_the_mean_over_tasks_with_their_verdicts() -> None:
    assert str(findings.measured(model(), NOTHING)) == "**holds**: 1.0 (-0.5 to 9.5)"
    assert str(findings.measured(model(), FLOOR)) == "**open**: 3.0 (-0.5 to 9.5), of 20.0"
    text = findings.claims([model()])
    assert "(mean drop) | **holds**: 1.0" in text
    assert text.count("not measured") == len(findings.CLAIMS) - 2
    assert findings.measured(model(), "what nobody predicted") is None


def test_claims_are_called_as_in_the_table_of_hypotheses() -> None:
    source = (ROOT / "cornerstone" / "analysis" / "hypotheses.py").read_text(encoding="utf-8")
    for prediction in findings.CLAIMS.values():
        assert f'"{prediction.replace(" 4 ", " {length} ")}"' in source


def test_the_interval_of_the_whole_model_by_hand() -> None:
    found = model(original=0.6, se=0.03).above_chance  # the mean of two tasks: se 3 / sqrt(2)
    assert (found.value, found.high - found.value) == pytest.approx((10, 1.96 * 3 / 2**0.5))


def test_places_of_a_page_are_filled_and_the_rest_stays() -> None:
    page = "a\n<!-- lines: begin -->x<!-- lines: end -->\n<!-- shares: begin -->\nold\n<!-- shares: end -->\nb\n"
    share = pd.DataFrame([{"players": "attn0 ffn0", "share_percent": 12.34, "low": 1.0, "high": 20.0}])
    few = share.assign(low=float("nan"), high=float("nan"))
    models = [Model(name, {**model().tables, "share": t}) for name, t in (("tiny", share), ("few", few))]
    made = findings.filled(page, {"shares": findings.shares(models)})
    assert made.startswith("a\n<!-- lines: begin -->x<!-- lines: end -->\n<!-- shares: begin -->\n\n| model |")
    assert "| tiny | attn0 ffn0 | 12.3 (1.0 to 20.0) |" in made
    assert "| few | attn0 ffn0 | 12.3 |" in made
    assert "old" not in made
    assert made.endswith("<!-- shares: end -->\nb\n")


@pytest.mark.parametrize("page", script.PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_pages_say_what_the_csv_files_say(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert findings.filled(text, script.texts()) == text, "run `python scripts/findings.py`"


def test_the_study_is_where_its_figures_come_from() -> None:
    models = script.kept()
    assert models
    for found in models:
        assert (found.tables["baselines"]["model"] == found.name).all()
        assert len(found.tables["baselines"]) == 6


def test_the_highest_layers_are_said_by_each_value_function_with_what_is_sure_of_them() -> None:
    rows = [("ffn0", 0.05, 1, True, True), ("attn1", 0.04, 2, False, True), ("ffn2", 0.03, 3, False, False)]
    frame = pd.DataFrame(rows, columns=["player", "value", "rank", "cornerstone", "above_median"])
    frame = frame.assign(low=0.01, high=0.1, rank_low=1, rank_high=6)
    tables = {stem: frame for stem, _ in findings.FUNCTIONS.values()}
    lines = findings.highest([Model("tiny", tables)]).splitlines()[2:]
    assert lines[0] == "| tiny | accuracy (points) | ffn0 | 5.0 (1.0 to 10.0) | 1 to 6 | **cornerstone** |"
    assert lines[1] == "|  |  | attn1 | 4.0 (1.0 to 10.0) | 1 to 6 | above the median layer |"
    assert lines[3] == "|  | margin (standard deviations) | ffn0 | 0.05 (0.01 to 0.10) | 1 to 6 | **cornerstone** |"
    assert lines[8].endswith("| ffn2 | 0.03 (0.01 to 0.10) | 1 to 6 | open |")
    (line,) = findings.confirmed([Model("tiny", tables)]).splitlines()[2:]
    assert line == "| tiny | 3 | " + " | ".join(["ffn0; 2 above the median"] * 3) + " |"


def test_two_removals_agree_as_far_as_their_files_say() -> None:
    frame = pd.DataFrame([{"quantity": q, "task": t} for q in ("value", "drop") for t in ("piqa", "mean")])
    frame = frame.assign(
        rank_correlation=0.5, corrected=[1, 0.75, 1, 1], low=0.25, high=1, within_first=0.8, within_second=0.9
    )
    lines = findings.agreements({"tiny": {"accuracy": frame, "margin": frame}}).splitlines()[2:]
    assert lines == [
        "| tiny | accuracy | 0.50 | 0.80, 0.90 | 0.75 (0.25 to 1.00) |",
        "|  | margin | 0.50 | 0.80, 0.90 | 0.75 (0.25 to 1.00) |",
    ]
