"""Single-layer ablation: what the model loses when one player is removed."""

from __future__ import annotations

import numpy as np

from cornerstone.game.coalitions import without
from cornerstone.game.game import Game


def estimate(game: Game) -> np.ndarray:
    """v(N) - v(N - i) of each player i on each document, float64 [D, N].

    Raises:
        StoreError: when the game lacks a coalition.
    """
    return np.stack([game.full - game(without([player.position], game.players)) for player in game.players], axis=1)
