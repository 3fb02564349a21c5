"""`players: heads`: the sweep against stock lm-eval on a model whose output projections lack the heads' columns."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cornerstone.engine import encoding, loading, structure, sweep, tries
from cornerstone.engine.averaging import mean_contributions
from cornerstone.engine.means import Means
from cornerstone.engine.network import Network
from cornerstone.engine.proof import prove, prove_streamed
from cornerstone.engine.streaming import streamed
from cornerstone.errors import ModelError
from cornerstone.game import coalitions
from cornerstone.game.players import Player, heads_of, players_of
from tests import tiny, types
from tests.device import DEVICE, NAME
from tests.parity import stock
from tests.parity.test_architectures import REQUESTS

HEADS = 4
PROJECTIONS = {
    "llama": "model.layers.{}.self_attn.o_proj",
    "qwen2": "model.layers.{}.self_attn.o_proj",
    "gpt2": "transformer.h.{}.attn.c_proj",
    "gemma3_text": "model.layers.{}.self_attn.o_proj",
    "gpt_neox": "gpt_neox.layers.{}.attention.dense",
    "deepseek_v3": "model.layers.{}.self_attn.o_proj",
}
REMOVED = [
    [],
    ["attn1h2"],
    ["attn0h0", "attn0h1", "attn0h3", "attn2h1", "ffn2"],
    [f"attn1h{head}" for head in range(HEADS)],  # all of a sublayer: its bias goes, too
]


@cache
def made(name: str) -> Any:
    """A tiny model with biases that are not zero."""
    model = tiny.make(name) if name in tiny.TINY else types.make(name)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key.endswith("bias"):
                parameter += 0.3 * torch.randn_like(parameter, generator=None)
    return model


def network(model: Any, removal: Means | None = None) -> Network:
    kinds = structure.kinds_of(model)
    found = Network(model, heads_of(kinds, HEADS), kinds)
    found.means = removal
    return found


def coalition(names: list[str], players: tuple[Player, ...]) -> int:
    positions = {player.name: player.position for player in players}
    return coalitions.without([positions[name] for name in names], players)


def by_block(names: list[str]) -> dict[int, list[int]]:
    """The heads that are removed: block -> heads."""
    found: dict[int, list[int]] = {}
    for block, _, head in (name.removeprefix("attn").partition("h") for name in names if "h" in name):
        found.setdefault(int(block), []).append(int(head))
    return found


def changed(name: str, model: Any, names: list[str]) -> tuple[Any, list[str]]:
    """A copy of a model with columns of heads zeroed, and the modules whose output is to be zeroed as a whole."""
    model, whole = copy.deepcopy(model), []
    for block, heads in by_block(names).items():
        projection = model.get_submodule(PROJECTIONS[name].format(block))
        weight = projection.weight.data if isinstance(projection, torch.nn.Linear) else projection.weight.data.T
        if len(heads) == HEADS:
            whole.append(PROJECTIONS[name].format(block))
        for head in heads:
            width = weight.shape[1] // HEADS
            weight[:, head * width : (head + 1) * width] = 0
    mlp = tiny.TINY[name].feed_forward if name in tiny.TINY else PROJECTIONS[name].rsplit(".", 2)[0] + ".mlp"
    return model, [*whole, *(mlp.format(player[3:]) for player in names if player.startswith(("ffn", "moe")))]


@pytest.mark.parity
@pytest.mark.parametrize("name", PROJECTIONS)
def test_equals_stock_lm_eval(name: str) -> None:
    tokenizer, model = tiny.tokenizer(), made(name)
    net = network(model)
    prove(net, encoding.encode(model, tokenizer, REQUESTS[1:2]))
    feed_forward = {block: kinds[-1] for block, kinds in enumerate(structure.kinds_of(model))}
    removed = [[f"{feed_forward[2]}2" if player == "ffn2" else player for player in names] for names in REMOVED]
    packed = encoding.encode(model, tokenizer, REQUESTS[1:4])
    batches = tries.batches(packed, 100, net.unfolded)
    ours = sweep.choice_scores(net, batches, [coalition(names, net.players) for names in removed])
    flat = [request for choices in REQUESTS[1:4] for request in choices]
    distinct = set()
    for scores, names in zip(ours, removed, strict=True):
        other, zeroed = changed(name, model, names)
        theirs = stock.loglikelihoods(stock.harness(other, tokenizer, batch_size=3), flat, zeroed)
        mine = np.concatenate([row.numpy() for row in scores])
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4)
        distinct.add(tuple(np.round(mine, 3)))
    assert len(distinct) == len(removed)


@pytest.mark.parity
@pytest.mark.parametrize("name", ["gpt2"])
def test_all_heads_are_the_sublayer(name: str) -> None:
    """The games of heads and of sublayers agree where both have a coalition, to the bit: biases included."""
    tokenizer, model = tiny.tokenizer(), made(name)
    kinds = structure.kinds_of(model)
    net, plain = network(model), Network(model, players_of(kinds), kinds)
    batches = tries.batches(encoding.encode(model, tokenizer, REQUESTS[1:4]), 100)
    attention = [f"attn1h{head}" for head in range(HEADS)]
    found = sweep.choice_scores(net, batches, [0, coalition(attention, net.players), coalitions.full(net.players)])
    wanted = sweep.choice_scores(plain, batches, [0, coalition(["attn1"], plain.players), 0xFF])
    for ours, theirs in zip(found, wanted, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parity
@pytest.mark.parametrize("name", ["gpt_neox"])
def test_company_changes_no_bit_and_neither_does_streaming(name: str, tmp_path: Path) -> None:
    tiny.save(name, tmp_path)
    resident, tokenizer = loading.load(tmp_path, "bfloat16", NAME)
    shapes, _, weights = streamed.load(tmp_path, "bfloat16", DEVICE)
    kinds = structure.kinds_of(resident)
    net, there = network(resident), Network(shapes, heads_of(kinds, HEADS), kinds, weights)
    packed = encoding.encode(resident, tokenizer, REQUESTS[1:4])
    prove_streamed(there, packed)
    batches = tries.batches(packed, 100)
    wanted = [coalition(names, net.players) for names in REMOVED]
    together, passed_through = sweep.choice_scores(net, batches, wanted), sweep.choice_scores(there, batches, wanted)
    for i, each in enumerate(wanted):
        (alone,) = sweep.choice_scores(net, batches, [each])
        assert all(torch.equal(a, b) for a, b in zip(alone, together[i], strict=True))
        assert all(torch.equal(a, b) for a, b in zip(alone, passed_through[i], strict=True))


@pytest.mark.parity
@pytest.mark.parametrize("name", ["gemma3_text"])
def test_the_mean_of_a_head_stands_in_for_it(name: str) -> None:
    """In stock lm-eval the input of the output projection is hooked: a head's part of it is its mean."""
    tokenizer, model = tiny.tokenizer(), made(name)
    net = network(model)
    packed = encoding.encode(model, tokenizer, [[request] for request in REQUESTS[0]])
    net.means = mean_contributions(net, tries.batches(packed, 200), [[0]])
    lm = stock.harness(model, tokenizer, batch_size=3)
    texts = [[*context, *rest[:-1]] for context, rest in (lm._encode_pair(*request) for request in REQUESTS[0])]
    paths = [PROJECTIONS[name].format(block) for block in range(types.BLOCKS)]
    means = mean_inputs(model, paths, texts)
    removed = REMOVED[2][:-1]
    batches = tries.batches(encoding.encode(model, tokenizer, REQUESTS[1:4]), 100)
    (scores,) = sweep.choice_scores(net, batches, [coalition(removed, net.players)])
    handles = []
    for block, heads in by_block(removed).items():
        path, width = paths[block], len(means[paths[block]]) // HEADS

        def hook(module: Any, args: Any, heads: Any = heads, mean: Any = means[path], width: int = width) -> Any:
            given = args[0].clone()
            for part in (slice(head * width, (head + 1) * width) for head in heads):
                given[..., part] = mean[part].to(given)
            return (given,)

        handles.append(model.get_submodule(path).register_forward_pre_hook(hook))
    theirs = stock.loglikelihoods(lm, [request for choices in REQUESTS[1:4] for request in choices], [])
    for handle in handles:
        handle.remove()
    np.testing.assert_allclose(np.concatenate([row.numpy() for row in scores]), theirs, rtol=1e-4, atol=1e-4)


def mean_inputs(model: Any, paths: list[str], texts: list[list[int]]) -> dict[str, torch.Tensor]:
    """The mean of what modules are given, over all tokens of some texts."""
    seen: dict[str, list[torch.Tensor]] = {path: [] for path in paths}
    handles = [
        model.get_submodule(path).register_forward_pre_hook(
            lambda module, args, path=path: seen[path].append(args[0].flatten(0, -2).double())
        )
        for path in paths
    ]
    with torch.inference_mode():
        for tokens in texts:
            model(input_ids=torch.tensor([tokens], device=model.device))
    for handle in handles:
        handle.remove()
    return {path: torch.cat(parts).mean(0) for path, parts in seen.items()}


def test_another_number_of_heads_is_refused() -> None:
    model = made("llama")
    kinds = structure.kinds_of(model)
    with pytest.raises(ModelError, match=r"says heads: 2, but the attention of block 0 of the weights has 4"):
        Network(model, heads_of(kinds, 2), kinds)


def test_what_is_done_to_the_projections_result_is_refused() -> None:
    """A gate behind the output projection: the columns of the projection are not all that a head adds."""
    model = copy.deepcopy(made("llama"))
    attention = model.model.layers[2].self_attn
    forward = attention.forward

    def gated(*args: Any, **kwargs: Any) -> Any:
        out, *rest = forward(*args, **kwargs)
        return (out.sigmoid() * out, *rest)

    attention.forward = gated
    net = network(model)
    with pytest.raises(ModelError, match=r"players: heads is not possible .* block 2 does not end with an output proj"):
        prove(net, encoding.encode(model, tiny.tokenizer(), REQUESTS[1:2]))


def test_attention_without_a_linear_map_of_its_heads_is_refused() -> None:
    model = copy.deepcopy(made("llama"))
    model.model.layers[1].self_attn.o_proj = torch.nn.Bilinear(32, 32, 32)
    for name in ("q_proj", "k_proj", "v_proj"):
        setattr(model.model.layers[1].self_attn, name, torch.nn.Linear(32, 16))
    kinds = structure.kinds_of(model)
    meta = copy.deepcopy(model).to("meta")
    with pytest.raises(ModelError, match=r"block 1 does not end .*no linear map in it takes 4 equal parts to the 32"):
        Network(meta, heads_of(kinds, HEADS), kinds)
