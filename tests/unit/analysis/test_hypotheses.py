from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pytest

from cornerstone.analysis import hypotheses, ranks, shapley
from cornerstone.config.config import Config
from cornerstone.game.game import Game
from tests.helpers import configured, game, some_players, windows

N = 8
PLAYERS = some_players(N)
DOCUMENTS = 24


def config(**changes: object) -> Config:
    return configured({"estimators": windows(3), **changes})


def games(value: Callable[[int], float], noise: float = 0.0) -> dict[str, Game]:
    """The same game on both tasks; each document adds to it what depends on the document alone."""

    def noisy(seed: int) -> Game:
        own = np.random.default_rng(seed).normal(0, noise, DOCUMENTS)
        return game(PLAYERS, lambda c: value(c) * (1 + own))

    return {"alpha": noisy(0), "beta": noisy(1)}


def additive(weights: Mapping[int, float]) -> Callable[[int], float]:
    return lambda c: sum(weight for player, weight in weights.items() if c >> player & 1)


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
