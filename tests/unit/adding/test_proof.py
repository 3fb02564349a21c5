"""A layout is proven on a tiny copy, and a wrong one is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from cornerstone.adding import proof, small
from cornerstone.engine import structure
from cornerstone.engine.layouts import BlockLayout
from cornerstone.errors import ModelError
from tests import types


def full_size(model_type: str, **settings: Any) -> Any:
    """A model as large as its type's configuration says by itself, without memory."""
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(CONFIG_MAPPING[model_type](**settings)).eval()


@pytest.mark.parametrize(
    ("model_type", "blocks"),
    [
        ("llama", 2),
        ("gpt2", 2),
        ("mixtral", 2),
        ("gemma2", 2),  # sliding, full
        ("deepseek_v3", 4),  # three dense blocks, then mixtures
        ("qwen3_next", 4),  # three with linear attention, then one with softmax
        ("jamba", 5),  # attention in the fifth
        ("mamba", 2),
        ("minimax", 2),  # tables of decays, which make its attention causal
        ("gemma3", 6),  # with a vision tower; five sliding, one full
    ],
)
def test_a_model_of_full_size_is_proven_on_the_fewest_blocks(model_type: str, blocks: int) -> None:
    assert proof.prove(full_size(model_type)) == blocks


def test_a_small_model_is_proven_as_it_is() -> None:
    model = types.make("llama")
    (first, *_) = small.small_copies(model.config, small.kinds_of_blocks(model))
    assert first is model.config
    assert proof.prove(model) == types.BLOCKS


def test_a_copy_keeps_the_scales_of_its_type() -> None:
    model = full_size("granite", residual_multiplier=0.22, embedding_multiplier=12.0)
    (_, copy, *_) = small.small_copies(model.config, small.kinds_of_blocks(model))
    assert (copy.residual_multiplier, copy.embedding_multiplier) == (0.22, 12.0)
    assert (copy.num_hidden_layers, copy.hidden_size) == (2, 32)


def test_a_type_without_a_tiny_copy_is_left_to_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "LARGEST", 1000)
    assert proof.prove(full_size("llama")) is None


def one_less(layout: BlockLayout) -> BlockLayout:
    return dataclasses.replace(layout, steps=layout.steps[:-1])


def swapped(layout: BlockLayout) -> BlockLayout:
    return dataclasses.replace(layout, steps=layout.steps[::-1])


def parallel(layout: BlockLayout) -> BlockLayout:
    """Both sublayers read the same stream."""
    (first, second) = layout.steps
    return dataclasses.replace(
        layout, steps=(dataclasses.replace(first, sublayers=first.sublayers + second.sublayers),)
    )


def without_fixed(layout: BlockLayout) -> BlockLayout:
    return dataclasses.replace(layout, steps=tuple(dataclasses.replace(step, fixed=None) for step in layout.steps))


@pytest.mark.parametrize(
    ("model_type", "wrong"),
    [("llama", one_less), ("llama", swapped), ("llama", parallel), ("gemma4_text", without_fixed), ("bloom", swapped)],
)
def test_a_wrong_layout_is_refused(model_type: str, wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = types.make(model_type)
    right = structure.layouts_of(model)
    assert [wrong(layout) for layout in right] != list(right)
    real = structure.running_layouts

    def broken(*given: Any) -> tuple[BlockLayout, ...]:
        return tuple(wrong(layout) for layout in real(*given))

    proof.disturb(model)
    proof.compare(model)
    monkeypatch.setattr(structure, "running_layouts", broken)
    monkeypatch.setattr(structure, "layouts_of", lambda model: tuple(wrong(layout) for layout in right))
    with pytest.raises(ModelError, match=r"block 0 of this \w+ model is not understood"):
        proof.compare(model)


def test_what_runs_but_not_by_sublayers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(model: Any) -> None:
        raise AttributeError("no such thing\nand more")

    monkeypatch.setattr(proof, "compare", broken)
    with pytest.raises(
        ModelError, match=r"not sublayer by sublayer \(AttributeError: no such thing\)\. Choose another"
    ):
        proof.prove(types.make("llama"))
