"""The benchmarks run, and count what they say they count."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import coverage, report, weights
from benchmarks.games import SHAPES, lookup
from cornerstone import estimators
from cornerstone.estimator_config import SampledEstimator, WindowEstimator
from cornerstone.players import players_of


@pytest.mark.parametrize("kind", ["permutation", "svarm"])
def test_matrices_do_what_the_estimator_does(kind: str) -> None:
    players = players_of(3, "ffn")
    scores = np.random.default_rng(0).random((5, 64))
    entry = SampledEstimator(kind=kind, budget=124, replicates=2)
    expected = estimators.estimate(entry, {"": lookup(players, scores)}, 7, 0)[""]
    matrices = np.stack([weights.sampled(entry, players, 7, replicate) for replicate in range(2)])
    found = coverage.values(matrices, scores)
    assert found.documents == pytest.approx(expected.documents)
    assert found.replicates == pytest.approx(expected.replicates)


def test_a_matrix_of_the_window_estimator() -> None:
    players = players_of(3, "ffn")
    scores = np.random.default_rng(0).random((5, 64))
    entry = WindowEstimator(kind="window", removed=3)
    expected = estimators.estimate(entry, {"": lookup(players, scores)}, 0, 0)[""]
    assert scores @ weights.fixed(entry, players).T == pytest.approx(expected.documents)


def test_coverage_runs(tmp_path) -> None:
    frame = coverage.measure(6, 40, 12, 0, shapes=["additive", "passages"])
    assert set(frame["game"]) == {"additive", "passages"}
    assert frame["coverage"].between(0, 1).all()
    exact = frame[frame["estimator"] == "exact"]
    assert exact["bias"].max() < 1e-12
    assert exact["coverage"].min() > 0.7
    report.write(tmp_path, "coverage", frame, coverage.text(frame, "Made today.\n"))
    assert "| exact |" in (tmp_path / "coverage.md").read_text(encoding="utf-8")


def test_the_window_estimator_misses_where_there_are_gates() -> None:
    game = SHAPES["gated"](coverage.PLAYERS)
    entry = WindowEstimator(kind="window", removed=4)
    contestant = coverage.Contestant(entry, "", coverage.pooled(entry, 1, 0))
    found = coverage.repeat(game, [contestant], 10, 200, [0])
    assert found[0].mean() < 0.8
