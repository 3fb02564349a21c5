from __future__ import annotations

import numpy as np
import pytest

from cornerstone.errors import StoreError
from cornerstone.game.players import alike, players_of
from tests.helpers import game

PLAYERS = players_of(alike(2))
SCORES = {0b1111: [0.0, 1.0, 1.0], 0b1110: [0.0, 1.0, 0.0]}


def test_a_game_is_looked_up() -> None:
    some = game(PLAYERS, SCORES.__getitem__, SCORES)
    assert some(0b1110).tolist() == [0, 1, 0]
    assert some.full.tolist() == [0, 1, 1]
    assert some.full.dtype == np.float64


def test_a_missing_coalition_is_never_made_up() -> None:
    with pytest.raises(StoreError, match="coalition drop-ffn0 was not evaluated"):
        game(PLAYERS, SCORES.__getitem__, SCORES)(0b1101)


def test_a_game_without_the_full_model_says_so() -> None:
    with pytest.raises(StoreError, match="coalition full was not evaluated"):
        _ = game(PLAYERS, lambda _: 0.0, [0]).full
