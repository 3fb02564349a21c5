"""Regression-adjusted MSR: unbiased, efficient, linear, exact once all is seen, and intervals that cover."""

from __future__ import annotations

import itertools
from math import comb

import numpy as np
import pytest

from benchmarks.games import SHAPES
from cornerstone.analysis.intervals import of_values
from cornerstone.errors import StoreError
from cornerstone.estimators import AdjustedEstimator, adjusted, exact
from cornerstone.estimators.adjusted import Pairs
from cornerstone.game.game import Game
from tests.helpers import game, some_players


def entry_of(players: int, replicates: int, spare: int = 0) -> AdjustedEstimator:
    """With `spare` coalitions more than a replicate needs."""
    made = AdjustedEstimator(kind="adjusted-msr", budget=4, replicates=replicates)
    return made.model_copy(update={"budget": replicates * (made.least_budget(players) + spare)})


def random_game(players: int, documents: int, seed: int = 0) -> Game:
    table = np.random.default_rng(seed).normal(size=(1 << players, documents))
    return game(some_players(players), table.__getitem__)


def of(entry: AdjustedEstimator, some: Game, seed: int = 3) -> np.ndarray:
    """[R, D, N]."""
    found = entry.estimate({0: some}, seed, 0)[0].replicates
    assert found is not None
    return found


def pairs_of(masks: tuple[int, ...], alike: tuple[int, ...], players: int) -> Pairs:
    return Pairs(np.array([[mask >> i & 1 for i in range(players)] for mask in masks], bool), np.array(alike))


def every_draw() -> list[Pairs]:
    """All draws of one pair of each size from four players, equally likely."""
    ones, halves = [1, 2, 4, 8], [0b0011, 0b0101, 0b1001]
    return [pairs_of(masks, (1, 1), 4) for masks in itertools.product(ones, halves)]


def test_the_mean_over_all_draws_is_the_shapley_value_whatever_the_model_was_fitted_on() -> None:
    some = random_game(4, 3)
    for other in every_draw():
        mean = np.mean([adjusted.estimate(some, [drawn, other])[0] for drawn in every_draw()], axis=0)
        assert mean == pytest.approx(exact.estimate(some))


def test_draws_are_uniform() -> None:
    """Of each size all pairs come as often as the others."""
    counts: dict[int, int] = {}
    rng = np.random.default_rng(0)
    for _ in range(600):
        for mask in adjusted.draw(4, 3, rng).masks:  # two of four single players, one of three halves
            counts[mask] = counts.get(mask, 0) + 1
    assert sorted(counts) == [0b0001, 0b0010, 0b0011, 0b0100, 0b0101, 0b1000, 0b1001]
    assert all(counts[1 << i] == pytest.approx(300, abs=50) for i in range(4))
    assert all(counts[half] == pytest.approx(200, abs=50) for half in (0b0011, 0b0101, 0b1001))


@pytest.mark.parametrize("players", [2, 3, 5, 6])
def test_it_is_exact_once_each_replicate_sees_all_coalitions(players: int) -> None:
    some = random_game(players, 2)
    entry = AdjustedEstimator(kind="adjusted-msr", budget=3 * 2**players, replicates=3)
    assert entry.problem(players) is None
    assert sorted(entry.coalitions(some.players, 0)) == list(range(2**players))
    assert of(entry, some) == pytest.approx(np.stack([exact.estimate(some)] * 3))


def test_values_sum_to_what_all_players_together_are_worth() -> None:
    some = random_game(7, 4)
    found = of(entry_of(7, 4), some)
    assert found.sum(axis=2) == pytest.approx(np.stack([some.full - some(0)] * 4))


def test_it_is_linear_in_the_game_and_a_document_knows_nothing_of_the_others() -> None:
    first, second = random_game(6, 3, 1), random_game(6, 3, 2)
    sums = {mask: 2 * value - 3 * second.values[mask] for mask, value in first.values.items()}
    entry = entry_of(6, 4)
    expected = 2 * of(entry, first) - 3 * of(entry, second)
    assert of(entry, Game(first.players, sums, first.clusters, first.documents)) == pytest.approx(expected)
    alone = game(first.players, lambda mask: first.values[mask][1])
    assert of(entry, alone)[:, 0] == pytest.approx(of(entry, first)[:, 1])


@pytest.mark.parametrize("players", [8, 15, 40])
def test_players_that_do_not_interact_get_their_worth_but_for_the_ridge(players: int) -> None:
    worth = np.linspace(-1, 2, players)
    entry = entry_of(players, 10)
    asked = entry.coalitions(some_players(players), 3)
    some = game(some_players(players), lambda mask: worth @ [mask >> i & 1 for i in range(players)], asked)
    assert of(entry, some)[:, 0].mean(axis=0) == pytest.approx(worth, abs=0.02)


def test_equal_players_and_idle_ones_are_so_in_the_mean() -> None:
    """Symmetry and the null player hold over draws, not in each: 2 and 3 are alike, and 0 does nothing."""
    values = np.random.default_rng(5).normal(size=(2, 3))
    some = game(some_players(4), lambda mask: values[mask >> 1 & 1, (mask >> 2).bit_count()])
    draws = every_draw()
    found = np.mean([adjusted.estimate(some, [one, other])[0][0] for one in draws for other in draws], axis=0)
    assert found[0] == pytest.approx(0)
    assert found[2] == pytest.approx(found[3])


@pytest.mark.parametrize("players", [2, 3, 4, 5, 7])
def test_the_models_own_values_are_its_shapley_values(players: int) -> None:
    """Each column is a game by itself: what it says of a coalition, less what it says of the complement, halved."""
    masks = range(1 << players)
    kept = np.array([[mask >> i & 1 for i in range(players)] for mask in masks], bool)
    columns = Pairs(kept, np.ones(len(kept))).columns
    games = game(some_players(players), (columns / 2).__getitem__)
    assert columns == pytest.approx(-Pairs(~kept, np.ones(len(kept))).columns)
    assert exact.estimate(games) == pytest.approx(adjusted.values_of_columns(players))


def test_a_player_that_matters_once_much_is_gone_is_in_the_model() -> None:
    """A threshold of the weight that is kept: at most a fifth of the variance that the best linear model leaves."""
    players, rng = 20, np.random.default_rng(0)
    weights = np.linspace(1, 2, players)
    drawn = [adjusted.draw(players, 60, rng) for _ in range(4)]
    values = [1 / (1 + np.exp(-12 * (pairs.kept @ weights / weights.sum() - 0.7))) for pairs in drawn]
    others = [1 / (1 + np.exp(-12 * (~pairs.kept @ weights / weights.sum() - 0.7))) for pairs in drawn]
    differences = [(one - other)[None] for one, other in zip(values, others, strict=True)]
    model = adjusted.fitted(drawn[:3], differences[:3])
    left = differences[3] - model @ drawn[3].columns.T
    linear = np.where(drawn[3].kept, 1.0, -1.0)
    best, *_ = np.linalg.lstsq(linear, differences[3][0], rcond=None)
    assert np.mean(left**2) < 0.2 * np.mean((differences[3][0] - linear @ best) ** 2)


@pytest.mark.parametrize(("players", "pairs"), [(8, 20), (9, 60), (60, 47), (60, 500)])
def test_sizes_share_the_pairs_by_the_root_of_their_weight(players: int, pairs: int) -> None:
    found = adjusted.allotted(players, pairs)
    assert sum(found) == pairs
    assert min(found) >= 1
    for size, count in enumerate(found, start=1):
        assert count <= comb(players, size) // (2 if 2 * size == players else 1)
    if (players, pairs) == (60, 500):
        ratio = found[4] / found[19]
        assert ratio == pytest.approx(np.sqrt(20 * 40 / (5 * 55)), rel=0.1)
        assert found[29] / found[28] == pytest.approx(0.5, abs=0.1)  # halves are both of a pair


def test_a_draw_has_no_pair_twice_and_stays_within_the_budget() -> None:
    for players, spare in ((6, 1), (9, 30), (20, 13)):
        entry = entry_of(players, 4, spare)
        drawn = [adjusted.draw(players, 20, np.random.default_rng(seed)) for seed in range(4)]
        for pairs in drawn:
            both = {*pairs.masks, *(2**players - 1 - mask for mask in pairs.masks)}
            assert len(both) == 2 * len(pairs.masks)
        planned = entry.coalitions(some_players(players), 0)
        assert len(planned) == len(set(planned)) <= entry.budget


def test_budgets_too_small_for_a_regression_are_refused_with_the_number_that_is_needed() -> None:
    entry = AdjustedEstimator(kind="adjusted-msr", budget=619, replicates=10)
    assert entry.problem(60) == "with 10 replicates it needs a budget of at least 620"  # 30 sizes, twice, and two
    assert entry.model_copy(update={"budget": 620}).problem(60) is None
    few = AdjustedEstimator(kind="adjusted-msr", budget=400, replicates=2)
    assert few.problem(60) == "with 2 replicates it needs a budget of at least 484"  # 2 N pairs, twice, and two


def test_a_half_of_the_replicates_knows_nothing_of_the_other() -> None:
    players, entry = 9, entry_of(9, 6)
    some = random_game(players, 2)
    drawn = [adjusted.draw(players, 12, entry.random(3, replicate)) for replicate in range(6)]
    first = {mask for pairs in drawn[:3] for mask in pairs.masks}
    first |= {0, 2**players - 1} | {2**players - 1 - mask for mask in first}
    other = Game(
        some.players,
        {mask: value if mask in first else -value for mask, value in some.values.items()},
        some.clusters,
        some.documents,
    )
    before, after = adjusted.estimate(some, drawn), adjusted.estimate(other, drawn)
    assert all(np.array_equal(a, b) for a, b in zip(before[:3], after[:3], strict=True))
    assert not any(np.allclose(a, b) for a, b in zip(before[3:], after[3:], strict=True))


def test_the_plan_is_all_that_is_needed_and_all_of_it_is() -> None:
    some = random_game(8, 1)
    entry = entry_of(8, 4)
    planned = entry.coalitions(some.players, 3)
    lean = game(some.players, some, planned)
    assert np.array_equal(of(entry, lean), of(entry, some))
    for missing in planned[:: len(planned) // 3]:
        with pytest.raises(StoreError):
            of(entry, game(some.players, some, [mask for mask in planned if mask != missing]))


@pytest.mark.parametrize("shape", ["gated", "redundant"])
def test_intervals_cover_and_the_error_is_below_that_of_permutations(shape: str) -> None:
    """Ten players, 20 pairs in each of ten replicates; 120 samples of 60 documents, 60 of coalitions."""
    simulated, rng = SHAPES[shape](10), np.random.default_rng(0)
    drawn = [[adjusted.draw(10, 20, rng) for _ in range(10)] for _ in range(60)]
    covered = []
    for repetition in range(120):
        scores, clusters = simulated.draw(rng, 60)
        chosen = drawn[repetition % 60]
        masks = {mask for pairs in chosen for mask in pairs.masks}
        masks |= {0, 1023} | {1023 - mask for mask in masks}
        some = Game(simulated.players, {mask: scores[:, mask] for mask in masks}, clusters, np.arange(60))
        parts = np.stack(adjusted.estimate(some, chosen))
        found = of_values(adjusted.Values.averaged(list(parts)), clusters, 0.95)
        covered.append((found.low <= simulated.shapley) & (simulated.shapley <= found.high))
    assert 0.93 < np.mean(covered) < 0.98
    population = simulated.population
    errors = [np.mean(adjusted.estimate(population, chosen), axis=0)[0] - simulated.shapley for chosen in drawn]
    # 402 coalitions; 22 pairs of permutations ask for 398
    assert np.mean(np.square(errors)) < 0.7 * np.mean(np.square(_permutations(population, 22, 30)))


def _permutations(some: Game, pairs: int, runs: int) -> list[np.ndarray]:
    rng, right, errors = np.random.default_rng(1), exact.estimate(some)[0], []
    for _ in range(runs):
        total = np.zeros(10)
        for order in (rng.permutation(10) for _ in range(pairs)):
            for walk in (order, order[::-1]):
                masks = np.concatenate([[0], np.cumsum(1 << walk)])
                total[walk] += np.diff([some(int(mask))[0] for mask in masks])
        errors.append(total / (2 * pairs) - right)
    return errors
