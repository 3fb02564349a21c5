"""Simulated games of documents whose Shapley values are known in closed form.

A game is a sum of unanimity games: each set T of players that is wholly kept adds its dividend c_T to the chance
p_d(S) that document d is answered right (Harsanyi 1963). So

    p_d(S) = chance + sum of c_T over T within S,       phi_i = sum of c_T / |T| over T that hold i,

the second in closed form, without enumeration. Documents are of several kinds, each with its own dividends.

Every document answers every coalition, and consistently: with z_d of the document and e_dS of the answer, both
standard normal,

    correct(S, d) = 1[ sqrt(c) z_d + sqrt(1 - c) e_dS < Phi^-1(p_d(S)) ],

which is right with chance p_d(S) for each S by itself, whatever the consistency c is. With c = 1 a document is lost
as soon as p_d(S) falls below its threshold; below 1 answers also flip for no reason, as a model's do near chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from scipy import stats

from cornerstone.game.game import Game
from cornerstone.game.players import Player, alike, players_of

Dividends = Mapping[frozenset[int], float]


@dataclass(frozen=True)
class SimulatedGame:
    """A population of documents, and what a model with some of its players answers on them.

    Attributes:
        name: in tables.
        count: N, the players.
        chance: of a right answer with every player removed.
        kinds: kinds of documents: their share in the population, and their dividends.
        consistency: c above, in [0, 1].
        passage: so many documents share a passage: they are of one kind, and half of the variance of z_d is common.
    """

    name: str
    count: int
    chance: float
    kinds: tuple[tuple[float, Dividends], ...]
    consistency: float
    passage: int = 1

    @property
    def players(self) -> tuple[Player, ...]:
        """Named as those of a model."""
        return players_of(alike((self.count + 1) // 2))[: self.count]

    @property
    def shares(self) -> np.ndarray:
        """[T] of each kind of document in the population."""
        return np.array([share for share, _ in self.kinds])

    @cached_property
    def probabilities(self) -> np.ndarray:
        """[T, 2^N] chance that a document of each kind is answered right under each coalition (bitmask)."""
        masks = np.arange(1 << self.count)
        found = np.full((len(self.kinds), len(masks)), self.chance)
        for kind, (_, dividends) in enumerate(self.kinds):
            for members, dividend in dividends.items():
                needed = sum(1 << member for member in members)
                found[kind, masks & needed == needed] += dividend
        if found.min() < 0 or found.max() > 1:
            raise ValueError(f"{self.name}: probabilities from {found.min():.3f} to {found.max():.3f}")
        return found

    def expected(self, kept: np.ndarray) -> np.ndarray:
        """[M] v(S) of coalitions given as rows of kept players, bool [M, N]; for games too large for `values`."""
        found = np.full(len(kept), self.chance)
        for share, dividends in self.kinds:
            for members, dividend in dividends.items():
                found += share * dividend * kept[:, list(members)].all(axis=1)
        return found

    @property
    def values(self) -> np.ndarray:
        """[2^N] v(S): the expected accuracy over the population."""
        return self.shares @ self.probabilities

    @property
    def shapley(self) -> np.ndarray:
        """[N] the population's Shapley values, in closed form."""
        found = np.zeros(self.count)
        for share, dividends in self.kinds:
            for members, dividend in dividends.items():
                found[list(members)] += share * dividend / len(members)
        return found

    @property
    def population(self) -> Game:
        """The game of v(S), as one document without noise."""
        return lookup(self.players, self.values[None, :])

    def draw(self, rng: np.random.Generator, documents: int) -> tuple[np.ndarray, np.ndarray]:
        """A random sample of documents.

        Returns:
            Scores of 0 or 1, float64 [D, 2^N], and the cluster of each document, [D].
        """
        passages = -(-documents // self.passage)
        cluster = np.repeat(np.arange(passages), self.passage)[:documents]
        kind = rng.choice(len(self.kinds), passages, p=self.shares)[cluster]
        z = rng.standard_normal(documents)
        if self.passage > 1:
            z = (z + rng.standard_normal(passages)[cluster]) / np.sqrt(2)
        noise = rng.standard_normal((documents, 1 << self.count))
        latent = np.sqrt(self.consistency) * z[:, None] + np.sqrt(1 - self.consistency) * noise
        return (latent < self._thresholds[kind]).astype(np.float64), cluster

    @cached_property
    def _thresholds(self) -> np.ndarray:
        return stats.norm.ppf(self.probabilities)


def lookup(players: tuple[Player, ...], scores: np.ndarray) -> Game:
    """The game of scores [D, 2^N] that are known for every coalition, each document a cluster of its own."""
    documents = np.arange(len(scores))
    return Game(players, dict(enumerate(scores.T)), documents, documents)


def additive(count: int) -> SimulatedGame:
    """No interactions: the first players matter most, 0 and 1 alike. Kinds: hard and easy documents."""
    weights = np.array([2.0, 2.0, *np.linspace(1.5, 0.5, count - 2)])
    return _graded("additive", count, 0.25, {frozenset({i}): w for i, w in enumerate(0.45 * weights / weights.sum())})


def gated(count: int) -> SimulatedGame:
    """Players 0, 1 and 3 are cornerstones: when one of them is gone, the model is at chance, whoever else is there."""
    gate = frozenset({0, 1, 3})
    others = [i for i in range(count) if i not in gate]
    small = np.linspace(1.0, 0.5, len(others))
    small *= 0.25 / small.sum()
    dividends = {gate: 0.2} | {gate | {i}: w for i, w in zip(others, small, strict=True)}
    return _graded("gated", count, 0.25, dividends)


def redundant(count: int) -> SimulatedGame:
    """Of the pairs 0-1 and 3-7 and of the trio 2-4-5 one player is enough; the rest is additive."""
    groups = {frozenset({0, 1}): 0.16, frozenset({2, 4, 5}): 0.12, frozenset({3, 7}): 0.08}
    alone = [i for i in range(count) if not any(i in group for group in groups)]
    dividends: dict[frozenset[int], float] = {frozenset({i}): 0.09 / len(alone) for i in alone}
    for group, worth in groups.items():
        for size in range(1, len(group) + 1):  # inclusion and exclusion
            dividends |= {frozenset(part): worth * (-1) ** (size + 1) for part in combinations(group, size)}
    return _graded("redundant", count, 0.25, dividends)


def near_chance(count: int) -> SimulatedGame:
    """Chance 0.5, effects of a few points of either sign, small interactions, and answers that flip for no reason.

    The interactions are 4 N random ones of 2 to 4 players; 0 and 1 have none.
    """
    effects = 0.03 * np.cos(np.arange(count) * 2.0)
    effects[1] = effects[0]
    dividends: dict[frozenset[int], float] = {frozenset({i}): e for i, e in enumerate(effects)}
    rng = np.random.default_rng(0)
    for _ in range(4 * count):
        members = frozenset(rng.choice(np.arange(2, count), rng.integers(2, 5), replace=False).tolist())
        dividends[members] = dividends.get(members, 0.0) + float(rng.normal(0, 0.06 / count))
    return SimulatedGame("near-chance", count, 0.5, ((1.0, dividends),), 0.5)


def passages(count: int) -> SimulatedGame:
    """The gated game with four documents to a passage."""
    plain = gated(count)
    return SimulatedGame("passages", count, plain.chance, plain.kinds, plain.consistency, passage=4)


def _graded(name: str, count: int, chance: float, dividends: Dividends) -> SimulatedGame:
    """Half of the documents are hard (the players add 0.6 of their dividends), half are easy (1.4)."""
    kinds = tuple((0.5, {members: scale * worth for members, worth in dividends.items()}) for scale in (0.6, 1.4))
    return SimulatedGame(name, count, chance, kinds, 0.9)


SHAPES: dict[str, Callable[[int], SimulatedGame]] = {
    "additive": additive,
    "gated": gated,
    "redundant": redundant,
    "near-chance": near_chance,
    "passages": passages,
}
"""By name; each makes the game of N players, N at least 8. Players 0 and 1 are interchangeable in all of them."""
