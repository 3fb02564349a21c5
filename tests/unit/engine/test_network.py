from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from cornerstone.engine import network as network_module
from cornerstone.engine.network import Network
from cornerstone.engine.sweep import sweep
from cornerstone.engine.tries import Batch, batches, pack
from cornerstone.errors import ModelError
from cornerstone.game.coalitions import full, without
from cornerstone.game.players import alike, experts_of, players_of, read_kinds
from tests import tiny, types
from tests.helpers import packed

PLAYERS = players_of(alike(tiny.BLOCKS))
Tokens = list[int]
REQUESTS: list[list[tuple[Tokens, Tokens]]] = [
    [(list(range(5, 35)), [40, 41, 42]), (list(range(5, 35)), [40, 50]), (list(range(5, 35)), [60])],
    [([7, 8, 9], [10, 11]), ([7, 3, 9], [10, 11])],
]


@cache
def made(name: str) -> Any:
    return tiny.make(name)


def network(name: str) -> Network:
    return tiny.network(made(name), name)


def one_batch() -> Batch:
    (batch,) = batches([pack(choices, 1000) for choices in REQUESTS], 1000)
    return batch


def alone(model: Any, context: Tokens, continuation: Tokens) -> float:
    """The model's own log-likelihood of one sequence by itself."""
    tokens = torch.tensor([context + continuation])
    with torch.inference_mode():
        logits = model(input_ids=tokens[:, :-1]).logits[0].log_softmax(-1)
    return sum(logits[-len(continuation) + i, token].item() for i, token in enumerate(continuation))


def removed(model: Any, paths: list[str]) -> list[Any]:
    def zero(module: Any, inputs: Any, output: Any) -> Any:
        return (torch.zeros_like(output[0]), *output[1:]) if isinstance(output, tuple) else torch.zeros_like(output)

    return [model.get_submodule(path).register_forward_hook(zero) for path in paths]


@pytest.mark.parametrize("name", ["llama", "mistral", "gpt_neox", "gemma2"])
@pytest.mark.parametrize("positions", [(), (0,), (3,), (2, 5)])
def test_packed_and_swept_equals_each_sequence_alone(name: str, positions: tuple[int, ...]) -> None:
    net, batch, recipe = network(name), one_batch(), tiny.TINY[name]
    scores = sweep(net, [batch], [without(positions, net.players)])[0][0]
    found = torch.zeros(5).index_add_(0, batch.target_choices, scores).tolist()
    hooks = removed(net.model, [(recipe.feed_forward if p % 2 else recipe.attention).format(p // 2) for p in positions])
    try:
        order = [REQUESTS[i] for i in batch.documents]
        wanted = [alone(net.model, *request) for choices in order for request in choices]
    finally:
        for hook in hooks:
            hook.remove()
    assert found == pytest.approx(wanted, rel=1e-4, abs=1e-4)


def test_stages_are_one_player_each_or_a_block_where_it_runs_in_parallel() -> None:
    def sublayers(name: str) -> list[tuple[int, ...]]:
        return [tuple(switch.sublayer for switch in stage.switches) for stage in network(name).stages]

    assert sublayers("llama") == [(i,) for i in range(8)]
    assert sublayers("gpt_neox_sequential") == [(i,) for i in range(8)]
    assert sublayers("gpt_neox") == [(0, 1), (2, 3), (4, 5), (6, 7)]


@pytest.mark.parametrize("rows", [1, 3, 7, 10_000])
def test_the_head_may_run_in_parts(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    net = network("llama")
    (batch,) = batches(packed(seed=3, count=6), 10_000)
    with torch.inference_mode():
        x = net.head_rows(net.embed(batch)[0], batch)
        whole = net.log_probabilities(x, batch)
        monkeypatch.setattr(network_module, "_HEAD_ROWS", rows)
        parts = net.log_probabilities(x, batch)
    assert len(whole) == len(batch.target_rows) > 30
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-5)


def test_log_probabilities_are_those_of_a_distribution() -> None:
    net = network("llama")
    (batch,) = batches([pack([([5, 6, 7], [token]) for token in range(tiny.VOCABULARY)], 100)], 100)
    total = sweep(net, [batch], [full(PLAYERS)])[0][0].exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-5)


def test_the_last_targets_of_a_full_part_are_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    net, batch = network("llama"), one_batch()
    monkeypatch.setattr(network_module, "_HEAD_ROWS", len(batch.rows))
    with torch.inference_mode():
        x = net.head_rows(net.embed(batch)[0], batch)
        assert len(net.log_probabilities(x, batch)) == len(batch.target_rows)


def test_embedding_is_the_models_and_leaves_it_as_it_was() -> None:
    net, batch = network("llama"), one_batch()
    before = alone(net.model, [5, 6, 7], [8])
    with torch.inference_mode():
        x, context = net.embed(batch)
        embedded = net.model.get_input_embeddings()(batch.input_ids)
    assert torch.equal(x, embedded)
    assert len(context.arguments) == tiny.BLOCKS
    assert all("forward" not in vars(block) for block in net.blocks)
    assert alone(net.model, [5, 6, 7], [8]) == before


def test_the_blocks_are_restored_after_an_error() -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    net = network("llama")
    hook = net.model.model.norm.register_forward_hook(fail)
    try:
        with pytest.raises(ZeroDivisionError):
            net.embed(one_batch())
    finally:
        hook.remove()
    assert all("forward" not in vars(block) for block in net.blocks)


def test_masks_of_sliding_windows_hide_what_is_too_far() -> None:
    net, batch = network("mistral"), one_batch()
    with torch.inference_mode():
        mask = net.embed(batch)[1].arguments[0]["attention_mask"]
    distance = batch.positions[:, :, None] - batch.positions[:, None, :]
    assert mask.shape == (len(batch.visible), 1, *batch.visible.shape[1:])
    assert torch.equal(mask[:, 0] == 0, batch.visible & (distance < 24))
    assert (batch.visible & (distance >= 24)).any()


def test_facts_about_the_model() -> None:
    net = network("llama")
    assert (net.hidden_size, net.dtype, net.device.type) == (32, torch.float32, "cpu")


@pytest.mark.parametrize("blocks", [1, 3, 5])
def test_wrong_number_of_blocks(blocks: int) -> None:
    with pytest.raises(ModelError, match=rf"says blocks: {blocks}, but the weights have 4. Set blocks: 4"):
        Network(made("llama"), players_of(alike(blocks)), alike(blocks))


def test_wrong_kind_of_feed_forward() -> None:
    with pytest.raises(ModelError, match=r"says feed_forward: moe, but .* Set feed_forward: ffn"):
        Network(made("llama"), players_of(alike(4, "moe")), alike(4, "moe"))
    with pytest.raises(ModelError, match=r"says feed_forward: ffn, but .* Set feed_forward: moe"):
        Network(made("mixtral"), players_of(alike(4)), alike(4))


def test_what_the_config_says_of_mixed_blocks_is_compared() -> None:
    model = types.make("deepseek_v3")
    kinds = read_kinds(["attn+ffn", "3 x attn+moe"])
    assert Network(model, players_of(kinds), kinds).layouts[0].kinds == ("attn", "ffn")
    wrong = alike(4, "moe")
    with pytest.raises(ModelError, match=r"block 0 holds attn\+moe, but .* attn\+ffn. Set `sublayers: .*3 x attn\+moe"):
        Network(model, players_of(wrong), wrong)


@pytest.mark.parametrize(("model_type", "said"), [("bert", "has no list of 4 blocks"), ("xlnet", "is not recognised")])
def test_a_model_that_is_not_understood(model_type: str, said: str) -> None:
    with pytest.raises(ModelError, match=said) as caught:
        Network(types.make(model_type), PLAYERS, alike(tiny.BLOCKS))
    assert "docs/architectures.md" in str(caught.value)


def test_a_wrong_number_of_experts_says_which() -> None:
    model = made("mixtral")
    count = model.config.num_local_experts
    with pytest.raises(ModelError, match=f"experts: {count + 1}, but the mixtures of the weights have {count} experts"):
        Network(model, experts_of(alike(tiny.BLOCKS, "moe"), count + 1), alike(tiny.BLOCKS, "moe"))


def test_experts_add_up_to_their_mixture() -> None:
    model = made("mixtral")
    count = model.config.num_local_experts
    net = tiny.network(model, "mixtral", experts_of(alike(tiny.BLOCKS, "moe"), count))
    batch = one_batch()
    with torch.inference_mode():
        x, context = net.embed(batch)
        parts = [net.contribution((1, (e,)), x, context) for e in range(count)]
        whole = net.contribution((1, None), x, context)
    torch.testing.assert_close(sum(parts), whole, rtol=1e-4, atol=1e-5)
    assert any(part.abs().max() > 0.01 for part in parts)
