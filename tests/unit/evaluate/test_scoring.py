"""lm-eval's own numbers are those of tests/parity/test_tasks.py and tests/unit/assets/test_tasks.py."""

from __future__ import annotations

import numpy as np
import pytest

from cornerstone.evaluate.scoring import Scores
from cornerstone.game.functions import LOGARITHMS, PER, SOFT, per

ALL = ["margin", SOFT, "log-probability", *map(per, PER)]


def some(seed: int = 0, documents: int = 50, choices: int = 5) -> Scores:
    """Documents with 2 choices or more, each with random scores and lengths."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(2, choices + 1, documents)
    return Scores(
        [rng.normal(-9, 3, count).tolist() for count in counts],
        [rng.integers(1, 9, count).tolist() for count in counts],
        [int(rng.integers(count)) for count in counts],
    )


def test_value_functions_by_hand() -> None:
    found = Scores([[-4.0, -2.0], [-3.0, -9.0, -1.0], [-5.0, -7.0]], [[4, 1], [3, 3, 2], [0, 7]], [0, 2, 1])
    # per character: -1, -2; -1, -3, -1/2; -5 (nothing counts as one character), -1
    assert found.margin.tolist() == pytest.approx([1, 0.5, 4])
    assert found.log_probability.tolist() == [-4, -1, -7]
    assert found.soft_accuracy(1).tolist() == pytest.approx(
        [1 / (1 + np.e**-1), 1 / (1 + np.e**-0.5 + np.e**-2.5), 1 / (1 + np.e**-4)]
    )
    made = found.functions(ALL, 1)
    assert made[per("character")].tolist() == pytest.approx([-1, -0.5, -1])
    assert all(values.dtype == np.float64 for values in made.values())
    assert set(made) == {
        "margin",
        SOFT,
        "log-probability",
        per("character"),
    }  # nothing is known of bytes, tokens, words


def test_log_likelihoods_per_byte_token_and_word() -> None:
    counts = {"bytes": [[5], [8]], "tokens": [[2], [4]], "words": [[1], [2]]}
    made = Scores([[-10.0], [-4.0]], [[4], [8]], [0, 0], counts).functions(ALL[2:], 1)
    assert {name: values.tolist() for name, values in made.items()} == {
        "log-probability": [-10, -4],
        per("character"): [-2.5, -0.5],
        per("byte"): [-2, -0.5],
        per("token"): [-5, -1],
        per("word"): [-10, -2],
    }


def test_soft_accuracy_is_bounded_and_tends_to_the_normalised_accuracy() -> None:
    found = some()
    for temperature in (10.0, 1.0, 0.1):
        soft = found.soft_accuracy(temperature)
        assert ((soft >= 0) & (soft <= 1)).all()
    assert found.soft_accuracy(1e-4) == pytest.approx(found.metric("acc_norm"), abs=1e-9)
    chance = [1 / len(row) for row in found.lengths]
    assert found.soft_accuracy(1e6) == pytest.approx(chance, abs=1e-4)


def test_the_margin_is_positive_where_the_answer_is_right() -> None:
    """The normalised answer: as acc_norm has it, whose lengths the margin takes."""
    found = some()
    assert (found.margin > 0).tolist() == (found.metric("acc_norm") == 1).tolist()
    assert 0 < found.metric("acc_norm").sum() < 50


def test_several_right_choices() -> None:
    found = Scores([[-1.0, -2.0, -3.0], [-1.0, -2.0, -3.0]], [[1, 1, 1]] * 2, [[1, 2], [0, 2]])
    assert found.metric("acc").tolist() == [0, 1]
    assert found.margin.tolist() == [-1, 1]
    assert found.log_probability.tolist() == [-2, -1]
    left = Scores([[-1.0, -2.0, -3.0]], [[1, 1, 1]], [0]).soft_accuracy(1)
    assert found.soft_accuracy(1)[0] == pytest.approx(1 - left[0])


def test_scores_need_a_length_and_a_gold_for_each_document() -> None:
    with pytest.raises(ValueError, match="each document needs a gold choice"):
        Scores([[-1.0, -2.0]], [[1, 1]], [0, 1])
    with pytest.raises(ValueError, match="a length for each choice"):
        Scores([[-1.0, -2.0], [-1.0]], [[1, 1], [1, 2]], [0, 0])
    with pytest.raises(ValueError, match="a length for each choice"):
        Scores([[-1.0, -2.0]], [[1, 1]], [0], {"bytes": [[1]]})
    with pytest.raises(ValueError, match="is none of its document's choices"):
        Scores([[-1.0, -2.0]], [[1, 1]], [[0, 2]])


def test_value_functions_of_documents_together_are_those_of_each() -> None:
    found = some()
    for d, right in enumerate(found.gold):
        assert isinstance(right, int)
        each = np.array(found.loglikelihoods[d]) / np.maximum(1, found.lengths[d])
        assert found.margin[d] == each[right] - np.delete(each, right).max()
        assert found.log_probability[d] == found.loglikelihoods[d][right]
        assert found.soft_accuracy(0.3)[d] == pytest.approx(np.exp(each[right] / 0.3) / np.exp(each / 0.3).sum())


def test_right_answers_by_hand() -> None:
    lengths, sizes = [[2, 5], [3, 3], [1, 0, 4]], {"bytes": [[2, 2], [3, 3], [1, 1, 8]]}
    greedy = [[0, 1], [1, 0], [0, 0, 1]]
    found = Scores([[-2.0, -4.0], [-1.0, -1.0], [-3.0, -1.0, -2.0]], lengths, [0, 1, 2], sizes, greedy)
    assert found.metric("acc").tolist() == [1, 0, 0]  # the first of equals wins
    assert found.metric("acc_norm").tolist() == [0, 0, 1]  # -1, -4/5; -1/3 twice; -3, -1 (as one character), -1/2
    assert found.metric("acc_bytes").tolist() == [1, 0, 1]  # -1, -2; -1/3 twice; -3, -1, -1/4
    assert found.metric("exact_match").tolist() == [0, 0, 1]
    assert found.metric("acc").dtype == np.float64
    with pytest.raises(KeyError, match="greedy"):
        Scores([[-2.0]], [[2]], [0]).metric("acc")  # without choices, right means greedy


def test_perplexities_are_lm_evals_ratios() -> None:
    """A document's value is linear in its log-likelihood, and the mean is the logarithm of what lm-eval says."""
    scores, words, size = [-30.0, -80.0, -10.0], [10, 20, 6], [40, 90, 25]
    counts = {"words": [[n] for n in words], "bytes": [[n] for n in size]}
    found = Scores([[s] for s in scores], [[1]] * 3, [0] * 3, counts)
    assert found.said("word_perplexity") == pytest.approx(np.exp(120 / 36))
    assert found.said("byte_perplexity") == pytest.approx(np.exp(120 / 155))
    assert found.said("bits_per_byte") == pytest.approx(120 / 155 / np.log(2))
    assert found.said("perplexity") == pytest.approx(np.exp(40))
    half = Scores([[s / 2] for s in scores], [[1]] * 3, [0] * 3, counts)
    for metric in LOGARITHMS:
        assert half.metric(metric) == pytest.approx(found.metric(metric) / 2)
    # the standard error of a ratio (Cochran 1977, 6.4)
    ratio = sum(scores) / sum(words)
    residuals = np.array(scores) - ratio * np.array(words)
    expected = residuals.std(ddof=1) / np.sqrt(3) / np.mean(words)
    assert found.metric("word_perplexity").std(ddof=1) / np.sqrt(3) == pytest.approx(expected)
