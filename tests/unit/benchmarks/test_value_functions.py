from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks import default_study, value_functions
from benchmarks.value_functions import reliability
from cornerstone.analysis.ranks import Sample
from cornerstone.errors import CornerstoneError
from cornerstone.estimators.values import Values


def sample(noise: float, documents: int, seed: int = 0) -> Sample:
    """Documents whose values of 40 layers are the layers' own, of variance 1, and noise."""
    rng = np.random.default_rng(seed)
    layers = np.linspace(-1, 1, 40) * np.sqrt(3)
    values = layers + noise * rng.standard_normal((documents, 40))
    return Sample(Values(values), np.arange(documents).astype(str))


@pytest.mark.parametrize(("noise", "documents"), [(5.0, 40), (5.0, 160), (10.0, 160)])
def test_reliability_is_the_share_of_true_variance(noise: float, documents: int) -> None:
    expected = 1 / (1 + noise**2 / documents)
    found = np.mean([reliability({"a": sample(noise, documents, seed)}, 20, 0)[0] for seed in range(8)])
    assert found == pytest.approx(expected, abs=0.06)


def test_tasks_are_averaged_and_clusters_stay_together() -> None:
    one = reliability({"a": sample(9, 80)}, 20, 0)[0]
    assert reliability({"a": sample(9, 80), "b": sample(9, 80, 1)}, 20, 0)[0] > one
    twins = sample(9, 80)
    doubled = Sample(Values(twins.values.documents.repeat(2, axis=0)), twins.clusters.repeat(2))
    assert reliability({"a": doubled}, 20, 0)[0] == pytest.approx(one)


def test_too_few_documents() -> None:
    with pytest.raises(CornerstoneError, match="too few to be halved"):
        reliability({"a": sample(1, 3)}, 2, 0)


@pytest.mark.parametrize("measurement", [value_functions, default_study])
def test_the_page_says_what_was_measured(measurement: Any) -> None:
    text = measurement.PAGE.read_text(encoding="utf-8")
    frames = measurement.measured()
    assert frames
    assert measurement.page(text, frames) == text
    assert measurement.page(text, {**frames, "other": next(iter(frames.values()))}) != text


def test_a_smaller_study_keeps_clusters_whole() -> None:
    twins = sample(9, 80)
    doubled = Sample(Values(twins.values.documents.repeat(2, axis=0)), twins.clusters.repeat(2))
    found = default_study.some({"a": doubled}, 15, np.random.default_rng(0))["a"]
    assert len(found.clusters) == 16
    assert (np.unique(found.clusters, return_counts=True)[1] == 2).all()
