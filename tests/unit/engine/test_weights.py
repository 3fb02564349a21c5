from __future__ import annotations

import torch

from cornerstone.engine.weights import ALIGNMENT, Footprint, Resident, Traffic, aligned, footprint
from tests import tiny


def test_resident_does_nothing() -> None:
    weights = Resident()
    with weights.walk([0, 1]):
        weights.use(1)


def test_alignment() -> None:
    assert [aligned(n) for n in (0, 1, ALIGNMENT, ALIGNMENT + 1)] == [0, ALIGNMENT, ALIGNMENT, 2 * ALIGNMENT]


def test_share_of_waiting() -> None:
    assert Traffic().share_waited == 0
    assert Traffic(waited=1, seconds=4).share_waited == 0.25


def test_footprint() -> None:
    weights = Footprint(fixed=10, units=(1, 5, 2))
    assert (weights.resident, weights.streamed(2)) == (18, 20)


def test_footprint_counts_every_parameter_once() -> None:
    for name in ("llama", "gemma2", "mixtral", "gpt_neox", "gpt_neox_sequential"):  # untied, tied, experts, parallel
        model = tiny.make(name)
        found = footprint(model)
        total = sum(parameter.nbytes for parameter in model.parameters())
        most = total + ALIGNMENT * len(list(model.parameters()))
        assert total <= found.resident <= most
        assert len(found.units) == tiny.BLOCKS * (1 if name == "gpt_neox" else 2)
        fixed = total - sum(p.nbytes for p in model.get_submodule(layers(name)).parameters())
        assert found.fixed == fixed


def layers(name: str) -> str:
    return "gpt_neox.layers" if name.startswith("gpt_neox") else "model.layers"


def test_footprint_needs_no_values() -> None:
    model = tiny.make("llama")
    assert footprint(model.to("meta")) == footprint(tiny.make("llama"))
    assert next(model.parameters()).device == torch.device("meta")
