"""Table 1's share of two models: the paper's recipe, the two ends, the difference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cornerstone.analysis import shares as paper_shares
from cornerstone.analysis.concentration import concentration, shares
from cornerstone.analysis.ranks import Sample
from cornerstone.estimators.values import Values


def sampled(values: np.ndarray, documents: int, rng: np.random.Generator, spread: float) -> dict[str, Sample]:
    return {
        task: Sample(Values(values + rng.normal(0, spread, (documents, len(values)))), np.arange(documents).astype(str))
        for task in ("alpha", "beta")
    }


def names(count: int) -> list[str]:
    return [f"p{i}" for i in range(count)]


def compared(first: dict[str, Sample], second: dict[str, Sample], models: tuple[str, str] = ("a", "b")) -> Any:
    players = tuple(names(next(iter(side.values())).values.documents.shape[1]) for side in (first, second))
    return concentration(models, (players[0], players[1]), (first, second), level=0.95, seed=0, repetitions=200).iloc[0]


def test_the_share_is_that_of_table_1() -> None:
    rng = np.random.default_rng(0)
    side = sampled(rng.normal(0.02, 0.05, 10), 30, rng, 0.2)
    row = compared(side, side)
    top = row["first_top"].split()
    plain = paper_shares.share(side, names(10), "a", top, selected=True, repetitions=200)
    for column, other in (("first_share_percent", "share_percent"), ("first_low", "low"), ("first_high", "high")):
        assert row[column] == pytest.approx(plain[other][0])
    means = np.mean([s.values.documents.mean(axis=0) for s in side.values()], axis=0)
    assert top == [f"p{i}" for i in np.argsort(-means)[:3]]
    assert row["first_equal_percent"] == pytest.approx(30)


def test_a_model_against_itself_is_open() -> None:
    side = sampled(np.linspace(0.3, 0, 12), 50, np.random.default_rng(1), 0.1)
    row = compared(side, side)
    assert row["difference_percent"] == 0
    assert row["low"] <= 0 <= row["high"]
    assert row["verdict"] == "open"


def test_without_noise_the_ends_meet_and_the_difference_is_found() -> None:
    rng = np.random.default_rng(2)
    flat, steep = np.full(12, 0.05), np.array([0.3, 0.2, 0.1, *np.full(6, 0.01)])
    row = compared(sampled(flat, 60, rng, 1e-4), sampled(steep, 60, rng, 1e-4))
    assert row["first_low"] == pytest.approx(25, abs=0.2)
    assert row["first_high"] == pytest.approx(25, abs=0.2)
    assert row["difference_percent"] == pytest.approx(100 * (0.6 / 0.66 - 0.25), abs=0.2)
    assert row["low"] == pytest.approx(row["high"], abs=0.5)
    assert row["verdict"] == "larger"
    assert compared(sampled(steep, 60, rng, 1e-4), sampled(flat, 60, rng, 1e-4))["verdict"] == "smaller"


def test_the_ends_enclose_a_share_that_noise_makes_small_or_large() -> None:
    """With noise the plain share of strong players is too small, and that of those chosen among equals too large."""
    rng = np.random.default_rng(3)
    strong, equal = np.array([0.10, 0.09, 0.08, *np.full(33, 0.004)]), np.full(36, 0.003)
    held = []
    for _ in range(20):
        row = compared(sampled(strong, 24, rng, 0.15), sampled(equal, 24, rng, 0.15))
        truth = 100 * np.array([0.27 / strong.sum(), 3 / 36])
        assert row["first_share_percent"] < truth[0]
        assert row["second_share_percent"] > truth[1]
        held.append(
            [
                row["first_low"] <= truth[0] <= row["first_high"],
                row["second_low"] <= truth[1] <= row["second_high"],
                row["low"] <= truth[1] - truth[0] <= row["high"],
            ]
        )
    assert np.mean(held, axis=0).min() >= 0.9


def test_the_papers_models_have_the_papers_layers() -> None:
    side = sampled(np.linspace(0, 0.3, 8), 20, np.random.default_rng(4), 0.05)
    players = [f"{kind}{block}" for block in range(4) for kind in ("attn", "ffn")]
    row = concentration(("llama3-8b", "b"), (players, players), (side, side), level=0.95, seed=0, repetitions=100).iloc[
        0
    ]
    assert row["first_top"] == "attn0 ffn0 ffn1"
    assert row["second_top"] == "ffn3 attn3 ffn2"


def test_too_few_documents_give_no_interval() -> None:
    side = sampled(np.linspace(0.3, 0, 6), 3, np.random.default_rng(5), 0.01)
    row = compared(side, side)
    assert np.isfinite(row["first_share_percent"])
    assert np.isnan([row["first_low"], row["high"]]).all()
    assert row["verdict"] == "open"


def test_without_positive_values_there_is_no_share() -> None:
    assert np.isnan(shares(np.full((2, 1, 4), -1.0), None)).all()
