from __future__ import annotations

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cornerstone.engine.network import Network
from cornerstone.engine.stages import stages_of
from cornerstone.engine.sweep import choice_scores, work
from cornerstone.engine.tries import Batch, batches
from cornerstone.game.coalitions import full
from cornerstone.game.players import alike, heads_of, players_of
from cornerstone.schedule.groups import groups_within
from tests import tiny
from tests.helpers import PARALLEL, SEQUENTIAL, packed

NAMES = ["llama", "gpt_neox", "mixtral"]
COALITIONS = st.lists(st.integers(0, 2 ** (2 * tiny.BLOCKS) - 1), unique=True, min_size=1, max_size=7)
few = settings(max_examples=12)


@cache
def network(name: str) -> Network:
    return tiny.network(tiny.make(name), name)


@cache
def documents(batch_tokens: int) -> tuple[Batch, ...]:
    return tuple(batches(packed(seed=11, count=4, longest=20), batch_tokens))


def scores(name: str, group: list[int], batch_tokens: int = 48) -> dict[int, torch.Tensor]:
    rows = choice_scores(network(name), documents(batch_tokens), group)
    return {coalition: torch.cat(row) for coalition, row in zip(group, rows, strict=True)}


@cache
def reference(name: str, coalition: int) -> torch.Tensor:
    """The coalition walked by itself."""
    return scores(name, [coalition])[coalition]


@pytest.mark.parametrize("name", NAMES)
@few
@given(data=st.data())
def test_company_and_order_change_no_bit(name: str, data: st.DataObject) -> None:
    group = data.draw(COALITIONS)
    for coalition, found in scores(name, data.draw(st.permutations(group))).items():
        assert torch.equal(found, reference(name, coalition))


@pytest.mark.parametrize("name", NAMES)
@few
@given(coalitions=COALITIONS, budget=st.sampled_from([1.0, 2e4, 5e4, 1e12]))
def test_memory_changes_no_bit(name: str, coalitions: list[int], budget: float) -> None:
    state_bytes = max(b.tokens for b in documents(48)) * network(name).hidden_size * 4
    groups = groups_within(coalitions, state_bytes, budget)
    together = min(64, max(1, int(budget / (2 * state_bytes))))  # two generations of states are alive
    assert [len(group) for group in groups[:-1]] == [together] * (len(groups) - 1)
    assert [coalition for group in groups for coalition in group] == coalitions
    for group in groups:
        for coalition, found in scores(name, group).items():
            assert torch.equal(found, reference(name, coalition))


@cache
def of_heads() -> Network:
    return tiny.network(tiny.make("gpt2"), "gpt2", heads_of(alike(tiny.BLOCKS), 4))


@few
@given(data=st.data(), group=st.lists(st.integers(0, 2**20 - 1), unique=True, min_size=1, max_size=7))
def test_company_and_order_change_no_bit_where_heads_play(data: st.DataObject, group: list[int]) -> None:
    done: list[int] = []
    order = data.draw(st.permutations(group))
    found = choice_scores(of_heads(), documents(48)[:2], order, done.append)
    for coalition, rows in zip(order, found, strict=True):
        (alone,) = choice_scores(of_heads(), documents(48)[:2], [coalition])
        assert torch.equal(torch.cat(rows), torch.cat(alone))
    assert sum(done) == work(group, of_heads().stages) * sum(batch.tokens for batch in documents(48)[:2])


@few
@given(coalition=st.integers(0, 255), batch_tokens=st.sampled_from([1, 30, 100, 10_000]))
def test_batches_change_only_rounding(coalition: int, batch_tokens: int) -> None:
    found = scores("llama", [coalition], batch_tokens)[coalition]
    torch.testing.assert_close(found, reference("llama", coalition), rtol=1e-4, atol=1e-4)


def test_the_batches_above_do_differ() -> None:
    shapes = {tuple(tuple(b.input_ids.shape) for b in documents(n)) for n in (1, 30, 48, 100, 10_000)}
    assert len(shapes) >= 3


@given(st.integers(1, 12), st.booleans(), st.data())
def test_work_is_never_more_than_without_sharing(blocks: int, parallel: bool, data: st.DataObject) -> None:
    count = 2 * blocks
    players = players_of(alike(blocks))
    stages = stages_of(players, [PARALLEL if parallel else SEQUENTIAL] * blocks)
    everyone = full(players)
    coalitions = data.draw(st.lists(st.integers(0, everyone), unique=True, min_size=1, max_size=10))
    total = work(coalitions, stages)
    assert max(c.bit_count() for c in coalitions) <= total <= sum(c.bit_count() for c in coalitions)
    assert total == work(data.draw(st.permutations(coalitions)), stages)
    assert work([everyone], stages) == count
