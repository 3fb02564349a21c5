from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pytest

from cornerstone.analysis import hypotheses, ranks, shapley
from cornerstone.analysis.intervals import over_documents
from cornerstone.config.config import Config
from cornerstone.game.game import MEAN, Game
from tests.helpers import configured, game, some_players, windows

N = 8
PLAYERS = some_players(N)
DOCUMENTS = 24
EARLY = "the first tenth of the layers has higher values than the rest"
FLOOR = "without one of the top three, accuracy is at the floor"
MORE = "removing one of the top three costs more than another layer"
NOTHING = "removing one other layer costs nothing"
PREDICTIONS = [EARLY, FLOOR, MORE, NOTHING]


def together(count: int) -> str:
    return f"removing {count} neighbours costs more than the sum of removing each"


def config(**changes: object) -> Config:
    return configured({"estimators": windows(3), **changes})


def games(value: Callable[[int], float], noise: float = 0.0, documents: int = DOCUMENTS) -> dict[str, Game]:
    """The same game on both tasks; each document adds to it what depends on the document alone."""

    def noisy(seed: int) -> Game:
        own = np.random.default_rng(seed).normal(0, noise, documents)
        return game(PLAYERS, lambda c: value(c) * (1 + own))

    return {"alpha": noisy(0), "beta": noisy(1)}


def additive(weights: Mapping[int, float]) -> Callable[[int], float]:
    return lambda c: sum(weight for player, weight in weights.items() if c >> player & 1)


def hypotheses_of(made: Config, by_task: dict[str, Game], majority: float = 0.5) -> pd.DataFrame:
    (entry,) = made.estimators
    found = shapley.samples(made, entry, {"accuracy": by_task})["accuracy"]
    values = shapley.shapley(made, "tiny", entry, found, by_task)
    table = shapley.cornerstones(made, values, found, "tiny")
    return hypotheses.hypotheses(made, "tiny", by_task, found, table, dict.fromkeys(by_task, majority))


def of_mean(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["task"] == MEAN].set_index("prediction")


def test_hypotheses_hold_on_a_game_made_for_them() -> None:
    """Without player 0 chance; 1 and 2 help a little; of the others any two may go, but not three neighbours."""

    def value(c: int) -> float:
        rest = (c >> 3).bit_count()
        return 0.5 if not c & 1 else 0.4 + 0.25 * (c >> 1 & 1) + 0.25 * (c >> 2 & 1) + 0.1 * min(rest, 3) / 3

    table = hypotheses_of(config(), games(value, noise=0.05))
    assert table["prediction"].unique().tolist() == [*PREDICTIONS, together(2), together(3)]
    assert table["hypothesis"].tolist() == [1] * 9 + [2] * 9
    assert table["task"].tolist() == ["alpha", "beta", MEAN] * 6
    mean = of_mean(table)
    assert mean["verdict"].to_dict() == {
        **{EARLY: "holds", FLOOR: "fails", MORE: "holds"},  # without two of the three "cornerstones" it is no floor
        NOTHING: "open",  # no document differs, but 24 say little of what lies within two points
        **{together(2): "open", together(3): "holds"},
    }
    assert mean["documents"].tolist() == ["all", *["held out"] * 5]
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()


def test_hypotheses_fail_where_the_last_layers_matter() -> None:
    table = of_mean(hypotheses_of(config(), games(additive({5: 0.1, 6: 0.2, 7: 0.3}), noise=0.05)))
    assert table["verdict"][EARLY] == "fails"
    assert table["verdict"][together(2)] == "open"
    assert set(table["layers"][[FLOOR, MORE]]) == {"ffn2 attn3 ffn3"}


def collapsing(c: int) -> float:
    """At 0.3 without any one of players 0, 1 and 3; nobody else does anything."""
    return 0.7 if c & 0b1011 == 0b1011 else 0.3


@pytest.mark.parametrize(
    ("value", "majority", "verdict"),
    [
        (collapsing, 0.25, "holds"),  # v(no player) is 0.3
        (collapsing, 0.68, "open"),  # always the same is as good as the whole model: nothing can be lost
        (lambda c: 0.31, 0.25, "open"),  # nor here, where the whole model is no better than the empty one
        (lambda c: 0.7 if c & 0b1011 == 0b1011 else 0.3 + 0.05 * (c > 0), 0.25, "fails"),
    ],
)
def test_the_floor_is_what_is_measured_without_any_sublayer_or_always_the_same(
    value: Callable[[int], float], majority: float, verdict: str
) -> None:
    table = hypotheses_of(config(), games(value, noise=0.02, documents=800), majority)
    row = of_mean(table).loc[FLOOR]
    assert row["verdict"] == verdict
    floor = max(majority, value(0))
    assert row["intact"] == pytest.approx(value(255) - floor, abs=0.02)
    assert row["intact_low"] <= row["intact"] <= row["intact_high"]
    assert table.loc[table["prediction"] != FLOOR, "intact"].isna().all()


def test_nothing_is_shown_only_within_the_margin() -> None:
    """Also where it costs something that is less; with a smaller margin the same is open."""
    rng = np.random.default_rng(0)
    noise = {c: rng.normal(0, 0.05, DOCUMENTS) for c in range(1 << N)}
    by_task = {t: game(PLAYERS, lambda c: 0.5 + 0.2 * (c & 1) + 0.003 * c.bit_count() + noise[c]) for t in "ab"}
    tasks = {"run_tasks": ["a", "b"], "tasks": {"a": {"metric": "acc"}, "b": {"metric": "acc"}}}
    found = {}
    for margin in (0.05, 0.004, 0.0001):
        table = hypotheses_of(config(**tasks, **{"intervals.equivalence": margin}), by_task)
        found[margin] = of_mean(table)["verdict"][NOTHING]
        assert f"(+- {margin:g})" in of_mean(table)["expected"][NOTHING]
    assert found[0.05] == "holds"
    assert found[0.0001] != "holds"
    assert found[0.004] == "open"


def test_p_values_by_hand() -> None:
    estimate = over_documents(np.array([[0.01], [0.03], [0.02], [0.04], [0.0]]), np.arange(5), 0.95)
    t = lambda bound: hypotheses.above(estimate, bound)  # noqa: E731
    assert t(0) == pytest.approx(estimate.p_above()[0])
    assert t(0.02) == pytest.approx(0.5)
    assert hypotheses.p_values("> 0", estimate, 0.05, None) == pytest.approx((t(0), 1 - t(0)))
    assert hypotheses.p_values("= 0", estimate, 0.05, None) == pytest.approx((1 - t(0.05), t(0.05)))
    whole = over_documents(np.array([[0.5], [0.6], [0.4], [0.5], [0.1]]), np.arange(5), 0.95)
    holds, fails = hypotheses.p_values("<= 0", estimate, 0.05, whole)
    assert holds == pytest.approx(max(1 - t(0.05), hypotheses.above(whole, 0.05)))
    assert fails == pytest.approx(t(0.05))


def test_verdicts_are_adjusted_together() -> None:
    """Of eight p-values that are 0.02 none decides alone; tasks and the mean are families of their own."""
    rows = pd.DataFrame({"task": [MEAN] * 8 + ["a"], "holds": [0.01] * 8 + [0.01], "fails": 0.9})
    assert hypotheses.judged(rows, 0.95)["verdict"].tolist() == ["open"] * 8 + ["holds"]
    assert hypotheses.judged(rows, 0.95)["p_holm"].tolist() == pytest.approx([0.16] * 8 + [0.02])


def test_without_any_effect_wrong_verdicts_are_as_rare_as_promised() -> None:
    """Seven predictions of nothing, as many as the default study has: in one run of twenty any verdict is wrong."""
    rng, wrong, alone = np.random.default_rng(1), 0.0, 0.0
    for _ in range(400):
        estimates = over_documents(rng.normal(0, 0.3, (30, 7)), np.arange(30), 0.95)
        p = estimates.p_above()
        rows = pd.DataFrame({"task": MEAN, "holds": p, "fails": 1 - p})
        wrong += (hypotheses.judged(rows, 0.95)["verdict"] != "open").any()
        alone += (2 * np.minimum(p, 1 - p) <= 0.05).any()
    assert wrong / 400 < 0.075 < 0.2 < alone / 400


def test_few_documents_are_not_halved() -> None:
    by_task = {task: game(PLAYERS, lambda c: [(c & 1) * 0.3, (c & 1) * 0.2, 0.1]) for task in ("alpha", "beta")}
    assert set(hypotheses_of(config(), by_task)["documents"]) == {"all"}


def test_of_three_players_no_others_are_compared() -> None:
    players = some_players(3)
    rng = np.random.default_rng(2)
    noise = {c: rng.normal(0, 0.1, 20) for c in range(8)}
    by_task = {task: game(players, lambda c: 0.3 + 0.1 * c.bit_count() + noise[c]) for task in ("alpha", "beta")}
    groups = {
        "models.tiny.players": {"groups": {"a": ["attn0"], "b": ["ffn0"], "c": ["attn1"]}},
        "models.tiny.blocks": 2,
    }
    table = hypotheses_of(config(**groups, estimators=windows(2)), by_task)
    assert table["prediction"].unique().tolist() == [EARLY, FLOOR]


def test_the_second_half_is_the_one_that_was_not_chosen_on() -> None:
    made, by_task = config(), games(additive({0: 0.3}), noise=0.1)
    rng = np.random.default_rng([made.seed, 1])
    parts = {task: ranks.halves(played.clusters, rng) for task, played in by_task.items()}
    for task, half in hypotheses.second_half(made, by_task).items():
        first, second = parts[task] or ((), ())
        assert half.documents.tolist() == list(second)
        assert not set(half.documents) & set(first)
        assert half(0b1) == pytest.approx(by_task[task](0b1)[second])
