"""Estimators of shapiq, run on coalitions that were evaluated before.

With a fixed seed an approximator of shapiq asks for the same coalitions whatever the game is. So it is run twice:
first on a game that only notes what it is asked for, which gives the plan; then, when those coalitions have been
evaluated, on a game that looks their values up. A coalition that was not evaluated raises; nothing stands in for it.

Most approximators are linear in the game. Those are replayed on each document's values, or, where that is less
work, on the unit games of the coalitions, which gives the weights of the coalitions in the estimate.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import itertools
import warnings
import zlib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from pydantic import Field

from cornerstone.errors import ConfigError, StoreError
from cornerstone.estimators import nested
from cornerstone.estimators.base import Estimator, Key
from cornerstone.estimators.budget import Budgeted
from cornerstone.estimators.values import Values, scores
from cornerstone.game.game import Game
from cornerstone.game.players import Player


@dataclass(frozen=True)
class Approximator:
    """How an estimator's name in the config maps to a class of shapiq."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    linear: bool = True
    order: int = 0
    """Largest interactions in the model that it fits by regression; 0: it fits none."""
    pairs: bool = False
    """Whether it gives interactions of pairs instead of values of players."""
    since: str = ""
    package: str = ""
    """What it needs beside shapiq, which then would take something else in its place."""


_PAIRED: dict[str, Any] = {"pairing_trick": True}
_NEWER = "{} (Python 3.12 or newer)"
_PROXY: dict[str, Any] = {"index": "SV", "proxy_model": "xgboost", "pairing_trick": True, "k_folds": 5}
"""The model of the game is shapiq's own choice, cross-fitted. All is said, as defaults differ between versions."""
APPROXIMATORS = {
    "permutation": Approximator("PermutationSamplingSV"),
    "stratified": Approximator("StratifiedSamplingSV"),
    "kernelshap": Approximator("KernelSHAP", _PAIRED, order=1),
    "unbiased-kernelshap": Approximator("UnbiasedKernelSHAP", _PAIRED),
    "svarm": Approximator("SVARM", _PAIRED),
    "kadd-shap": Approximator("kADDSHAP", {"max_order": 2, **_PAIRED}, order=2),
    "leverage-shap": Approximator("LeverageSHAP", _PAIRED, order=1, since=_NEWER.format("1.7")),
    "regression-msr": Approximator(
        "RegressionMSR", _PROXY, linear=False, since=_NEWER.format("1.5"), package="xgboost"
    ),
    "proxy-shap": Approximator(
        "ProxySHAP",
        {"max_order": 1, "adjustment": True, **_PROXY},
        linear=False,
        since=_NEWER.format("1.5"),
        package="xgboost",
    ),
    "odd-shap": Approximator("OddSHAP", linear=False, since=_NEWER.format("1.6"), package="lightgbm"),
    "k-SII": Approximator("KernelSHAPIQ", {"max_order": 2, "index": "k-SII", **_PAIRED}, order=2, pairs=True),
    "FSII": Approximator("RegressionFSII", {"max_order": 2, **_PAIRED}, order=2, pairs=True),
}
"""By `kind` of an estimator, or `index` of sampled interactions."""

SampledKind = Literal[
    "permutation",
    "stratified",
    "kernelshap",
    "unbiased-kernelshap",
    "svarm",
    "kadd-shap",
    "leverage-shap",
    "regression-msr",
    "proxy-shap",
    "odd-shap",
]


class Replayed(Budgeted):
    """What an approximator of shapiq samples: Shapley values, or interactions of pairs.

    A budget that is too small gives values made of rounding errors.
    """

    @property
    @abstractmethod
    def approximator(self) -> Approximator:
        """What stands behind it."""

    def coalitions(self, players: tuple[Player, ...], seed: int) -> list[int]:
        """Those of all replicates."""
        if self.nested:
            return self.together(players, seed)
        asked = requested(self.within(players, seed), len(players), seed)
        return list(dict.fromkeys(coalition for part in asked for coalition in part))


class SampledEstimator(Replayed, Estimator):
    """An estimator that samples coalitions; replayed on shapiq."""

    kind: SampledKind = Field(description="See docs/estimators.md for what each does and how well.")

    @property
    def title(self) -> str:
        """Its kind."""
        return self.kind

    @property
    def approximator(self) -> Approximator:
        """The one of its kind."""
        return APPROXIMATORS[self.kind]

    def least_budget(self, players: int) -> int:
        """Coalitions that one replicate needs.

        One antithetic pair of permutations; each stratum of the stratified estimators once (a stratum that SVARM does
        not see counts as 0, which biases it); several times as many equations as a regression has unknowns, since
        coalitions come with their complements, which tell the same about single players, and with fewer the random
        design is singular now and then.
        """
        n = players
        match self.kind:
            case "permutation":
                return 2 + 2 * (n - 1)
            case "stratified":
                return 2 + 2 * n + 2 * n * max(0, n - 2)
            case "svarm":
                return min(2**n, 2 + 2 * n + 2 * n * max(0, n - 2))
            case "kadd-shap":
                return equations_of_pairs(n)
            case "unbiased-kernelshap":
                return min(2**n, 2 + 2 * n)
            case "odd-shap":
                return min(2**n, 10 * n)  # ten coalitions for each term, and first of all the players
            case _:
                return min(2**n, 2 + 6 * n)

    def step(self, players: int) -> int:
        """An antithetic pair of permutations; else one coalition."""
        return 2 * (players - 1) if self.kind == "permutation" else 1

    def estimate(self, games: Mapping[Key, Game], seed: int, bootstrap: int) -> dict[Key, Values]:
        """See `Estimator`."""
        return nested.estimate(self, games, seed) if self.nested else replayed(self, games, seed, bootstrap)


def equations_of_pairs(players: int) -> int:
    """Coalitions that determine a regression on players and pairs: three for each unknown."""
    return min(2**players, 3 * (1 + players + players * (players - 1) // 2))


class _Antithetic:
    """A source of permutations for shapiq's permutation sampling: each random one is followed by its reverse."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def permuted(self, x: np.ndarray, *, axis: int, out: np.ndarray) -> None:
        self._rng.permuted(x[0::2], axis=axis, out=out[0::2])
        out[1::2] = out[0::2, ::-1]


def _seed(entry: Replayed, seed: int, replicate: int) -> int:
    """A seed of its own for each estimator and replicate."""
    sequence = np.random.SeedSequence([seed, zlib.crc32(entry.name.encode()), replicate])
    return int(sequence.generate_state(1)[0])


def masks_of(rows: np.ndarray) -> list[int]:
    """Rows of kept players, bool [M, N], as bitmasks."""
    packed = np.packbits(np.atleast_2d(rows).astype(bool), axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def run(
    entry: Replayed, players: int, seed: int, replicate: int, game: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """One replicate of an estimator on any game.

    Args:
        entry: the estimator.
        players: how many.
        seed: of the whole run.
        replicate: which one.
        game: bool [M, N] kept players to float64 [M].

    Returns:
        float64 [N], or the pairs (0, 1), (0, 2), ... [N(N-1)/2] for interactions.

    Raises:
        ConfigError: the installed shapiq does not have this estimator.
    """
    from shapiq import approximator as shapiq_approximators  # heavy: never while the workflow is parsed

    recipe = entry.approximator
    made = getattr(shapiq_approximators, recipe.name, None)
    if made is None:
        raise ConfigError(
            f"`estimators`: {entry.name}: needs {recipe.name} of shapiq {recipe.since or '1.4.1'}; installed is "
            f"{importlib.metadata.version('shapiq')}. Install that version, or choose another estimator."
        )
    if recipe.package and importlib.util.find_spec(recipe.package) is None:
        raise ConfigError(
            f"`estimators`: {entry.name}: needs the package {recipe.package}, which is not installed. Install it, or "
            "choose another estimator."
        )
    budget = entry.each
    approximator = made(n=players, random_state=_seed(entry, seed, replicate), **recipe.settings)
    options: dict[str, Any] = {}
    if entry.kind == "permutation":
        approximator._rng = _Antithetic(approximator._rng)
        pair = 2 * (players - 1)
        budget = 2 + (budget - 2) // pair * pair
        options["batch_size"] = 2
    with warnings.catch_warnings():  # a budget near or above 2^N is no mistake: it is an upper limit
        for message in ("Not all budget is required", "Sampling might be inefficient"):
            warnings.filterwarnings("ignore", message, UserWarning)
        found = approximator.approximate(budget, game, **options)
    if recipe.pairs:
        return np.array([found[pair] for pair in itertools.combinations(range(players), 2)], np.float64)
    return np.array([found[(player,)] for player in range(players)], np.float64)


def requested(entry: Replayed, players: int, seed: int) -> list[list[int]]:
    """The distinct coalitions that each replicate asks for.

    Raises:
        ConfigError: the installed shapiq does not have this estimator, or the coalitions do not determine its
            regression (whose solution would be made of rounding errors).
    """
    order = entry.approximator.order
    replicates = []
    for replicate in range(entry.replicates):
        asked: dict[int, None] = {}

        def game(rows: np.ndarray, asked: dict[int, None] = asked) -> np.ndarray:
            masks = masks_of(rows)
            asked.update(dict.fromkeys(masks))
            return np.zeros(len(masks))

        run(entry, players, seed, replicate, game)
        if order and not determined(list(asked), players, order):
            raise ConfigError(
                f"{entry.name}: the {len(asked)} coalitions of replicate {replicate + 1} do not determine its "
                "regression. Raise `budget`, or take fewer `replicates`."
            )
        replicates.append(list(asked))
    return replicates


def determined(coalitions: Sequence[int], players: int, order: int) -> bool:
    """Whether no two games of interactions of at most `order` players (1 or 2) agree on all the coalitions."""
    kept = np.array([[coalition >> player & 1 for player in range(players)] for coalition in coalitions], np.float64)
    columns = [np.ones((len(kept), 1)), kept]
    if order > 1:
        first, second = np.triu_indices(players, 1)
        columns.append(kept[:, first] * kept[:, second])
    matrix = np.concatenate(columns, axis=1)
    return int(np.linalg.matrix_rank(matrix.T @ matrix, hermitian=True)) == matrix.shape[1]


def replay(
    entry: Replayed, players: int, seed: int, replicate: int, coalitions: Sequence[int], values: np.ndarray
) -> np.ndarray:
    """One replicate, on values that were evaluated before.

    Args:
        entry: the estimator.
        players: how many.
        seed: of the whole run.
        replicate: which one.
        coalitions: [C] bitmasks.
        values: [C, M], a column per game.

    Returns:
        float64 [M, N] (or pairs): each column's estimate.

    Raises:
        StoreError: the estimator asks for a coalition that is not there.
    """
    index = {coalition: row for row, coalition in enumerate(coalitions)}

    def lookup(column: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        def game(rows: np.ndarray) -> np.ndarray:
            try:
                return column[[index[mask] for mask in masks_of(rows)]]
            except KeyError as error:
                raise StoreError(
                    f"{entry.name} asks for coalition {int(error.args[0]):#x}, which was not evaluated; was shapiq "
                    "updated since? Delete the plans in the resources folder and run the workflow again."
                ) from None

        return game

    def estimates(columns: np.ndarray) -> np.ndarray:
        return np.stack([run(entry, players, seed, replicate, lookup(column)) for column in columns.T])

    if entry.approximator.linear and len(coalitions) < values.shape[1]:
        return values.T @ estimates(np.eye(len(coalitions)))
    return estimates(values)


def replayed(entry: Replayed, games: Mapping[Key, Game], seed: int, bootstrap: int) -> dict[Key, Values]:
    """`Estimator.estimate` for all that shapiq samples."""
    players = next(iter(games.values())).players
    entry, count = entry.within(players, seed), len(players)
    asked_by_replicate = requested(entry, count, seed)
    if not entry.approximator.linear:
        return {key: _resampled(entry, game, asked_by_replicate, seed, bootstrap) for key, game in games.items()}
    sizes = np.cumsum([len(game.documents) for game in games.values()])[:-1]
    parts: dict[Key, list[np.ndarray]] = {key: [] for key in games}
    for replicate, asked in enumerate(asked_by_replicate):
        # all games at once: the weights of the coalitions are the same for each
        columns = np.concatenate([scores(game, asked) for game in games.values()]).T
        found = replay(entry, count, seed, replicate, asked, columns)
        for key, rows in zip(games, np.split(found, sizes), strict=True):
            parts[key].append(rows)
    return {key: Values.averaged(rows) for key, rows in parts.items()}


def _resampled(entry: Replayed, game: Game, asked_by_replicate: list[list[int]], seed: int, bootstrap: int) -> Values:
    """An estimator that is not linear: on the mean of all documents, and on those of bootstrap samples of clusters."""
    rng = entry.random(seed)
    labels, cluster = np.unique(game.clusters, return_inverse=True)
    counts = rng.multinomial(len(labels), np.full(len(labels), 1 / len(labels)), bootstrap)[:, cluster]
    shares = np.concatenate([np.ones((1, len(cluster))), counts]).astype(np.float64)
    shares /= shares.sum(axis=1, keepdims=True)
    found = np.stack(
        [
            replay(entry, len(game.players), seed, r, asked, (shares @ scores(game, asked)).T)
            for r, asked in enumerate(asked_by_replicate)
        ]
    )  # [R, 1 + B, N]
    documents = np.broadcast_to(found[:, :1], (len(found), len(game.documents), found.shape[2]))
    return Values(documents.mean(axis=0), documents, found[:, 1:].mean(axis=0))
