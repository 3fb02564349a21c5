"""The games of the benchmark of work have the values that it says, and its errors are those of the estimator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import plots, work
from cornerstone.estimators import WindowEstimator, exact, window
from cornerstone.game.coalitions import window_coalitions
from cornerstone.game.game import Game


@pytest.mark.parametrize(("threshold", "slope"), [(0.8, 25), (0.5, 4)])
def test_a_game_of_classes_has_the_exact_values(threshold: float, slope: float) -> None:
    made = work.Classes((2, 3, 4), (3.0, 1.0, 0.5), threshold, slope)
    assert np.bincount(made.of_player).tolist() == [2, 3, 4]
    known = work.known_of("some", made)
    one = np.zeros(1, int)
    table = dict(enumerate(known.of(range(2**9))[:, None]))
    assert made.shapley == pytest.approx(exact.estimate(Game(known.players, table, one, one))[0])


def test_the_games_are_what_they_are_called() -> None:
    by_name = {game.name: game for game in work.games(60)}
    kept = np.ones((1, 60), bool)
    for game in by_name.values():
        assert game.shapley.sum() == pytest.approx(float(game.value(kept)[0] - game.value(~kept)[0]), abs=1e-6)
    rng = np.random.default_rng(0)
    without = np.array([~np.isin(np.arange(60), rng.choice(60, 18, replace=False)) for _ in range(200)])
    assert by_name["collapse"].value(without).mean() < 0.33  # 30 % removed: at chance, or nearly
    assert by_name["smooth"].value(without).mean() > 0.5
    smooth = by_name["smooth"].shapley
    assert smooth.max() / smooth.min() < 2  # no layer stands out


def test_errors_are_those_of_the_estimator_and_gains_those_against_permutations() -> None:
    known = work.games(20)[:1]
    found = work.errors(WindowEstimator(kind="window", removed=4), known, [0])
    asked = window_coalitions(known[0].players, 4)
    one = np.zeros(1, int)
    game = Game(known[0].players, dict(zip(asked, known[0].of(asked)[:, None], strict=True)), one, one)
    error = window.estimate(game, 4)[0] - known[0].shapley
    assert found["rmse"][0] == pytest.approx(np.sqrt(np.mean(error**2)))
    assert found["bias"][0] == pytest.approx(found["rmse"][0])
    assert found["coalitions"][0] == len(asked) == 75


def test_a_real_game_is_measured_where_its_study_was_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(work.all_games([10, 20], tmp_path)) == [20]
    tasks = [work.games(20)[0], work.games(20)[2]]  # the last is the mean over tasks
    monkeypatch.setattr(work, "real", lambda _: tasks)
    found = work.all_games([10, 20], tmp_path)
    assert [game.name for game in found[10]] == ["SmolLM2"]
    assert found[10][0].shapley is tasks[1].shapley


def test_an_estimator_at_equal_work_with_half_the_error_gains_four() -> None:
    rows = {"game": "some", "players": 20, "estimator": ["permutation", "adjusted-msr"], "work": 100.0}
    frame = pd.DataFrame({**rows, "evaluations": [90.0, 100.0], "rmse": [0.02, 0.01]})
    gains = work.ratios(frame).set_index("estimator")["some"]
    assert gains["permutation"] == 1
    assert gains["adjusted-msr"] == pytest.approx(4 * 0.9)


def test_coverage_is_that_of_intervals_with_noise_of_documents() -> None:
    found = work.coverage(2000, work.games(20)[2:], documents=40, repetitions=3)
    assert found["game"].tolist() == ["collapse", "smooth"]
    assert found["coverage"].between(0.7, 1).all()
    assert found["coalition_share"].between(0, 1).all()


def test_the_figure_has_a_panel_for_each_game_and_a_line_for_each_estimator() -> None:
    games, kinds = ["gated", "smooth"], ["permutation", "adjusted-msr"]
    rows = [
        {"game": game, "players": players, "estimator": kind, "evaluations": 100.0 * players, "rmse": 0.01}
        for game in games
        for players in (20, 60)
        for kind in kinds
    ]
    rows += [{**rows[0], "game": "SmolLM2", "players": 10, "estimator": kind} for kind in kinds]
    figure = plots.error_against_work(pd.DataFrame(rows).sort_values("players", kind="stable"))
    panels = [ax.get_title(loc="left") or ax.get_title() for ax in figure.axes]
    assert list(filter(None, panels)) == [
        "gated, N = 20", "smooth, N = 20", "SmolLM2, N = 10", "gated, N = 60", "smooth, N = 60"
    ]  # fmt: skip
    assert [text.get_text() for text in figure.legends[0].get_texts()] == kinds
