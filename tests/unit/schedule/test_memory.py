"""What a budget is spent on, and what is said when it is too small."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen2Config

from cornerstone.config import config
from cornerstone.engine import network
from cornerstone.engine.weights import Footprint
from cornerstone.errors import ConfigError
from cornerstone.schedule import limits, memory
from cornerstone.schedule.limits import GIB, OF_FREE, Limit, stated
from cornerstone.schedule.memory import IN_HAND, PROCESS, Room, working_bytes
from tests import tiny
from tests.helpers import configured, raw

WEIGHTS = Footprint(fixed=1 * GIB, units=(1 * GIB, 2 * GIB) * 5)  # 16 GiB in memory, 5 streamed
WORKING, STATE = GIB // 4, GIB // 16
BESIDE = PROCESS + WORKING
"""One GiB: process and working memory."""


def decide(budget: float, weights: Literal["auto", "resident", "streamed"] = "auto", gpus: int = 0) -> Room:
    return memory._room(weights, stated(budget), WEIGHTS, WORKING, STATE, gpus)


def test_weights_stay_in_memory_where_they_fit_with_eight_coalitions() -> None:
    assert decide(18) == Room("resident", 16 * GIB, WORKING, 1 * GIB)
    assert decide(30).states == 13 * GIB
    assert decide(17.9).weights == "streamed"


def test_else_they_are_streamed() -> None:
    assert decide(10) == Room("streamed", 5 * GIB, WORKING, 4 * GIB - IN_HAND * STATE)
    assert decide(17.9).streamed


def test_streaming_when_it_is_asked_for() -> None:
    assert decide(30, "streamed") == Room("streamed", 5 * GIB, WORKING, 24 * GIB - IN_HAND * STATE)


def test_what_is_resident_is_walked_whatever_the_budget() -> None:
    assert decide(0.001, "resident") == Room("resident", 16 * GIB, WORKING, 2 * STATE)
    assert decide(20, "resident").states == 3 * GIB


def test_what_several_gpus_do_not_hold_is_streamed_through_one() -> None:
    assert decide(30, gpus=2) == Room("resident", 16 * GIB, WORKING, 6 * GIB)
    assert decide(16, gpus=2) == Room("streamed", 5 * GIB, WORKING, 2 * GIB - IN_HAND * STATE)
    entry = configured({"models.tiny.resources": {"gpus": 2}}).models["tiny"]
    assert "one of its 2 GPUs computes, the others idle: set resources.gpus to 1" in memory.why_streamed(entry)
    assert "GPU" not in memory.why_streamed(configured().models["tiny"])


@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
def test_a_device_that_is_named_has_all_weights(device: str) -> None:
    changes = {"models.tiny.resources": {"gpus": 2}, "models.tiny.device_map": device}
    alone = configured({**changes, "models.tiny.memory": {"weights": "streamed"}}).models["tiny"]
    shared = configured({**changes, "models.tiny.device_map": "auto"}).models["tiny"]
    limit = stated(40)
    assert memory.room("tiny", alone, limit, qwen(), [2048], 200).streamed
    assert "GPU" not in memory.why_streamed(alone)
    found = memory.room("tiny", shared, limit, qwen(), [2048], 200)
    assert found.states < 0.5 * limit.bytes


@pytest.mark.parametrize("weights", ["auto", "resident", "streamed"])
def test_memory_that_nobody_knows_yet(weights: Literal["auto", "resident", "streamed"]) -> None:
    found = memory._room(weights, None, WEIGHTS, WORKING, STATE, 0)
    assert found.streamed == (weights == "streamed")
    assert found.states > 1000 * STATE


def qwen() -> Any:
    """The shapes of Qwen2.5-0.5B."""
    sizes = Qwen2Config(
        hidden_size=896,
        intermediate_size=4864,
        vocab_size=151936,
        tie_word_embeddings=False,  # as in a GGUF file
        num_attention_heads=14,
        num_key_value_heads=2,
        num_hidden_layers=24,
    )
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(sizes, dtype=torch.bfloat16)


@pytest.mark.parametrize(("free", "weights"), [(3.75, "resident"), (2.2, "streamed")])
def test_a_model_of_half_a_billion_needs_no_key(free: float, weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three GiB (of 3.75 that are free) were "too little": the logits of a CPU were counted as those of a GPU."""
    entry = config.load(raw({"models.half": {"source": "folder", "id": "/nowhere", "blocks": 24}})).models["half"]
    monkeypatch.setattr(limits, "host", lambda own=0: [Limit(int(free * GIB), "x", OF_FREE, 1, "")])
    found = memory.room("half", entry, limits.of_job("half", entry), qwen(), [2048] * 20, 200)
    assert found.weights == weights
    assert found.weight_bytes + found.states <= OF_FREE * free * GIB


def test_too_little_names_model_and_limit() -> None:
    entry = configured().models["tiny"]
    little = Limit(GIB, "what this machine has free", OF_FREE, 2, "Close something until {least} GiB are free.")
    with pytest.raises(
        ConfigError, match=r"^models\.tiny: 0\.40 GiB \(80% of the 1\.00 of what this machine"
    ) as caught:
        memory.room("tiny", entry, little, qwen(), [2048], 200)
    assert "Close something until" in str(caught.value)


def test_rows_of_logits_are_those_of_the_engine() -> None:
    assert (memory._HEAD_ROWS, memory._HEAD_ROWS_GPU) == (network._HEAD_ROWS, network._HEAD_ROWS_GPU)
    wide = qwen()
    assert working_bytes(wide, 2048, 200, gpu=True) - working_bytes(wide, 2048, 200) == (2048 - 256) * 151936 * 6


def test_several_gpus_share_weights_but_not_states() -> None:
    assert decide(40, gpus=4) == Room("resident", 16 * GIB, WORKING, 5 * GIB)
    with pytest.raises(ConfigError, match=r"computes on one GPU, and resources\.gpus is 4\. Set it to 1"):
        decide(40, "streamed", gpus=4)


@pytest.mark.parametrize(("weights", "gpus"), [("auto", 0), ("streamed", 1), ("auto", 4)])
def test_too_little_says_how_much_is_enough(weights: Literal["auto", "streamed"], gpus: int) -> None:
    with pytest.raises(ConfigError, match=r"5 GiB \(memory.budget_gb\) is too little even to stream") as caught:
        decide(5, weights, gpus)
    enough = float(str(caught.value).split("Set it to ")[1].split(" ")[0])
    assert decide(enough, weights, gpus).states >= STATE
    with pytest.raises(ConfigError):
        decide(enough - 0.02, weights, gpus)


def test_a_small_model_is_not_streamed_for_lack_of_states() -> None:
    """Two slots may be larger than a model of one block: then streaming gains nothing."""
    small = Footprint(fixed=GIB, units=(GIB, GIB))
    found = memory._room("auto", stated(3 + 1 + 0.5), small, WORKING, STATE, 0)
    assert found.weights == "resident"


@pytest.mark.parametrize("name", tiny.TINY)
def test_working_memory_grows_with_what_is_computed(name: str) -> None:
    model: Any = tiny.make(name).to("meta")
    small, wide, many = (working_bytes(model, *shape) for shape in ((64, 32), (64, 64), (128, 32)))
    assert 0 < small <= wide
    assert small < many
    intermediate = 32 if name == "qwen3_moe" else 64  # two experts of half the width
    assert small > 64 * intermediate * 4


def test_said_in_words() -> None:
    assert str(decide(10)) == ("weights streamed (5.00 GiB), 3.81 GiB for hidden states, 0.25 to compute a sublayer")
