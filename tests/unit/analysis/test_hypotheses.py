from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pytest

from cornerstone.analysis import hypotheses, ranks, shapley
from cornerstone.config.config import Config
from cornerstone.estimators import interactions as pairwise
from cornerstone.game.game import Game
from cornerstone.plan.layout import Layout
from tests.helpers import configured, game, some_players, windows

N = 8
PLAYERS = some_players(N)
DOCUMENTS = 24


def config(**changes: object) -> Config:
    return configured({"estimators": windows(3), **changes})


def games(value: Callable[[int], float], noise: float = 0.0) -> dict[str, Game]:
    """The same game on both tasks; each document adds to it what depends on the document alone."""
    found = {}
    for seed, task in enumerate(("alpha", "beta")):
        own = np.random.default_rng(seed).normal(0, noise, DOCUMENTS)
        found[task] = game(PLAYERS, lambda c, own=own: value(c) * (1 + own))
    return found


def additive(weights: Mapping[int, float]) -> Callable[[int], float]:
    return lambda c: sum(weight for player, weight in weights.items() if c >> player & 1)


def either(c: int) -> float:
    """1 while player 2 or player 3 is there: they are redundant."""
    return float(bool(c & 0b1100))


def both(c: int) -> float:
    """1 only while players 2 and 3 are there: they are synergistic."""
    return float(c & 0b1100 == 0b1100)


def mean_rows(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["task"] == "mean"]


@pytest.mark.parametrize(("value", "expected"), [(either, -1.0), (both, 1.0)])
def test_interactions_tell_redundancy_from_synergy(value: Callable[[int], float], expected: float) -> None:
    made, by_task = config(), games(value)
    pairs, found = hypotheses.measured(made, "windows-k3", by_task)
    frame = hypotheses.interactions(made, "tiny", "windows-k3", pairs, found, by_task)
    assert frame["task"].unique().tolist() == ["alpha", "beta", "mean"]
    values = mean_rows(frame).set_index(["first", "second"])["value"]
    assert len(values) == 7 + 6
    assert values["attn1", "ffn1"] == pytest.approx(expected)
    others = values.drop([("attn1", "ffn1")])
    # with player 3 (or 2) removed between them, the pairs around lose what it stood for; further pairs have nothing
    assert others[[abs(v) < 1e-12 for v in others]].size >= 9


def test_interactions_of_an_additive_game_are_zero() -> None:
    made, by_task = config(), games(additive({i: 0.1 * i for i in range(N)}))
    for name in ("windows-k3",):
        pairs, found = hypotheses.measured(made, name, by_task)
        assert np.abs(found["alpha"].documents).max() < 1e-12
        profile = mean_rows(hypotheses.by_distance(made, "tiny", name, pairs, found, by_task))
        assert profile["distance"].tolist() == [1, 2]
        assert profile["pairs"].tolist() == [7, 6]
        assert profile["value"].tolist() == pytest.approx([0, 0], abs=1e-12)


def test_configured_interactions_are_measured_by_their_name() -> None:
    made = config(interactions=[{"kind": "pairs"}, {"kind": "exact"}])
    assert Layout(made).interaction_names("tiny") == ["pairs", "exact-k-sii", "windows-k4"]
    pairs, found = hypotheses.measured(made, "pairs", games(both))
    assert len(pairs) == N * (N - 1) // 2
    assert found["beta"].documents[:, pairs.index((2, 3))] == pytest.approx(np.ones(DOCUMENTS))


def test_by_distance_by_hand() -> None:
    made, by_task = config(interactions=[{"kind": "pairs"}]), games(either)
    pairs, found = hypotheses.measured(made, "pairs", by_task)
    profile = mean_rows(hypotheses.by_distance(made, "tiny", "pairs", pairs, found, by_task)).set_index("distance")
    assert profile.loc[1, "value"] == pytest.approx(-1 / 7)
    assert profile.loc[1, "mean_abs"] == pytest.approx(1 / 7)
    assert profile.loc[1, "redundant"] == pytest.approx(1 / 7)
    assert profile["synergistic"].tolist() == [0] * 7
    assert profile.loc[2:, "mean_abs"].tolist() == pytest.approx([0] * 6)


def test_by_removed_by_hand() -> None:
    made, by_task = config(), games(additive(dict.fromkeys(range(N), 0.1)))
    profile = mean_rows(hypotheses.by_removed(made, "tiny", by_task)).set_index("removed")
    assert profile.index.tolist() == list(range(N))
    assert profile["value"].tolist() == pytest.approx([0.1] * N)
    assert profile["mean_abs"].tolist() == pytest.approx([0.1] * N)
    assert profile.loc[0, "marginals"] == N
    assert profile.loc[1, "marginals"] == N * (N - 1)
    assert profile["players"].tolist() == [N] * N


def test_noise_is_what_absolute_values_of_nothing_come_to() -> None:
    """Players that change documents at random: the mean absolute contribution is what the noise column says."""
    rng = np.random.default_rng(3)
    chance = {c: rng.choice([0.0, 1.0], 200) for c in range(1 << N)}
    by_task = {task: game(PLAYERS, chance.__getitem__) for task in ("alpha", "beta")}
    profile = hypotheses.by_removed(config(), "tiny", by_task)
    inner = profile[(profile["task"] == "alpha") & profile["removed"].between(2, 5)]
    assert inner["mean_abs"].mean() == pytest.approx(inner["noise"].mean(), rel=0.05)


def hypotheses_of(made: Config, by_task: dict[str, Game]) -> pd.DataFrame:
    (entry,) = made.estimators
    found = shapley.samples(made, entry, {"accuracy": by_task})["accuracy"]
    values = shapley.shapley(made, "tiny", entry, found, by_task)
    table = shapley.cornerstones(made, values, found, "tiny")
    return hypotheses.hypotheses(made, "tiny", by_task, found, table, {"alpha": 0.5, "beta": 0.5})


def test_hypotheses_hold_on_a_game_made_for_them() -> None:
    """Without player 0 chance; 1 and 2 help a little; of the others any two may go, but not three neighbours."""

    def value(c: int) -> float:
        rest = (c >> 3).bit_count()
        return 0.5 if not c & 1 else 0.4 + 0.25 * (c >> 1 & 1) + 0.25 * (c >> 2 & 1) + 0.1 * min(rest, 3) / 3

    table = hypotheses_of(config(), games(value, noise=0.05))
    assert table["hypothesis"].tolist() == [1, 1, 1, 2, 2, 2]
    verdicts = table.set_index("prediction")["verdict"]
    assert verdicts["the first tenth of the layers has higher values than the rest"] == "holds"
    assert verdicts["removing a cornerstone costs more than another layer"] == "holds"
    assert verdicts["removing 3 neighbours costs more than the sum of removing each"] == "holds"
    assert table["documents"].tolist() == ["all", *["held out"] * 5]
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()


def test_hypotheses_fail_where_the_last_layers_matter() -> None:
    table = hypotheses_of(config(), games(additive({5: 0.1, 6: 0.2, 7: 0.3}), noise=0.05))
    verdicts = table.set_index("prediction")["verdict"]
    assert verdicts["the first tenth of the layers has higher values than the rest"] == "fails"
    assert verdicts["removing 2 neighbours costs more than the sum of removing each"] == "open"
    assert set(table["layers"][1:3]) == {"ffn2 attn3 ffn3"}


def test_few_documents_are_not_halved() -> None:
    by_task = {task: game(PLAYERS, lambda c: [(c & 1) * 0.3, (c & 1) * 0.2, 0.1]) for task in ("alpha", "beta")}
    assert set(hypotheses_of(config(), by_task)["documents"]) == {"all"}


def test_the_second_half_is_the_one_that_was_not_chosen_on() -> None:
    made, by_task = config(), games(additive({0: 0.3}), noise=0.1)
    rng = np.random.default_rng([made.seed, 1])
    parts = {task: ranks.halves(played.clusters, rng) for task, played in by_task.items()}
    for task, half in hypotheses.second_half(made, by_task).items():
        first, second = parts[task] or ((), ())
        assert half.documents.tolist() == list(second)
        assert not set(half.documents) & set(first)
        assert half(0b1) == pytest.approx(by_task[task](0b1)[second])


def test_pairs_of_windows() -> None:
    assert pairwise.window_pairs(4, 3) == [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)]
    assert pairwise.window_pairs(3, 1) == []
