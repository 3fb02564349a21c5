"""The page of the documentation says what the benchmark of looks has written."""

from __future__ import annotations

import pandas as pd

from benchmarks import looks, report


def test_the_page_says_what_was_measured() -> None:
    text = looks.PAGE.read_text(encoding="utf-8")
    frame = pd.read_csv(report.RESULTS / "looks.csv")
    assert looks.page(text, frame) == text
    assert looks.page(text, frame.assign(documents=7)) != text
