from __future__ import annotations

from typing import Any

import pytest
import torch

from cornerstone.forecast import speed
from cornerstone.forecast.speed import Speed
from tests.helpers import configured


def found(changes: dict[str, Any]) -> Speed:
    return speed.speed_of("tiny", configured(changes).models["tiny"], (64, 32))


def test_the_configs_speed_is_taken() -> None:
    got = found({"models.tiny.tflops": 120, "models.tiny.resources": {"gpus": 8}})
    assert (got.tflops, got.source) == (120, "config")


def test_else_speed_is_measured() -> None:
    got = found({"models.tiny.threads": 1})
    assert got.source == "measured here"
    assert got.tflops is not None
    assert 1e-6 < got.tflops < 1e3


@pytest.mark.parametrize(
    "changes", [{"models.tiny.resources": {"gpus": 2}}, {"models.tiny.device_map": "cuda:0"}], ids=["gpus", "device"]
)
def test_a_cpu_says_nothing_about_a_gpu(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    got = found(changes)
    assert (got.tflops, got.source) == (None, "")
    assert "Set `models.tiny.tflops`" in got.note


def test_measuring_leaves_torchs_threads_alone() -> None:
    before = torch.get_num_threads()
    assert speed.product_rate((8, 16), 4, "bfloat16", "cpu", before + 1, seconds=0) > 0
    assert torch.get_num_threads() == before


def test_a_busy_machine_is_as_fast_as_an_idle_one(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(100))
    monkeypatch.setattr(speed.time, "process_time", lambda: 0.5 * next(ticks))
    assert speed.product_rate((8, 16), 4, "float32", "cpu", 1, seconds=0) == 2 * 4 * 8 * 16 / 0.5


@pytest.mark.parametrize(("faster", "said"), [(6.3, True), (1.4, False)])
def test_a_number_format_that_is_much_faster_here_is_said(
    faster: float, said: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = {"bfloat16": 1e11, "float32": faster * 1e11}
    monkeypatch.setattr(speed, "product_rate", lambda shape, rows, dtype, device, threads: rates[dtype])
    note = found({"models.tiny.dtype": "bfloat16"}).note
    assert ("In float32 they are 6.3 times as fast here: set `models.tiny.dtype: float32`." in note) == said
    assert "float32" not in found({"models.tiny.dtype": "float32"}).note
