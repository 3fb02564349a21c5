"""The simulated models of the benchmark of comparisons are what it says they are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks import comparison


def test_noise_is_as_large_and_as_common_as_it_says() -> None:
    values = np.linspace(0, 1, 3), np.linspace(1, 0, 4)
    first, second = comparison.noisy(values, 20_000, 0.5, 0.7, np.random.default_rng(0))
    off = [part.values.documents - true for part, true in zip((first, second), values, strict=True)]
    assert [part.std() for part in off] == pytest.approx([0.5, 0.5], abs=0.01)
    assert np.corrcoef(off[0][:, 1], off[1][:, 1])[0, 1] == pytest.approx(0.7, abs=0.02)
    assert np.corrcoef(off[0][:, 1], off[1][:, 2])[0, 1] == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("rho", [0.0, 0.9, 1.0])
def test_true_values_are_as_correlated_as_it_says(rho: float) -> None:
    first, second = comparison.correlated(20_000, rho, False, np.random.default_rng(0))
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(rho, abs=0.02)
    heavy = comparison.correlated(20_000, rho, True, np.random.default_rng(0))
    assert stats.spearmanr(*heavy).statistic == pytest.approx(stats.spearmanr(first, second).statistic)


def test_every_world_has_three_players_on_top() -> None:
    for name, world in comparison.WORLDS.items():
        values = world(36, np.random.default_rng(0))
        assert len(values) == 36
        assert name == "all equal" or values[:3].min() > np.sort(values[3:])[-1]
