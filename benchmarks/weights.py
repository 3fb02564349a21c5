"""Linear estimators as matrices: phi = A v, with A [N, 2^N] drawn by the estimator's seed.

shapiq's approximators are slow to run and the same matrix serves any number of games, so each is made once, by
running the estimator on the unit games of the coalitions that it asks for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from unittest.mock import patch

import numpy as np

from cornerstone.errors import ConfigError
from cornerstone.estimators import (
    AdjustedEstimator,
    Estimator,
    ExactEstimator,
    SampledEstimator,
    TruncatedEstimator,
    WindowEstimator,
    exact,
    replayed,
    truncated,
    window,
)
from cornerstone.game.coalitions import full
from cornerstone.game.game import Game
from cornerstone.game.players import Player


def fixed(entry: ExactEstimator | WindowEstimator, players: tuple[Player, ...]) -> np.ndarray:
    """The matrix [N, 2^N] of an estimator that draws nothing."""
    units = np.eye(1 << len(players))
    game = Game(players, dict(enumerate(units)), np.arange(len(units)), np.arange(len(units)))
    found = exact.estimate(game) if isinstance(entry, ExactEstimator) else window.estimate(game, entry.removed)
    return found.T


def sampled(
    entry: SampledEstimator | TruncatedEstimator, players: tuple[Player, ...], seed: int, replicate: int
) -> np.ndarray:
    """The matrix [N, 2^N] of one replicate of an estimator that samples coalitions."""
    found = np.zeros((len(players), full(players) + 1))
    if isinstance(entry, TruncatedEstimator):
        rng = np.random.default_rng([seed, replicate])
        asked, weights = truncated.sample(players, entry.removed, entry.budget // entry.replicates, rng)
    else:
        asked = requested(entry, len(players), seed, replicate)
        with strata_once():
            weights = replayed.replay(entry, len(players), seed, replicate, asked, np.eye(len(asked))).T
    found[:, asked] = weights
    return found


def adjusted(entry: AdjustedEstimator, players: tuple[Player, ...], seed: int) -> np.ndarray:
    """The matrices [R, N, 2^N] of adjusted-msr: its replicates learn from each other, so they are drawn together."""
    units = np.eye(full(players) + 1)
    game = Game(players, dict(enumerate(units)), np.arange(len(units)), np.arange(len(units)))
    found = entry.estimate({0: game}, seed, 0)[0].replicates
    assert found is not None
    return found.transpose(0, 2, 1)


@lru_cache
def lacking(kind: str) -> str:
    """Why an estimator of shapiq can't be measured here, in a few words; empty where it can."""
    entry = SampledEstimator(kind=kind, budget=1000, replicates=2)
    try:
        requested(entry, 8, 0, 0)
    except ConfigError:
        recipe = entry.approximator
        package = f", {recipe.package}" if recipe.package else ""
        return f"needs shapiq {recipe.since}{package}"
    return ""


def requested(entry: SampledEstimator, players: int, seed: int, replicate: int) -> list[int]:
    """The distinct coalitions that one replicate asks for."""
    asked: dict[int, None] = {}

    def game(rows: np.ndarray) -> np.ndarray:
        masks = replayed.masks_of(rows)
        asked.update(dict.fromkeys(masks))
        return np.zeros(len(masks))

    replayed.run(entry, players, seed, replicate, game)
    return list(asked)


@contextmanager
def strata_once() -> Iterator[None]:
    """SVARM finds out which coalition lies in which stratum once, not once for each game: a fifth of the time.

    With one seed the coalitions are the same whatever the game is, so the strata are, too.
    """
    from shapiq.approximator.montecarlo.base import MonteCarlo

    original = MonteCarlo._svarmiq_routine
    found: dict[tuple[int, ...], np.ndarray] = {}

    def remembered(self: MonteCarlo, interaction: tuple[int, ...]) -> np.ndarray:
        if interaction not in found:
            found[interaction] = original(self, interaction)
        return found[interaction]

    with patch.object(MonteCarlo, "_svarmiq_routine", remembered):
        yield


def title(entry: Estimator) -> str:
    """An estimator's name without its budget."""
    match entry:
        case WindowEstimator():
            return f"window, K = {entry.removed}"
        case TruncatedEstimator():
            return f"truncated-permutation, K = {entry.removed}"
        case _:
            return entry.kind
