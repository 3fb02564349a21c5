"""OddSHAP of shapiq 1.6 and newer, which needs LightGBM. Imports nothing but estimators, so it runs without torch:
`python -m pytest --noconftest tests/unit/estimators/test_oddshap.py` where shapiq and LightGBM are installed."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest
from shapiq import approximator as shipped

from cornerstone.errors import ConfigError
from cornerstone.estimators import SampledEstimator, exact, replayed
from cornerstone.game.game import Game
from cornerstone.game.players import alike, players_of

approximator: Any = shipped
COUNT = 8
PLAYERS = players_of(alike(COUNT // 2))
needs_it = pytest.mark.skipif(
    not hasattr(approximator, "OddSHAP") or importlib.util.find_spec("lightgbm") is None,
    reason="needs shapiq 1.6 (Python 3.12) and LightGBM",
)


def entry_of(budget: int, replicates: int = 2) -> SampledEstimator:
    return SampledEstimator(kind="odd-shap", budget=budget, replicates=replicates)


def game_of(table: np.ndarray) -> Game:
    return Game(PLAYERS, dict(enumerate(table[:, None])), np.zeros(1, int), np.zeros(1, int))


@needs_it
def test_each_replicate_is_what_shapiq_says_directly() -> None:
    table, entry = np.random.default_rng(0).normal(size=2**COUNT), entry_of(320)
    found = entry.estimate({0: game_of(table)}, 3, 2)[0].replicates
    assert found is not None
    for replicate in range(2):
        made = approximator.OddSHAP(COUNT, random_state=replayed._seed(entry, 3, replicate))
        values = made.approximate(160, lambda rows: table[replayed.masks_of(rows)])
        assert found[replicate, 0] == pytest.approx([values[(player,)] for player in range(COUNT)])


@needs_it
def test_with_the_least_budget_every_player_is_in_the_model() -> None:
    worth = np.linspace(0.1, 1, COUNT)
    kept = np.arange(2**COUNT)[:, None] >> np.arange(COUNT) & 1
    entry = entry_of(2 * entry_of(4).least_budget(COUNT))
    found = entry.estimate({0: game_of(kept @ worth)}, 0, 2)[0].replicates
    assert found == pytest.approx(np.stack([worth[None]] * 2))


@needs_it
def test_it_is_exact_once_it_sees_all_coalitions() -> None:
    some = game_of(np.random.default_rng(1).normal(size=2**COUNT))
    found = entry_of(2 * 2**COUNT).estimate({0: some}, 0, 2)[0].documents
    assert found == pytest.approx(exact.estimate(some))


def test_without_its_package_it_is_refused_and_no_other_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approximator, "OddSHAP", object, raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"odd-shap-b400: needs the package lightgbm, which is not installed"):
        entry_of(400).coalitions(PLAYERS, 0)


def test_an_older_shapiq_is_said_to_lack_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(approximator, "OddSHAP", raising=False)
    with pytest.raises(ConfigError, match=r"odd-shap-b400: needs OddSHAP of shapiq 1\.6 .*installed is"):
        entry_of(400).coalitions(PLAYERS, 0)
