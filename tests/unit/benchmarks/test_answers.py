"""Answers are there when they are, cost what is said, and the page has what was measured."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks import answers
from benchmarks.worlds import World
from cornerstone.analysis import ranks
from cornerstone.analysis.ranks import Sample
from cornerstone.estimators.values import Values
from cornerstone.game.game import MEAN


def test_answers_are_those_of_the_package() -> None:
    rng, truth = np.random.default_rng(0), np.array([0.3, 0.25, 0.2, 0.02, 0.01, 0.0, 0.0, -0.01])
    for spread, settled in ((0.1, True), (1.0, False)):
        rows = truth + spread * rng.normal(size=(100, 8))
        samples = {"task": Sample(Values(rows), np.arange(100).astype(str), None)}
        there, top = answers.answered(samples, 0.95)
        confirmed = ranks.among_top(ranks.pairwise(samples, 0.95)[MEAN]) <= 0.05
        assert there[answers.TOP] == settled == confirmed[top].all()
        found = ranks.estimates(samples, 0.95)[MEAN]
        assert there[answers.POINT] == bool((found.high - found.value <= answers.WIDTH).all())


def test_the_paper_s_way_computes_every_layer_that_a_coalition_keeps() -> None:
    world = World("sparse")
    assert answers.per_document(answers.SWEPT, world) == 6790
    assert answers.per_document(answers.PAPER, world) == 60 + sum((61 - size) * (60 - size) for size in range(1, 5))


def test_factors_are_against_the_paper_s_way() -> None:
    rows = {
        "world": "sparse",
        "answer": answers.TOP,
        "run": [0, 1, 0, 1],
        "right": [True, True, True, False],
        "held": 1.0,
    }
    ways = [answers.PAPER, answers.PAPER, answers.WINDOWS, answers.WINDOWS]
    cost = {"documents": [1008, 1008, 32, np.nan], "evaluations": [8e6, 8e6, 1e6, 3e6]}
    frame = pd.DataFrame({**rows, "way": ways, **cost})
    performance = pd.DataFrame({"sweep_s": [679.0], "p1_s": [1_000.0]})
    shown = answers.table(frame, performance).set_index("way")
    assert shown["times less"].fillna(0).to_dict() == {
        answers.PAPER: 1,
        answers.WINDOWS: 0,
    }  # one run did not get there
    all_there = answers.table(frame.assign(documents=32), performance).set_index("way")
    assert all_there["times less"].to_dict() == {answers.PAPER: 1, answers.WINDOWS: 4}
    assert shown["reached"].to_dict() == {answers.PAPER: "2 of 2", answers.WINDOWS: "1 of 2"}
    assert shown["right three"].to_dict() == {answers.PAPER: "2 of 2", answers.WINDOWS: "1 of 2"}
    assert shown.loc[answers.WINDOWS, "hours"] == pytest.approx(2e6 * 679 / 6790 / 100 / 3600)


def test_the_page_has_what_was_measured() -> None:
    frame, performance = answers.stored("answers"), answers.stored("performance")
    if frame is not None:
        assert performance is not None
        text = answers.PAGE.read_text(encoding="utf-8")
        body = answers.words(frame, performance, answers.stored("answers_real"))
        assert answers.page(text, body) == text, "run: python -m benchmarks.answers"
