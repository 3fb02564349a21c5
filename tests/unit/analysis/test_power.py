"""What power.py foretells is what happens: against simulated documents."""

from __future__ import annotations

import numpy as np
import pytest

from cornerstone.analysis import intervals, power, ranks
from cornerstone.analysis.power import Pilot
from cornerstone.analysis.ranks import Sample
from cornerstone.estimators.values import Values

TRUE = np.array([0.30, 0.25, 0.12, 0.05, 0.04, 0.0, -0.02, -0.05])
LEVEL = 0.95


def documents(count: int, rng: np.random.Generator, sd: float = 0.5, common: float = 0.3) -> np.ndarray:
    """[D, 8] values of the players on documents, with noise that they have in common."""
    own = rng.normal(0, sd, (count, len(TRUE)))
    return TRUE + own + rng.normal(0, common, (count, 1))


def tasks(count: int, rng: np.random.Generator) -> dict[str, Sample]:
    """Two tasks; the second has half of the documents, in clusters of two that agree."""
    first = documents(count, rng)
    second = np.repeat(documents(count // 4, rng), 2, axis=0)
    clusters = np.repeat(np.arange(count // 4), 2)
    return {"a": Sample(Values(first), np.arange(count), None), "b": Sample(Values(second), clusters, None)}


def test_half_widths_are_those_of_the_larger_run() -> None:
    rng = np.random.default_rng(0)
    pilot = Pilot.of(tasks(400, rng))
    later = ranks.estimates(tasks(1600, rng), LEVEL)["mean"]
    assert pilot.documents == 400
    assert pilot.half_width(1600, LEVEL) == pytest.approx((later.high - later.low) / 2, rel=0.12)
    now = ranks.estimates(tasks(400, np.random.default_rng(0)), LEVEL)["mean"]
    assert pilot.half_width(400, LEVEL) == pytest.approx((now.high - now.low) / 2, rel=0.02)
    wanted = float(pilot.half_width(1600, LEVEL)[0])
    assert pilot.documents_within(wanted, LEVEL)[0] == pytest.approx(1600, rel=0.01)


def test_a_tasks_scale_and_its_coalitions_are_in_it() -> None:
    rng = np.random.default_rng(1)
    parts = documents(200, rng) + rng.normal(0, 0.1, (10, 1, len(TRUE)))
    sample = Sample(Values.averaged(list(parts)), np.arange(200), None, scale=2.0)
    pilot = Pilot.of({"a": sample})
    now = ranks.estimates({"a": sample}, LEVEL)["mean"]
    assert pilot.values == pytest.approx(now.value)
    assert np.sqrt(pilot.variance(200, np.eye(len(TRUE)))) == pytest.approx(now.se)
    floor = now.se_coalitions.min() * 1.96  # as narrow as the coalitions alone allow, and narrower
    assert np.isinf(pilot.documents_within(0.9 * floor, LEVEL)).all()
    assert np.isfinite(pilot.documents_within(3 * now.se_coalitions.max() * 1.96, LEVEL)).all()


def test_contrasts_have_the_variance_of_paired_tests() -> None:
    sample = Sample(Values(documents(300, np.random.default_rng(2))), np.arange(300), None)
    pilot = Pilot.of({"a": sample})
    weights = np.eye(len(TRUE))[:, [0]] - np.eye(len(TRUE))[:, [1]]
    plain = intervals.of_values(sample.values.contrasts(weights), sample.clusters, LEVEL, None).se
    assert np.sqrt(pilot.variance(300, weights)) == pytest.approx(plain, rel=0.1)
    apart = np.sqrt(np.diag(pilot.of_documents)[:2].sum() / 300)
    assert np.sqrt(pilot.variance(300, weights))[0] < 0.9 * apart  # what they have in common cancels


def test_the_top_is_confirmed_as_often_as_foretold_with_the_documents_that_it_takes() -> None:
    rng, k = np.random.default_rng(3), 2
    pilot = Pilot.of({"a": Sample(Values(documents(4000, rng)), np.arange(4000), None)})
    needed = round(pilot.documents_for_top(TRUE, k, LEVEL))
    m = k * (len(TRUE) - k)
    hits = 0
    for _ in range(300):
        drawn = documents(needed, rng)
        closest = drawn[:, 1] - drawn[:, 2]  # the second against the third: the pair that takes most
        found = intervals.of_values(Values(closest[:, None]), np.arange(needed), LEVEL, None)
        hits += found.p_above()[0] <= (1 - LEVEL) / m
    assert hits / 300 == pytest.approx(power.POWER, abs=0.07)


def test_chances_of_layers_above_the_median_are_those_of_the_tests() -> None:
    rng = np.random.default_rng(4)
    pilot = Pilot.of({"a": Sample(Values(documents(4000, rng)), np.arange(4000), None)})
    chance = pilot.chance_above_median(TRUE, 150, LEVEL)
    assert chance.sum() == pytest.approx(1)
    weights = ranks.median_contrast(TRUE)
    counts = []
    for _ in range(300):
        found = intervals.of_values(Values(documents(150, rng) @ weights), np.arange(150), LEVEL, None)
        counts.append(int((found.p_above() <= (1 - LEVEL) / len(TRUE)).sum()))
    expected = (np.arange(len(chance)) * chance).sum()
    assert np.mean(counts) == pytest.approx(expected, abs=0.15)
    assert np.mean(np.array(counts) >= 2) == pytest.approx(chance[2:].sum(), abs=0.08)


def test_what_was_picked_for_being_large_is_drawn_in_as_far_as_noise_says() -> None:
    """60 players whose true values are known: the draws hold them, and the pilot's own highest are too high."""
    rng = np.random.default_rng(5)
    inside, plug_in, shrunken, right = [], [], [], []
    for seed in range(30):
        truth = rng.normal(0, 0.02, 60)
        sample = Sample(Values(truth + rng.normal(0, 0.15, (50, 60))), np.arange(50), None)
        pilot = Pilot.of({"a": sample})
        low, high = np.quantile(pilot.draws(seed), [0.05, 0.95], axis=0)
        inside.append(np.mean((low <= truth) & (truth <= high)))
        top = np.argsort(-pilot.values)[:3]
        plug_in.append(pilot.values[top].mean())
        shrunken.append(pilot.shrunken[0][top].mean())
        right.append(truth[top].mean())
    assert np.mean(inside) == pytest.approx(0.9, abs=0.04)
    assert np.mean(plug_in) > 1.5 * np.mean(right)
    assert np.mean(shrunken) == pytest.approx(np.mean(right), rel=0.15)


def test_nothing_but_noise_is_shrunken_to_nothing_and_never_settled() -> None:
    noise = np.random.default_rng(6).normal(0, 0.1, 8)
    pilot = Pilot(noise, np.eye(8), np.zeros((8, 8)), 40)  # standard errors of 0.16
    assert np.ptp(pilot.draws(0)) == pytest.approx(0)
    frame = power.forecast(pilot, power.POINT, LEVEL, 0, there=300)
    assert np.isinf(frame.query("question == 'documents_for_top'")["value"]).all()
    assert "; the top three can't be resolved (at least about " in power.sentence(frame, "accuracy")
    same = power.forecast(Pilot(np.zeros(8), np.eye(8), np.zeros((8, 8)), 40), power.POINT, LEVEL, 0)
    assert power.sentence(same, "accuracy").endswith("; the top three can't be resolved")


def test_a_forecast_says_what_can_and_what_cannot_be_resolved() -> None:
    sample = {"a": Sample(Values(documents(400, np.random.default_rng(7), sd=0.2)), np.arange(400))}
    frame = power.forecast(Pilot.of(sample), power.POINT, LEVEL, 0, there=5000)
    tops = frame[frame["question"] == "documents_for_top"].set_index("layers")
    assert (tops["low"] <= tops["value"]).all()
    assert (tops["value"] <= tops["high"]).all()
    widths = frame[frame["question"] == "half_width"]
    assert widths["documents"].tolist() == [100, 300, 400, 1000]
    assert (widths["value"].diff().dropna() < 0).all()
    text = power.sentence(frame, "accuracy")
    assert text.startswith("by accuracy: +-1 point on the median layer about ")
    plug_in, value = sorted(tops.loc[3, ["plug_in", "value"]])
    ends = f"{plug_in:,.0f} to {value:,.0f}" if plug_in != value else f"{value:,.0f}"
    assert f"the top three about {ends} documents a task" in text
    few = power.sentence(frame.assign(there=2), "accuracy")
    assert "can't be resolved" in few
    assert "of which the tasks hold 2" in few


def test_a_prior_that_is_stated_serves_as_well() -> None:
    wide, narrow = (Pilot.stated(60, spread, per_document=0.4, tasks=6) for spread in (0.05, 0.01))
    assert wide.half_width(100, LEVEL) == pytest.approx(np.full(60, 1.965 * 0.4 / np.sqrt(600)), rel=0.01)
    needed = [power.forecast(pilot, power.POINT, LEVEL, 0) for pilot in (wide, narrow)]
    first, second = (frame[frame["question"] == "documents_for_top"]["value"].to_numpy() for frame in needed)
    assert second / first == pytest.approx(np.full(3, 25), rel=0.01)
    assert needed[0]["plug_in"].isna().all()
    assert needed[0].query("question == 'half_width'")["documents"].tolist() == [100, 300, 1000]


def test_two_layers_that_are_all_but_equal_take_no_number_of_documents() -> None:
    """Not 3,699,999,999,999,856,274,429,882,400,768 of them."""
    pilot = power.Pilot.stated(4, 0.02, 0.3)
    assert np.isfinite(pilot.documents_for_top(np.array([0.3, 0.2, 0.1, 0.0]), 1, 0.95))
    assert pilot.documents_for_top(np.array([0.3, 0.3 - 1e-15, 0.1, 0.0]), 1, 0.95) == np.inf
