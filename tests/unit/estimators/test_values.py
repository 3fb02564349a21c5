from __future__ import annotations

import numpy as np
import pytest

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
