from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
import torch

from cornerstone.engine import sweep
from cornerstone.engine.network import Network
from cornerstone.engine.stages import Stage, Step, stages_of
from cornerstone.engine.sweep import choice_scores, split, work
from cornerstone.engine.tries import Batch, batches
from cornerstone.game.coalitions import full, window_coalitions, without
from cornerstone.game.players import alike, players_of
from cornerstone.plan.plan import union
from cornerstone.schedule.groups import MOST_TOGETHER, groups_within, walks
from tests import tiny
from tests.helpers import PARALLEL, SEQUENTIAL, packed

PLAYERS = players_of(alike(tiny.BLOCKS))


def alone(count: int) -> list[Stage]:
    return stages_of(players_of(alike(count // 2)), [SEQUENTIAL] * (count // 2))


def paired(count: int) -> list[Stage]:
    return stages_of(players_of(alike(count // 2)), [PARALLEL] * (count // 2))


@cache
def network(name: str) -> Network:
    return tiny.network(tiny.make(name), name)


@cache
def documents() -> tuple[Batch, ...]:
    return tuple(batches(packed(seed=5, count=5), 100))


def counted(net: Network, coalitions: list[int], monkeypatch: pytest.MonkeyPatch) -> int:
    """How often a walk over one batch really calls a sublayer."""
    calls, real = [], net.contribution

    def contribution(step: Step, *args: Any) -> torch.Tensor:
        calls.append(step)
        return real(step, *args)

    monkeypatch.setattr(net, "contribution", contribution)
    sweep.sweep(net, documents()[:1], coalitions)
    return len(calls)


def test_split_groups_by_what_is_kept() -> None:
    coalitions = [0b1111, 0b1110, 0b1101, 0b1100]
    first, second = (0, None), (1, None)
    assert split([0, 1, 2, 3], coalitions, alone(4)[0]) == {(first,): [0, 2], (): [1, 3]}
    both = {(first, second): [0], (second,): [1], (first,): [2], (): [3]}
    assert split([0, 1, 2, 3], coalitions, paired(4)[0]) == both
    assert split([1, 3], coalitions, paired(4)[1]) == {((2, None), (3, None)): [1, 3]}


def test_work_by_hand() -> None:
    # players: 0 1 2 3. Removing one of them each: the walk splits in front of it.
    # stage 0: 1 (kept by three); stage 1: 2 states keep it; stage 2: 3; stage 3: all four.
    coalitions = [0b1111, 0b1110, 0b1101, 0b1011]
    assert work(coalitions, alone(4)) == 1 + 2 + 3 + 4
    # in parallel: stage (0, 1) computes both once for all; then 3 states need both, one (0b1011) only player 3,
    # but it shares its state with `full`, whose contributions it takes.
    assert work(coalitions, paired(4)) == 2 + 3 * 2


def test_work_of_one_coalition_is_the_players_it_keeps() -> None:
    for stages in (alone(60), paired(60)):
        assert work([full(players_of(alike(30)))], stages) == 60
        assert work([0b1011], stages) == 3
        assert work([0], stages) == 0
        assert work([], stages) == 0


def test_work_of_the_default_plan() -> None:
    planned = union(players_of(alike(30)), [window_coalitions(players_of(alike(30)), 4)])
    assert work(planned, alone(60)) == 6790
    assert sum(c.bit_count() for c in planned) == 13520  # without sharing
    assert work(planned, paired(60)) < 6790


@pytest.mark.parametrize("name", ["llama", "gpt_neox"])
def test_work_is_what_the_walk_does(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net, coalitions = network(name), [full(PLAYERS), *(without([i], PLAYERS) for i in range(8)), 0]
    assert counted(net, coalitions, monkeypatch) == work(coalitions, net.stages)


def test_parallel_blocks_share_contributions(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network("gpt_neox")
    coalitions = [full(PLAYERS), without([0], PLAYERS), without([1], PLAYERS), without([0, 1], PLAYERS)]
    # both sublayers of block 0 once, for all; then four states, six sublayers each
    assert work(coalitions, net.stages) == 2 + 4 * 6
    assert counted(net, coalitions, monkeypatch) == 2 + 4 * 6


def test_without_any_sublayer_only_embedding_and_head_are_left() -> None:
    net, batch = network("llama"), documents()[0]
    with torch.inference_mode():
        embedded = net.model.get_input_embeddings()(batch.input_ids)
        wanted = net.log_probabilities(net.head_rows(embedded, batch), batch)
    assert torch.equal(sweep.sweep(net, [batch], [0])[0][0], wanted)


def test_one_step_by_hand() -> None:
    net, batch = network("gpt_neox"), documents()[0]
    with torch.inference_mode():
        x, context = net.embed(batch)
        attention, feed_forward = net.contribution((0, None), x, context), net.contribution((1, None), x, context)
        wanted = [
            net.log_probabilities(net.head_rows(y, batch), batch)
            for y in (x + attention, x + feed_forward, x + attention + feed_forward)
        ]
    (found,) = sweep.sweep(net, [batch], [0b01, 0b10, 0b11])
    assert torch.equal(found, torch.stack(wanted))


def test_every_removal_changes_the_scores() -> None:
    coalitions = [full(PLAYERS), *(without([i], PLAYERS) for i in range(8))]
    (scores,) = sweep.sweep(network("llama"), documents()[:1], coalitions)
    assert len({tuple(row.tolist()) for row in scores}) == 9


def test_groups_follow_memory() -> None:
    coalitions = list(range(100))
    assert groups_within(coalitions, 10, 60) == [list(range(i, min(i + 3, 100))) for i in range(0, 100, 3)]
    assert groups_within(coalitions, 10, 1) == [[c] for c in coalitions]
    assert [len(g) for g in groups_within(coalitions, 10, 1e12)] == [MOST_TOGETHER, 100 - MOST_TOGETHER]
    assert groups_within([], 10, 60) == []


def test_a_group_never_needs_more_than_its_budget() -> None:
    for budget in range(20, 2000, 7):
        groups = groups_within(list(range(50)), 10, budget)
        assert [c for group in groups for c in group] == list(range(50))
        assert all(2 * 10 * len(group) <= budget for group in groups)


def test_choice_scores_are_sums_over_each_choice_in_document_order() -> None:
    net, packed_documents = network("llama"), packed(seed=5, count=5)
    (scores,) = choice_scores(net, documents(), [full(PLAYERS)])
    assert [len(row) for row in scores] == [document.choices for document in packed_documents]
    for document, row in zip(packed_documents, scores, strict=True):
        (batch,) = batches([document], 10_000)
        parts = sweep.sweep(net, [batch], [full(PLAYERS)])[0][0].double()
        sums = [parts[batch.target_choices == choice].sum() for choice in range(document.choices)]
        assert row.dtype == torch.float64
        torch.testing.assert_close(row, torch.stack(sums), rtol=1e-4, atol=1e-4)


def test_progress_adds_up_to_the_work() -> None:
    net = network("llama")
    done: list[int] = []
    coalitions = [full(PLAYERS), 0b1, 0]
    choice_scores(net, documents(), coalitions, done.append)
    assert sum(done) == work(coalitions, net.stages) * sum(batch.tokens for batch in documents())


def test_several_batches_in_one_walk_change_no_bit() -> None:
    net, made = network("mixtral"), batches(packed(seed=5, count=9), 50)
    players = players_of(alike(tiny.BLOCKS, "moe"))
    coalitions = [full(players), 0, *(without([i, i + 1], players) for i in range(7))]
    together = sweep.sweep(net, made, coalitions)
    assert len(made) > 2
    for batch, scores in zip(made, together, strict=True):
        assert torch.equal(scores, sweep.sweep(net, [batch], coalitions)[0])


def test_batches_of_a_run_are_walked_together() -> None:
    """Which batches a walk takes along changes no bit, and documents stay in their order."""
    net, made = network("llama"), batches(packed(seed=5, count=9), 50)
    coalitions = [full(PLAYERS), without([2], PLAYERS)]
    walked: list[int] = []
    real = net.weights.walk

    def walk(sublayers: Sequence[int]) -> Any:
        walked.append(len(sublayers))
        return real(sublayers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(net.weights, "walk", walk)
        alone = choice_scores(net, made, coalitions)
        assert len(walked) == len(made) > 2
        walked.clear()
        runs = walks([batch.tokens for batch in made], 2 * max(batch.tokens for batch in made))
        together = choice_scores(net, made, coalitions, runs=runs)
        assert len(walked) == len(runs) < len(made)
    for ours, theirs in zip(together, alone, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_walks_hold_as_many_batches_as_fit() -> None:
    made = batches(packed(seed=5, count=20), 50)
    sizes = [batch.tokens for batch in made]
    for most in (0, 1, 100, 150, 10_000):
        cut = walks(sizes, most)
        assert [batch for run in cut for batch in run] == list(range(len(made)))
        assert all(len(run) == 1 or sum(sizes[b] for b in run) <= most for run in cut)
        for run, following in pairwise(cut):
            assert sum(sizes[b] for b in run) + sizes[following[0]] > most
    assert len(walks(sizes, sum(sizes))) == 1


def test_the_last_feed_forward_sees_only_tokens_that_predict(monkeypatch: pytest.MonkeyPatch) -> None:
    net, batch = network("llama"), documents()[0]
    seen: dict[int, torch.Size] = {}
    real = net.contribution

    def contribution(step: Step, x: torch.Tensor, *args: Any) -> torch.Tensor:
        seen[step[0]] = x.shape
        return real(step, x, *args)

    monkeypatch.setattr(net, "contribution", contribution)
    sweep.sweep(net, [batch], [full(PLAYERS)])
    assert seen.pop(7) == (1, len(batch.rows), 32)
    assert set(seen.values()) == {(*batch.input_ids.shape, 32)}
