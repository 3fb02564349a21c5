"""The benchmarks run, and count what they say they count."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest

from benchmarks import coverage, plots, report, weights
from benchmarks import estimators as error
from benchmarks.games import SHAPES, lookup
from cornerstone.estimators import SampledEstimator, WindowEstimator
from cornerstone.game.players import alike, players_of


@pytest.mark.parametrize("kind", ["permutation", "svarm"])
def test_matrices_do_what_the_estimator_does(kind: Literal["permutation", "svarm"]) -> None:
    players = players_of(alike(3))
    scores = np.random.default_rng(0).random((5, 64))
    entry = SampledEstimator(kind=kind, budget=124, replicates=2)
    expected = entry.estimate({"": lookup(players, scores)}, 7, 0)[""]
    matrices = np.stack([weights.sampled(entry, players, 7, replicate) for replicate in range(2)])
    found = coverage.values(matrices, scores)
    assert found.documents == pytest.approx(expected.documents)
    assert found.replicates == pytest.approx(expected.replicates)


def test_the_matrices_of_adjusted_msr_are_those_of_one_estimate() -> None:
    players = players_of(alike(3))
    scores = np.random.default_rng(0).random((5, 64))
    entry = coverage.AdjustedEstimator(kind="adjusted-msr", budget=120, replicates=4)
    expected = entry.estimate({"": lookup(players, scores)}, 3, 0)[""]
    matrices = np.concatenate([weights.adjusted(entry, players, seed) for seed in (3, 4)])
    contestant = coverage.Contestant(entry, "", matrices, 4)
    drawn = [contestant.draw(np.random.default_rng(seed)) for seed in range(9)]
    assert {bool(np.array_equal(one, matrices[:4])) for one in drawn} == {True, False}
    assert all(np.array_equal(one, matrices[:4]) or np.array_equal(one, matrices[4:]) for one in drawn)
    assert coverage.values(matrices[:4], scores).documents == pytest.approx(expected.documents)


def test_a_matrix_of_the_window_estimator() -> None:
    players = players_of(alike(3))
    scores = np.random.default_rng(0).random((5, 64))
    entry = WindowEstimator(kind="window", removed=3)
    expected = entry.estimate({"": lookup(players, scores)}, 0, 0)[""]
    assert scores @ weights.fixed(entry, players).T == pytest.approx(expected.documents)


def test_tables_have_no_negative_zero_and_no_nan() -> None:
    frame = pd.DataFrame({"name": ["a", "b"], "x": [-0.001, -1.0], "y": [np.nan, 0.5]})
    table = report.markdown(frame, {"x": ".2f", "y": ".1f"})
    assert table.splitlines()[2:] == ["| a | 0.00 |  |", "| b | -1.00 | 0.5 |"]


def test_coverage_runs(tmp_path: Path) -> None:
    frame = coverage.measure(4, 40, 12, 0, shapes=["passages"], replicates=5)
    assert set(frame["game"]) == {"passages"}
    assert frame["coverage"].dropna().between(0, 1).all()
    exact = frame[frame["estimator"] == "exact"]
    assert exact["bias"].max() < 1e-12
    permutation = frame[(frame["estimator"] == "permutation") & (frame["budget"] == "least")]
    assert set(permutation["coalitions"]) == {5 * 16}
    assert exact["coverage"].min() > 0.7
    adjusted = frame[frame["estimator"] == "adjusted-msr"]
    assert adjusted["coverage"].min() > 0.7
    lacking = frame[frame["estimator"] == "odd-shap"]  # a row that says why
    assert lacking["coverage"].isna().all()
    assert lacking["budget"].str.contains("needs shapiq|not linear").all()
    report.write(tmp_path, "coverage", frame, coverage.text(frame, "Made today.\n"))
    assert "| exact |" in (tmp_path / "coverage.md").read_text(encoding="utf-8")


def test_the_window_estimator_misses_where_there_are_gates() -> None:
    game = SHAPES["gated"](coverage.PLAYERS)
    entry = WindowEstimator(kind="window", removed=4)
    contestant = coverage.Contestant(entry, "", coverage.pooled(entry, 1, 0))
    found = coverage.repeat(game, [contestant], 10, 200, [0])
    assert found[0].mean() < 0.8


def test_the_error_against_budget_runs(tmp_path: Path) -> None:
    games = error.simulated(10)
    frame = error.error_against_budget(games, (100, 400), 3)
    assert set(frame["game"]) == {game.name for game in games}
    adjusted = frame[frame["estimator"] == "adjusted-msr"]
    assert adjusted.loc[adjusted["game"].str.startswith("additive"), "rmse"].max() < 0.01
    assert frame["estimator"].str.startswith("odd-shap").any()  # measured, or a row that says what it needs
    frame = frame.dropna(subset=["rmse"])
    permutation = frame[(frame["estimator"] == "permutation") & frame["game"].str.startswith("additive")]
    assert permutation["rmse"].max() < 1e-9
    assert (frame["coalitions"] <= frame["budget"]).all()
    bias = error.window_bias(games)
    plots.save(plots.error_against_budget(frame, bias), tmp_path / "error.png")
    plots.save(plots.window_bias(bias), tmp_path / "bias.png")
    assert {path.name for path in tmp_path.iterdir()} == {"error.png", "bias.png"}


def test_the_window_estimator_is_neither_symmetric_nor_efficient() -> None:
    bias: Any = error.window_bias(error.simulated(10)).drop_duplicates(["game", "K"]).set_index(["game", "K"])
    assert bias.loc[("additive, 10 players", 4), "rmse"] < 1e-12
    gated = bias.loc[("gated, 10 players", 4)]
    assert abs(gated["asymmetry"]) > 0.01
    assert gated["efficiency_gap"] > 0.1


def test_a_table_is_a_game_with_exact_values() -> None:
    game = SHAPES["gated"](8)
    known = error.of_table("gated", game.players, game.values)
    assert known.shapley == pytest.approx(game.shapley)
    assert known.of([0, 3, 255]) == pytest.approx(game.values[[0, 3, 255]])


def test_without_the_grouped_model_there_are_simulated_games_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert error.real(tmp_path) == []
    assert "make study NAME=groups" in capsys.readouterr().out


def test_the_page_shows_the_coverage_that_was_measured() -> None:
    text = coverage.PAGE.read_text(encoding="utf-8")
    assert coverage.page(text, pd.read_csv(report.RESULTS / "coverage.csv")) == text
