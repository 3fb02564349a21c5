from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from cornerstone.analysis import interactions
from tests.helpers import game
from tests.unit.analysis.test_hypotheses import DOCUMENTS, PLAYERS, N, additive, config, games


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
    pairs, found = interactions.measured(made, "tiny", "windows-k3", by_task)
    frame = interactions.interactions(made, "tiny", "windows-k3", pairs, found, by_task)
    assert frame["task"].unique().tolist() == ["alpha", "beta", "mean"]
    values = mean_rows(frame).set_index(["first", "second"])["value"]
    assert len(values) == 7 + 6
    assert values["attn1", "ffn1"] == pytest.approx(expected)
    others = values.drop([("attn1", "ffn1")])
    # with player 3 (or 2) removed between them, the pairs around lose what it stood for; further pairs have nothing
    assert others[[abs(v) < 1e-12 for v in others]].size >= 9


def test_interactions_of_an_additive_game_are_zero() -> None:
    made, by_task = config(), games(additive({i: 0.1 * i for i in range(N)}))
    pairs, found = interactions.measured(made, "tiny", "windows-k3", by_task)
    assert np.abs(found["alpha"].documents).max() < 1e-12
    profile = mean_rows(interactions.by_distance(made, "tiny", "windows-k3", pairs, found, by_task))
    assert profile["distance"].tolist() == [1, 2]
    assert profile["pairs"].tolist() == [7, 6]
    assert profile["value"].tolist() == pytest.approx([0, 0], abs=1e-12)


def test_configured_interactions_are_measured_by_their_name() -> None:
    made = config(interactions=[{"kind": "pairs"}, {"kind": "exact"}])
    assert made.interaction_names("tiny") == ["pairs", "exact-k-sii", "windows-k4"]
    pairs, found = interactions.measured(made, "tiny", "pairs", games(both))
    assert len(pairs) == N * (N - 1) // 2
    assert found["beta"].documents[:, pairs.index((2, 3))] == pytest.approx(np.ones(DOCUMENTS))


def test_by_distance_by_hand() -> None:
    made, by_task = config(interactions=[{"kind": "pairs"}]), games(either)
    pairs, found = interactions.measured(made, "tiny", "pairs", by_task)
    profile = mean_rows(interactions.by_distance(made, "tiny", "pairs", pairs, found, by_task)).set_index("distance")
    assert profile.loc[1, "value"] == pytest.approx(-1 / 7)
    assert profile.loc[1, "mean_abs"] == pytest.approx(1 / 7)
    assert profile.loc[1, "redundant"] == pytest.approx(1 / 7)
    assert profile["synergistic"].tolist() == [0] * 7
    assert profile.loc[2:, "mean_abs"].tolist() == pytest.approx([0] * 6)


def test_by_removed_by_hand() -> None:
    made, by_task = config(), games(additive(dict.fromkeys(range(N), 0.1)))
    profile = mean_rows(interactions.by_removed(made, "tiny", by_task)).set_index("removed")
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
    profile = interactions.by_removed(config(), "tiny", by_task)
    inner = profile[(profile["task"] == "alpha") & profile["removed"].between(2, 5)]
    assert inner["mean_abs"].mean() == pytest.approx(inner["noise"].mean(), rel=0.05)


def test_mean_absolute_contributions_are_those_of_the_means_over_tasks() -> None:
    """Two tasks whose contributions cancel: the mean over tasks has none, at whatever number was removed."""
    plus = {task: dict.fromkeys(range(N), sign * 0.1) for task, sign in (("alpha", 1), ("beta", -1))}
    by_task = {task: next(iter(games(additive(values)).values())) for task, values in plus.items()}
    profile = interactions.by_removed(config(), "tiny", by_task)
    assert mean_rows(profile)["mean_abs"].tolist() == pytest.approx([0] * N)
    assert profile[profile["task"] == "beta"]["mean_abs"].tolist() == pytest.approx([0.1] * N)


def test_contributions_of_tasks_with_coalitions_of_their_own_have_no_absolute_mean_over_tasks() -> None:
    """Tasks whose coalitions were drawn have their own contributions: the mean of all has an interval all the same."""
    rows = np.random.default_rng(6).choice([0.0, 1.0], (1 << N, 8))
    nested = {"alpha": [255, 254, 252, 248], "beta": [255, 127, 63, 62]}
    by_task = {task: game(PLAYERS, rows.__getitem__, kept) for task, kept in nested.items()}
    profile = interactions.by_removed(config(), "tiny", by_task)
    assert profile[profile["task"] == "beta"]["removed"].tolist() == [0, 1, 2]
    assert profile[profile["task"] != "mean"][["mean_abs", "noise"]].notna().all(axis=None)
    mean = mean_rows(profile)
    assert (mean["mean_abs"].isna().all(), mean["marginals"].tolist()) == (True, [0, 0, 0])
    parts = [profile[profile["task"] == task]["value"].to_numpy() for task in nested]
    assert mean["value"].to_numpy() == pytest.approx(np.mean(parts, axis=0))


def test_the_noise_of_contributions_counts_clusters() -> None:
    rng = np.random.default_rng(4)
    chance = {c: rng.choice([0.0, 1.0], 30) for c in range(1 << N)}
    once = {"alpha": game(PLAYERS, chance.__getitem__)}
    labels = [str(i // 4) for i in range(120)]
    copied = {"alpha": game(PLAYERS, lambda c: np.repeat(chance[c], 4), clusters=labels)}
    plain, clustered = (interactions.by_removed(config(), "tiny", found)["noise"] for found in (once, copied))
    assert clustered.tolist() == pytest.approx(plain.tolist())


def test_the_false_discovery_rate_is_that_of_each_tasks_pairs() -> None:
    """Benjamini and Hochberg (1995) by hand: the smallest of p_(j) * m / j over all j from the pair's rank on."""
    rng = np.random.default_rng(5)
    noise = {c: rng.normal(0, 0.1, DOCUMENTS) for c in range(1 << N)}
    noisy = game(PLAYERS, lambda c: both(c) + noise[c])
    made, by_task = config(), {"alpha": noisy, "beta": noisy}
    pairs, found = interactions.measured(made, "tiny", "windows-k3", by_task)
    frame = interactions.interactions(made, "tiny", "windows-k3", pairs, found, by_task)
    for _, rows in frame.groupby("task"):
        p = rows["p"].to_numpy()
        ranks_of = p.argsort().argsort() + 1
        expected = [min(1, (p[p >= each] * len(p) / ranks_of[p >= each]).min()) for each in p]
        assert rows["q"].to_numpy() == pytest.approx(expected)
    assert frame["q"].min() < 0.05 < frame["q"].max()
