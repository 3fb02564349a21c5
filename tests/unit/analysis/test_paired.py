"""Paired differences of two models: exactness, coverage, what lies where in the depth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchmarks.games import SHAPES, lookup
from cornerstone.analysis import paired, ranks
from cornerstone.analysis.agreement import agreement
from cornerstone.analysis.paired import Side
from cornerstone.analysis.ranks import Sample
from cornerstone.estimators import ExactEstimator, TruncatedEstimator, exact
from cornerstone.estimators.values import Values
from cornerstone.game.game import Game
from cornerstone.game.players import alike, players_of, runs_of
from tests.helpers import right_or_wrong

PLAYERS = players_of(alike(4))


def side(model: str, values: np.ndarray, blocks: int = 4, documents: int = 20, seed: int = 0) -> Side:
    rng = np.random.default_rng(seed)
    players = players_of(alike(blocks))
    samples = {
        task: Sample(Values(values + rng.normal(0, 0.1, (documents, len(players)))), np.arange(documents).astype(str))
        for task in ("alpha", "beta")
    }
    return Side(model, players, len(players), {"value": samples, "drop": samples})


def test_a_model_does_not_differ_from_itself() -> None:
    one = side("a", np.linspace(0, 1, 8))
    frame = paired.differences(one, one, 0.95)
    assert (frame[["difference", "se"]] == 0).all(axis=None)
    assert (frame[["p", "p_holm"]] == 1).all(axis=None)
    assert not frame["differs"].any()
    assert (frame["first_rank"] == frame["second_rank"]).all()
    assert (paired.by_band(one, one, 0.95)["difference"] == 0).all()


def test_the_difference_is_the_second_less_the_first_on_each_document() -> None:
    one, other = side("a", np.zeros(8), seed=1), side("b", np.linspace(0, 1, 8), seed=2)
    frame = paired.differences(one, other, 0.9)
    samples = [each.samples["value"] for each in (one, other)]
    for task in ("alpha", "beta"):
        rows = frame[(frame["task"] == task) & (frame["quantity"] == "value")]
        by_document = samples[1][task].values.documents - samples[0][task].values.documents
        assert rows["difference"].to_numpy() == pytest.approx(by_document.mean(axis=0))
        plain = by_document.std(axis=0, ddof=1) / np.sqrt(20)
        assert rows["se"].to_numpy() == pytest.approx(plain, rel=0.5)  # moderated
    assert frame["difference"].to_numpy() == pytest.approx((frame["second_value"] - frame["first_value"]).to_numpy())
    mean = frame[(frame["task"] == "mean") & (frame["quantity"] == "drop")]
    assert mean["differs"].tolist() == (mean["p_holm"] <= 0.1).tolist()
    assert mean.sort_values("position")["differs"].tolist()[0] is False
    assert mean.sort_values("position")["differs"].tolist()[-1] is True
    assert set(mean["documents"]) == {40}


def test_holm_is_over_the_players_of_a_quantity_and_task() -> None:
    frame = paired.differences(side("a", np.zeros(8), seed=1), side("b", np.linspace(0, 0.1, 8), seed=2), 0.95)
    for _, rows in frame.groupby(["quantity", "task"]):
        assert rows["p_holm"].tolist() == ranks.holm(rows["p"].to_numpy()).tolist()


def test_what_a_document_does_to_both_models_cancels() -> None:
    common = np.random.default_rng(0).normal(0, 1, (30, 8))
    own = np.random.default_rng(1).normal(0, 0.1, (30, 8))
    clusters = np.arange(30).astype(str)
    first, second = Sample(Values(common), clusters), Sample(Values(common + own), clusters)
    alone = ranks.estimates({"a": second}, 0.95)["a"].se
    assert (ranks.estimates({"a": paired.less(second, first)}, 0.95)["a"].se < 0.2 * alone).all()


def test_differences_lie_in_twice_the_range() -> None:
    """No document differs: the interval is that of values in [-2, 2]."""
    same = Sample(Values(np.zeros((10, 3))), np.arange(10).astype(str), 1)
    one, both = ranks.estimates({"a": same}, 0.95)["a"], ranks.estimates({"a": paired.less(same, same)}, 0.95)["a"]
    assert both.high == pytest.approx(2 * one.high)
    assert paired.less(same, Sample(same.values, same.clusters, None)).bound is None


def test_sampled_coalitions_are_paired() -> None:
    games = right_or_wrong(PLAYERS)
    entry = TruncatedEstimator(kind="truncated-permutation", removed=3, budget=80, replicates=4)
    found = {t: Sample(v, games[t].clusters) for t, v in entry.estimate(games, 0, 100).items()}
    alone = ranks.estimates(found, 0.95)["mean"]
    less = {task: paired.less(sample, sample) for task, sample in found.items()}
    assert (alone.se_coalitions > 0).all()
    assert (ranks.estimates(less, 0.95)["mean"].se == 0).all()


def test_the_paired_interval_covers_the_difference_of_the_shapley_values() -> None:
    """Two models of simulated documents with known Shapley values; both answer with the same luck."""
    first, second = SHAPES["additive"](8), SHAPES["gated"](8)
    truth = second.shapley - first.shapley
    entry, held = ExactEstimator(kind="exact"), []
    assert entry.kind == "exact"
    for repetition in range(60):
        seeds = [np.random.default_rng([7, repetition]) for _ in range(2)]
        found: list[Sample] = []
        for shape, rng in zip((first, second), seeds, strict=True):
            scores, _ = shape.draw(rng, 60)
            drawn: Game = lookup(shape.players, scores)
            found.append(Sample(Values(exact.estimate(drawn)), drawn.clusters))
        estimate = ranks.estimates({"a": paired.less(found[1], found[0])}, 0.95)["a"]
        held.append((estimate.low <= truth) & (truth <= estimate.high))
    assert 0.92 <= np.mean(held) <= 0.98


def test_depth_runs_from_the_first_sublayer_to_the_last() -> None:
    one, short = side("a", np.zeros(8)), side("b", np.zeros(4), blocks=2)
    frame = paired.by_depth((one, short), 0.95)
    rows = frame[(frame["quantity"] == "value") & (frame["task"] == "mean")]
    assert rows[rows["model"] == "a"]["depth"].tolist() == pytest.approx(np.arange(8) / 7)
    assert rows[rows["model"] == "b"]["depth"].tolist() == pytest.approx(np.arange(4) / 3)
    assert rows["role"].tolist() == ["mixer", "feed-forward"] * 6
    runs = Side("c", runs_of(alike(4), 2), 8, {})
    assert runs.depths.tolist() == pytest.approx([1.5 / 7, 5.5 / 7])
    assert runs.roles == ["group", "group"]
    assert [paired.role(kind) for kind in ("attn", "mamba", "moe", "expert")] == ["mixer"] * 2 + ["feed-forward"] * 2


def test_bands_sum_values_and_average_drops_of_models_of_any_depth() -> None:
    one, short = side("a", np.arange(8.0)), side("b", np.arange(4.0) - 7, blocks=2)
    frame = paired.by_band(one, short, 0.95)
    values = [{q: s["alpha"].values.documents.mean(axis=0) for q, s in each.samples.items()} for each in (one, short)]
    rows: Any = frame[frame["task"] == "alpha"].set_index(["quantity", "role", "band"]).sort_index()
    last = rows.loc[("value", "all", 4)]
    assert last["first_value"] == pytest.approx(values[0]["value"][6:].sum())
    assert last["second_value"] == pytest.approx(values[1]["value"][3])
    assert last["difference"] == pytest.approx(last["second_value"] - last["first_value"])
    assert (last["first_players"], last["second_players"]) == (2, 1)
    drop = rows.loc[("drop", "all", 4)]
    assert drop["first_value"] == pytest.approx(values[0]["drop"][6:].mean())
    # every player of a model is in one band
    assert rows.loc[("value", "all")]["first_players"].sum() == 8
    assert ("value", "mixer", 4) not in rows.index  # the short model has no attention there
    for _, group in frame.groupby(["quantity", "task"]):
        assert group["p_holm"].tolist() == ranks.holm(group["p"].to_numpy()).tolist()


def test_means_over_tasks_of_two_models_are_in_one_unit() -> None:
    one, other = side("a", np.zeros(8), seed=1), side("b", np.linspace(0, 1, 8), seed=2)
    scales = {"a": {"alpha": 3.0, "beta": 1.0}, "b": {"alpha": 4.0, "beta": 1.0}}

    def scaled(plain: Side) -> Side:
        by_task = {t: replace(sample, scale=scales[plain.model][t]) for t, sample in plain.samples["value"].items()}
        return replace(plain, samples={"value": by_task})

    first, second = paired.on_one_scale(scaled(one), scaled(other))
    for made in (first, second):
        assert {task: sample.scale for task, sample in made.samples["value"].items()} == {
            "alpha": pytest.approx(12.5**0.5),
            "beta": 1.0,
        }
    frame = paired.differences(first, second, 0.95)
    assert frame["difference"].to_numpy() == pytest.approx((frame["second_value"] - frame["first_value"]).to_numpy())
    rows = frame[frame["quantity"] == "value"].set_index("task")["difference"]
    expected = (rows["alpha"].to_numpy() / 12.5**0.5 + rows["beta"].to_numpy()) / 2
    assert rows["mean"].to_numpy() == pytest.approx(expected)
    means = [ranks.estimates(made.samples["value"], 0.95)["mean"].value for made in (first, second)]
    found = agreement(first.samples["value"], second.samples["value"], 0.95, 0, 100)["mean"]
    assert found.plain == pytest.approx(stats.spearmanr(*means).statistic)
