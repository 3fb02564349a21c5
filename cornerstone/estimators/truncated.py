"""Truncated permutation sampling: random orders of removal that stop when K players are gone.

It estimates the mean marginal contribution of a player when 0 to K - 1 random others are missing, each number
equally likely: the paper's early truncation without its restriction to neighbours. With K = N this is the Shapley
value; below, it is another quantity, which is why its name says so. It is unbiased for that quantity.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import Field

from cornerstone.estimators import nested
from cornerstone.estimators.base import Estimator, Key
from cornerstone.estimators.budget import Budgeted
from cornerstone.estimators.values import Values, scores
from cornerstone.game.coalitions import without
from cornerstone.game.game import Game
from cornerstone.game.players import Player


class TruncatedEstimator(Budgeted, Estimator):
    """Random removal orders that stop when `removed` players are gone: not the Shapley value, as the name says."""

    kind: Literal["truncated-permutation"]
    removed: int = Field(4, ge=1, description="At most so many players are removed together.")

    @property
    def title(self) -> str:
        """Kind and K."""
        return f"truncated-permutation-k{self.removed}"

    def problem(self, players: int) -> str | None:
        """One truncated removal order for every player is the least that a replicate needs."""
        if players >= 2 and self.removed > players:
            return "choose a smaller `removed`"
        return super().problem(players)

    def least_budget(self, players: int) -> int:
        """Coalitions that one replicate needs."""
        return 1 + self.step(players)

    def step(self, players: int) -> int:
        """A pass over all players."""
        return -(-players // self.removed) * self.removed

    def coalitions(self, players: tuple[Player, ...], seed: int) -> list[int]:
        """Those of all replicates."""
        if self.nested:
            return self.together(players, seed)
        drawn = [self._sample(players, seed, replicate)[0] for replicate in range(self.replicates)]
        return list(dict.fromkeys(coalition for part in drawn for coalition in part))

    def estimate(self, games: Mapping[Key, Game], seed: int, bootstrap: int) -> dict[Key, Values]:
        """See `Estimator`."""
        if self.nested:
            return nested.estimate(self, games, seed)
        players = next(iter(games.values())).players
        samples = [self._sample(players, seed, replicate) for replicate in range(self.replicates)]
        return {
            key: Values.averaged([scores(game, drawn) @ weights.T for drawn, weights in samples])
            for key, game in games.items()
        }

    def _sample(self, players: tuple[Player, ...], seed: int, replicate: int) -> tuple[list[int], np.ndarray]:
        return sample(players, self.removed, self.within(players, seed).each, self.random(seed, replicate))


def sample(
    players: tuple[Player, ...], removed: int, budget: int, rng: np.random.Generator
) -> tuple[list[int], np.ndarray]:
    """Coalitions to evaluate, and the weights that turn their values into estimates.

    A pass cuts a random order of the players into segments of K and removes each segment player by player from the
    whole model. The last segment is filled up with other players, whose contributions are not counted, and shuffled,
    so every player is equally likely at each place. There are as many passes as the budget allows.

    Args:
        players: of the model.
        removed: K, at most so many are removed.
        budget: coalitions to evaluate, at most.
        rng: source of the orders.

    Returns:
        Distinct coalitions [C] (bitmasks), and weights [N, C].
    """
    count = len(players)
    segments = -(-count // removed)
    passes = (budget - 1) // (segments * removed)
    index: dict[int, int] = {}
    terms: list[tuple[int, int, int]] = []
    for _ in range(passes):
        order = rng.permutation(count).tolist()
        for start in range(0, count, removed):
            own = order[start : start + removed]
            others = order[:start] if len(own) < removed else []
            segment = [*own, *others[: removed - len(own)]]
            segment = [segment[i] for i in rng.permutation(len(segment))]
            for place, player in enumerate(segment):
                pair = [without(segment[:stop], players) for stop in (place, place + 1)]
                present, absent = (index.setdefault(coalition, len(index)) for coalition in pair)
                if player in own:
                    terms.append((player, present, absent))
    weights = np.zeros((count, len(index)))
    for player, present, absent in terms:
        weights[player, present] += 1 / passes
        weights[player, absent] -= 1 / passes
    return list(index), weights
