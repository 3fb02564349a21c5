"""Estimators of shapiq, run on coalitions that were evaluated before.

With a fixed seed an approximator of shapiq asks for the same coalitions whatever the game is. So it is run twice:
first on a game that only notes what it is asked for, which gives the plan; then, when those coalitions have been
evaluated, on a game that looks their values up. A coalition that was not evaluated raises; nothing stands in for it.

Most approximators are linear in the game. Those are replayed on each document's values, or, where that is less
work, on the unit games of the coalitions, which gives the weights of the coalitions in the estimate.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cornerstone.config.estimators import SampledEstimator, SampledInteractions, least_budget
from cornerstone.errors import ConfigError, StoreError


@dataclass(frozen=True)
class Approximator:
    """How an estimator's name in the config maps to a class of shapiq."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    linear: bool = True
    order: int = 0
    """Largest interactions in the model that it fits by regression; 0: it fits none."""
    since: str = ""


_PAIRED: dict[str, Any] = {"pairing_trick": True}
_NEWER = "1.5 (Python 3.12 or newer)"
_TREE: dict[str, Any] = {"index": "SV", "proxy_model": "tree", "pairing_trick": True}
"""The model of the game is a decision tree, which needs no further package. shapiq's own choice, XGBoost, is somewhat
more accurate, but comes with a library of CUDA's and takes about five times as long."""
APPROXIMATORS = {
    "permutation": Approximator("PermutationSamplingSV"),
    "stratified": Approximator("StratifiedSamplingSV"),
    "kernelshap": Approximator("KernelSHAP", _PAIRED, order=1),
    "unbiased-kernelshap": Approximator("UnbiasedKernelSHAP", _PAIRED),
    "svarm": Approximator("SVARM", _PAIRED),
    "kadd-shap": Approximator("kADDSHAP", {"max_order": 2, **_PAIRED}, order=2),
    "leverage-shap": Approximator("LeverageSHAP", _PAIRED, order=1, since=_NEWER),
    "regression-msr": Approximator("RegressionMSR", _TREE, linear=False, since=_NEWER),
    "proxy-shap": Approximator("ProxySHAP", {"max_order": 1, **_TREE}, linear=False, since=_NEWER),
    "k-SII": Approximator("KernelSHAPIQ", {"max_order": 2, "index": "k-SII", **_PAIRED}, order=2),
    "FSII": Approximator("RegressionFSII", {"max_order": 2, **_PAIRED}, order=2),
}
"""By `kind` of an estimator, or `index` of sampled interactions."""

Sampled = SampledEstimator | SampledInteractions


def approximator_of(entry: Sampled) -> Approximator:
    """What stands behind an entry of the config."""
    return APPROXIMATORS[entry.index if isinstance(entry, SampledInteractions) else entry.kind]


class _Antithetic:
    """A source of permutations for shapiq's permutation sampling: each random one is followed by its reverse."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def permuted(self, x: np.ndarray, *, axis: int, out: np.ndarray) -> None:
        self._rng.permuted(x[0::2], axis=axis, out=out[0::2])
        out[1::2] = out[0::2, ::-1]


def _seed(entry: Sampled, seed: int, replicate: int) -> int:
    """A seed of its own for each estimator and replicate."""
    sequence = np.random.SeedSequence([seed, zlib.crc32(entry.name.encode()), replicate])
    return int(sequence.generate_state(1)[0])


def masks_of(rows: np.ndarray) -> list[int]:
    """Rows of kept players, bool [M, N], as bitmasks."""
    packed = np.packbits(np.atleast_2d(rows).astype(bool), axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def run(
    entry: Sampled, players: int, seed: int, replicate: int, game: Callable[[np.ndarray], np.ndarray]
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

    recipe = approximator_of(entry)
    made = getattr(shapiq_approximators, recipe.name, None)
    if made is None:
        raise ConfigError(
            f"`estimators`: {entry.name}: needs {recipe.name} of shapiq {recipe.since or '1.4.1'}; installed is "
            f"{importlib.metadata.version('shapiq')}. Install that version, or choose another estimator."
        )
    budget = entry.budget // entry.replicates
    approximator = made(n=players, random_state=_seed(entry, seed, replicate), **recipe.settings)
    options: dict[str, Any] = {}
    if entry.kind == "permutation":
        approximator._rng = _Antithetic(approximator._rng)
        pair = least_budget(entry, players) - 2
        budget = 2 + (budget - 2) // pair * pair
        options["batch_size"] = 2
    with warnings.catch_warnings():  # a budget near or above 2^N is no mistake: it is an upper limit
        for message in ("Not all budget is required", "Sampling might be inefficient"):
            warnings.filterwarnings("ignore", message, UserWarning)
        found = approximator.approximate(budget, game, **options)
    if isinstance(entry, SampledInteractions):
        return np.array([found[pair] for pair in itertools.combinations(range(players), 2)], np.float64)
    return np.array([found[(player,)] for player in range(players)], np.float64)


def requested(entry: Sampled, players: int, seed: int) -> list[list[int]]:
    """The distinct coalitions that each replicate asks for.

    Raises:
        ConfigError: the installed shapiq does not have this estimator, or the coalitions do not determine its
            regression (whose solution would be made of rounding errors).
    """
    order = approximator_of(entry).order
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
    entry: Sampled, players: int, seed: int, replicate: int, coalitions: Sequence[int], values: np.ndarray
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

    if approximator_of(entry).linear and len(coalitions) < values.shape[1]:
        return values.T @ estimates(np.eye(len(coalitions)))
    return estimates(values)
