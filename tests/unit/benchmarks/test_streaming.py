"""The benchmark of streaming, on a model that takes no time."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import large, streaming
from benchmarks.large import Settings, Shape
from cornerstone.engine.streaming.checkpoint import stored_tensors
from cornerstone.engine.weights import footprint
from cornerstone.forecast.flop import Documents

TINY = Shape(blocks=3, hidden=64, intermediate=128, heads=4, key_heads=2, vocabulary=1100)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("large") / "model"
    large.generate(made, TINY)
    return made


def test_shards_hold_the_whole_model(folder: Path) -> None:
    names = {name for name, _ in streaming.outline(TINY).model.named_parameters()}
    found = stored_tensors(folder)
    assert found.keys() == names
    assert {stored.dtype for stored in found.values()} == {"BF16"}
    assert len(list(folder.glob("*.safetensors"))) == 1 + TINY.blocks
    assert large.read_rate(folder) > 0


def test_a_job_of_each_kind(folder: Path, tmp_path: Path) -> None:
    outcomes = []
    for weights in ("resident", "streamed"):
        (tmp_path / weights).mkdir()
        settings = Settings(TINY.blocks, weights, 3.0, streaming.SOME, 2, threads=1)
        outcomes.append(large.job(folder, settings, tmp_path / weights))
    resident, streamed = outcomes
    assert resident.scores == streamed.scores
    assert (resident.walks, resident.read, streamed.walks) == (0, 0, 1)
    blocks = sum(footprint(streaming.outline(TINY).model).units)
    assert 0.99 * blocks < streamed.read <= blocks
    assert 0 <= streamed.waited <= streamed.seconds
    assert streamed.peak > 1e8
    torch.set_num_threads(1)


def test_the_forecast_by_hand() -> None:
    network = streaming.outline(TINY)
    units = footprint(network.model).units
    needed = streaming.needs(network, ("full",), 2)
    assert set(needed.evaluations.values()) == {1}
    documents = Documents(1, 10, 0, 1, (10,), 10)
    slow = streaming.forecast(network, needed, 1, documents, 1e30, 1e6)  # nothing but reading
    assert slow.seconds == pytest.approx(2 * sum(units) / 1e6)
    assert slow.share_waited == pytest.approx(1)
    quick = streaming.forecast(network, needed, 1, documents, 1e6, 1e30)  # nothing but arithmetic
    assert quick.share_waited == pytest.approx(0)
    total = streaming.Arithmetic.of(network).flops(needed.evaluations, 1, documents)
    assert quick.seconds == pytest.approx(total / 1e6)
    # the last two share attn0; drop-ffn0 and full differ after it
    several = streaming.needs(network, streaming.SOME, 1).evaluations
    assert [several[sublayer] for sublayer in range(6)] == [1, 2, 3, 3, 3, 3]
