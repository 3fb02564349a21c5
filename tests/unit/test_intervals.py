from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cornerstone.errors import CornerstoneError
from cornerstone.intervals import Estimate, over_documents, over_tasks


def distinct(count: int) -> np.ndarray:
    return np.arange(count).astype(str)


def estimate(value: float, se: float, df: float, half: float | None = None) -> Estimate:
    half = stats.t.ppf(0.975, df) * se if half is None else half
    parts = (np.array([x], float) for x in (value, se, value - half, value + half, df, se, 0))
    return Estimate(*parts, level=0.95)


def test_without_clusters_it_is_the_textbook_t_interval() -> None:
    scores = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], (30, 4))
    found = over_documents(scores, distinct(30), 0.9)
    se = scores.std(axis=0, ddof=1) / np.sqrt(30)
    assert found.value == pytest.approx(scores.mean(axis=0))
    assert found.se == pytest.approx(se)
    assert found.df == pytest.approx([29] * 4)
    for j in range(4):
        low, high = stats.t.interval(0.9, 29, scores[:, j].mean(), se[j])
        assert (found.low[j], found.high[j]) == (pytest.approx(low), pytest.approx(high))


def test_clusters_by_hand() -> None:
    # residuals of 1, 0, 1, 0 are +-1/2; pairs that agree give sqrt(2/1 * (1 + 1)) / 4
    found = over_documents(np.array([[1.0], [0.0], [1.0], [0.0]]), np.array(list("abab")), 0.95)
    assert found.se[0] == pytest.approx(0.5)
    assert found.df[0] == 1


def test_copies_in_clusters_are_no_news() -> None:
    once = np.random.default_rng(1).uniform(-1, 1, (17, 3))
    labels = distinct(17)
    plain = over_documents(once, labels, 0.95)
    for copies in (2, 5):
        copied = over_documents(np.tile(once, (copies, 1)), np.tile(labels, copies), 0.95)
        for name in ("value", "se", "low", "high", "df"):
            assert getattr(copied, name) == pytest.approx(getattr(plain, name))
        naive = over_documents(np.tile(once, (copies, 1)), distinct(17 * copies), 0.95)
        assert (naive.se < plain.se).all()


def test_neither_order_nor_labels_matter() -> None:
    scores, labels = np.random.default_rng(2).normal(size=(12, 2)), np.repeat(list("abcd"), 3)
    shuffled = np.random.default_rng(3).permutation(12)
    first, second = over_documents(scores, labels, 0.95), over_documents(scores[shuffled], labels[shuffled], 0.95)
    assert first.se == pytest.approx(second.se)


@pytest.mark.parametrize("count", [2, 10, 200])
@pytest.mark.parametrize("value", [0.0, 1.0, -1.0])
def test_where_nothing_differs_it_is_clopper_and_pearson(count: int, value: float) -> None:
    found = over_documents(np.full((count, 1), value), distinct(count), 0.95)
    upper = stats.beta.ppf(0.975, 1, count)  # exact upper limit after `count` failures
    assert found.se[0] == 0
    assert found.high[0] - value == pytest.approx(upper)
    assert value - found.low[0] == pytest.approx(upper)


def test_where_nothing_differs_the_clusters_count() -> None:
    found = over_documents(np.zeros((9, 1)), np.repeat(list("abc"), 3), 0.95)
    assert found.high[0] == pytest.approx(stats.beta.ppf(0.975, 1, 3))


def test_columns_are_independent_of_each_other() -> None:
    scores = np.column_stack([np.zeros(6), [0, 0, 1, 0, 1, 1]])
    both = over_documents(scores, distinct(6), 0.95)
    for j in range(2):
        one = over_documents(scores[:, [j]], distinct(6), 0.95)
        assert (both.low[j], both.high[j]) == (one.low[0], one.high[0])


@pytest.mark.parametrize("clusters", [["a"], ["a", "a", "a"]])
def test_one_cluster_has_no_interval(clusters: list[str]) -> None:
    with pytest.raises(CornerstoneError, match="two independent documents"):
        over_documents(np.zeros((len(clusters), 2)), np.array(clusters), 0.95)


def test_over_tasks_by_hand() -> None:
    found = over_tasks([estimate(0.2, 0.03, 9), estimate(0.4, 0.04, 19)], 0.95)
    df = 0.0025**2 / (0.0009**2 / 9 + 0.0016**2 / 19)  # Welch and Satterthwaite
    assert df == pytest.approx(27.81, abs=0.01)
    half = stats.t.ppf(0.975, df) * 0.025
    assert found.value[0] == pytest.approx(0.3)
    assert found.se[0] == pytest.approx(0.025)
    assert found.df[0] == pytest.approx(df)
    assert (found.low[0], found.high[0]) == (pytest.approx(0.3 - half), pytest.approx(0.3 + half))


def test_over_tasks_equals_welchs_test() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.normal(0, 1, 12), rng.normal(0, 3, 25)
    found = over_tasks([over_documents(x[:, None], distinct(len(x)), 0.95) for x in (a, -b)], 0.95)
    welch = stats.ttest_ind(a, b, equal_var=False)
    low, high = welch.confidence_interval(0.95)
    assert found.df[0] == pytest.approx(welch.df)
    assert 2 * found.low[0] == pytest.approx(low)
    assert 2 * found.high[0] == pytest.approx(high)


def test_one_task_is_itself() -> None:
    one = over_documents(np.random.default_rng(5).normal(size=(8, 3)), distinct(8), 0.9)
    same = over_tasks([one], 0.9)
    for name in ("value", "se", "low", "high", "df"):
        assert getattr(same, name) == pytest.approx(getattr(one, name))


def test_equal_tasks_pool_their_degrees_of_freedom() -> None:
    found = over_tasks([estimate(0.1, 0.02, 9)] * 4, 0.95)
    assert found.se[0] == pytest.approx(0.01)
    assert found.df[0] == pytest.approx(36)


def test_a_task_without_spread_keeps_its_width() -> None:
    still = over_documents(np.zeros((10, 1)), distinct(10), 0.95)
    unseen = still.high[0]
    moving = estimate(0.4, 0.05, 19)
    found = over_tasks([still, moving], 0.95)
    half = np.hypot(stats.t.ppf(0.975, 19) * 0.025, unseen / 2)
    assert found.df[0] == pytest.approx(19)
    assert found.high[0] - found.value[0] == pytest.approx(half)
    neither = over_tasks([still, still], 0.95)
    assert neither.se[0] == 0
    assert neither.high[0] == pytest.approx(unseen / np.sqrt(2))


@pytest.mark.parametrize("value", [0.1, 1 / 7, -1 / 3])
@pytest.mark.parametrize("count", [3, 10])
def test_a_task_without_spread_keeps_its_width_whatever_its_value(value: float, count: int) -> None:
    still = over_documents(np.full((count, 1), value), distinct(count), 0.95)
    found = over_tasks([still, still], 0.95)
    assert found.high[0] - found.value[0] == pytest.approx(stats.beta.ppf(0.975, 1, count) / np.sqrt(2))


def test_intervals_cover_the_true_mean_as_often_as_they_say() -> None:
    rng = np.random.default_rng(6)
    before, after = rng.random((200, 4000)) < 0.6, rng.random((200, 4000)) < 0.5
    found = over_documents(before.astype(float) - after, distinct(200), 0.95)
    assert 0.93 <= np.mean((found.low <= 0.1) & (found.high >= 0.1)) <= 0.97


def test_intervals_over_tasks_cover_too() -> None:
    rng = np.random.default_rng(7)
    parts = [
        over_documents((rng.random((n, 4000)) < 0.6).astype(float) - (rng.random((n, 4000)) < p), distinct(n), 0.95)
        for n, p in ((100, 0.5), (60, 0.3), (200, 0.6))
    ]
    found, truth = over_tasks(parts, 0.95), np.mean([0.1, 0.3, 0.0])
    assert 0.93 <= np.mean((found.low <= truth) & (truth <= found.high)) <= 0.97


def test_intervals_with_clusters_cover_and_without_they_do_not() -> None:
    rng = np.random.default_rng(8)
    shared = np.repeat(rng.normal(size=(60, 2000)), 4, axis=0)  # four documents on each passage
    scores = shared + 0.5 * rng.normal(size=(240, 2000))
    passages = np.repeat(distinct(60), 4)

    def coverage(labels: np.ndarray) -> float:
        found = over_documents(scores, labels, 0.95)
        return float(np.mean((found.low <= 0) & (found.high >= 0)))

    assert 0.93 <= coverage(passages) <= 0.97
    assert coverage(distinct(240)) < 0.8
