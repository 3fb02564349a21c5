"""What the comparison of exports counts as different, and that the page says what the file says."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks import exports, report
from cornerstone.present.findings import filled


def test_a_tensor_differs_in_a_number_a_shape_or_because_it_is_not_there() -> None:
    one = {"same": np.arange(3.0), "number": np.arange(3.0), "shape": np.zeros(3), "missing": np.zeros(1)}
    other = {
        "same": np.arange(3.0),
        "number": np.array([0.0, 1.0, 2.5]),
        "shape": np.zeros((1, 3)),
        "more": np.zeros(1),
    }
    assert exports.differing(one, one) == 0
    assert exports.differing(one, other) == 4


def test_the_page_says_what_the_file_says() -> None:
    page = exports.PAGE.read_text(encoding="utf-8")
    frame = pd.read_csv(report.RESULTS / "exports.csv")
    assert page == filled(page, {"exports": exports.words(frame).rstrip()})
    assert "| mergekit" in page
