from __future__ import annotations

import numpy as np
import pytest

from cornerstone.evaluate.scoring import Scores


def test_value_functions_by_hand() -> None:
    found = Scores([[-4.0, -2.0], [-3.0, -9.0, -1.0], [-5.0, -7.0]], [[4, 1], [3, 3, 2], [0, 7]], [0, 2, 1])
    # per character: -1, -2; -1, -3, -1/2; -5 (nothing counts as one character), -1
    assert found.margin.tolist() == pytest.approx([1, 0.5, 4])
    assert found.log_probability.tolist() == [-4, -1, -7]
    assert all(values.dtype == np.float64 for values in (found.margin, found.log_probability, found.correct("acc")))


def test_the_margin_is_positive_where_the_answer_is_right() -> None:
    """The normalised answer: as acc_norm has it, whose lengths the margin takes."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 9, (200, 4)).tolist()
    scores, gold = rng.normal(-9, 3, (200, 4)).tolist(), rng.integers(0, 4, 200).tolist()
    found = Scores(scores, lengths, gold)
    best = (np.array(scores) / np.array(lengths)).argmax(axis=1)
    assert (found.margin > 0).tolist() == (best == gold).tolist()


def test_value_functions_need_a_length_and_a_gold_for_each_document() -> None:
    with pytest.raises(ValueError, match="each document needs a gold choice"):
        Scores([[-1.0, -2.0]], [[1, 1]], [0, 1])
    with pytest.raises(ValueError, match="a length for two choices or more"):
        Scores([[-1.0, -2.0], [-1.0]], [[1, 1], [1]], [0, 0])


def test_value_functions_of_documents_together_are_those_of_each() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(2, 6, 50)
    scores = [rng.normal(-9, 3, count).tolist() for count in counts]
    lengths = [rng.integers(0, 9, count).tolist() for count in counts]
    gold = [int(rng.integers(count)) for count in counts]
    found = Scores(scores, lengths, gold)
    for d, right in enumerate(gold):
        each = np.array(scores[d]) / np.maximum(1, lengths[d])
        assert found.margin[d] == each[right] - np.delete(each, right).max()
        assert found.log_probability[d] == scores[d][right]


def test_right_answers_by_hand() -> None:
    """lm-eval's own answers are those of tests/unit/assets/test_documents.py."""
    found = Scores([[-2.0, -4.0], [-1.0, -1.0], [-3.0, -1.0, -2.0]], [[2, 5], [3, 3], [1, 0, 4]], [0, 1, 2])
    assert found.correct("acc").tolist() == [1, 0, 0]  # the first of equals wins
    assert found.correct("acc_norm").tolist() == [0, 0, 1]  # -1, -4/5; -1/3 twice; -3, -1 (as one character), -1/2
    assert found.correct("acc").dtype == np.float64
