"""Every architecture: the sweep against stock lm-eval, on tiny random models and real text."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import accelerate
import numpy as np
import pytest
import torch

from cornerstone.engine import encoding, structure, sweep, tries
from cornerstone.engine.network import Network
from cornerstone.game import coalitions
from cornerstone.game.players import alike, experts_of, groups_of, players_of
from tests import tiny
from tests.device import DEVICE, NAME
from tests.parity import stock

REQUESTS = [
    [("Question: Which one is a source of energy?\nAnswer:", f" {c}") for c in ("wind", "coal gas", "oil")],
    [("Sarah was a better surgeon than Maria so Sarah", " got the easy cases."),
     ("Sarah was a better surgeon than Maria so Maria", " got the easy cases.")],
    [("Wind turns the wheel. " * 6 + "Question: does it?\nAnswer:", f" {c}") for c in ("no", "yes")],
    [("How do you boil an egg? ", "Put it into hot water."), ("How do you boil an egg? ", "Put it into a tree.")],
    [("", "yes no yes"), ("", "no")],
]  # fmt: skip
COMPILER = shutil.which("g++") or shutil.which("clang++")
REMOVED = [(), (0,), (1,), (6,), (7,), (2, 3, 4, 5), (0, 3, 5, 6), (0, 1, 2, 3, 4, 5, 6, 7)]


@pytest.mark.parity
@pytest.mark.parametrize("name", tiny.TINY)
def test_equals_stock_lm_eval(name: str) -> None:
    tokenizer, model = tiny.tokenizer(), tiny.make(name)
    players = players_of(alike(tiny.BLOCKS, tiny.TINY[name].kind))
    network = Network(model, players, alike(tiny.BLOCKS, tiny.TINY[name].kind))
    packed = encoding.encode(model, tokenizer, REQUESTS)
    wanted = [coalitions.without(removed, players) for removed in REMOVED]
    ours = sweep.choice_scores(network, tries.batches(packed, 100), wanted)
    lm = stock.harness(model, tokenizer, batch_size=3)
    flat = [request for choices in REQUESTS for request in choices]
    distinct = set()
    for c, removed in enumerate(REMOVED):
        paths = [
            (tiny.TINY[name].attention if position % 2 == 0 else tiny.TINY[name].feed_forward).format(position // 2)
            for position in removed
        ]
        theirs = stock.loglikelihoods(lm, flat, paths)
        mine = np.concatenate([scores.numpy() for scores in ours[c]])
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4)
        distinct.add(tuple(np.round(mine, 3)))
    assert len(distinct) == len(REMOVED)  # each removal changes something, so the comparison can fail


@pytest.mark.parity
@pytest.mark.parametrize("name", ["llama", "gpt_neox", "mixtral", "olmo2"])
def test_groups_equal_stock_lm_eval(name: str) -> None:
    """Players that are groups: a run of two blocks, one sublayer, and sublayers of different blocks."""
    tokenizer, model = tiny.tokenizer(), tiny.make(name)
    kind = tiny.TINY[name].kind
    players = groups_of(
        alike(tiny.BLOCKS, kind), {"late": ["blocks2to3"], "mixed": ["attn0", f"{kind}1"], "one": ["attn1"]}
    )
    assert [player.name for player in players] == ["mixed", "one", "late"]
    sublayers = [(0, 3), (2,), (4, 5, 6, 7)]
    packed = tries.batches(encoding.encode(model, tokenizer, REQUESTS), 100)
    ours = sweep.choice_scores(tiny.network(model, name, players), packed, list(range(8)))
    lm = stock.harness(model, tokenizer, batch_size=3)
    flat = [request for choices in REQUESTS for request in choices]
    for coalition in range(8):
        removed = [p for i, group in enumerate(sublayers) for p in group if not coalition >> i & 1]
        paths = [(tiny.TINY[name].feed_forward if p % 2 else tiny.TINY[name].attention).format(p // 2) for p in removed]
        mine = np.concatenate([scores.numpy() for scores in ours[coalition]])
        np.testing.assert_allclose(mine, stock.loglikelihoods(lm, flat, paths), rtol=1e-4, atol=1e-4)


@pytest.mark.parity
@pytest.mark.parametrize("name", [name for name, recipe in tiny.TINY.items() if recipe.kind == "moe"])
def test_experts_equal_stock_lm_eval(name: str) -> None:
    """An expert is removed in the stock model by setting its last projection to zero."""
    tokenizer, model = tiny.tokenizer(), tiny.make(name)
    count = model.get_submodule(tiny.TINY[name].feed_forward.format(0)).experts.num_experts
    players = experts_of(alike(tiny.BLOCKS, "moe"), count)
    network = tiny.network(model, name, players)
    packed = tries.batches(encoding.encode(model, tokenizer, REQUESTS), 100)
    flat = [request for choices in REQUESTS for request in choices]
    whole = coalitions.full(players)
    position = {player.name: player.position for player in players}
    removals = [["moe1e0"], ["moe1e1", "moe2e0", "attn2"], [f"moe0e{e}" for e in range(count)]]
    wanted = [whole] + [coalitions.without([position[p] for p in names], players) for names in removals]
    ours = sweep.choice_scores(network, packed, wanted)
    distinct = set()
    for c, names in enumerate([[], *removals]):
        changed = tiny.make(name)
        for player in names:
            block, _, expert = player.removeprefix("moe").partition("e")
            if expert:
                mixture = changed.get_submodule(tiny.TINY[name].feed_forward.format(block))
                mixture.experts.down_proj.data[int(expert)] = 0
        paths = [tiny.TINY[name].attention.format(p[4:]) for p in names if p.startswith("attn")]
        theirs = stock.loglikelihoods(stock.harness(changed, tokenizer, batch_size=3), flat, paths)
        mine = np.concatenate([scores.numpy() for scores in ours[c]])
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4)
        distinct.add(tuple(np.round(mine, 3)))
    assert len(distinct) == 4


RARELY = ((False, "gpt_neox"), (True, "gpt_neox"), (True, "mixtral"))
"""Compiled, with and without hooks: half a minute each."""


@pytest.fixture
def compiler() -> Iterator[None]:
    """torch.compile as if nothing had been compiled before; an error where it would give up and go on without."""
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        yield
    torch.compiler.reset()


@pytest.mark.parity
@pytest.mark.parametrize("name", tiny.TINY)
def test_half_precision_is_as_near_as_stock_is(name: str) -> None:
    """bfloat16, where attention takes another path: typically as near to float32 as stock lm-eval is."""
    half_precision(name, compiled=False)


@pytest.mark.parity
@pytest.mark.skipif(not COMPILER, reason="NO C++ COMPILER: torch.compile can't be tested")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.compile imports torch's own older modules
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`:UserWarning")  # in transformers
@pytest.mark.rare
@pytest.mark.parametrize("name", ["llama", "mixtral"])
def test_compiled_half_precision_is_as_near_as_stock_is(name: str, compiler: None) -> None:
    half_precision(name, compiled=True)


def half_precision(name: str, compiled: bool) -> None:
    """Compare the errors of bfloat16, ours and stock lm-eval's."""
    tokenizer, exact = tiny.tokenizer(), tiny.make(name)
    kind = tiny.TINY[name].kind
    players = players_of(alike(tiny.BLOCKS, kind))
    packed = tries.batches(encoding.encode(exact, tokenizer, REQUESTS), 100)
    flat = [request for choices in REQUESTS for request in choices]
    wanted = [coalitions.without(removed, players) for removed in REMOVED]
    reference = sweep.choice_scores(Network(exact, players, alike(tiny.BLOCKS, kind)), packed, wanted)
    half = tiny.make(name).to(torch.bfloat16)
    found = sweep.choice_scores(Network(half, players, alike(tiny.BLOCKS, kind), compiled=compiled), packed, wanted)
    lm = stock.harness(tiny.make(name).to(torch.bfloat16), tokenizer, batch_size=3)
    ours, theirs = [], []
    for c, removed in enumerate(REMOVED):
        paths = [(tiny.TINY[name].feed_forward if p % 2 else tiny.TINY[name].attention).format(p // 2) for p in removed]
        right = np.concatenate([scores.numpy() for scores in reference[c]])
        ours.append(np.concatenate([scores.numpy() for scores in found[c]]) - right)
        theirs.append(np.array(stock.loglikelihoods(lm, flat, paths)) - right)
    # medians: in a mixture, rounding sends some token to another expert now and then, in either of them
    off, stock_off = (float(np.median(np.abs(np.concatenate(errors)))) for errors in (ours, theirs))
    assert 0 < off < 1.5 * stock_off


@pytest.mark.parity
@pytest.mark.skipif(not COMPILER, reason="NO C++ COMPILER: torch.compile can't be tested")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.compile imports torch's own older modules
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`:UserWarning")  # in transformers
@pytest.mark.parametrize(
    ("hooks", "name"),
    [
        (False, "llama"),
        (False, "mixtral"),
        (True, "llama"),
        *(pytest.param(*rare, marks=pytest.mark.rare) for rare in RARELY),
    ],
)
def test_compiled_equals_stock_lm_eval(hooks: bool, name: str, compiler: None) -> None:
    """With accelerate's hooks, too, as a model on several GPUs has them."""
    tokenizer, model = tiny.tokenizer(), tiny.make(name)
    if hooks:
        spread_out(model)
    kind = tiny.TINY[name].kind
    players = players_of(alike(tiny.BLOCKS, kind))
    packed = tries.batches(encoding.encode(model, tokenizer, REQUESTS), 100)
    chosen = [REMOVED[0], REMOVED[2], REMOVED[5], REMOVED[7]]
    network = Network(model, players, alike(tiny.BLOCKS, kind), compiled=True)
    ours = sweep.choice_scores(network, packed, [coalitions.without(removed, players) for removed in chosen])
    lm = stock.harness(tiny.make(name), tokenizer, batch_size=3)
    flat = [request for choices in REQUESTS for request in choices]
    for c, removed in enumerate(chosen):
        paths = [(tiny.TINY[name].feed_forward if p % 2 else tiny.TINY[name].attention).format(p // 2) for p in removed]
        mine = np.concatenate([scores.numpy() for scores in ours[c]])
        np.testing.assert_allclose(mine, stock.loglikelihoods(lm, flat, paths), rtol=1e-4, atol=1e-4)
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert 2 <= graphs <= 8  # two kinds of sublayer, one or several rows
    assert not torch._dynamo.utils.counters["graph_break"]


def spread_out(model: Any) -> None:
    """What accelerate does to a model on several devices, on the only one that there is."""
    blocks, _ = structure.blocks_of(model)
    parts = [name for name, _ in model.named_modules() if name.rpartition(".")[0] == blocks]
    rest = [
        name for name, module in model.named_modules()
        if name and not name.startswith(blocks) and not blocks.startswith(name) and not list(module.children())
    ]  # fmt: skip
    accelerate.dispatch_model(model, dict.fromkeys([*parts, *rest], NAME), force_hooks=True)
    assert hasattr(model.get_submodule(blocks)[0], "_hf_hook")


@pytest.mark.parity
@pytest.mark.parametrize("name", ["llama", "gpt_neox", "mixtral"])
def test_hooks_of_accelerate_stay(name: str) -> None:
    """A model on several devices gives the same scores, and can still be used by itself afterwards."""
    tokenizer, model = tiny.tokenizer(), tiny.make(name)
    kind = tiny.TINY[name].kind
    players = players_of(alike(tiny.BLOCKS, kind))
    packed = tries.batches(encoding.encode(model, tokenizer, REQUESTS), 100)
    wanted = [coalitions.without(removed, players) for removed in REMOVED]
    plain = sweep.choice_scores(Network(model, players, alike(tiny.BLOCKS, kind)), packed, wanted)
    before = model(torch.tensor([[3, 4, 5]], device=DEVICE)).logits
    spread_out(model)
    hooked = sweep.choice_scores(Network(model, players, alike(tiny.BLOCKS, kind)), packed, wanted)
    for one, other in zip(plain, hooked, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    block = structure.blocks_of(model)[1][0]
    assert hasattr(block, "_hf_hook")
    assert "forward" in vars(block)
    assert torch.equal(model(torch.tensor([[3, 4, 5]], device=DEVICE)).logits, before)
