"""The work of coalitions, counted from the players, is what the sweep does."""

from __future__ import annotations

import numpy as np
import pytest

from cornerstone.engine import sweep
from cornerstone.engine.stages import stages_of
from cornerstone.game.coalitions import full, window_coalitions
from cornerstone.game.players import Player, alike, experts_of, groups_of, heads_of, players_of, runs_of
from cornerstone.game.work import evaluations
from tests.helpers import PARALLEL, SEQUENTIAL

BLOCKS = 4
MIXTURE = alike(BLOCKS, "moe")
PLAYERS = {
    "sublayers": players_of(alike(BLOCKS)),
    "runs": runs_of(alike(BLOCKS), 3),
    "scattered": groups_of(alike(BLOCKS), {"a": ["attn0", "ffn3"], "b": ["block2"]}),  # others always run
    "experts": experts_of(MIXTURE, 3),
    "heads": heads_of(alike(BLOCKS), 3),
}


def some(players: tuple[Player, ...], count: int) -> list[int]:
    rng = np.random.default_rng(0)
    drawn = {int.from_bytes(rng.bytes(4), "little") & full(players) for _ in range(count)}
    return sorted(drawn | {0, full(players)})


@pytest.mark.parametrize("name", PLAYERS)
def test_it_is_what_the_sweep_evaluates(name: str) -> None:
    players = PLAYERS[name]
    coalitions = some(players, 40)
    assert evaluations(coalitions, players) == sweep.work(coalitions, stages_of(players, [SEQUENTIAL] * BLOCKS))
    assert evaluations(coalitions[::-1], players) == evaluations([*coalitions, *coalitions], players)


def test_sublayers_in_parallel_are_counted_as_if_one_came_after_the_other() -> None:
    players = PLAYERS["sublayers"]
    coalitions = some(players, 40)
    parallel = sweep.work(coalitions, stages_of(players, [PARALLEL] * BLOCKS))
    assert parallel < evaluations(coalitions, players) < 2 * parallel


def test_by_hand() -> None:
    players = players_of(alike(1))
    assert evaluations([], players) == 0
    assert evaluations([0b11], players) == 2
    assert evaluations([0b11, 0b01, 0b00], players) == 2  # the second shares all, the third has nothing
    assert evaluations([0b11, 0b10], players) == 3


def test_a_coalition_of_the_papers_windows_takes_half_of_the_model() -> None:
    players = players_of(alike(30))
    windows = window_coalitions(players, 4)
    assert (len(windows), evaluations(windows, players)) == (235, 6790)
