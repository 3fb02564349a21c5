"""Rank correlation of two models: exact cases, noise, and how often its interval holds the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cornerstone.analysis.agreement import agreement, correlation
from cornerstone.analysis.ranks import Sample
from cornerstone.estimators.values import Values

TASKS = ("alpha", "beta")


def sampled(
    values: np.ndarray, noise: np.ndarray, replicates: int | None = None, clusters: np.ndarray | None = None
) -> Sample:
    scores = values + noise
    labels = np.arange(len(scores)).astype(str) if clusters is None else clusters
    if replicates is None:
        return Sample(Values(scores), labels)
    rng = np.random.default_rng(5)
    return Sample(Values.averaged([scores + rng.normal(0, 0.1, scores.shape) for _ in range(replicates)]), labels)


def two(documents: int = 40, players: int = 12, spread: float = 0.5) -> tuple[dict[str, Sample], dict[str, Sample]]:
    rng = np.random.default_rng(0)
    first, second = rng.normal(0, 1, (2, players))
    made: tuple[dict[str, Sample], dict[str, Sample]] = ({}, {})
    for task in TASKS:
        for side, values in zip(made, (first, second), strict=True):
            side[task] = sampled(values, rng.normal(0, spread, (documents, players)))
    return made


def test_a_model_agrees_with_itself() -> None:
    first, _ = two()
    for task, found in agreement(first, first, 0.95, 0, 100).items():
        assert task in (*TASKS, "mean")
        assert found.plain == found.corrected == found.high == pytest.approx(1)
        assert found.across == pytest.approx(found.within_first)
        assert found.within_first == found.within_second
    reverse = {task: Sample(Values(-sample.values.documents), sample.clusters) for task, sample in first.items()}
    found = agreement(first, reverse, 0.95, 0, 100)["mean"]
    assert found.plain == found.corrected == found.low == pytest.approx(-1)


def test_the_correlation_is_spearmans_of_the_means() -> None:
    first, second = two()
    found = agreement(first, second, 0.95, 0, 100)
    means = [{task: sample.values.documents.mean(axis=0) for task, sample in side.items()} for side in (first, second)]
    for task in TASKS:
        assert found[task].plain == pytest.approx(stats.spearmanr(means[0][task], means[1][task]).statistic)
    over = [np.mean(list(side.values()), axis=0) for side in means]
    assert found["mean"].plain == pytest.approx(stats.spearmanr(*over).statistic)
    assert found["mean"].low <= found["mean"].plain <= found["mean"].high


def test_equal_values_share_their_rank_also_up_to_rounding() -> None:
    values = np.array([[0.1 + 0.2, 0.3, 0.5, 0.5]])
    assert values[0, 0] != values[0, 1]
    other = np.array([[1.0, 2.0, 3.0, 3.0]])
    exact = stats.spearmanr([1.5, 1.5, 3.5, 3.5], [1, 2, 3.5, 3.5]).statistic
    assert correlation(values, other)[0] == pytest.approx(exact)
    assert np.isnan(correlation(np.ones((1, 3)), other[:, :3])[0])


def test_shared_noise_and_independent_noise_are_both_seen_through() -> None:
    """The plain correlation of unrelated values is pulled up by documents that both answer; the corrected is not."""
    rng = np.random.default_rng(1)
    plain, corrected = [], []
    for _ in range(12):
        first, second = rng.normal(0, 1, (2, 40))
        shared, own, other = rng.normal(0, 5, (3, 60, 40))
        found = agreement({"a": sampled(first, shared + own)}, {"a": sampled(second, shared + other)}, 0.95, 0, 100)[
            "a"
        ]
        plain.append(found.plain)
        corrected.append(found.corrected)
    assert np.mean(plain) > 0.12
    assert abs(np.mean(corrected)) < 0.08


@pytest.mark.parametrize("true", [0.0, 0.9])
def test_the_interval_covers_where_the_plain_one_does_not(true: float) -> None:
    rng = np.random.default_rng(2)
    held, naive = [], []
    for _ in range(25):
        first, other = rng.normal(0, 1, (2, 40))
        second = true * first + np.sqrt(1 - true**2) * other
        shared, own, another = rng.normal(0, 4, (3, 50, 40))
        sides = sampled(first, shared + own), sampled(second, shared + another)
        found = agreement({"a": sides[0]}, {"a": sides[1]}, 0.95, int(rng.integers(1 << 20)), 100)["a"]
        truth = stats.spearmanr(first, second).statistic
        held.append(found.low <= truth <= found.high)
        naive.append(abs(found.plain - truth) < 0.1)
    assert np.mean(held) >= 0.84
    assert np.mean(naive) < 0.7


def test_clusters_count_as_one_document() -> None:
    first, second = two(documents=20)
    doubled = [
        {
            task: Sample(Values(np.repeat(sample.values.documents, 2, axis=0)), np.repeat(sample.clusters, 2))
            for task, sample in side.items()
        }
        for side in (first, second)
    ]
    assert agreement(doubled[0], doubled[1], 0.95, 0, 100)["mean"] == agreement(first, second, 0.95, 0, 100)["mean"]


def test_the_names_of_clusters_do_not_matter() -> None:
    """Prompts of two models may differ, and with them what a cluster is called; the documents are the same."""
    first, second = two(documents=20)
    groups = np.array([i // 2 for i in range(20)])
    named = [
        {t: Sample(s.values, np.array([name(g) for g in groups])) for t, s in side.items()}
        for side, name in ((first, lambda g: f"{g:02}"), (second, lambda g: f"{99 - g}"), (second, lambda g: f"{g:02}"))
    ]
    assert agreement(named[0], named[1], 0.95, 0, 100) == agreement(named[0], named[2], 0.95, 0, 100)


def test_replicates_are_halved_with_the_documents() -> None:
    """Coalitions that both halves share would make a model agree with itself by their errors alone."""
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 0.01, (30, 20))
    parts = [rng.normal(0, 1, 20) + noise for _ in range(10)]  # nothing but errors of the coalitions
    side = {"a": Sample(Values.averaged(parts), np.arange(30).astype(str))}
    found = agreement(side, side, 0.95, 0, 100)["a"]
    assert abs(found.within_first) < 0.5
    assert found.plain == pytest.approx(1)


def test_too_few_documents_and_values_that_are_not_linear_give_no_interval() -> None:
    first, second = two(documents=3)
    resampled = [
        {t: Sample(Values(s.values.documents, None, s.values.documents), s.clusters) for t, s in side.items()}
        for side in two()
    ]
    for sides in ((first, second), resampled):
        found = agreement(sides[0], sides[1], 0.95, 0, 100)["mean"]
        assert np.isfinite(found.plain)
        assert np.isnan([found.corrected, found.low, found.high, found.within_first]).all()
