"""Regression-adjusted MSR: what a simple model of the game says, and sampled coalitions for what it leaves over.

MSR (maximum sample reuse) takes every value v(S) as evidence on all N players at once: on those in S with one weight,
on the others with the opposite one. Alone it is unbiased and noisy, since it multiplies the whole of v(S). So a model f
of the game is fitted on other coalitions and taken off first; its Shapley values are known:

    phi_i = phi_i(f) + sum over s = 1..N-1 of mean over drawn S of size s of w_i(S) (v - f)(S)
                     + ((v - f)(N) - (v - f)(empty)) / N,
    w_i(S) = 1 / s where i is in S, else -1 / (N - s).

(Witter, Liu and Musco 2025, "Regression-adjusted Monte Carlo Estimators for Shapley Values and Probabilistic Values",
with one draw over all sizes. Here each size is a stratum.)

Coalitions come in pairs, S and its complement; the estimate depends on v(S) - v(complement) alone. Size s gets a share
of the pairs that is proportional to 1 / sqrt(s (N - s)), the root of the sum of w_i(S)^2 over i, and at least one.
Within a size the pairs of a replicate are drawn without replacement. So the estimate is unbiased whatever f is, if f
knows nothing of the draw: each replicate takes f from the others of its half. It is exact once a replicate draws all
coalitions. The values sum to v(N) - v(empty), as the weights w_i(S) sum to 0 over i.

In f a player's weight depends on how many are kept, since a model breaks down when some share of it is gone:

    f(S) - f(complement) = sum over j of x_j (b_j0 h_0 + b_j1 h_1(|S|) + b_j2 h_2(|S|)),    x_j = 1 in S, else -1,

where the h_k are even polynomials of degree 2 k in |S| - N / 2. It is linear in its coefficients, which a ridge
regression with a fixed penalty finds, so the estimate is linear in the game.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb
from typing import ClassVar, Literal

import numpy as np

from cornerstone.estimators import nested
from cornerstone.estimators.base import Estimator, Key
from cornerstone.estimators.budget import Budgeted
from cornerstone.estimators.replayed import masks_of
from cornerstone.estimators.values import Values, scores
from cornerstone.game.coalitions import full
from cornerstone.game.game import Game
from cornerstone.game.players import Player

RIDGE = (0.001, 0.2, 0.2)
"""Of b_j0, b_j1 and b_j2, in units of the mean square of a column. Fixed: one that is fitted would not be linear in v.
Large for what depends on size, so that little is lost where few pairs must determine many coefficients."""
EQUATIONS = 2
"""Pairs of coalitions that a regression must have for each player."""


class AdjustedEstimator(Budgeted, Estimator):
    """Shapley values by a simple model of the game, and sampled coalitions for what it leaves over."""

    folds: ClassVar[int] = 3
    kind: Literal["adjusted-msr"]

    @property
    def title(self) -> str:
        """Its kind."""
        return self.kind

    def least_budget(self, players: int) -> int:
        """Each size must be seen in each replicate, and each regression have more equations than unknowns."""
        fewest = min(len(peers(replicate, self.replicates)) for replicate in range(self.replicates))
        return 2 + 2 * min(2 ** (players - 1) - 1, max(players // 2, -(-EQUATIONS * players // fewest)))

    def step(self, players: int) -> int:
        """A pair."""
        return 2

    def coalitions(self, players: tuple[Player, ...], seed: int) -> list[int]:
        """Those of all replicates: both of each pair, everybody and nobody."""
        if self.nested:
            return self.together(players, seed)
        pairs = [mask for drawn in self._drawn(players, seed) for mask in drawn.masks]
        everyone = full(players)
        return list(dict.fromkeys([0, everyone, *pairs, *(everyone & ~mask for mask in pairs)]))

    def estimate(self, games: Mapping[Key, Game], seed: int, bootstrap: int) -> dict[Key, Values]:
        """See `Estimator`."""
        if self.nested:
            return nested.estimate(self, games, seed)
        drawn = self._drawn(next(iter(games.values())).players, seed)
        return {key: Values.averaged(estimate(game, drawn)) for key, game in games.items()}

    def _drawn(self, players: tuple[Player, ...], seed: int) -> list[Pairs]:
        pairs = (self.within(players, seed).each - 2) // 2
        return [draw(len(players), pairs, self.random(seed, replicate)) for replicate in range(self.replicates)]


@dataclass(frozen=True)
class Pairs:
    """The pairs of coalitions of a replicate.

    Attributes:
        kept: bool [P, N], the smaller coalition of each pair.
        alike: [P] how many pairs of its size there are.
    """

    kept: np.ndarray
    alike: np.ndarray

    @property
    def masks(self) -> list[int]:
        """The smaller coalition of each pair, as a bitmask."""
        return masks_of(self.kept)

    @property
    def columns(self) -> np.ndarray:
        """[P, K N] what f of one less f of the other is made of: x_j h_k, first of all players for k = 0."""
        heights = by_size(self.kept.shape[1])[self.kept.sum(axis=1)]
        return np.concatenate([np.where(self.kept, height[:, None], -height[:, None]) for height in heights.T], axis=1)

    @property
    def weights(self) -> np.ndarray:
        """[P, N] what v(S) - v(complement) of each pair counts in each player's value: w_i(S) of the mean over S."""
        size, count = self.kept.sum(axis=1, keepdims=True), self.kept.shape[1]
        weights = np.where(self.kept, 1 / size, -1 / (count - size)) / self.alike[:, None]
        return np.where(2 * size == count, weights / 2, weights)  # both of a pair are among the coalitions of that size

    @property
    def importance(self) -> np.ndarray:
        """[P] the weight of each pair in a regression: the square of what its residual would count in the estimate."""
        return (self.weights**2).sum(axis=1)


@lru_cache(maxsize=64)
def allotted(players: int, pairs: int) -> tuple[int, ...]:
    """How many pairs have a smaller coalition of size 1, 2, ... N // 2: in sum `pairs`, at least one of each size.

    In proportion to 1 / sqrt(s (N - s)), up to all pairs that there are of a size.
    """
    sizes = np.arange(1, players // 2 + 1)
    there = [comb(players, s) // (2 if 2 * s == players else 1) for s in range(1, players // 2 + 1)]
    wanted = np.where(2 * sizes == players, 0.5, 1.0) / np.sqrt(sizes * (players - sizes))
    most = np.array([min(pairs, count) for count in there], np.float64)
    low, high = 0.0, (pairs + len(sizes)) / wanted.min()
    for _ in range(200):
        scale = (low + high) / 2
        low, high = (scale, high) if np.clip(scale * wanted, 1, most).sum() <= pairs else (low, scale)
    ideal = np.clip(low * wanted, 1, most)
    found = np.floor(ideal + 1e-9)
    for place in np.argsort(found - ideal, kind="stable"):
        if found.sum() < min(pairs, sum(there)) and found[place] < most[place]:
            found[place] += 1
    return tuple(int(count) for count in found)


def draw(players: int, pairs: int, rng: np.random.Generator) -> Pairs:
    """Random pairs of coalitions: of each size so many as `allotted` says, without replacement."""
    rows: list[np.ndarray] = []
    alike: list[int] = []
    for size, count in enumerate(allotted(players, pairs), start=1):
        seen: dict[bytes, np.ndarray] = {}
        while len(seen) < count:
            row = np.zeros(players, bool)
            row[rng.choice(players, size, replace=False)] = True
            if 2 * size == players and not row[0]:
                row = ~row  # of two halves, the one with the first player stands for the pair
            seen.setdefault(row.tobytes(), row)
        rows += seen.values()
        alike += [count] * count
    return Pairs(np.array(rows), np.array(alike))


def peers(replicate: int, replicates: int) -> list[int]:
    """The replicates on which a replicate's model is fitted: the others of its half (those of `Values.halves`), so that
    the halves know nothing of each other; all others where there are too few to be halved."""
    middle = replicates // 2
    half = range(replicates) if middle < 2 else range(middle) if replicate < middle else range(middle, replicates)
    return [other for other in half if other != replicate]


@lru_cache(maxsize=16)
def by_size(players: int) -> np.ndarray:
    """[N + 1, K] the polynomials h_k at each size, orthonormal over the sizes as the regression weighs them.

    K is 3, or as many as there are different sizes of the smaller coalition.
    """
    sizes = np.arange(1, players)
    even = ((2 * np.arange(players + 1) - players) / players) ** 2
    powers = np.stack([even**k for k in range(min(len(RIDGE), players // 2))], axis=1)
    share = 1 / np.sqrt(sizes * (players - sizes))
    root = np.linalg.cholesky((powers[1:players] * (share / share.sum())[:, None]).T @ powers[1:players])
    return np.asarray(np.linalg.solve(root, powers.T).T)


def values_of_columns(players: int) -> np.ndarray:
    """[K N, N] the Shapley values of the columns: of the games x_j h(|S|) / 2, each of which says of a coalition the
    opposite of what it says of the complement.

    Of player j: sum over s = 1..N of h(s) / N. Of each other: sum over s = 0..N-1 of s (h(s+1) - h(s)) / (N (N - 1)).
    """
    size, parts = np.arange(players), []
    for h in by_size(players).T:
        own, other = h[1:].sum() / players, (size * np.diff(h)).sum() / players / (players - 1)
        parts.append(np.full((players, players), other) + (own - other) * np.eye(players))
    return np.concatenate(parts)


def estimate(game: Game, drawn: Sequence[Pairs]) -> list[np.ndarray]:
    """The values that each replicate gives, float64 [D, N] each.

    Raises:
        StoreError: when the game lacks a coalition.
    """
    everyone, count = full(game.players), len(game.players)
    whole = game(everyone) - game(0)  # [D]
    differences = [  # [D, P] of each replicate
        scores(game, pairs.masks) - scores(game, [everyone & ~mask for mask in pairs.masks]) for pairs in drawn
    ]
    of_columns, found = values_of_columns(count), []
    for replicate, pairs in enumerate(drawn):
        others = peers(replicate, len(drawn))
        model = fitted([drawn[other] for other in others], [differences[other] for other in others])
        values = model @ of_columns
        left = differences[replicate] - model @ pairs.columns.T
        rest = (whole - values.sum(axis=1)) / count
        found.append(values + left @ pairs.weights + rest[:, None])
    return found


def fitted(drawn: Sequence[Pairs], differences: Sequence[np.ndarray]) -> np.ndarray:
    """The coefficients of the model of each document's game, [D, K N], by ridge regression.

    Weighted by what a residual counts in the estimate, so that the model leaves the least variance.

    Args:
        drawn: pairs of coalitions.
        differences: [D, P] v(S) - v(complement) of each.
    """
    columns = np.concatenate([pairs.columns for pairs in drawn])
    weight = np.concatenate([pairs.importance for pairs in drawn])
    weighted = columns * (weight / weight.sum())[:, None]
    players = drawn[0].kept.shape[1]
    penalty = np.repeat(RIDGE[: columns.shape[1] // players], players)
    matrix = weighted.T @ columns + np.diag(penalty)
    return np.asarray(np.linalg.solve(matrix, weighted.T @ np.concatenate(differences, axis=1).T).T)
