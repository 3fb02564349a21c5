"""Replay against shapiq itself: the same class, seed and budget on the real game."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import zlib
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
import pytest
from shapiq import approximator as shipped

from cornerstone.analysis.intervals import of_values
from cornerstone.errors import ConfigError, StoreError
from cornerstone.estimators import SampledEstimator, SampledInteractions, exact, replayed
from cornerstone.estimators.values import Values
from cornerstone.game.game import Game
from tests.helpers import game, some_players

Entry = SampledEstimator | SampledInteractions
approximator: Any = shipped
"""Its classes differ from version to version."""
DIRECT: dict[str, Callable[[int, int], Any]] = {
    "stratified": lambda n, seed: approximator.StratifiedSamplingSV(n, random_state=seed),
    "kernelshap": lambda n, seed: approximator.KernelSHAP(n, pairing_trick=True, random_state=seed),
    "unbiased-kernelshap": lambda n, seed: approximator.UnbiasedKernelSHAP(n, pairing_trick=True, random_state=seed),
    "svarm": lambda n, seed: approximator.SVARM(n, pairing_trick=True, random_state=seed),
    "kadd-shap": lambda n, seed: approximator.kADDSHAP(n, max_order=2, pairing_trick=True, random_state=seed),
    "k-SII": lambda n, seed: approximator.KernelSHAPIQ(n, 2, "k-SII", pairing_trick=True, random_state=seed),
    "FSII": lambda n, seed: approximator.RegressionFSII(n, 2, pairing_trick=True, random_state=seed),
}
"""Written out here, not taken from the package."""
PROXIES: dict[str, Callable[[int, int], Any]] = {
    "regression-msr": lambda n, seed: approximator.RegressionMSR(
        n, "SV", proxy_model="xgboost", k_folds=5, pairing_trick=True, random_state=seed
    ),
    "proxy-shap": lambda n, seed: approximator.ProxySHAP(
        n,
        max_order=1,
        index="SV",
        proxy_model="xgboost",
        adjustment=True,
        k_folds=5,
        pairing_trick=True,
        random_state=seed,
    ),
}
"""Those that are not linear in the game."""
REGRESSIONS = ["kernelshap", "kadd-shap", "k-SII", "FSII"]
NEWER = hasattr(approximator, "LeverageSHAP")
if NEWER:
    DIRECT["leverage-shap"] = lambda n, seed: approximator.LeverageSHAP(n, pairing_trick=True, random_state=seed)
    REGRESSIONS.append("leverage-shap")
BOOSTED = PROXIES if NEWER and importlib.util.find_spec("xgboost") else {}
needs_boosting = pytest.mark.skipif(not BOOSTED, reason="needs XGBoost: make test-newer")
FEW = 5
"""Bootstrap samples of an estimator that fits a boosted tree to each."""
needs_newer = pytest.mark.skipif(not NEWER, reason="shapiq 1.7 and newer need Python 3.12")
COUNT, REPLICATES, SEED = 7, 3, 11
PLAYERS = some_players(COUNT)


def entry_of(kind: str, players: int = COUNT, replicates: int = REPLICATES, spare: int = 20) -> Entry:
    """With `spare` coalitions more than a replicate needs at least."""
    make: Callable[..., Entry]
    if kind in ("k-SII", "FSII"):
        make = lambda **budget: SampledInteractions(kind="sampled", index=kind, **budget)  # noqa: E731
    else:
        make = lambda **budget: SampledEstimator(kind=kind, **budget)  # noqa: E731
    least = make(budget=4, replicates=replicates).least_budget(players)
    return make(budget=replicates * (least + spare), replicates=replicates)


def random_game(documents: int, seed: int = 0) -> Game:
    table = np.random.default_rng(seed).normal(size=(1 << COUNT, documents))
    return game(PLAYERS, table.__getitem__)


def of(entry: Entry, some: Game, bootstrap: int = 100, seed: int = SEED) -> Any:
    return entry.estimate({"task": some}, seed, bootstrap)["task"]


def column(some: Game, document: int) -> Callable[[np.ndarray], np.ndarray]:
    """One document's game as shapiq wants it; independent of the package's bitmasks."""

    def value(kept: np.ndarray) -> np.ndarray:
        rows = np.atleast_2d(kept)
        return np.array([some(sum(2**i for i in range(COUNT) if row[i]))[document] for row in rows])

    return value


def seed_of(entry: Entry, replicate: int, seed: int = SEED) -> int:
    sequence = np.random.SeedSequence([seed, zlib.crc32(entry.name.encode()), replicate])
    return int(sequence.generate_state(1)[0])


@pytest.mark.parametrize("kind", DIRECT)
@pytest.mark.parametrize("documents", [2, 100])
def test_each_replicate_is_what_shapiq_says_directly(kind: str, documents: int) -> None:
    """With more documents than coalitions the weights of the coalitions are used; with fewer, each document."""
    entry, some = entry_of(kind), random_game(documents)
    found = of(entry, some)
    quantities = COUNT * (COUNT - 1) // 2 if isinstance(entry, SampledInteractions) else COUNT
    assert found.replicates.shape == (REPLICATES, documents, quantities)
    for replicate, document in itertools.product(range(REPLICATES), (0, documents - 1)):
        made = DIRECT[kind](COUNT, seed_of(entry, replicate))
        values = made.approximate(entry.budget // REPLICATES, column(some, document))
        keys = itertools.combinations(range(COUNT), 2 if quantities > COUNT else 1)
        expected = [values[key] for key in keys]
        np.testing.assert_allclose(found.replicates[replicate, document], expected, atol=1e-4)
    assert found.documents == pytest.approx(found.replicates.mean(axis=0))
    assert found.resampled is None


@pytest.mark.parametrize("kind", DIRECT)
def test_replicates_and_seeds_differ(kind: str) -> None:
    entry, some = entry_of(kind), random_game(1)
    found = [*of(entry, some).replicates, *of(entry, some, seed=SEED + 1).replicates]
    for one, other in itertools.combinations(found, 2):
        assert np.abs(one - other).max() > 1e-3
    assert np.array_equal(of(entry, some).replicates, found[:REPLICATES])


@pytest.mark.parametrize("kind", ["permutation", *DIRECT])
def test_a_replicate_asks_for_no_more_than_its_share_of_the_budget(kind: str) -> None:
    for spare in (0, 1, 13):
        entry = entry_of(kind, spare=spare)
        for asked in replayed.requested(entry, COUNT, SEED):
            assert len(set(asked)) == len(asked) <= entry.budget // entry.replicates
            assert {0, 2**COUNT - 1} < set(asked)


@pytest.mark.parametrize("kind", ["permutation", *DIRECT])
def test_the_plan_is_all_that_is_needed_and_all_of_it_is(kind: str) -> None:
    entry, some = entry_of(kind), random_game(2)
    planned = entry.coalitions(PLAYERS, SEED)
    assert len(planned) == len(set(planned))
    lean = game(PLAYERS, some, planned)
    assert np.array_equal(of(entry, lean).documents, of(entry, some).documents)
    for missing in planned[:: len(planned) // 3]:
        gap = game(PLAYERS, some, [c for c in planned if c != missing])
        with pytest.raises(StoreError, match="was not evaluated"):
            of(entry, gap)


@pytest.mark.parametrize("kind", ["permutation", *DIRECT])
@pytest.mark.parametrize("documents", [1, 100])
def test_replay_raises_on_a_missing_coalition(kind: str, documents: int) -> None:
    entry = entry_of(kind)
    asked = replayed.requested(entry, COUNT, SEED)[1]
    values = np.zeros((len(asked), documents))
    assert replayed.replay(entry, COUNT, SEED, 1, asked, values).shape[0] == documents
    for gap in (1, len(asked) // 2):
        rest = asked[:gap] + asked[gap + 1 :]
        with pytest.raises(StoreError, match=rf"asks for coalition {asked[gap]:#x}, which was not evaluated; .*Delete"):
            replayed.replay(entry, COUNT, SEED, 1, rest, values[1:])


def by_hand(value: Callable[[int], float], orders: list[list[int]]) -> np.ndarray:
    """The mean marginal contributions along some orders of joining."""
    total = np.zeros(COUNT)
    for order in orders:
        kept = 0
        for player in order:
            total[player] += value(kept | 1 << player) - value(kept)
            kept |= 1 << player
    return total / len(orders)


def orders_of(asked: list[int]) -> list[list[int]]:
    """The orders in which players join, from the coalitions of permutation sampling as they were asked for."""
    chains, left = [], asked[2:]  # after nobody and everybody
    for start in range(0, len(left), COUNT - 1):
        chain = [0, *left[start : start + COUNT - 1], 2**COUNT - 1]
        chains.append([(after & ~before).bit_length() - 1 for before, after in itertools.pairwise(chain)])
    return chains


def test_permutations_come_in_reversed_pairs_and_are_averaged() -> None:
    entry, some = entry_of("permutation", spare=24), random_game(1)
    found = of(entry, some).replicates
    different: set[tuple[int, ...]] = set()
    for replicate in range(REPLICATES):
        asked: list[int] = []

        def noting(rows: np.ndarray, asked: list[int] = asked) -> np.ndarray:
            asked += [sum(2**i for i in range(COUNT) if row[i]) for row in np.atleast_2d(rows)]
            return np.zeros(len(np.atleast_2d(rows)))

        replayed.run(entry, COUNT, SEED, replicate, noting)
        orders = orders_of(asked)
        assert len(orders) == 6  # 2 + 6 * (7 - 1) coalitions of 2 + 2 * 6 + 24
        assert all(sorted(order) == list(range(COUNT)) for order in orders)
        assert orders[1::2] == [order[::-1] for order in orders[0::2]]
        different |= {tuple(order) for order in orders}
        expected = by_hand(lambda coalition: float(some(coalition)[0]), orders)
        assert found[replicate, 0] == pytest.approx(expected)
    assert len(different) >= 16  # of 18


def test_an_odd_permutation_is_never_drawn_without_its_reverse() -> None:
    for spare in range(2 * (COUNT - 1)):
        (first, *_) = replayed.requested(entry_of("permutation", spare=spare), COUNT, SEED)
        assert len(first) <= 2 + 2 * (COUNT - 1)


def test_antithetic_pairs_are_exact_where_pairs_interact() -> None:
    """A player and each other one are in both orders equally often: games of pairs have no sampling error."""
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(COUNT, COUNT))
    kept = np.arange(1 << COUNT)[:, None] >> np.arange(COUNT) & 1
    table = np.einsum("ci,ij,cj->c", kept, weights, kept)
    found = of(entry_of("permutation", spare=0), game(PLAYERS, table.__getitem__))
    assert found.documents[0] == pytest.approx((weights + weights.T).sum(axis=1) / 2)


@pytest.mark.parametrize("kind", REGRESSIONS)
def test_regressions_that_the_coalitions_do_not_determine_are_refused(kind: str) -> None:
    entry = entry_of(kind)
    small = entry.model_copy(update={"budget": REPLICATES * 12})
    with pytest.raises(ConfigError, match=rf"{small.name}: the 12 coalitions of replicate 1 .*Raise `budget`"):
        replayed.requested(small, COUNT, SEED)


@pytest.mark.parametrize("kind", REGRESSIONS)
@pytest.mark.parametrize("players", [2, 3, 4, 6, 9])
def test_the_least_budget_mostly_determines_the_regression(kind: str, players: int) -> None:
    fine = 0
    for seed in range(5):
        try:
            fine += len(replayed.requested(entry_of(kind, players, replicates=2, spare=0), players, seed)) == 2
        except ConfigError:
            continue
    assert fine >= 4


def test_what_determines_a_regression_by_hand() -> None:
    everyone, single, pairs = 0b111, [0b001, 0b010, 0b100], [0b011, 0b101, 0b110]
    assert replayed.determined([0, *single], 3, 1)
    assert not replayed.determined(single, 3, 1)  # the value of nobody is open
    assert not replayed.determined([0, everyone, 0b001, 0b110], 3, 1)  # players 1 and 2 are always together
    assert replayed.determined([0, *single, *pairs], 3, 2)
    assert replayed.determined([0, *single, *pairs[:2], everyone, everyone], 3, 2) is not False
    assert not replayed.determined([0, *single, *pairs[:2]], 3, 2)


@pytest.mark.parametrize(("kind", "since"), [("leverage-shap", 7), ("regression-msr", 5), ("proxy-shap", 5)])
def test_what_the_installed_shapiq_lacks_is_an_error_that_names_versions(
    kind: str, since: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(approximator, replayed.APPROXIMATORS[kind].name, raising=False)
    entry = SampledEstimator(kind=kind, budget=100, replicates=2)
    with pytest.raises(
        ConfigError, match=rf"{kind}-b100: needs .* of shapiq 1\.{since} .*installed is {version('shapiq')}"
    ):
        entry.coalitions(PLAYERS, 0)


def test_masks_have_a_bit_for_each_kept_player() -> None:
    rows = np.random.default_rng(0).random((30, 70)) < 0.5
    assert replayed.masks_of(rows) == [sum(1 << i for i in range(70) if row[i]) for row in rows]
    assert replayed.masks_of(np.array([True, False, True])) == [5]


@pytest.mark.parametrize("kind", ["permutation", "svarm", "kernelshap"])
def test_budgets_above_all_coalitions_are_no_mistake(kind: str) -> None:
    entry = SampledEstimator(kind=kind, budget=400, replicates=2)
    players = some_players(3)
    table = np.random.default_rng(0).normal(size=(8, 1))
    found = entry.estimate({0: game(players, table.__getitem__)}, 0, 100)[0]
    assert found.documents.sum() == pytest.approx(table[7, 0] - table[0, 0], abs=0.2 if kind == "svarm" else 1e-5)


def as_if_not_linear(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    recipe = dataclasses.replace(replayed.APPROXIMATORS[kind], linear=False)
    monkeypatch.setitem(replayed.APPROXIMATORS, kind, recipe)


def noisy_game(documents: int, seed: int) -> Game:
    """Documents that agree about the players but for noise; in clusters of two."""
    rng = np.random.default_rng(seed)
    kept = np.arange(1 << COUNT)[:, None] >> np.arange(COUNT) & 1
    common = kept @ np.linspace(0, 1, COUNT) + 0.3 * rng.normal(size=1 << COUNT)
    own = np.repeat(rng.normal(size=(COUNT, documents // 2)), 2, axis=1) + 0.2 * rng.normal(size=(COUNT, documents))
    table = common[:, None] + kept @ own
    return game(PLAYERS, table.__getitem__, clusters=[str(i // 2) for i in range(documents)])


@pytest.mark.parametrize("kind", ["permutation", "kernelshap"])
def test_the_bootstrap_agrees_with_the_formula_where_both_hold(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entry, some = entry_of(kind, spare=0), noisy_game(60, 0)
    formula = of_values(of(entry, some), some.clusters, 0.95)
    as_if_not_linear(monkeypatch, kind)
    values = entry.estimate({"task": some}, SEED, 200)["task"]
    assert values.resampled is not None
    assert values.resampled.shape == (200, COUNT)
    found = of_values(values, some.clusters, 0.95)
    np.testing.assert_allclose(found.value, formula.value, atol=1e-5)
    np.testing.assert_allclose(found.se_coalitions, formula.se_coalitions, rtol=1e-3)
    np.testing.assert_allclose(found.se_documents, formula.se_documents, rtol=0.2)
    np.testing.assert_allclose(found.se, formula.se, rtol=0.2)
    naive = of_values(of_clusters(some, entry), np.arange(60).astype(str), 0.95)
    assert naive.se_documents.mean() < 0.8 * found.se_documents.mean()  # the bootstrap took whole clusters


def of_clusters(some: Game, entry: Entry) -> Any:
    """The linear estimate, whatever was patched."""
    count, asked = COUNT, replayed.requested(entry, COUNT, SEED)
    parts = [
        replayed.replay(entry, count, SEED, r, masks, np.stack([some(c) for c in masks]))
        for r, masks in enumerate(asked)
    ]
    return Values(np.mean(parts, axis=0), np.stack(parts))


def test_the_bootstrap_repeats_itself_and_has_no_values_of_single_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    entry, some = entry_of("permutation"), noisy_game(20, 1)
    as_if_not_linear(monkeypatch, "permutation")
    first, again = (entry.estimate({"task": some}, SEED, 20)["task"] for _ in range(2))
    assert first.resampled is not None
    assert again.resampled is not None
    assert np.array_equal(first.resampled, again.resampled)
    assert np.ptp(first.documents, axis=0).max() == 0
    with pytest.raises(ValueError, match="not linear"):
        first.of(np.array([0]))


@needs_boosting
@pytest.mark.parametrize("kind", PROXIES)
def test_each_replicate_of_a_proxy_is_what_shapiq_says_directly(kind: str) -> None:
    """Of one document: a mean differs in its last digit with how it is taken, and a tree's split with that."""
    entry, some = entry_of(kind), random_game(1)
    found = of(entry, some, FEW)
    assert found.resampled.shape == (FEW, COUNT)
    for replicate in range(REPLICATES):
        made = PROXIES[kind](COUNT, seed_of(entry, replicate))
        values = made.approximate(entry.budget // REPLICATES, column(some, 0))
        expected = [values[(player,)] for player in range(COUNT)]
        np.testing.assert_allclose(found.replicates[replicate, 0], expected, atol=1e-6)


@needs_boosting
@pytest.mark.parametrize("kind", PROXIES)
def test_a_proxy_says_the_same_again(kind: str) -> None:
    entry, some = entry_of(kind), noisy_game(20, 2)
    first, again = of(entry, some, FEW), of(entry, some, FEW)
    assert np.array_equal(first.documents, again.documents)
    assert np.array_equal(first.resampled, again.resampled)
    assert np.ptp(first.resampled, axis=0).min() > 0


@needs_newer
@pytest.mark.parametrize("kind", ["leverage-shap", *BOOSTED])
def test_the_newer_ones_are_exact_once_they_see_all_coalitions(kind: str) -> None:
    some = random_game(1)
    entry = SampledEstimator(kind=kind, budget=2 * 2**COUNT, replicates=2)
    assert {len(asked) for asked in replayed.requested(entry, COUNT, SEED)} == {2**COUNT}
    np.testing.assert_allclose(of(entry, some, FEW).documents, exact.estimate(some), atol=1e-5)


@needs_newer
@pytest.mark.parametrize("kind", ["leverage-shap", *BOOSTED])
def test_the_newer_ones_come_near_with_half_of_the_coalitions(kind: str) -> None:
    """Nearer than to say that all players are worth the same."""
    some = noisy_game(2, 3)
    mean = game(PLAYERS, lambda coalition: some(coalition).mean())
    entry = SampledEstimator(kind=kind, budget=4 * 2 ** (COUNT - 1), replicates=4)
    right = exact.estimate(mean)[0]
    wrong = entry.estimate({"task": some}, SEED, FEW)["task"].documents.mean(axis=0) - right
    assert np.abs(wrong).mean() < 0.2 * np.abs(right - right.mean()).mean()


@needs_boosting
@pytest.mark.parametrize("kind", PROXIES)
def test_a_proxy_asks_for_no_more_than_its_share_and_for_what_it_needs(kind: str) -> None:
    for spare in (0, 1, 13):
        entry = entry_of(kind, spare=spare)
        requested = replayed.requested(entry, COUNT, SEED)
        assert requested == replayed.requested(entry, COUNT, SEED)
        assert all(len(set(asked)) == len(asked) <= entry.budget // entry.replicates for asked in requested)
    missing = requested[0][-1]
    gap = game(PLAYERS, noisy_game(4, 4), [c for c in range(2**COUNT) if c != missing])
    with pytest.raises(StoreError, match="was not evaluated"):
        of(entry, gap, FEW)
