from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from cornerstone.analysis.intervals import Estimate, of_values, over_documents, over_tasks, variance_of_mean
from cornerstone.errors import CornerstoneError
from cornerstone.estimators.values import Values


def distinct(count: int) -> np.ndarray:
    return np.arange(count).astype(str)


def estimate(value: float, se: float, df: float, half: float | None = None) -> Estimate:
    half = stats.t.ppf(0.975, df) * se if half is None else half
    low, high = np.array([value - half]), np.array([value + half])
    number, error, zero = (np.array([x], float) for x in (value, se, 0))
    return Estimate(number, error, low, high, np.array([df], float), error, zero, level=0.95)


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
    farthest = 1 + abs(value)  # a document that was not seen may score -1 where all others score 1
    assert found.se[0] == 0
    assert found.high[0] - value == pytest.approx(farthest * upper)
    assert value - found.low[0] == pytest.approx(farthest * upper)


def test_where_all_agree_on_one_the_interval_covers_what_is_promised() -> None:
    """Ten drops of 1 or, with chance 0.16, of -1: all ten are 1 in 17.4 % of samples, and the mean is 0.68."""
    found = over_documents(np.ones((10, 1)), distinct(10), 0.95)
    assert found.low[0] <= 0.68


def test_differences_that_cancel_within_clusters_are_not_certain() -> None:
    scores = np.array([1.0, -1, 1, -1, 0, 0, 0, 0])[:, None]
    found = over_documents(scores, np.array(list("aabbcdef")), 0.95)
    assert found.se[0] == 0
    assert found.high[0] == -found.low[0] == pytest.approx(stats.beta.ppf(0.975, 1, 6))


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
    unseen = (1 + abs(value)) * stats.beta.ppf(0.975, 1, count)
    assert found.high[0] - found.value[0] == pytest.approx(unseen / np.sqrt(2))


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


def replicated(rows: np.ndarray) -> Values:
    """From [R, D, N]."""
    return Values(rows.mean(axis=0), rows)


def test_sampled_coalitions_by_hand() -> None:
    # two replicates of one player on three documents
    rows = np.array([[[1.0], [2.0], [3.0]], [[3.0], [4.0], [11.0]]])
    found = of_values(replicated(rows), distinct(3), 0.9, None)
    means = np.array([2.0, 3.0, 7.0])  # over replicates
    documents = np.var(means, ddof=1) / 3
    coalitions = np.var([2.0, 6.0], ddof=1) / 2
    # deviations of the replicates from their mean: -1, -1, -4 and 1, 1, 4; each replicate's variance over documents
    both = 2 * (np.var([1.0, 1.0, 4.0], ddof=1) / 3) / (2 * 1)
    variance = documents + coalitions - both
    df = (documents + coalitions) ** 2 / (documents**2 / 2 + coalitions**2 / 1)
    assert found.value[0] == pytest.approx(4)
    assert found.se_documents[0] == pytest.approx(np.sqrt(documents))
    assert found.se_coalitions[0] == pytest.approx(np.sqrt(coalitions))
    assert found.se[0] == pytest.approx(np.sqrt(variance))
    assert found.df[0] == pytest.approx(df)
    assert found.high[0] - 4 == pytest.approx(stats.t.ppf(0.95, df) * np.sqrt(variance))
    assert 4 - found.low[0] == pytest.approx(stats.t.ppf(0.95, df) * np.sqrt(variance))
    assert found.level == 0.9


def test_clusters_count_in_every_part_of_the_variance() -> None:
    once = np.random.default_rng(0).normal(size=(4, 9, 2))
    plain = of_values(replicated(once), distinct(9), 0.95)
    copied = of_values(replicated(np.repeat(once, 3, axis=1)), np.repeat(distinct(9), 3), 0.95)
    for name in ("value", "se", "low", "high", "df", "se_documents", "se_coalitions"):
        assert getattr(copied, name) == pytest.approx(getattr(plain, name))


def test_what_documents_and_coalitions_both_count_is_never_more_than_the_coalitions() -> None:
    """Where replicates differ only document by document, their spread adds nothing below 0."""
    rows = np.random.default_rng(1).normal(size=(5, 40, 300))
    found = of_values(replicated(rows), distinct(40), 0.95)
    assert (found.se >= found.se_documents - 1e-15).all()
    assert np.median(found.se / found.se_documents) < 1.1


def test_without_replicates_it_is_the_interval_over_documents() -> None:
    scores = np.random.default_rng(2).normal(size=(20, 3))
    first, second = over_documents(scores, distinct(20), 0.9), of_values(Values(scores), distinct(20), 0.9)
    same = of_values(Values(scores, np.stack([scores] * 4)), distinct(20), 0.9)
    for name in ("value", "se", "low", "high", "se_documents", "se_coalitions"):
        assert getattr(first, name).tolist() == getattr(second, name).tolist()
        assert getattr(same, name) == pytest.approx(getattr(first, name))
    assert (first.se_coalitions == 0).all()
    assert first.se.tolist() == first.se_documents.tolist()
    assert same.df == pytest.approx(first.df)


def test_of_a_bootstrap_the_spread_counts() -> None:
    rng = np.random.default_rng(3)
    resampled, replicates = rng.normal(0, 0.2, (500, 2)), np.repeat(rng.normal(size=(4, 1, 2)), 9, axis=1)
    found = of_values(Values(replicates.mean(axis=0), replicates, resampled), distinct(9), 0.95)
    documents, coalitions = resampled.var(axis=0, ddof=1), replicates[:, 0].var(axis=0, ddof=1) / 4
    assert found.se_documents == pytest.approx(np.sqrt(documents))
    assert found.se_coalitions == pytest.approx(np.sqrt(coalitions))
    assert found.se == pytest.approx(np.sqrt(documents + coalitions))
    assert found.df == pytest.approx((documents + coalitions) ** 2 / (documents**2 / 8 + coalitions**2 / 3))


def test_a_bootstrap_without_spread_has_the_width_of_what_was_never_seen() -> None:
    found = of_values(Values(np.zeros((9, 1)), None, np.zeros((100, 1))), distinct(9), 0.95)
    assert found.high[0] == pytest.approx(stats.beta.ppf(0.975, 1, 9))


def test_where_no_document_differs_the_coalitions_still_count() -> None:
    rows = np.repeat(np.array([0.1, 0.2, 0.4])[:, None, None], 8, axis=1)
    found = of_values(replicated(rows), distinct(8), 0.95)
    se = np.std([0.1, 0.2, 0.4], ddof=1) / np.sqrt(3)
    assert found.se_documents[0] == 0
    assert found.se[0] == pytest.approx(se)
    assert found.df[0] == pytest.approx(2)
    assert found.high[0] - found.value[0] == pytest.approx(
        np.hypot(stats.t.ppf(0.975, 2) * se, (1 + 0.7 / 3) * stats.beta.ppf(0.975, 1, 8))
    )


@pytest.mark.parametrize(("documents", "coalitions", "both"), [(1, 0.1, 1), (0.3, 1, 0.3), (1, 1, 1), (0, 0, 1)])
def test_intervals_cover_whatever_the_error_comes_from(documents: float, coalitions: float, both: float) -> None:
    """2000 experiments with 30 documents and 8 replicates; one value, 0, is the truth of all."""
    rng = np.random.default_rng(9)
    rows = (
        documents * rng.normal(size=(1, 30, 2000))
        + coalitions * rng.normal(size=(8, 1, 2000))
        + both * rng.normal(size=(8, 30, 2000))
    )
    found = of_values(replicated(rows), distinct(30), 0.95)
    assert 0.935 <= np.mean((found.low <= 0) & (found.high >= 0)) <= 0.985
    if coalitions >= documents > 0:
        naive = over_documents(rows.mean(axis=0), distinct(30), 0.95)
        assert np.mean((naive.low <= 0) & (naive.high >= 0)) < 0.8


def test_the_parts_of_tasks_combine_like_the_whole() -> None:
    rng = np.random.default_rng(10)
    parts = [of_values(replicated(rng.normal(size=(4, 12, 2))), distinct(12), 0.9) for _ in range(3)]
    found = over_tasks(parts, 0.9)
    for name in ("se", "se_documents", "se_coalitions"):
        squares = sum(getattr(part, name) ** 2 for part in parts)
        assert getattr(found, name) == pytest.approx(np.sqrt(squares) / 3)
    assert found.level == 0.9


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_a_p_value_is_below_half_of_alpha_where_the_interval_is_above_0(level: float) -> None:
    rng = np.random.default_rng(11)
    rows = rng.normal(rng.choice([-0.5, 0, 0.5], 600), 1, (5, 20, 600))
    parts = [of_values(replicated(rows), distinct(20), level), over_documents(rows[0], distinct(20), level)]
    for found in (*parts, over_tasks(parts, level)):
        p = found.p_above()
        assert (found.low > 0).tolist() == (p < (1 - level) / 2).tolist()
        assert (found.high < 0).tolist() == (p > 1 - (1 - level) / 2).tolist()
        assert 0 < np.mean(found.low > 0) < 1


def test_p_values_are_students() -> None:
    scores = np.random.default_rng(12).normal(0.2, 1, (15, 5))
    expected = stats.ttest_1samp(scores, 0, alternative="greater").pvalue
    assert over_documents(scores, distinct(15), 0.9).p_above() == pytest.approx(expected)


def test_p_values_are_uniform_where_nothing_is_there() -> None:
    scores = np.random.default_rng(13).normal(size=(25, 3000))
    p = over_documents(scores, distinct(25), 0.95).p_above()
    assert stats.kstest(p, "uniform").pvalue > 0.01


@pytest.mark.parametrize("value", [0.2, -0.2])
def test_where_no_document_differs_the_test_is_as_wide_as_the_interval(value: float) -> None:
    found = over_documents(np.full((5, 1), value), distinct(5), 0.95)
    assert 0.025 < found.p_above()[0] < 0.975  # five documents are not enough: the interval holds 0
    many = over_documents(np.full((500, 1), value), distinct(500), 0.95)
    assert (many.p_above()[0] < 0.025) == (value > 0)


def test_without_any_width_the_sign_decides_and_rounding_does_not() -> None:
    values = [0.2, -0.2, 0.0, 1e-17, -1e-17]
    found = of_values(Values(np.tile(values, (4, 1))), distinct(4), 0.95, None)
    assert found.p_above().tolist() == [0, 1, 0.5, 0.5, 0.5]


def test_the_mean_of_six_equal_estimates_from_the_same_draws_is_as_uncertain_as_one() -> None:
    """What the draws of coalitions got wrong is wrong on all tasks alike; documents are of each task by itself."""
    rng = np.random.default_rng(12)
    luck = rng.normal(size=(10, 1, 3))
    alike = replace(replicated(np.repeat(luck, 50, axis=1)), shared=True)
    one = of_values(alike, distinct(50), 0.95, None)
    six = over_tasks([one] * 6, 0.95)
    for name in ("value", "se", "low", "high", "df", "se_documents", "se_coalitions"):
        assert getattr(six, name) == pytest.approx(getattr(one, name))
    own = over_tasks([of_values(replace(alike, shared=False), distinct(50), 0.95, None)] * 6, 0.95)
    assert own.se == pytest.approx(one.se / np.sqrt(6))
    parts = [replace(replicated(luck + rng.normal(size=(10, 50, 3))), shared=True) for _ in range(6)]
    noisy = [of_values(part, distinct(50), 0.95, None) for part in parts]
    found = over_tasks(noisy, 0.95)
    means = [part.replicates.mean(axis=1) for part in parts if part.replicates is not None]
    drawn = np.mean(means, axis=0).var(axis=0, ddof=1) / 10
    assert found.se_coalitions == pytest.approx(np.sqrt(drawn))
    of_documents = np.sum([part.se_documents**2 for part in noisy], axis=0) / 36
    twice = np.sum([part.common.twice for part in noisy if part.common is not None], axis=0) / 36
    assert found.se**2 == pytest.approx(of_documents + np.maximum(0, drawn - twice))


def test_intervals_of_the_mean_cover_where_tasks_share_their_draws() -> None:
    """2000 experiments: six tasks of 30 documents, 8 replicates that are lucky alike everywhere; the truth is 0."""
    rng = np.random.default_rng(13)
    luck, parts = 0.3 * rng.normal(size=(8, 1, 2000)), []
    for _ in range(6):
        rows = luck + rng.normal(size=(1, 30, 2000)) + 0.5 * rng.normal(size=(8, 30, 2000))
        parts.append(replace(replicated(rows), shared=True))
    found, naive = (
        over_tasks([of_values(replace(part, shared=said), distinct(30), 0.95, None) for part in parts], 0.95)
        for said in (True, False)
    )
    assert 0.935 <= np.mean((found.low <= 0) & (found.high >= 0)) <= 0.97
    assert np.mean((naive.low <= 0) & (naive.high >= 0)) < 0.9


def test_another_unit_divides_all_that_has_it() -> None:
    rng = np.random.default_rng(20)
    rows, replicates = rng.normal(size=(10, 3)), rng.normal(size=(4, 10, 3))
    shared = Values(rows, replicates, shared=True)
    found = of_values(shared, distinct(10), 0.95, None)
    twice = of_values(Values(rows / 2, replicates / 2, shared=True), distinct(10), 0.95, None)
    halved = found.divided(2)
    assert halved.common is not None
    assert twice.common is not None
    for name in ("value", "se", "low", "high", "df", "se_documents", "se_coalitions"):
        assert getattr(halved, name) == pytest.approx(getattr(twice, name))
    for name in ("replicates", "twice", "df_documents"):
        assert getattr(halved.common, name) == pytest.approx(getattr(twice.common, name))
    assert found.divided(1) is found
    assert over_documents(rows, distinct(10), 0.95).divided(4).common is None


def test_two_sided_p_values_are_students() -> None:
    scores = np.random.default_rng(21).normal(0.2, 1, (15, 40))
    found = over_documents(scores, distinct(15), 0.95).p_differs()
    assert found == pytest.approx(stats.ttest_1samp(scores, 0).pvalue)


def test_the_variance_of_a_mean_is_that_of_the_estimate() -> None:
    scores, labels = np.random.default_rng(22).normal(size=(12, 3)), np.arange(12).astype(str)
    labels[:4] = "together"
    variance, df = variance_of_mean(scores, labels)
    assert variance == pytest.approx(over_documents(scores, labels, 0.95).se ** 2)
    assert df == 8
