"""Exact Shapley values: the definition, from all 2^N coalitions (Shapley 1953)."""

from __future__ import annotations

from math import comb

import numpy as np

from cornerstone.game.game import Game


def estimate(game: Game) -> np.ndarray:
    """phi_i = sum over S without i of (v(S + i) - v(S)) / (N * C(N - 1, |S|)), on each document: float64 [D, N].

    Raises:
        StoreError: when the game lacks a coalition.
    """
    count = len(game.players)
    values = np.stack([game(coalition) for coalition in range(1 << count)])
    masks = np.arange(1 << count)
    sizes = np.array([int(mask).bit_count() for mask in masks])
    weight = np.array([1 / (count * comb(count - 1, size)) if size < count else 0 for size in range(count + 1)])
    columns = []
    for i in range(count):
        without = masks[masks >> i & 1 == 0]
        columns.append(weight[sizes[without]] @ (values[without | 1 << i] - values[without]))
    return np.stack(columns, axis=1)
