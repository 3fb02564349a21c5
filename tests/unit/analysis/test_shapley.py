from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cornerstone.analysis import intervals, paper, shapley
from cornerstone.analysis import ranks as ranking
from cornerstone.analysis.moderated import moderated
from cornerstone.analysis.ranks import Sample
from cornerstone.config.config import Config
from cornerstone.errors import StoreError
from cornerstone.estimators import (
    Estimator,
    ExactEstimator,
    TruncatedEstimator,
    WindowEstimator,
    ablation,
    exact,
    window,
)
from cornerstone.estimators.values import Values
from cornerstone.game.coalitions import window_coalitions, without
from cornerstone.game.game import Game
from cornerstone.game.players import alike, players_of
from cornerstone.plan.plan import union
from tests.helpers import configured, documents, game, raw, right_or_wrong

PLAYERS = players_of(alike(2))
PER_PLAYER = ["model", "task", "metric", "player", "position", "kind", "block"]
INTERVAL = ["se", "low", "high"]
PARTS = ["se_documents", "se_coalitions"]
RANKS = ["rank", "rank_low", "rank_high", "p_above_median", "p_top_three"]


def window_of(largest: int) -> WindowEstimator:
    return WindowEstimator(kind="window", removed=largest)


def shapley_of(config: Config, games: Mapping[str, Game], entry: Estimator, function: str = "accuracy") -> pd.DataFrame:
    """As the workflow makes it, for one value function."""
    found = shapley.samples(config, entry, {function: games})[function]
    return shapley.shapley(config, "tiny", entry, found, games, function)


def small(changes: dict[str, Any] | None = None) -> Config:
    return configured({"models.tiny.blocks": 2, **(changes or {})})


@pytest.fixture
def games() -> dict[str, Game]:
    return right_or_wrong(PLAYERS)


def rows(frame: pd.DataFrame, task: str) -> pd.DataFrame:
    return frame[frame["task"] == task].reset_index(drop=True)


def test_shapley_has_a_row_for_each_task_and_player(games: dict[str, Game]) -> None:
    frame = shapley_of(small(), games, window_of(2))
    assert list(frame.columns) == [
        *PER_PLAYER[:3], "estimator", *PER_PLAYER[3:], "value", *INTERVAL, *PARTS, "documents", *RANKS, "terms"
    ]  # fmt: skip
    assert frame["task"].tolist() == ["alpha"] * 4 + ["beta"] * 4 + ["mean"] * 4
    assert frame["player"].tolist() == ["attn0", "ffn0", "attn1", "ffn1"] * 3
    assert frame["position"].tolist() == [0, 1, 2, 3] * 3
    assert frame["kind"].tolist() == ["attn", "ffn"] * 6
    assert frame["block"].tolist() == [0, 0, 1, 1] * 3
    assert set(frame["estimator"]) == {"window-k2"}
    assert set(frame["model"]) == {"tiny"}
    assert frame["terms"].tolist() == [2, 3, 3, 2] * 3
    assert frame["metric"].tolist() == ["acc"] * 4 + ["acc_norm"] * 4 + ["acc+acc_norm"] * 4
    assert frame["documents"].tolist() == [12] * 4 + [30] * 4 + [42] * 4


def test_shapley_values_are_the_estimators_with_their_intervals(games: dict[str, Game]) -> None:
    frame = shapley_of(small({"intervals.level": 0.8}), games, window_of(3))
    parts = []
    scored = {task: Values(window.estimate(some, 3)) for task, some in games.items()}
    together = ranking.drawn({task: ranking.Sample(scored[task], some.clusters) for task, some in games.items()})
    for task, some in games.items():
        scores = scored[task].documents
        parts.append(intervals.of_values(scored[task], some.clusters, 0.8, 1, together[task]))
        assert rows(frame, task)["value"].to_numpy() == pytest.approx(scores.mean(axis=0))
        assert rows(frame, task)["low"].to_numpy() == pytest.approx(parts[-1].low)
    over_tasks = intervals.over_tasks(parts, 0.8)
    mean = rows(frame, "mean")
    assert mean["value"].to_numpy() == pytest.approx(
        (rows(frame, "alpha")["value"] + rows(frame, "beta")["value"]).to_numpy() / 2
    )
    for column in (*INTERVAL, *PARTS):
        assert mean[column].to_numpy() == pytest.approx(getattr(over_tasks, column))


def test_clusters_of_the_documents_are_used(games: dict[str, Game]) -> None:
    plain = shapley_of(small(), games, window_of(2))

    def twice(some: Game) -> Game:
        return game(PLAYERS, lambda c: np.repeat(some(c), 2), clusters=np.repeat(some.clusters, 2).tolist())

    doubled = {task: twice(some) for task, some in games.items()}
    clustered = shapley_of(small(), doubled, window_of(2))
    for column in ("value", *INTERVAL, *PARTS, *RANKS):
        assert clustered[column].to_numpy() == pytest.approx(plain[column].to_numpy())


def test_values_come_with_their_ranks_and_tests(games: dict[str, Game]) -> None:
    config = small({"intervals.level": 0.8})
    frame = shapley_of(config, games, window_of(2))
    found = shapley.samples(config, window_of(2), {"accuracy": games})["accuracy"]
    pairs, above = ranking.pairwise(found, 0.8), ranking.above_median(found, 0.8)
    for task in ("alpha", "beta", "mean"):
        part = rows(frame, task)
        assert part.sort_values("rank")["value"].is_monotonic_decreasing
        assert sorted(part["rank"]) == [1, 2, 3, 4]
        assert part[["rank_low", "rank_high"]].to_numpy().tolist() == ranking.rank_intervals(pairs[task], 0.8).tolist()
        assert part["p_top_three"].tolist() == ranking.among_top(pairs[task]).tolist()
        assert part["p_above_median"].tolist() == above[task].tolist()


def test_players_of_equal_value_are_ranked_by_position() -> None:
    equal = {task: game(PLAYERS, lambda c: [c.bit_count() / 4] * 3) for task in ("alpha", "beta")}
    assert shapley_of(small(), equal, ExactEstimator(kind="exact"))["rank"].tolist() == [1, 2, 3, 4] * 3


def test_only_windows_have_terms(games: dict[str, Game]) -> None:
    frame = shapley_of(small(), games, ExactEstimator(kind="exact"))
    assert "terms" not in frame
    assert set(frame["estimator"]) == {"exact"}
    assert rows(frame, "beta")["value"].to_numpy() == pytest.approx(exact.estimate(games["beta"]).mean(axis=0))
    assert (frame["se_coalitions"] == 0).all()
    assert frame["se"].to_numpy() == pytest.approx(frame["se_documents"].to_numpy())


def test_sampled_coalitions_add_to_the_standard_error(games: dict[str, Game]) -> None:
    entry = TruncatedEstimator(kind="truncated-permutation", removed=3, budget=40, replicates=4)
    frame = shapley_of(small(), games, entry)
    assert set(frame["estimator"]) == {"truncated-permutation-k3-b40"}
    assert (frame["se_coalitions"] > 0).all()
    assert (frame["se"] >= frame["se_documents"] - 1e-12).all()
    assert (frame["se"] > frame["se_documents"] + 1e-6).any()


def test_each_value_function_has_its_own_values_and_no_bound(games: dict[str, Game]) -> None:

    def sevenfold(some: Game) -> Game:
        return game(PLAYERS, lambda c: 7 * some(c))

    margins = {task: sevenfold(some) for task, some in games.items()}
    found = shapley.samples(small(), window_of(2), {"accuracy": games, "margin": margins})
    assert list(found) == ["accuracy", "margin"]
    for task in games:
        assert found["margin"][task].values.documents == pytest.approx(7 * found["accuracy"][task].values.documents)
        assert (found["accuracy"][task].bound, found["margin"][task].bound) == (1, None)
    frame = shapley.shapley(small(), "tiny", window_of(2), found["margin"], margins, "margin")
    assert frame["metric"].unique().tolist() == ["margin", "margin/sd"]
    for task in games:
        assert found["margin"][task].scale == pytest.approx(7 * games[task].full.std(ddof=1))


def test_in_the_mean_over_tasks_a_margin_counts_in_its_own_spread(games: dict[str, Game]) -> None:
    """A task whose margins are a thousand times as large counts no more than before; accuracies are left alone."""
    loud = {"alpha": games["alpha"], "beta": game(PLAYERS, lambda c: 1000 * games["beta"](c))}
    for function, same in (("margin", True), ("log-probability-per-byte", True), ("accuracy", False)):
        one, two = (shapley_of(small(), some, window_of(2), function) for some in (games, loud))
        first, second = (rows(frame, "mean")[["value", *INTERVAL, "se_documents"]].to_numpy() for frame in (one, two))
        assert np.allclose(first, second) == same
    frame = shapley_of(small(), games, window_of(2), "margin")
    parts = [rows(frame, task)["value"].to_numpy() / games[task].full.std(ddof=1) for task in games]
    assert rows(frame, "mean")["value"].to_numpy() == pytest.approx(np.mean(parts, axis=0))
    soft = shapley_of(small(), games, window_of(2), "soft-accuracy")
    parts = [rows(soft, task)["value"].to_numpy() for task in games]
    assert rows(soft, "mean")["value"].to_numpy() == pytest.approx(np.mean(parts, axis=0))
    assert soft["metric"].unique().tolist() == ["soft-accuracy"]


def test_where_no_document_differs_only_accuracies_have_a_bound() -> None:
    still = {task: game(PLAYERS, lambda c: [c.bit_count() / 4] * 6) for task in ("alpha", "beta")}
    accuracy, margin = (shapley_of(small(), still, window_of(2), function) for function in ("accuracy", "margin"))
    assert (accuracy["high"] > accuracy["value"] + 0.1).all()
    assert margin["high"].to_numpy() == pytest.approx(margin["value"].to_numpy())


def test_ablations_by_hand() -> None:
    right = {
        0b1111: [1, 1, 1, 0],
        0b1110: [0, 0, 1, 0],
        0b1101: [1, 1, 1, 1],
        0b1011: [1, 1, 1, 0],
        0b0111: [1, 1, 0, 0],
    }
    some = game(PLAYERS, right.__getitem__, right)
    frame = shapley.ablations(small({"run_tasks": ["alpha"]}), "tiny", {"alpha": some})
    assert list(frame.columns) == [*PER_PLAYER, "accuracy", "drop", *INTERVAL, "documents"]
    alpha, mean = rows(frame, "alpha"), rows(frame, "mean")
    assert alpha["drop"].tolist() == [0.5, -0.25, 0, 0.25]
    assert alpha["accuracy"].tolist() == [0.25, 1.0, 0.75, 0.5]
    assert mean["drop"].tolist() == alpha["drop"].tolist()
    assert mean["metric"].unique().tolist() == ["acc"]
    # paired: drops are 1, 1, 0, 0 for attn0, and so on; one document more in all four, then drawn together
    own = np.array([np.var(drops, ddof=1) for drops in ([1, 1, 0, 0], [0, 0, 0, -1], [0] * 4, [0, 0, 1, 0])])
    unseen = np.mean([0.5**2, 0.5**2, 0.75**2, 0.75**2])  # what is not 0, less the mean of its drops
    variances, _ = moderated(own + unseen / 4, np.full(4, 3.0))
    assert alpha["se"].to_numpy() == pytest.approx(np.sqrt(variances / 4))


def test_ablations_over_tasks_are_the_mean(games: dict[str, Game]) -> None:
    frame = shapley.ablations(small(), "tiny", games)
    for column in ("drop", "accuracy"):
        both = (rows(frame, "alpha")[column] + rows(frame, "beta")[column]).to_numpy() / 2
        assert rows(frame, "mean")[column].to_numpy() == pytest.approx(both)
    for task, some in games.items():
        without_each = [some(without([i], PLAYERS)).mean() for i in range(4)]
        assert rows(frame, task)["accuracy"].to_numpy() == pytest.approx(without_each)
        assert rows(frame, task)["drop"].to_numpy() == pytest.approx(ablation.estimate(some).mean(axis=0))


def test_baselines(games: dict[str, Game]) -> None:
    data = {
        "alpha": documents([[("q", " a"), ("q", " b")]] * 12),
        "beta": documents([[("q", " a"), ("q", " b")], [("q", " a"), ("q", " b"), ("q", " c"), ("q", " d")]] * 15),
    }
    frame = shapley.baselines(small(), "tiny", games, data)
    assert list(frame.columns) == [
        "model", "task", "metric", "documents", "split", "source", "original", "original_se", "empty", "chance",
        "majority", "equal_choices",
    ]  # fmt: skip
    assert frame["task"].tolist() == ["alpha", "beta"]
    assert frame["documents"].tolist() == [12, 30]
    assert frame["metric"].tolist() == ["acc", "acc_norm"]
    assert frame["chance"].tolist() == [0.5, pytest.approx(0.375)]
    golds = [document.gold for document in data["beta"].documents]
    assert frame["majority"].tolist() == [0.5, max(golds.count(place) for place in range(4)) / 30]
    assert np.isnan(shapley.majority(replace(data["alpha"], kind="loglikelihood")))
    assert frame["original"].tolist() == pytest.approx([games[t].full.mean() for t in games])
    assert frame["empty"].tolist() == pytest.approx([games[t](0).mean() for t in games])
    assert frame["original_se"][0] == pytest.approx(games["alpha"].full.std(ddof=1) / np.sqrt(12))


def test_the_error_of_the_whole_model_counts_clusters_not_documents() -> None:
    """The sandwich estimator of a mean: squares of the clusters' sums, times G / (G - 1)."""
    right = np.array([1, 1, 1, 0, 0, 0, 1, 1, 0, 1, 1, 1], float)
    clusters = [str(i // 3) for i in range(12)]
    data = {"alpha": documents([[("q", " a"), ("q", " b")]] * 12)}
    frame = shapley.baselines(
        small(), "tiny", {"alpha": game(PLAYERS, lambda c: right * (c > 0), None, clusters)}, data
    )
    sums = [float((right - right.mean())[3 * g : 3 * g + 3].sum()) for g in range(4)]
    assert frame["original_se"][0] == pytest.approx((4 / 3 * sum(s * s for s in sums)) ** 0.5 / 12)
    assert frame["original_se"][0] > 1.2 * right.std(ddof=1) / 12**0.5


def test_the_mean_of_log_probabilities_lost_is_in_standard_deviations() -> None:
    """Else the task with the longest answers decides the order that is called perplexity."""
    rng = np.random.default_rng(0)
    losses = {task: scale * rng.normal(-5, 1, (1 << len(PLAYERS), 9)) for task, scale in (("alpha", 1), ("beta", 50))}
    logs = {task: game(PLAYERS, rows.__getitem__) for task, rows in losses.items()}
    frame = shapley.ablations(small(), "tiny", right_or_wrong(PLAYERS), logs).pivot(
        index="position", columns="task", values="log_probability_drop"
    )
    spread = {task: logs[task].full.std(ddof=1) for task in logs}
    assert frame["mean"].tolist() == pytest.approx((frame[list(spread)] / pd.Series(spread)).mean(axis=1).tolist())
    made = shapley.drops(logs, "log-probability")
    assert [made[task].scale for task in logs] == pytest.approx(list(spread.values()))
    assert {sample.bound for sample in made.values()} == {None}


def test_the_empty_coalition_is_measured_not_assumed(games: dict[str, Game]) -> None:
    del games["alpha"].values[0]
    data = {task: documents([[("q", " a"), ("q", " b")]]) for task in games}
    with pytest.raises(StoreError, match="was not evaluated"):
        shapley.baselines(small(), "tiny", games, data)


def noisy(values: list[float], spread: float, documents: int = 24, seed: int = 0) -> dict[str, Sample]:
    """What an estimator may say of players with these mean values over two tasks."""
    rng = np.random.default_rng(seed)
    found = {}
    for task, sign in (("alpha", 1), ("beta", -1)):
        rows = (
            np.array(values) + sign * 0.001 * np.arange(len(values)) + rng.normal(0, spread, (documents, len(values)))
        )
        found[task] = Sample(Values(rows), np.arange(documents).astype(str))
    return found


def ranked(found: dict[str, Sample], model: str = "tiny") -> pd.DataFrame:
    """The cornerstones of four blocks."""
    config = configured({"models.llama3-8b": raw()["models"]["tiny"]})
    games = {task: game(PLAYERS, lambda c: np.zeros(24)) for task in found}
    values = shapley.shapley(config, model, window_of(2), found, games)
    return shapley.cornerstones(config, values, found, model)


VALUES = [0.5, 0.1, 0.0, 0.4, 0.1, 0.0, 0.0, 0.2]


def test_cornerstones_rank_the_mean_over_tasks() -> None:
    table = ranked(noisy(VALUES, spread=0.01))
    assert list(table.columns) == [
        "model", "player", "value", "se", "low", "high", "rank", "rank_low", "rank_high", "p_above_median",
        "p_top_three", "top_three", "above_median", "cornerstone", "chosen", "held_out", "held_out_low",
        "held_out_high", "published",
    ]  # fmt: skip
    assert table["player"].tolist()[:3] == ["attn0", "ffn1", "ffn3"]
    assert set(table["player"][3:5]) == {"ffn0", "attn2"}
    assert table["rank"].tolist() == list(range(1, 9))
    assert table["top_three"].tolist() == [True] * 3 + [False] * 5
    assert table["rank_low"].tolist()[:3] == table["rank_high"].tolist()[:3] == [1, 2, 3]
    assert not table["published"].any()
    assert paper.top_players(table, "tiny") == ["attn0", "ffn1", "ffn3"]


def test_cornerstones_are_tested_on_all_documents_and_valued_on_one_half() -> None:
    found = noisy(VALUES, spread=0.01)
    table = ranked(found)
    tested = ranking.held_out(found, 0.95, 0)
    assert tested is not None
    assert table["above_median"].tolist()[:3] == [True] * 3
    assert table["above_median"].tolist() == (table["p_above_median"] <= 1 - 0.95).tolist()
    assert table["chosen"].tolist() == table["cornerstone"].tolist() == [True] * 3 + [False] * 5
    names = np.array([f"{kind}{block}" for block in range(4) for kind in ("attn", "ffn")])
    assert table["cornerstone"].tolist() == (table["p_top_three"] <= 1 - 0.95).tolist()
    shown = table.set_index("player").loc[names[tested.chosen]]
    for column, numbers in (
        ("held_out", tested.estimate.value),
        ("held_out_low", tested.estimate.low),
        ("held_out_high", tested.estimate.high),
    ):
        assert shown[column].tolist() == numbers[tested.chosen].tolist()
        assert table.loc[~table["chosen"], column].isna().all()


def test_what_is_chosen_in_noise_is_no_cornerstone() -> None:
    table = ranked(noisy([0.0] * 8, spread=0.5))
    assert table["chosen"].sum() == 3
    assert not table["cornerstone"].any()
    assert not table["above_median"].any()


def test_with_too_few_documents_nothing_is_chosen() -> None:
    table = ranked(noisy(VALUES, spread=0.01, documents=3))
    for column in ("held_out", "held_out_low", "held_out_high", "chosen"):
        assert table[column].isna().all()
    assert table["top_three"].tolist() == [True] * 3 + [False] * 5


def test_the_papers_models_have_the_papers_cornerstones() -> None:
    table = ranked(noisy([0.1, 0.2, 0.5, 0.4, 0.3, 0, 0, 0], spread=0.01), "llama3-8b")
    assert set(table.loc[table["published"], "player"]) == {"attn0", "ffn0", "ffn1"}
    assert table.loc[table["top_three"], "player"].tolist() == ["attn1", "ffn1", "attn2"]
    assert paper.top_players(table, "llama3-8b") == list(paper.CORNERSTONES["llama3-8b"])


def test_with_other_players_a_papers_model_has_its_own_top_three() -> None:
    table = ranked(noisy([0.1, 0.2, 0.5, 0.4, 0.3, 0, 0, 0], spread=0.01), "llama3-8b")
    table["player"] = [f"block{i}" for i in range(8)]
    assert paper.top_players(table, "llama3-8b") == ["block0", "block1", "block2"]


def test_the_plan_suffices_for_all_tables(games: dict[str, Game]) -> None:
    planned = union(PLAYERS, [window_coalitions(PLAYERS, 2)])
    lean = {task: game(PLAYERS, some.values.__getitem__, planned) for task, some in games.items()}
    assert all(len(some.values) == len(planned) < 16 for some in lean.values())
    config, data = small(), {task: documents([[("q", " a"), ("q", " b")]]) for task in games}
    entry = window_of(2)
    pd.testing.assert_frame_equal(shapley_of(config, lean, entry), shapley_of(config, games, entry))
    pd.testing.assert_frame_equal(shapley.ablations(config, "tiny", lean), shapley.ablations(config, "tiny", games))
    assert len(shapley.baselines(config, "tiny", lean, data)) == 2


def test_luck_in_the_draws_is_not_the_same_on_all_tasks() -> None:
    """Six tasks that are one and the same game without noise: what is wrong with the mean are the draws alone."""
    tasks = [f"t{number}" for number in range(6)]
    table = np.repeat(np.random.default_rng(3).normal(size=(16, 1)), 2, axis=1)
    games = {task: game(PLAYERS, table.__getitem__) for task in tasks}
    truth, wrong, held = exact.estimate(games["t0"])[0], [], []
    entry = TruncatedEstimator(kind="truncated-permutation", removed=4, budget=50, replicates=10)
    for seed in range(100):
        config = small({"seed": seed, "run_tasks": tasks, "tasks": {task: {"metric": "acc"} for task in tasks}})
        found = shapley.samples(config, entry, {"margin": games})["margin"]
        mean = ranking.estimates(found, 0.95)["mean"]
        wrong.append([[sample.values.documents[0] - truth for sample in found.values()], [mean.value - truth] * 6])
        held.append((mean.low <= truth) & (truth <= mean.high))
    alone, together = (np.array(wrong)[:, side].var() for side in (0, 1))
    assert together < alone / 4
    assert 0.9 < np.mean(held) <= 0.98


def test_draws_that_tasks_share_are_said_to_be_shared(monkeypatch: pytest.MonkeyPatch, games: dict[str, Game]) -> None:
    drawn = TruncatedEstimator(kind="truncated-permutation", removed=3, budget=40, replicates=4)

    def shared(entry: Estimator) -> set[bool]:
        found = shapley.samples(small(), entry, {"margin": games})["margin"]
        return {sample.values.shared for sample in found.values()}

    assert (shared(drawn), shared(window_of(2))) == ({False}, {False})
    monkeypatch.setattr(TruncatedEstimator, "by_task", False)
    assert (shared(drawn), shared(window_of(2))) == ({True}, {False})
