"""The simulated games: their closed form against the definition, and their documents against their probabilities."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.games import SHAPES, SimulatedGame
from cornerstone.estimators import exact

shapes = pytest.mark.parametrize("make", SHAPES.values(), ids=SHAPES)


@shapes
def test_the_closed_form_is_the_definition(make: Callable[[int], SimulatedGame]) -> None:
    game = make(8)
    assert game.shapley == pytest.approx(exact.estimate(game.population)[0])
    kept = (np.arange(256)[:, None] >> np.arange(8) & 1).astype(bool)
    assert game.expected(kept) == pytest.approx(game.values)


@shapes
def test_the_closed_form_is_efficient_and_symmetric(make: Callable[[int], SimulatedGame]) -> None:
    game = make(10)
    assert game.shapley.sum() == pytest.approx(game.values[-1] - game.values[0])
    assert game.shapley[0] == pytest.approx(game.shapley[1])
    swapped = [mask ^ 3 if (mask & 3) in (1, 2) else mask for mask in range(1 << 10)]
    assert game.values == pytest.approx(game.values[swapped])


def test_a_dummy_gets_nothing() -> None:
    game = SimulatedGame("dummy", 3, 0.2, ((1.0, {frozenset({0}): 0.3, frozenset({0, 2}): 0.4}),), 1.0)
    assert game.shapley == pytest.approx([0.5, 0, 0.2])


@shapes
def test_documents_are_right_as_often_as_the_population_says(make: Callable[[int], SimulatedGame]) -> None:
    game = make(8)
    scores, clusters = game.draw(np.random.default_rng(1), 20_000)
    assert set(np.unique(scores)) == {0.0, 1.0}
    effective = len(np.unique(clusters))
    assert np.abs(scores.mean(axis=0) - game.values).max() < 5 * 0.5 / np.sqrt(effective)


def test_a_consistent_document_loses_no_answer_by_a_gain() -> None:
    game = SimulatedGame("sure", 2, 0.1, ((1.0, {frozenset({0}): 0.3, frozenset({1}): 0.4}),), 1.0)
    scores, _ = game.draw(np.random.default_rng(2), 500)
    assert (scores[:, 1] >= scores[:, 0]).all()
    assert (scores[:, 3] >= scores[:, 2]).all()


def test_documents_of_a_passage_are_alike() -> None:
    game = SHAPES["passages"](8)
    scores, clusters = game.draw(np.random.default_rng(3), 4000)
    assert (np.bincount(clusters) == 4).all()
    full = scores[:, -1].reshape(-1, 4)
    within = np.corrcoef(full[:, 0], full[:, 1])[0, 1]
    between = np.corrcoef(full[:-1, 0], full[1:, 1])[0, 1]
    assert within > 0.2
    assert abs(between) < 0.15


def test_probabilities_beyond_one_are_refused() -> None:
    game = SimulatedGame("too much", 1, 0.5, ((1.0, {frozenset({0}): 0.6}),), 1.0)
    with pytest.raises(ValueError, match="too much"):
        game.probabilities  # noqa: B018
