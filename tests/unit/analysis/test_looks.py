"""Verdicts of looks: right where the truth is known, and wrong no more often than they may be."""

from __future__ import annotations

import numpy as np
import pytest

from cornerstone.analysis import looks, ranks
from cornerstone.analysis.ranks import Sample
from cornerstone.config.looks import Look, Until
from cornerstone.estimators.values import Values
from cornerstone.game.game import MEAN

LEVEL = 0.9
TOP2, NARROW = Until(settled="top2", at_most=1000), Until(half_width=0.1, at_most=1000)
NAMES = ("a", "b", "c", "d", "e", "f")


def sample(rows: np.ndarray) -> dict[str, Sample]:
    return {"task": Sample(Values(rows), np.arange(len(rows)).astype(str), None)}


def drawn(documents: int, means: tuple[float, ...], seed: int = 0) -> dict[str, Sample]:
    rng = np.random.default_rng(seed)
    return sample(np.array(means) + 0.5 * rng.normal(size=(documents, len(means))))


def test_clear_cornerstones_settle_with_few_documents() -> None:
    said = looks.of_samples(drawn(24, (0, 3, 0, 0, 2, 0)), NAMES, TOP2, Look(2, 24), LEVEL)
    assert (said["settled"], said["layers"], said["needed"]) == (True, ["b", "e"], [])
    assert said["alpha"] == pytest.approx(0.1 / 6)
    assert [row["player"] for row in said["players"] if row["confirmed"]] == ["b", "e"]
    assert [row["rank_high"] for row in said["players"][:2]] == [1, 2]


def test_what_is_not_clear_says_what_it_would_take() -> None:
    means, few = (1.0, 0.5, 0.3, 0, 0, 0), Look(1, 24)
    said = looks.of_samples(drawn(24, means), NAMES, TOP2, few, LEVEL)
    assert not said["settled"]
    assert said["layers"] == ["a"]
    low, high = said["needed"]
    assert 24 < low <= high
    again = looks.of_samples(drawn(int(2 * high), means, 1), NAMES, TOP2, Look(2, int(2 * high)), LEVEL)
    assert again["settled"]


def test_a_later_look_confirms_less_with_the_same_documents() -> None:
    """It is the definition of a cornerstone, at the rate of the look."""
    found = drawn(24, (0.9, 0.5, 0, 0, 0, 0))
    p = ranks.among_top(ranks.pairwise(found, LEVEL)[MEAN], 2)
    counts = []
    for look in (Look(1, 24), Look(30, 24), Look(10**6, 24)):
        said = looks.of_samples(found, NAMES, TOP2, look, LEVEL)
        assert set(said["layers"]) == {NAMES[i] for i in np.flatnonzero(p <= look.spent(LEVEL))}
        counts.append(len(said["layers"]))
    assert counts[0] > counts[-1]


def test_half_widths_are_those_of_the_tables() -> None:
    found = drawn(24, (0, 0, 0, 0, 0, 0))
    estimate = ranks.estimates(found, LEVEL)[MEAN]
    widths = (estimate.high - estimate.low) / 2
    said = looks.of_samples(found, NAMES, NARROW, Look(1, 24), LEVEL)
    assert (said["settled"], said["alpha"]) == (False, pytest.approx(0.1))
    assert said["half_width"] == pytest.approx(widths.max())
    (needed,) = said["needed"]
    assert looks.of_samples(drawn(int(1.3 * needed), (0,) * 6), NAMES, NARROW, Look(2, 0), LEVEL)["settled"]
    just = Until(half_width=float(widths.max()), at_most=1000)
    assert looks.of_samples(found, NAMES, just, Look(1, 24), LEVEL)["settled"]


def test_equal_layers_are_settled_wrongly_no_more_often_than_allowed() -> None:
    """Two layers, so that each look's test has all of its rate. Without the spending, the rate is exceeded."""
    spent = unspent = 0
    for seed in range(100):
        rows = np.random.default_rng(seed).normal(size=(96, 2))
        p = [
            (Look(number, n), ranks.among_top(ranks.pairwise(sample(rows[:n]), 0.8)[MEAN], 1).min())
            for number, n in enumerate((6, 12, 24, 48, 96), 1)
        ]
        spent += any(least <= look.spent(0.8) for look, least in p)
        unspent += any(least <= 0.2 for _, least in p)
    assert 0 < spent <= 20
    assert unspent > 30
