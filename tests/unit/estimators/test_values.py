from __future__ import annotations

import numpy as np
import pytest

from cornerstone.estimators import SampledEstimator, WindowEstimator
from cornerstone.estimators.replayed import _Antithetic
from cornerstone.estimators.values import Values

RNG = np.random.default_rng(0)
SAMPLED = Values(RNG.normal(size=(4, 3)), RNG.normal(size=(2, 4, 3)))


def test_contrasts_are_weighted_sums_of_every_part() -> None:
    weights = np.array([[1.0, 0], [-1, 0.5], [0, 0.5]])
    full = Values(SAMPLED.documents, SAMPLED.replicates, np.arange(6.0).reshape(2, 3))
    found = full.contrasts(weights)
    assert found.documents[:, 0] == pytest.approx(SAMPLED.documents[:, 0] - SAMPLED.documents[:, 1])
    assert found.replicates is not None
    assert SAMPLED.replicates is not None
    assert found.replicates[1, :, 1] == pytest.approx(SAMPLED.replicates[1, :, 1:].mean(axis=1))
    assert found.resampled is not None
    assert found.resampled.tolist() == [[-1, 1.5], [-1, 4.5]]
    plain = Values(SAMPLED.documents).contrasts(weights)
    assert plain.replicates is None
    assert plain.resampled is None


def test_some_documents_are_rows_of_every_part() -> None:
    found = SAMPLED.of(np.array([3, 1]))
    assert found.documents.tolist() == SAMPLED.documents[[3, 1]].tolist()
    assert found.replicates is not None
    assert SAMPLED.replicates is not None
    assert found.replicates.tolist() == SAMPLED.replicates[:, [3, 1]].tolist()
    assert Values(SAMPLED.documents).of(np.array([0])).replicates is None


def test_an_estimator_that_is_not_linear_has_no_values_of_some_documents() -> None:
    with pytest.raises(ValueError, match="not linear"):
        Values(np.zeros((4, 3)), None, np.zeros((5, 3))).of(np.array([0]))


def test_halves_are_of_half_of_the_replicates_each() -> None:
    rng = np.random.default_rng(0)
    replicates = rng.normal(size=(5, 6, 3))
    halves = Values(replicates.mean(axis=0), replicates, shared=True).halves()
    assert halves is not None
    for half, part in zip(halves, (replicates[:2], replicates[2:]), strict=True):
        assert half.documents == pytest.approx(part.mean(axis=0))
        assert half.replicates is not None
        assert half.replicates.tolist() == part.tolist()
        assert half.shared
    assert Values.averaged(list(replicates[:4])).halves() is not None
    assert Values.averaged(list(replicates[:3])).halves() is None
    assert Values(replicates[0], resampled=replicates[1]).halves() is None


def test_some_documents_keep_their_replicates_and_samples() -> None:
    replicates, labels = np.random.default_rng(1).normal(size=(2, 4, 3)), np.array(list("aabb"))
    part = Values(replicates.mean(axis=0), replicates, clusters=labels).of(np.array([3, 1]))
    assert part.clusters is not None
    assert part.clusters.tolist() == ["b", "a"]
    assert part.replicates is not None
    assert part.replicates.tolist() == replicates[:, [3, 1]].tolist()
    assert part.documents == pytest.approx(replicates.mean(axis=0)[[3, 1]])


def test_permutations_are_followed_by_their_reverse_and_differ() -> None:
    """A replicate's permutations, as shapiq draws them: each second one is the one before it, backwards."""
    drawn = np.tile(np.arange(9), (6, 1))
    _Antithetic(np.random.default_rng(2)).permuted(drawn, axis=1, out=drawn)
    assert (np.sort(drawn, axis=1) == np.arange(9)).all()
    assert drawn[1::2].tolist() == drawn[0::2, ::-1].tolist()
    assert len({tuple(row) for row in drawn.tolist()}) == 6


def test_tasks_have_coalitions_of_their_own_where_they_are_drawn_by_task() -> None:
    drawn, alike = SampledEstimator(kind="permutation", budget=100), WindowEstimator(kind="window", removed=2)
    seeds = [drawn.seed_on(seed, task) for seed in (0, 1) for task in ("a", "b")]
    assert len(set(seeds)) == 4
    assert seeds == [drawn.seed_on(seed, task) for seed in (0, 1) for task in ("a", "b")]
    assert [alike.seed_on(seed, task) for seed in (0, 1) for task in ("a", "b")] == [0, 0, 1, 1]
