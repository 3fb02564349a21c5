"""A budget in sublayer evaluations is one in coalitions, of the size that the work allows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from cornerstone.errors import ConfigError
from cornerstone.estimators import AdjustedEstimator, SampledEstimator, SampledInteractions, TruncatedEstimator
from cornerstone.estimators.budget import Budgeted
from cornerstone.game.players import alike, players_of, runs_of
from cornerstone.game.work import evaluations
from tests.helpers import game, some_players

PLAYERS = some_players(12)
KINDS: dict[str, type[Budgeted]] = {
    "adjusted-msr": AdjustedEstimator,
    "truncated-permutation": TruncatedEstimator,
    "permutation": SampledEstimator,
    "kernelshap": SampledEstimator,
}


def entry_of(kind: str, **settings: int) -> Any:
    return KINDS[kind](kind=kind, **settings)


@pytest.mark.parametrize("kind", KINDS)
def test_work_is_used_up_and_not_exceeded(kind: str) -> None:
    entry = entry_of(kind, work=1200, replicates=4)
    found = entry.within(PLAYERS, 3)
    assert evaluations(entry.coalitions(PLAYERS, 3), PLAYERS) <= 1200
    more = found.model_copy(update={"budget": found.budget + max(4 * entry.step(12), found.budget // 50)})
    assert evaluations(more.coalitions(PLAYERS, 3), PLAYERS) > 1200
    assert found.name == entry.name == f"{entry.title}-w1200"
    assert found.within(PLAYERS, 3) is found


@pytest.mark.parametrize("kind", KINDS)
def test_it_estimates_from_the_coalitions_that_it_planned(kind: str) -> None:
    entry = entry_of(kind, work=900, replicates=3)
    planned = entry.coalitions(PLAYERS, 3)
    some = game(PLAYERS, np.random.default_rng(0).normal(size=(2**12, 1)).__getitem__, planned)
    found = entry.estimate({0: some}, 3, 10)[0]
    assert found.replicates.shape == (3, 1, 12)


def test_the_same_work_holds_more_coalitions_where_players_are_fewer() -> None:
    """Of ten players that each hold six sublayers, a coalition takes as many evaluations as of 60."""
    entry = entry_of("permutation", work=20_000, replicates=2)
    single, runs = (entry.within(players, 0).budget for players in (players_of(alike(30)), runs_of(alike(30), 3)))
    assert single == pytest.approx(20_000 / 15, rel=0.2)
    assert 2 * 2**10 - 2 * 18 < runs <= 2 * 2**10  # as many as there are


def test_too_little_work_is_an_error_that_says_how_much_is_needed() -> None:
    entry = entry_of("permutation", work=50, replicates=4)
    said = r"permutation-w50: with 4 replicates it needs at least 96 .* Raise `work`"
    with pytest.raises(ConfigError, match=said) as raised:
        entry.coalitions(PLAYERS, 0)
    needed = int(str(raised.value).split(" sublayer")[0].split()[-1].replace(",", ""))
    assert len(entry_of("permutation", work=needed * 11 // 10, replicates=4).coalitions(PLAYERS, 0)) <= 96


@pytest.mark.parametrize("limits", [{}, {"budget": 100, "work": 100}, {"budget": 0}])
def test_a_limit_is_given_in_one_unit(limits: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="give either `budget`"):
        entry_of("adjusted-msr", **limits)


def test_interactions_have_it_too() -> None:
    entry = SampledInteractions(kind="sampled", index="k-SII", work=2000, replicates=2)
    assert entry.name == "k-sii-w2000"
    assert evaluations(entry.coalitions(some_players(6), 0), some_players(6)) <= 2000
