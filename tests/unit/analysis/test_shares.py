"""The shares and drops of the paper's tables against numbers worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cornerstone.analysis import shares
from cornerstone.analysis.ranks import Sample
from cornerstone.errors import CornerstoneError
from cornerstone.estimators.values import Values

PLAYERS = ["attn0", "ffn0", "attn1", "ffn1"]


def of(values: dict[str, np.ndarray], clusters: dict[str, Any] | None = None) -> dict[str, Sample]:
    """What an estimator says of these documents, each by itself where no cluster is named."""
    labels = {task: np.arange(len(each)).astype(str) for task, each in values.items()} | (clusters or {})
    return {task: Sample(Values(each), np.asarray(labels[task])) for task, each in values.items()}


@pytest.mark.parametrize("table", [shares.mean_drop, shares.mean_drop_by_task])
def test_a_label_for_each_document_is_wanted(table: Callable[..., pd.DataFrame]) -> None:
    with pytest.raises(CornerstoneError, match="3 documents"):
        table({"boolq": np.ones((3, 4))}, PLAYERS, "m", ["ffn0"], clusters={"boolq": ["a", "b"]})


def test_the_share_clips_after_the_mean_over_documents_and_averages_shares() -> None:
    values = {
        # Means 0.3, 0.1, -0.2, 0.1: the share of the first two is 0.4 / 0.5.
        "boolq": np.array([[0.5, 0.2, 0.4, 0.1], [0.1, 0.0, -0.8, 0.1]] * 2),
        # Means 0.2, -0.1, 0.2, 0.4: 0.2 / 0.8.
        "piqa": np.array([[0.2, -0.1, 0.2, 0.4]] * 4),
    }
    row = shares.share(of(values), PLAYERS, "mine", ["attn0", "ffn0"]).iloc[0]
    assert row["share_percent"] == pytest.approx(100 * (0.8 + 0.25) / 2)
    assert row["players"] == "attn0 ffn0"
    assert pd.isna(row["published_percent"])
    assert row["low"] <= row["share_percent"] <= row["high"]


def test_shares_of_all_players_add_up_to_100_percent() -> None:
    samples = of({"boolq": np.random.default_rng(1).normal(0.05, 0.2, (30, 4))})
    found = [shares.share(samples, PLAYERS, "m", [player])["share_percent"].item() for player in PLAYERS]
    assert sum(found) == pytest.approx(100)
    assert shares.share(samples, PLAYERS, "m", PLAYERS)["share_percent"].item() == pytest.approx(100)


def test_the_share_bootstrap_repeats_itself_and_follows_the_seed() -> None:
    samples = of({task: np.random.default_rng(2).normal(0.1, 0.3, (20, 4)) for task in ("boolq", "piqa")})
    first, again, other = (shares.share(samples, PLAYERS, "m", ["ffn0"], seed=seed) for seed in (7, 7, 8))
    pd.testing.assert_frame_equal(first, again)
    assert first["low"].item() != other["low"].item()
    assert first["low"].item() < first["high"].item()


def test_the_share_resamples_whole_clusters() -> None:
    once = np.random.default_rng(3).uniform(0.0, 0.5, (12, 4))
    # Every document twice: by cluster that is the same information, so the same replicates.
    twice = {"boolq": np.repeat(once, 2, axis=0)}
    passages = {"boolq": np.repeat([f"p{i}" for i in range(10, 22)], 2)}
    expected, clustered, naive = (
        shares.share(samples, PLAYERS, "m", ["ffn0"])
        for samples in (of({"boolq": once}), of(twice, passages), of(twice))
    )
    pd.testing.assert_frame_equal(clustered, expected)
    assert (naive["high"] - naive["low"]).item() < (expected["high"] - expected["low"]).item()


def test_the_share_of_documents_that_cannot_be_halved_has_no_interval() -> None:
    row = shares.share(of({"boolq": np.array([[0.1, 0.3, 0, 0]] * 3)}), PLAYERS, "llama3-8b", ["ffn0"]).iloc[0]
    assert row["share_percent"] == pytest.approx(75)
    assert row[["cross_fitted_percent", "low", "high"]].isna().all()
    assert row["published_percent"] == 29.1


def test_the_share_of_a_task_without_a_positive_value_has_no_share() -> None:
    values = {"boolq": np.ones((4, 4)), "piqa": -np.ones((4, 4))}
    row = shares.share(of(values), PLAYERS, "m", ["ffn0"]).iloc[0]
    assert row[["share_percent", "cross_fitted_percent", "low", "high"]].isna().all()


@pytest.mark.parametrize("documents", [24, 200])
@pytest.mark.parametrize("heavy", [0.1, 0.01])
def test_the_interval_holds_the_share_that_noise_makes_small_and_choice_makes_large(
    documents: int, heavy: float
) -> None:
    """Three players stand out, or none does, and half of the documents change by one player's removal.

    An interval around the plain share alone would hold the truth in none of these cases with 24 documents.
    """
    means = np.array([heavy] * 3 + [0.01] * 30)
    rng, names = np.random.default_rng(0), [f"p{i}" for i in range(33)]
    held, plain = [], []
    for seed in range(20):
        values = {task: means + rng.normal(0, 0.2, (documents, 33)) for task in ("boolq", "piqa")}
        highest = np.argsort(-np.mean([each.mean(axis=0) for each in values.values()], axis=0))[:3]
        top = [names[i] for i in highest]
        row = shares.share(of(values), names, "m", top, selected=True, seed=seed, repetitions=60).iloc[0]
        truth = 100 * means[highest].sum() / means.sum()
        held.append(row["low"] <= truth <= row["high"])
        plain.append(row["share_percent"] - truth)
    assert np.mean(held) >= 0.9
    if documents == 24:
        assert np.mean(plain) < -5 if heavy == 0.1 else np.mean(plain) > 5


def test_the_share_has_no_interval_where_many_resamples_have_no_share() -> None:
    # Of the resamples in which the first document is not drawn, none has a positive value.
    values = {"boolq": np.array([[0.9, 0.0, 0.0, 0.0], *[[-0.1, 0.0, 0.0, 0.0]] * 7])}
    row = shares.share(of(values), PLAYERS, "m", ["attn0"]).iloc[0]
    assert row["share_percent"] == 100
    assert row[["low", "high"]].isna().all()


def test_without_noise_all_shares_are_the_share() -> None:
    row = shares.share(of({"boolq": np.tile([0.4, -0.2, 0.1, 0.1], (12, 1))}), PLAYERS, "m", ["attn0"]).iloc[0]
    for column in ("share_percent", "cross_fitted_percent", "low", "high"):
        assert row[column] == pytest.approx(100 * 0.4 / 0.6)


def test_the_share_interval_ends_at_0_and_100_percent() -> None:
    values = {
        "boolq": np.array([[0.9, 0.01, 0.0, 0.0], [0.1, -0.02, 0.0, 0.0], [0.0, 0.1, 0.0, 0.0], [0.2, -0.2, 0, 0]])
    }
    rows = [shares.share(of(values), PLAYERS, "m", [player]).iloc[0] for player in ("attn0", "ffn0")]
    assert rows[0]["high"] == 100
    assert rows[1]["low"] == 0


@pytest.mark.parametrize(
    ("values", "top", "message"),
    [
        ({}, ["ffn0"], "no task"),
        ({"boolq": np.ones((3, 5))}, ["ffn0"], r"expected \[documents, 4 players\]"),
        ({"boolq": np.ones((0, 4))}, ["ffn0"], "expected"),
        ({"boolq": np.full((3, 4), np.nan)}, ["ffn0"], "missing"),
        ({"boolq": np.ones((3, 4))}, ["moe0"], "not players of this model: moe0"),
        ({"boolq": np.ones((3, 4))}, [], "empty"),
    ],
)
def test_inputs_that_disagree_are_refused(values: dict[str, np.ndarray], top: list[str], message: str) -> None:
    with pytest.raises(CornerstoneError, match=message):
        shares.share(of(values), PLAYERS, "m", top)
    with pytest.raises(CornerstoneError, match=message):
        shares.mean_drop(values, PLAYERS, "m", top)


DROPS = {
    # Means 0.5, 0, -0.5, 0.25.
    "boolq": np.array([[1, 0, -1, 0.5], [0, 0, 0, 0]]),
    # Means 0.5, 1, 0.5, -0.5.
    "piqa": np.array([[1, 1, 1, -1], [0, 1, 0, 0]]),
}


def test_the_mean_drop_clips_each_player_on_each_task_before_averaging() -> None:
    cornerstone, other = shares.mean_drop(DROPS, PLAYERS, "llama3-8b", ["attn0", "ffn0"]).to_dict("records")
    assert [cornerstone["layers"], other["layers"]] == ["top three", "other"]
    assert cornerstone["clipped_percent"] == pytest.approx(100 * (0.5 + 0 + 0.5 + 1) / 4)
    assert cornerstone["unclipped_percent"] == cornerstone["clipped_percent"]
    # Averaging first would have clipped -0.0625 to 0.
    assert other["clipped_percent"] == pytest.approx(100 * (0 + 0.25 + 0.5 + 0) / 4)
    assert other["unclipped_percent"] == pytest.approx(100 * (-0.5 + 0.25 + 0.5 - 0.5) / 4)
    assert (cornerstone["published_percent"], other["published_percent"]) == (29.3, 1.6)


def test_the_mean_drop_interval_by_hand() -> None:
    other = shares.mean_drop(DROPS, PLAYERS, "m", ["attn0", "ffn0"]).iloc[1]
    # Means over the group per document: boolq -0.25 and 0, piqa 0 and 0. The first's se is its half range, 0.125;
    # t with one degree of freedom is 12.7062. The second never differs: its half-width is that of Clopper and
    # Pearson for 0 of 2, 1 - sqrt(0.025). Two tasks, half-widths combined as standard errors are.
    half = 100 * math.hypot(12.7062 * 0.125, 1 - math.sqrt(0.025)) / 2
    assert other["high"] - other["unclipped_percent"] == pytest.approx(half, rel=1e-5)
    assert other["unclipped_percent"] - other["low"] == pytest.approx(half, rel=1e-5)
    assert pd.isna(other["published_percent"])


def test_the_mean_drop_interval_uses_the_fewest_clusters_and_widens_with_them() -> None:
    rng = np.random.default_rng(4)
    drops = {"boolq": np.repeat(rng.normal(0, 1, (20, 4)), 2, axis=0), "piqa": rng.normal(0, 1, (40, 4))}
    passages = {"boolq": np.repeat(np.arange(20), 2)}
    plain = shares.mean_drop(drops, PLAYERS, "m", ["ffn0"]).iloc[1]
    clustered = shares.mean_drop(drops, PLAYERS, "m", ["ffn0"], clusters=passages).iloc[1]
    assert clustered["high"] - clustered["low"] > plain["high"] - plain["low"]
    assert clustered["unclipped_percent"] == plain["unclipped_percent"]


def test_a_mean_drop_of_one_document_is_refused() -> None:
    with pytest.raises(CornerstoneError, match="two independent documents"):
        shares.mean_drop({"boolq": np.ones((1, 4))}, PLAYERS, "m", ["ffn0"])


def test_where_all_players_are_at_the_top_there_are_no_others() -> None:
    """So it is with two or three players: the tables are made, and say nothing of others."""
    assert list(shares.mean_drop(DROPS, PLAYERS, "m", PLAYERS)["layers"]) == ["top three"]
    by_task = shares.mean_drop_by_task(DROPS, PLAYERS, "m", PLAYERS)
    assert by_task.empty
    assert list(by_task) == list(shares.mean_drop_by_task(DROPS, PLAYERS, "m", PLAYERS[:1]))


def test_the_top_may_not_be_empty() -> None:
    with pytest.raises(CornerstoneError, match="empty"):
        shares.mean_drop(DROPS, PLAYERS, "m", [])


def test_the_mean_drop_by_task_is_the_mean_drop_of_one_task() -> None:
    frame = shares.mean_drop_by_task(DROPS, PLAYERS, "llama3-8b", ["attn0", "ffn0"]).set_index("task")
    assert list(frame.index) == ["boolq", "piqa"]
    assert frame["clipped_percent"].tolist() == pytest.approx([12.5, 25])
    assert frame["unclipped_percent"].tolist() == pytest.approx([-12.5, 0])
    assert frame["published_percent"].tolist() == [2.8, 1.5]
    single = shares.mean_drop({"boolq": DROPS["boolq"]}, PLAYERS, "llama3-8b", ["attn0", "ffn0"]).iloc[1]
    assert frame.loc["boolq", "low"] == pytest.approx(single["low"])
