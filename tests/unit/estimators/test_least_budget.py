"""With the least budget that the config accepts, an estimator must already do what its name says."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from cornerstone.estimators import SampledEstimator, SampledInteractions, replayed

REPLICATES = 60


def errors(
    entry: SampledEstimator | SampledInteractions, players: int, game: np.ndarray, truth: np.ndarray
) -> np.ndarray:
    """[R, N] of each replicate; game: [2^N]."""
    found = []
    asked = replayed.requested(entry, players, 0)
    for replicate, coalitions in enumerate(asked):
        found.append(replayed.replay(entry, players, 0, replicate, coalitions, game[coalitions][:, None])[0])
    return np.array(found) - truth


def with_least(kind: str, players: int) -> SampledEstimator:
    entry = SampledEstimator(kind=kind, budget=4, replicates=REPLICATES)
    return entry.model_copy(update={"budget": entry.least_budget(players) * REPLICATES})


def kept(players: int) -> np.ndarray:
    """[2^N, N] who is in each coalition."""
    return (np.arange(1 << players)[:, None] >> np.arange(players) & 1).astype(float)


@pytest.mark.parametrize("players", [6, 8, 10])
@pytest.mark.parametrize("kind", ["permutation", "stratified", "kernelshap", "kadd-shap"])
def test_an_additive_game_is_solved_by_every_replicate(kind: str, players: int) -> None:
    worth = np.arange(1, players + 1) / players
    game = kept(players) @ worth
    assert np.abs(errors(with_least(kind, players), players, game, worth)).max() < 1e-4


@pytest.mark.parametrize("players", [6, 8])
def test_svarm_is_not_biased_by_empty_strata(players: int) -> None:
    worth = np.ones(players)
    off = errors(with_least("svarm", players), players, kept(players) @ worth, worth).mean(axis=0)
    assert np.abs(off).max() < 0.1


@pytest.mark.parametrize("index", ["k-SII", "FSII"])
def test_a_game_of_pairs_is_solved_by_every_replicate(index: str) -> None:
    players = 6
    pairs = list(combinations(range(players), 2))
    worth = np.random.default_rng(0).normal(size=len(pairs))
    members = kept(players)
    game = np.stack([members[:, i] * members[:, j] for i, j in pairs], axis=1) @ worth
    entry = SampledInteractions(kind="sampled", index=index, budget=4, replicates=20)
    entry = entry.model_copy(update={"budget": entry.least_budget(players) * 20})
    assert np.abs(errors(entry, players, game, worth)).max() < 1e-3
