from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from cornerstone.engine.encoding import encode
from cornerstone.engine.layouts import BlockLayout, Part, Step
from cornerstone.engine.network import Network
from cornerstone.engine.proof import prove
from cornerstone.engine.structure import blocks_of
from cornerstone.errors import ModelError
from cornerstone.game.players import players_of
from tests import tiny, types

REQUESTS = [
    [("Question: which is a source of energy?\nAnswer:", f" {choice}") for choice in ("wind", "coal gas")],
    [("How do you boil an egg? ", "Put it into hot water."), ("How do you boil an egg? ", "Put it into a tree.")],
]
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def loaded(model_type: str, dtype: torch.dtype = torch.float32) -> Network:
    model = types.make(model_type).to(dtype)
    network = Network(model, ())
    return Network(model, players_of(tuple(layout.kinds for layout in network.layouts)))


def proven(network: Network) -> None:
    prove(network, encode(network.model, tiny.tokenizer(), REQUESTS))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "model_type",
    ["llama", "gemma2", "olmo2", "gpt_neox", "cohere", "granite", "opt", "deepseek_v3", "llama4_text", "jamba", "bloom",
     "gemma4_text", "minimax", "openai-gpt"],
)  # fmt: skip
def test_what_is_understood_is_proven(model_type: str, dtype: torch.dtype) -> None:
    proven(loaded(model_type, dtype))


def without_step_before(block: torch.nn.Module, part: Part) -> Callable[..., Any]:
    """A sublayer whose first norm does nothing."""
    (norm, *_) = [name for name in part.modules if "norm" in name]

    def code(self: Any, x: Any, **arguments: Any) -> Any:
        module = getattr(self, norm)
        before, module.forward = module.forward, lambda y: y
        try:
            return part.code(self, x, **arguments)
        finally:
            module.forward = before

    return code


def scaled(factor: float) -> Callable[[torch.nn.Module, Part], Callable[..., Any]]:
    def wrong(block: torch.nn.Module, part: Part) -> Callable[..., Any]:
        return lambda self, x, **arguments: factor * part.code(self, x, **arguments)

    return wrong


def broken(network: Network, block: int, place: int, wrong: Callable[[torch.nn.Module, Part], Any]) -> None:
    """Put a wrong function in place of a sublayer's."""
    sublayers = [s for s in network._sublayers if s.place == block]
    part = network.layouts[block].sublayers[place]
    sublayers[place].code = wrong(blocks_of(network.model)[1][block], part)


WRONG: dict[str, tuple[str, int, Callable[[torch.nn.Module, Part], Any]]] = {
    "the norm before is left out": ("llama", 0, without_step_before),
    "the norm after is left out": ("olmo2", 1, without_step_before),
    "the scale of the residual is left out": ("granite", 1, scaled(2.0)),
    "the contribution is missing": ("qwen3_moe", 1, scaled(0.0)),
    "it is added twice": ("gpt_neox", 0, scaled(2.0)),
    "it is subtracted": ("opt", 1, scaled(-1.0)),
    "it is 10 % too large": ("bloom", 1, scaled(1.1)),
    "the mixer of a hybrid is missing": ("jamba", 0, scaled(0.0)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_sublayer_is_refused_by_name(what: str, dtype: torch.dtype) -> None:
    model_type, place, wrong = WRONG[what]
    network = loaded(model_type, dtype)
    broken(network, 2, place, wrong)
    name = next(player.name for player in network.players if player.block == 2 and player.position % 2 == place)
    with pytest.raises(
        ModelError, match=rf"block 2 of this \w+ model is not understood.* deviates by .* it is {name} "
    ):
        proven(network)


def in_a_row(layout: BlockLayout) -> BlockLayout:
    """Parallel sublayers one after another."""
    return replace(layout, steps=tuple(Step((part,)) for part in layout.sublayers))


def side_by_side(layout: BlockLayout) -> BlockLayout:
    """Sublayers that follow each other, in parallel."""
    return replace(layout, steps=(Step(layout.sublayers),))


def the_other_way(layout: BlockLayout) -> BlockLayout:
    return replace(layout, steps=layout.steps[::-1])


def nothing_fixed(layout: BlockLayout) -> BlockLayout:
    return replace(layout, steps=tuple(replace(step, fixed=None) for step in layout.steps if step.sublayers))


@pytest.mark.parametrize(
    ("model_type", "wrong"),
    [
        ("gpt_neox", in_a_row),
        ("cohere", in_a_row),
        ("llama", side_by_side),
        ("gemma2", the_other_way),
        ("openai-gpt", nothing_fixed),
        ("minimax", nothing_fixed),
    ],
)
def test_a_wrong_order_of_a_block_is_refused(
    model_type: str, wrong: Callable[[BlockLayout], BlockLayout], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cornerstone.engine import structure

    right = structure.running_layouts
    monkeypatch.setattr(structure, "running_layouts", lambda *args: tuple(wrong(layout) for layout in right(*args)))
    with pytest.raises(ModelError, match=r"block 0 of this [\w-]+ model is not understood"):
        proven(loaded(model_type))


def test_what_happens_between_blocks_is_seen_in_the_scores() -> None:
    """A head that is not the model's own: blocks agree, scores do not."""
    network = loaded("llama")
    own = network._logits
    network._logits = lambda x: own(2 * x) if x.shape[-1] else own(x)  # type: ignore[method-assign]
    with torch.no_grad():
        network.model.model.norm.forward = lambda x: x  # otherwise the norm undoes the factor
    with pytest.raises(ModelError, match=r"scores of this llama model are not those of transformers: log-likelihood"):
        proven(network)


def test_a_block_that_is_more_than_its_sublayers_is_refused() -> None:
    """zaya scales what it returns; the layout is read as if it did not."""
    with pytest.raises(ModelError, match="is not understood"):
        proven(loaded("zaya"))


@pytest.mark.parametrize("model_type", ["gpt_neox_japanese", "hy_v4"])
def test_a_model_whose_blocks_need_each_other_is_refused_in_one_message(model_type: str) -> None:
    with pytest.raises(ModelError, match=f"a model of type {model_type} does not run sublayer by sublayer") as caught:
        proven(loaded(model_type))
    assert "\n" not in str(caught.value)


def test_the_proof_costs_little() -> None:
    """Blocks run twice for one choice, the whole model once for each choice, and one sweep of one coalition."""
    network = loaded("llama")
    packed = encode(network.model, tiny.tokenizer(), REQUESTS)
    calls = []
    network.blocks[0].get_submodule("self_attn").register_forward_hook(lambda *_: calls.append(1))
    prove(network, packed)
    shortest = min(packed, key=lambda document: len(document) * document.choices)
    assert len(calls) == shortest.choices + 1 + 1
