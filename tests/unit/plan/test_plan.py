from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import Any

import pytest

from cornerstone.engine.stages import stages_of
from cornerstone.engine.sweep import work
from cornerstone.errors import ConfigError
from cornerstone.estimators import PairInteractions, SampledEstimator, SampledInteractions, TruncatedEstimator
from cornerstone.game.coalitions import (
    ablation_coalitions,
    full,
    parse,
    window_coalitions,
    without,
)
from cornerstone.game.players import alike, players_of
from cornerstone.plan import plan as planning
from cornerstone.plan.plan import Plan, baseline_coalitions, chunk_sizes, chunks, plans, union
from tests.helpers import SEQUENTIAL, configured, some_players
from tests.helpers import windows as windows_of


def test_ablation_and_baselines() -> None:
    players = players_of(alike(2))
    assert set(ablation_coalitions(players)) == {0b1111, 0b1110, 0b1101, 0b1011, 0b0111}
    assert set(baseline_coalitions(players)) == {0b1111, 0}


def test_the_plan_adds_only_the_empty_coalition() -> None:
    players = players_of(alike(30))
    planned = union(players, [window_coalitions(players, 4)])
    assert len(planned) == len(set(planned)) == 236
    assert set(planned) - set(window_coalitions(players, 4)) == {0}


def test_smaller_windows_are_part_of_larger_ones() -> None:
    players = players_of(alike(30))
    assert (
        union(players, [window_coalitions(players, 3), window_coalitions(players, 4)])
        == union(players, [window_coalitions(players, 4), window_coalitions(players, 3)])
        == union(players, [window_coalitions(players, 4)])
    )


def test_the_window_of_all_players_is_the_empty_coalition() -> None:
    assert sorted(union(some_players(2), [window_coalitions(some_players(2), 2)])) == [0, 1, 2, 3]


@pytest.mark.parametrize("blocks", [4, 30, 80])
@pytest.mark.parametrize("count", [1, 2, 3, 8, 9999])
def test_chunks_are_a_partition_into_runs(blocks: int, count: int) -> None:
    players = players_of(alike(blocks))
    planned = union(players, [window_coalitions(players, 3)])
    parts = chunks(planned, count, players)
    assert [c for part in parts for c in part] == planned
    assert len(parts) == min(count, len(planned))
    assert all(parts)


@pytest.mark.parametrize("blocks", [30, 32, 80])
@pytest.mark.parametrize("count", [2, 4, 8])
def test_chunks_are_of_equal_work_and_share_almost_as_much(blocks: int, count: int) -> None:
    players = players_of(alike(blocks))
    planned, stages = union(players, [window_coalitions(players, 4)]), stages_of(players, [SEQUENTIAL] * blocks)
    costs = [work(part, stages) for part in chunks(planned, count, players)]
    assert max(costs) < 1.1 * sum(costs) / count
    assert work(planned, stages) < sum(costs) < 1.03 * work(planned, stages)


def test_chunks_by_hand() -> None:
    players = some_players(4)
    # what is removed first decides the work: the two that lack player 0 cost as much as the other four
    coalitions = [0b0000, 0b1110, 0b1101, 0b1011, 0b0111, 0b1111]
    assert chunks(coalitions, 2, players) == [coalitions[:2], coalitions[2:]]
    assert chunks(coalitions, 9, players) == [[c] for c in coalitions]
    assert chunks([0b1111], 3, players) == [[0b1111]]


def test_every_coalition_of_the_plan_is_a_subset_of_the_players() -> None:
    players = players_of(alike(5, "moe"))
    assert all(0 <= c <= full(players) for c in union(players, [window_coalitions(players, 4)]))
    assert without(range(10), players) == 0


SAMPLED: dict[str, Any] = {
    "estimators": [
        {"kind": "window", "removed": 2},
        {"kind": "exact"},
        {"kind": "permutation", "budget": 60, "replicates": 2},
        {"kind": "truncated-permutation", "removed": 3, "budget": 60, "replicates": 2},
    ],
    "interactions": [
        {"kind": "pairs", "per_distance": 2},
        {"kind": "exact", "index": "FSII"},
        {"kind": "sampled", "index": "k-SII", "budget": 444, "replicates": 4},
    ],
}


def plan_in(folder: Path, changes: dict[str, Any] | None = None, task: str = "alpha") -> Plan:
    return Plan(configured({**SAMPLED, "paths.resources": str(folder), **(changes or {})}), "tiny", task)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_chunks_hold_the_plan_by_name(count: int) -> None:
    made = Plan(configured({"models.tiny.chunks": count, "estimators": windows_of(3, 2)}), "tiny", "alpha")
    assert len(made.chunks) == count
    assert made.names == [n for chunk in made.chunks for n in chunk]
    assert made.coalitions == union(made.players, [window_coalitions(made.players, 3)])
    assert [parse(n, made.players) for n in made.names] == made.coalitions
    assert len(set(made.names)) == 1 + 3 * 8 - 3 + 1


def test_each_estimator_and_interaction_wants_its_coalitions(tmp_path: Path) -> None:
    made = plan_in(tmp_path)
    assert list(made.wanted) == [
        "window-k2", "exact", "permutation-b60", "truncated-permutation-k3-b60", "pairs-2", "exact-fsii", "k-sii-b444"
    ]  # fmt: skip
    entries = [*made.config.estimators, *made.config.interactions]
    expected = [entry.coalitions(made.players, entry.seed_on(made.config.seed, "alpha")) for entry in entries]
    assert list(made.wanted.values()) == expected
    assert {parse(n, made.players) for n in made.names} == set(range(256))


def test_what_sampled_estimators_want_is_planned(tmp_path: Path) -> None:
    made = plan_in(tmp_path, {"estimators": SAMPLED["estimators"][2:], "interactions": []})
    planned = {parse(n, made.players) for n in made.names}
    assert planned == set(union(made.players, made.wanted.values()))
    assert len(planned) < 140


def test_a_plan_is_drawn_once_and_read_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = plan_in(tmp_path).wanted
    files = sorted((tmp_path / "plans").glob("[!.]*"))
    assert [re.sub("-[0-9a-f]{16}.json", "", path.name) for path in files] == [
        "k-sii-b444", "pairs-2", "permutation-b60", "truncated-permutation-k3-b60"
    ]  # fmt: skip
    for kind in (SampledEstimator, TruncatedEstimator, PairInteractions, SampledInteractions):
        assert kind.drawn
        monkeypatch.setattr(kind, "coalitions", None)
    assert plan_in(tmp_path).wanted == first
    files[2].write_text("[1, ")  # truncated
    with pytest.raises(TypeError):
        _ = plan_in(tmp_path).wanted
    monkeypatch.undo()
    assert plan_in(tmp_path).wanted == first


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"models.tiny.blocks": 3},
        {"estimators": [{**entry, **({"budget": 66} if "budget" in entry else {})} for entry in SAMPLED["estimators"]]},
        {"estimators": [{**e, **({"replicates": 3} if "budget" in e else {})} for e in SAMPLED["estimators"]]},
    ],
)
def test_another_seed_or_budget_is_another_plan(tmp_path: Path, change: dict[str, Any]) -> None:
    before = plan_in(tmp_path).wanted
    files = set((tmp_path / "plans").glob("[!.]*"))
    after = plan_in(tmp_path, {"models.tiny.blocks": 4, **change}).wanted
    new = set((tmp_path / "plans").glob("[!.]*")) - files
    assert {path.name.split("-")[0] for path in new} >= {"permutation", "truncated"}
    for kind in ("permutation", "truncated-permutation"):
        (old,), (found,) = (
            [masks for name, masks in wanted.items() if name.startswith(kind)] for wanted in (before, after)
        )
        assert old != found
    assert plan_in(tmp_path).wanted == before


def test_other_code_or_another_shapiq_draws_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _ = plan_in(tmp_path).wanted
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "9.9")
    _ = plan_in(tmp_path).wanted
    assert len(list((tmp_path / "plans").glob("[!.]*"))) == 8
    monkeypatch.setattr(planning, "code", lambda *folders: "0" * 16)
    _ = plan_in(tmp_path).wanted
    assert len(list((tmp_path / "plans").glob("[!.]*"))) == 12


def test_an_estimator_of_a_newer_shapiq_is_an_error_that_names_the_versions(tmp_path: Path) -> None:
    made = plan_in(tmp_path, {"estimators": [{"kind": "proxy-shap", "budget": 500}]})
    installed = importlib.metadata.version("shapiq")
    with pytest.raises(
        ConfigError, match=rf"proxy-shap-b500: needs ProxySHAP of shapiq 1\.5 .*installed is {installed}"
    ):
        _ = made.wanted
    assert not (tmp_path / "plans").exists()


def test_each_task_has_coalitions_of_its_own_where_they_are_drawn(tmp_path: Path) -> None:
    """So that luck in the draws is not the same on all tasks. What is not drawn, and drawn pairs, are the same."""
    first, second = (plan_in(tmp_path, task=task).wanted for task in ("alpha", "beta"))
    for name, drawn in first.items():
        own = name.startswith(("permutation", "truncated-permutation", "k-sii"))
        assert (second[name] != drawn) == own
    assert len(list((tmp_path / "plans").glob("*.json"))) == 2 * 3 + 1


def test_tasks_of_a_group_have_the_same_coalitions(tmp_path: Path) -> None:
    """Their documents are put together, so each must be scored on what the others are."""
    changes = {
        "run_tasks": ["several", "beta"],
        "tasks": {"several": {"metric": "acc", "subtasks": ["one", "two"]}, "beta": {"metric": "acc"}},
    }
    one, two, beta = (plan_in(tmp_path, changes, task).coalitions for task in ("one", "two", "beta"))
    assert one == two
    sampled = {**changes, "estimators": SAMPLED["estimators"][2:], "interactions": []}
    one, two, beta = (plan_in(tmp_path, sampled, task).coalitions for task in ("one", "two", "beta"))
    assert one == two != beta


def test_plans_are_made_once_where_they_are_equal(tmp_path: Path) -> None:
    fixed = plans(configured({"estimators": windows_of(2)}), "tiny")
    assert fixed["alpha"] is fixed["beta"]
    drawn = plans(plan_in(tmp_path, {"interactions": []}).config, "tiny")
    assert {task: plan.task for task, plan in drawn.items()} == {"alpha": "alpha", "beta": "beta"}


def test_sizes_of_chunks_are_a_range_where_tasks_differ() -> None:
    one, two = (Plan(configured({"models.tiny.chunks": count}), "tiny", "alpha") for count in (1, 2))
    sizes = [len(names) for names in two.chunks]
    assert chunk_sizes({"a": two, "b": two}) == [str(size) for size in sizes]
    assert chunk_sizes({"a": one, "b": two}) == [f"{sizes[0]} to {len(one.names)}", str(sizes[1])]
