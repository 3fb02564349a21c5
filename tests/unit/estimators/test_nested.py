"""Nested designs: samples of coalitions on documents of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.nested import known, measure
from cornerstone.analysis import games, ranks, shapley
from cornerstone.errors import ConfigError, CornerstoneError, StoreError
from cornerstone.estimators.nested import BLOCK, NestedGame, dealt
from cornerstone.game.game import Game
from cornerstone.game.players import alike, players_of
from tests.helpers import configured

PLAYERS = players_of(alike(4))
KINDS: dict[str, dict[str, Any]] = {
    "permutation": {"kind": "permutation", "budget": 40},
    "adjusted-msr": {"kind": "adjusted-msr", "budget": 120},
    "truncated": {"kind": "truncated-permutation", "removed": 8, "budget": 40},
    "kernelshap": {"kind": "kernelshap", "budget": 100},
}


def entry(replicates: int = 8, **settings: Any) -> Any:
    return configured({"estimators": [{"replicates": replicates, "design": "nested", **settings}]}).headline


def nested(values: np.ndarray, made: Any, seed: int) -> NestedGame:
    return known(PLAYERS, values, made, seed)


def crossed(values: np.ndarray) -> Game:
    columns = {coalition: values[:, coalition] for coalition in range(1 << len(PLAYERS))}
    return Game(PLAYERS, columns, np.arange(len(values)).astype(str), np.arange(len(values)))


def kept() -> np.ndarray:
    return (np.arange(256)[:, None] >> np.arange(8) & 1).astype(float)


@pytest.mark.parametrize("kind", KINDS)
def test_an_additive_game_is_recovered_on_each_document(kind: str) -> None:
    made = entry(**KINDS[kind])
    weights = np.random.default_rng(0).normal(size=(2 * 8 * BLOCK if kind == "truncated" else 24, 8))
    found = made.estimate({"a": nested(weights @ kept().T, made, 3)}, 3, 0)["a"]
    if kind == "adjusted-msr":  # only its sum is exact: sampling error of what its model leaves over
        assert found.documents.sum(axis=1) == pytest.approx(weights.sum(axis=1), abs=1e-9)
        assert found.documents == pytest.approx(weights, abs=0.5)
    else:
        assert found.documents == pytest.approx(weights, abs=1e-6)
    assert len(np.unique(found.clusters)) == (8 if kind == "truncated" else 2)


def test_documents_see_the_coalitions_of_one_sample_only() -> None:
    made = entry(**KINDS["permutation"])
    game = nested(np.random.default_rng(0).normal(size=(200, 256)), made, 3)
    assert all(len(asked) <= 40 for asked in made.samples(PLAYERS, 3))
    assert len(made.coalitions(PLAYERS, 3)) > 40
    with pytest.raises(StoreError, match="on some documents only"):
        game(next(iter(game.partial)))
    with pytest.raises(StoreError, match="which documents"):
        made.estimate({"a": crossed(np.zeros((4, 256)))}, 3, 0)


def test_for_equal_work_nested_values_vary_less_and_their_intervals_cover() -> None:
    """Documents agree on much of the game, so that other coalitions are worth more than the same ones again."""
    row = measure(40, [320], ["gated"], ["permutation"], budget=85).iloc[0]
    assert row["gain"] > 1.25
    assert row["coverage"] >= 0.91
    assert 0.75 <= row["claimed"] <= 1.4


def test_halves_have_other_documents_and_other_coalitions() -> None:
    made = entry(**KINDS["permutation"])
    game = nested(np.random.default_rng(1).normal(size=(200, 256)), made, 0)
    sample = shapley.sample(made.estimate({"a": game}, 0, 0)["a"], game)
    plain = shapley.sample(made.estimate({"a": game}, 0, 0)["a"].of(np.arange(200)), game)
    both = ranks.halved({"a": sample}, 5)
    assert both is not None
    first, second = (set(part["a"].clusters) for part in both)
    assert not first & second
    assert first | second == set("01234567")
    split = ranks.split({"a": plain.units}, 5)  # as deletion curves and hypotheses halve the same documents
    assert split is not None
    assert len(split["a"][0]) == len(both[0]["a"].clusters)


def test_larger_limits_leave_each_sample_its_documents() -> None:
    clusters = [str(i // 3) for i in range(500)]
    whole = dealt(clusters, 7)
    assert all(dealt(clusters[:limit], 7) == whole[:limit] for limit in range(0, 500, 13))
    cuts = [place for place in range(1, 500) if whole[place] != whole[place - 1]]
    assert all(clusters[place] != clusters[place - 1] for place in cuts)
    assert max(np.diff([0, *cuts])) <= BLOCK + 2
    assert dealt(clusters, 7, 3)[0] == 3  # subtasks of a group begin with different samples


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"interactions": [{"kind": "sampled", "budget": 900, "design": "nested"}]},
            "`design`: nested is not possible",
        ),
        (
            {"estimators": [{**KINDS[kind], "design": "nested", "replicates": 4 + i} for i, kind in enumerate(KINDS)]},
            "must have the same `replicates`",
        ),
        ({"estimators": [{"kind": "permutation", "budget": 15, "design": "nested"}]}, "budget of at least 16"),
        ({"estimators": [{"kind": "permutation", "budget": 600_000, "design": "nested"}]}, "at most 100000 coalitions"),
    ],
)
def test_what_a_nested_design_cannot_be_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        configured(changes)


def test_documents_of_one_block_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"at least 32 documents of each task, .* of alpha 31 are asked for"):
        configured({"estimators": [{**KINDS["permutation"], "design": "nested"}], "documents.limit": 31})
    made = entry(**KINDS["permutation"])
    with pytest.raises(CornerstoneError, match="these 16 documents are one block"):
        made.estimate({"a": nested(np.zeros((16, 256)), made, 0)}, 0, 0)


def test_a_group_puts_its_subtasks_together() -> None:
    """Each coalition is looked up where it was evaluated, and stays unknown on the other subtask's documents."""
    drawn = {"kind": "truncated-permutation", "removed": 8, "budget": 9, "replicates": 2, "design": "nested"}
    group = {"metric": "acc", "subtasks": ["one", "two"]}
    config = configured({"run_tasks": ["pair"], "tasks.pair": group, "estimators": [drawn], "documents.limit": 9})
    made, weights = config.headline, np.arange(8.0)
    asked, parts = made.samples(PLAYERS, 1), {}
    for sample, name in enumerate(("one", "two")):
        rows = {c: np.full(9, kept()[c] @ weights * (sample + 1)) for c in asked[sample]}
        clusters = np.array([f"{name}{i}" for i in range(9)])
        parts[name] = NestedGame(PLAYERS, rows, clusters, np.arange(9), np.full(9, sample))
    game = games.pooled(config, "pair", parts)
    found = made.estimate({"a": game}, 1, 0)["a"]
    assert found.documents == pytest.approx(np.repeat([weights, 2 * weights], 9, axis=0))
    assert found.clusters is not None
    assert found.clusters.tolist() == ["0"] * 9 + ["1"] * 9


def test_work_is_that_of_one_document() -> None:
    from cornerstone.game.work import evaluations

    made = entry(kind="permutation", work=150, replicates=3)
    for asked in made.samples(PLAYERS, 0):
        assert 100 < evaluations(asked, PLAYERS) <= 150
    assert made.name == "permutation-nested-w150"
