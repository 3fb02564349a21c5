"""`removal: mean`: the sweep against stock lm-eval whose removed sublayers are hooked to their mean output."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cornerstone.engine import encoding, loading, sweep, tries
from cornerstone.engine.averaging import mean_contributions, reference
from cornerstone.engine.batching import batches_for
from cornerstone.engine.means import Means
from cornerstone.engine.network import Network
from cornerstone.engine.streaming import streamed
from cornerstone.game import coalitions
from cornerstone.game.players import Player, alike, groups_of, players_of
from tests import tiny, types
from tests.device import DEVICE, NAME
from tests.parity import stock
from tests.parity.test_architectures import REQUESTS

REMOVED = [(), (0,), (2, 3, 4, 5), (0, 3, 5, 6)]
ADDED = {
    "gemma2": ("model.layers.{}.post_attention_layernorm", "model.layers.{}.post_feedforward_layernorm"),
    "olmo2": ("model.layers.{}.post_attention_layernorm", "model.layers.{}.post_feedforward_layernorm"),
}
"""Whose output is added to the stream, where that is no sublayer's own output."""
MODULES = {**{name: (recipe.attention, recipe.feed_forward) for name, recipe in tiny.TINY.items()}, **ADDED}
MODULES["openai-gpt"] = ("transformer.h.{}.attn", "transformer.h.{}.mlp")  # which normalises the stream itself
TEXTS = [("The wheel turns in the wind. " * n, " It boils.") for n in (1, 4, 2)] + [("yes", " no")]


def paths(name: str) -> list[str]:
    return [MODULES[name][p % 2].format(p // 2) for p in range(2 * tiny.BLOCKS)]


def averaged(network: Network, tokenizer: Any, most_tokens: int = 64) -> Means:
    packed = encoding.encode(network.model, tokenizer, [[text] for text in TEXTS])
    batches = batches_for(network.model, packed, most_tokens)
    return mean_contributions(network, batches, [[0], list(range(1, len(batches)))])


@cache
def made(name: str) -> Any:
    return tiny.make(name) if name in tiny.TINY else types.make(name)


@pytest.mark.parity
@pytest.mark.parametrize("name", ["llama", "gpt_neox", "gemma2", "olmo2", "openai-gpt"])
def test_equals_stock_lm_eval(name: str) -> None:
    tokenizer, model = tiny.tokenizer(), made(name)
    network = Network(model, players_of(alike(tiny.BLOCKS)), alike(tiny.BLOCKS))
    network.means = averaged(network, tokenizer)
    lm = stock.harness(model, tokenizer, batch_size=3)
    texts = [[*context, *continuation[:-1]] for context, continuation in (lm._encode_pair(*text) for text in TEXTS)]
    means = stock.mean_outputs(model, paths(name), texts)
    for place, path in enumerate(paths(name)):
        torch.testing.assert_close(
            network.means.contributions[place].double().cpu(), means[path].cpu(), rtol=1e-4, atol=1e-5
        )
    packed = encoding.encode(model, tokenizer, REQUESTS[1:4])
    wanted = [coalitions.without(removed, network.players) for removed in REMOVED]
    ours = sweep.choice_scores(network, tries.batches(packed, 100), wanted)
    flat = [request for choices in REQUESTS[1:4] for request in choices]
    distinct = set()
    for scores, removed in zip(ours, REMOVED, strict=True):
        with stock.replaced(model, {paths(name)[p]: means[paths(name)[p]] for p in removed}):
            theirs = stock.loglikelihoods(lm, flat, [])
        mine = np.concatenate([row.numpy() for row in scores])
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4)
        distinct.add(tuple(np.round(mine, 3)))
    assert len(distinct) == len(REMOVED)
    zeroed = stock.loglikelihoods(lm, flat, [paths(name)[p] for p in REMOVED[-1]])
    assert not np.allclose(mine, zeroed, rtol=1e-4, atol=1e-4)


@pytest.mark.parity
def test_a_removed_group_adds_the_means_of_its_members() -> None:
    tokenizer, model = tiny.tokenizer(), made("llama")
    players = groups_of(alike(tiny.BLOCKS), {"late": ["blocks2to3"], "mixed": ["attn0", "ffn1"]})
    grouped, single = tiny.network(model, "llama", players), tiny.network(model, "llama")
    grouped.means = single.means = averaged(single, tokenizer)
    packed = tries.batches(encoding.encode(model, tokenizer, REQUESTS), 100)
    found = sweep.choice_scores(grouped, packed, [0b01, 0b10])
    wanted = sweep.choice_scores(
        single, packed, [coalitions.without(p, single.players) for p in ((4, 5, 6, 7), (0, 3))]
    )
    for ours, theirs in zip(found, wanted, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parity
@pytest.mark.parametrize("name", ["gpt_neox"])
def test_company_changes_no_bit_and_neither_does_streaming(name: str, tmp_path: Path) -> None:
    tiny.save(name, tmp_path)
    resident, tokenizer = loading.load(tmp_path, "bfloat16", NAME)
    shapes, _, weights = streamed.load(tmp_path, "bfloat16", DEVICE)
    packed = tries.batches(encoding.encode(resident, tokenizer, REQUESTS[1:4]), 100)
    here, there = tiny.network(resident, name), tiny.network(shapes, name, weights=weights)
    here.means, there.means = averaged(here, tokenizer), averaged(there, tokenizer)
    assert torch.equal(here.means.contributions, there.means.contributions)
    wanted = [coalitions.without(removed, here.players) for removed in REMOVED]
    together = sweep.choice_scores(here, packed, wanted)
    passed_through = sweep.choice_scores(there, packed, wanted)
    for i, coalition in enumerate(wanted):
        (alone,) = sweep.choice_scores(here, packed, [coalition])
        assert all(torch.equal(a, b) for a, b in zip(alone, together[i], strict=True))
        assert all(torch.equal(a, b) for a, b in zip(alone, passed_through[i], strict=True))
    everyone: tuple[Player, ...] = players_of(alike(tiny.BLOCKS))
    assert sweep.work(wanted, here.stages) < sum(c.bit_count() for c in wanted) <= len(wanted) * len(everyone)


def test_reference_documents_are_the_last_of_the_order() -> None:
    assert reference(["a", "b", "c"], 2) == ["b", "c"]
    assert reference(["a", "b"], 5) == ["a", "b"]
