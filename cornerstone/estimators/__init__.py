"""One estimator a module, and here what they have in common: which coalitions each needs, and what it makes of them.

Imports neither torch nor, until an estimator that needs it is run, shapiq.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from cornerstone.config.estimators import (
    Estimator,
    ExactEstimator,
    SampledEstimator,
    TruncatedEstimator,
    WindowEstimator,
)
from cornerstone.estimators import exact, replayed, truncated, window
from cornerstone.estimators.values import Values
from cornerstone.game.game import Game
from cornerstone.game.players import Player
from cornerstone.plan import plan

Key = TypeVar("Key")


def coalitions_of(entry: Estimator, players: tuple[Player, ...], seed: int) -> list[int]:
    """The distinct coalitions that an estimator needs.

    Raises:
        ConfigError: the installed shapiq does not have this estimator.
    """
    match entry:
        case WindowEstimator():
            return plan.window_coalitions(players, entry.removed)
        case ExactEstimator():
            return list(range(1 << len(players)))
        case TruncatedEstimator():
            drawn = [_truncated(entry, players, seed, replicate)[0] for replicate in range(entry.replicates)]
            return list(dict.fromkeys(coalition for part in drawn for coalition in part))
        case SampledEstimator():
            requested = replayed.requested(entry, len(players), seed)
            return list(dict.fromkeys(coalition for part in requested for coalition in part))


def estimate(entry: Estimator, games: Mapping[Key, Game], seed: int, bootstrap: int) -> dict[Key, Values]:
    """What an estimator says of several games of the same players.

    Args:
        entry: the estimator.
        games: for instance one for each task.
        seed: the one with which its coalitions were planned.
        bootstrap: resamples of the documents for an estimator that is not linear.

    Raises:
        StoreError: a coalition was not evaluated.
        ConfigError: the installed shapiq does not have this estimator.
    """
    match entry:
        case WindowEstimator():
            return {key: Values(window.estimate(game, entry.removed)) for key, game in games.items()}
        case ExactEstimator():
            return {key: Values(exact.estimate(game)) for key, game in games.items()}
        case TruncatedEstimator():
            players = next(iter(games.values())).players
            samples = [_truncated(entry, players, seed, replicate) for replicate in range(entry.replicates)]
            return {
                key: _averaged([_values(game, drawn) @ weights.T for drawn, weights in samples])
                for key, game in games.items()
            }
        case SampledEstimator():
            return replay(entry, games, seed, bootstrap)


def replay(entry: replayed.Sampled, games: Mapping[Key, Game], seed: int, bootstrap: int) -> dict[Key, Values]:
    """`estimate` for what shapiq samples: Shapley values, or interactions of pairs."""
    count = len(next(iter(games.values())).players)
    requested = replayed.requested(entry, count, seed)
    if not replayed.approximator_of(entry).linear:
        return {key: _resampled(entry, game, requested, seed, bootstrap) for key, game in games.items()}
    sizes = np.cumsum([len(game.documents) for game in games.values()])[:-1]
    parts: dict[Key, list[np.ndarray]] = {key: [] for key in games}
    for replicate, asked in enumerate(requested):
        # all games at once: the weights of the coalitions are the same for each
        columns = np.concatenate([_values(game, asked) for game in games.values()]).T
        found = replayed.replay(entry, count, seed, replicate, asked, columns)
        for key, rows in zip(games, np.split(found, sizes), strict=True):
            parts[key].append(rows)
    return {key: _averaged(rows) for key, rows in parts.items()}


def _resampled(entry: replayed.Sampled, game: Game, requested: list[list[int]], seed: int, bootstrap: int) -> Values:
    """An estimator that is not linear: on the mean of all documents, and on those of bootstrap samples of clusters."""
    rng = np.random.default_rng([seed, zlib.crc32(entry.name.encode())])
    labels, cluster = np.unique(game.clusters, return_inverse=True)
    counts = rng.multinomial(len(labels), np.full(len(labels), 1 / len(labels)), bootstrap)[:, cluster]
    shares = np.concatenate([np.ones((1, len(cluster))), counts]).astype(np.float64)
    shares /= shares.sum(axis=1, keepdims=True)
    found = np.stack(
        [
            replayed.replay(entry, len(game.players), seed, r, asked, (shares @ _values(game, asked)).T)
            for r, asked in enumerate(requested)
        ]
    )  # [R, 1 + B, N]
    documents = np.broadcast_to(found[:, :1], (len(found), len(game.documents), found.shape[2]))
    return Values(documents.mean(axis=0), documents, found[:, 1:].mean(axis=0))


def _averaged(replicates: list[np.ndarray]) -> Values:
    stacked = np.stack(replicates)
    return Values(stacked.mean(axis=0), stacked)


def _values(game: Game, coalitions: list[int]) -> np.ndarray:
    """[D, C] the score of each document under each coalition."""
    return np.stack([game(coalition) for coalition in coalitions], axis=1)


def _truncated(
    entry: TruncatedEstimator, players: tuple[Player, ...], seed: int, replicate: int
) -> tuple[list[int], np.ndarray]:
    rng = np.random.default_rng([seed, zlib.crc32(entry.name.encode()), replicate])
    return truncated.sample(players, entry.removed, entry.budget // entry.replicates, rng)
