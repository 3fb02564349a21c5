"""The tables of the findings page: verdicts by hand, and pages that say what the CSV files say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cornerstone.present import findings
from cornerstone.present.findings import Model
from scripts import findings as script
from tests.helpers import ROOT

PREDICTIONS = {
    "early": "the first tenth of the layers has higher values than the rest",
    "collapse": "without one cornerstone, accuracy is at chance",
    "others": "removing one other layer costs nothing",
    "together": "removing 4 neighbours costs more than the sum of removing each",
}


def model(*, original: float = 0.6, se: float = 0.01, **rows: Any) -> Model:
    """A model of two tasks; each of `rows` is value, low and high of a prediction, as fractions."""
    predictions = [
        {"prediction": PREDICTIONS[name], "value": value, "low": low, "high": high}
        for name, (value, low, high) in rows.items()
    ]
    baselines = pd.DataFrame(
        {"task": ["boolq", "piqa"], "documents": 50, "original": original, "original_se": se, "chance": 0.5}
    )
    return Model("tiny", {"baselines": baselines, "hypotheses": pd.DataFrame(predictions)})


@pytest.mark.parametrize(
    ("claim", "row", "verdict"),
    [
        ("early", (0.02, 0.01, 0.03), "holds"),
        ("early", (-0.02, -0.03, -0.01), "fails"),
        ("early", (0.02, -0.01, 0.05), "open"),
        ("collapse", (0.01, -0.03, 0.04), "holds"),
        ("collapse", (0.01, -0.03, 0.06), "open"),
        ("collapse", (0.08, 0.02, 0.14), "fails"),
        ("others", (0.01, 0.001, 0.019), "holds"),
        ("others", (0.01, -0.01, 0.03), "open"),
        ("others", (0.04, 0.03, 0.05), "fails"),
        ("together", (0.04, 0.03, 0.05), "holds"),
    ],
)
def test_verdicts(claim: str, row: tuple[float, float, float], verdict: str) -> None:
    rows: dict[str, Any] = {claim: row}
    found = getattr(findings, claim)(model(**rows))
    assert found.verdict == verdict
    assert (found.value, found.low, found.high) == pytest.approx(tuple(100 * number for number in row))


def test_a_model_that_is_not_clearly_above_chance_cannot_fall_to_it() -> None:
    row: dict[str, Any] = {"collapse": (0.0, -0.01, 0.01)}
    assert str(findings.collapse(model(original=0.52, se=0.05, **row))).startswith("**can't tell**")
    assert str(findings.collapse(model(original=0.60, se=0.05, **row))).startswith("**holds**")


def test_what_was_not_measured_has_no_verdict() -> None:
    assert findings.early(model(together=(0.0, 0.0, 0.0))) is None


def test_the_interval_of_the_whole_model_by_hand() -> None:
    found = model(original=0.6, se=0.03).above_chance  # the mean of two tasks: se 3 / sqrt(2)
    assert (found.value, found.high - found.value) == pytest.approx((10, 1.96 * 3 / 2**0.5))


def test_places_of_a_page_are_filled_and_the_rest_stays() -> None:
    page = "a\n<!-- lines: begin -->x<!-- lines: end -->\n<!-- shares: begin -->\nold\n<!-- shares: end -->\nb\n"
    share = pd.DataFrame([{"players": "attn0 ffn0", "share_percent": 12.34, "low": 1.0, "high": 2.0}])
    made = findings.filled(page, [Model("tiny", {**model(early=(0, 0, 0)).tables, "share": share})])
    assert made.startswith("a\n<!-- lines: begin -->x<!-- lines: end -->\n<!-- shares: begin -->\n\n| model |")
    assert "| tiny | attn0 ffn0 | 12.3 |" in made  # too few documents for an interval
    assert "old" not in made
    assert made.endswith("<!-- shares: end -->\nb\n")


@pytest.mark.parametrize("page", script.PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_pages_say_what_the_csv_files_say(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert findings.filled(text, script.kept()) == text, "run `python scripts/findings.py`"


def test_the_study_is_where_its_figures_come_from() -> None:
    models = script.kept()
    if not models:
        pytest.skip("studies/models.yaml was not run to the end yet: studies/results/models holds no model")
    for found in models:
        assert (found.tables["baselines"]["model"] == found.name).all()
        assert len(found.tables["baselines"]) == 6
