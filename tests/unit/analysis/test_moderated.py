"""Moderated variances: limits, invariances, and the degrees of freedom that simulated variances have."""

from __future__ import annotations

import numpy as np
import pytest

from cornerstone.analysis.moderated import FEWEST, MOST, moderated


def drawn(seed: int, count: int = 4000, df: int = 23, prior: float = 8.0, common: float = 2.0) -> np.ndarray:
    """Variances whose true values scatter as the model says: common * prior / chi2(prior)."""
    rng = np.random.default_rng(seed)
    return common * prior / rng.chisquare(prior, count) * rng.chisquare(df, count) / df


def full(variances: np.ndarray, df: float = 23) -> np.ndarray:
    return np.full(len(variances), float(df))


def test_what_the_model_says_is_found_again() -> None:
    variances = drawn(0)
    found, df = moderated(variances, full(variances))
    assert np.median(df) - 23 == pytest.approx(8, rel=0.2)
    slope = np.polyfit(variances, found, 1)[0]
    assert slope == pytest.approx(23 / (23 + 8), rel=0.15)


def test_variances_that_agree_become_one() -> None:
    variances = np.random.default_rng(1).chisquare(23, 60) / 23  # all true values are 1
    found, df = moderated(variances, full(variances))
    assert np.ptp(found) < np.ptp(variances) / 3
    assert (df > 100).all()
    same, most = moderated(np.ones(10), np.full(10, 5.0))
    assert same == pytest.approx(np.ones(10), rel=0.06)
    assert most == pytest.approx(np.full(10, 5 + MOST))


def test_they_are_nearer_to_the_truth() -> None:
    rng = np.random.default_rng(2)
    true = 8 / rng.chisquare(8, 500)
    variances = true * rng.chisquare(10, 500) / 10
    found, _ = moderated(variances, full(variances, 10))
    assert np.mean(np.log(found / true) ** 2) < 0.7 * np.mean(np.log(variances / true) ** 2)


def test_an_outlier_is_not_drawn_down() -> None:
    variances = np.append(np.random.default_rng(3).chisquare(23, 59) / 23, 40.0)
    found, df = moderated(variances, full(variances))
    assert found[-1] == pytest.approx(40, rel=0.01)
    assert df[-1] == pytest.approx(23, abs=0.1)
    assert (df[:-1] > 60).all()


def test_a_variance_of_zero_is_raised_and_a_little_more_is_no_less() -> None:
    variances = np.random.default_rng(4).chisquare(23, 30) / 23
    widths = [moderated(np.append(variances, small), np.full(31, 23.0))[0][-1] for small in (0, 0.01, 0.1)]
    assert widths == sorted(widths)
    assert widths[0] > 0


@pytest.mark.parametrize("scale", [1e-12, 3.0, 1e8])
def test_units_do_not_matter(scale: float) -> None:
    variances = drawn(5, 40)
    once, df = moderated(variances, full(variances))
    scaled, same = moderated(scale * variances, full(variances))
    assert scaled == pytest.approx(scale * once)
    assert same == pytest.approx(df)


def test_with_too_few_or_none_that_is_not_zero_they_stay() -> None:
    few = np.array([1.0, 2.0, 3.0])
    assert len(few) == FEWEST - 1
    for variances in (few, np.zeros(9)):
        found, df = moderated(variances, full(variances))
        assert found.tolist() == variances.tolist()
        assert (df == 23).all()


def test_where_almost_all_are_zero_the_others_still_count() -> None:
    variances = np.zeros(40)
    variances[7] = 1.0
    found, df = moderated(variances, full(variances))
    assert (found > 0).all()
    assert found.argmax() == 7
    assert np.isfinite(df).all()
