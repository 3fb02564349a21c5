"""What a budget is spent on, and what is said when it is too small."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from cornerstone.config.models import Memory
from cornerstone.engine.weights import Footprint
from cornerstone.errors import ConfigError
from cornerstone.schedule import memory
from cornerstone.schedule.memory import GIB, IN_HAND, PROCESS, Room, working_bytes
from tests import tiny

WEIGHTS = Footprint(fixed=1 * GIB, units=(1 * GIB, 2 * GIB) * 5)  # 16 GiB in memory, 5 streamed
WORKING, STATE = GIB // 4, GIB // 16
BESIDE = PROCESS + WORKING
"""One GiB: process and working memory."""


def decide(budget: float, weights: Literal["auto", "resident", "streamed"] = "auto", gpus: int = 0) -> Room:
    return memory._room(Memory(budget_gb=budget, weights=weights), WEIGHTS, WORKING, STATE, gpus)


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


def test_several_gpus_share_weights_but_not_states() -> None:
    assert decide(40, gpus=4) == Room("resident", 16 * GIB, WORKING, 5 * GIB)
    with pytest.raises(ConfigError, match=r"computes on one GPU, and resources\.gpus is 4\. Set it to 1"):
        decide(40, "streamed", gpus=4)


@pytest.mark.parametrize(("weights", "gpus"), [("auto", 0), ("streamed", 1), ("auto", 4)])
def test_too_little_says_how_much_is_enough(weights: Literal["auto", "streamed"], gpus: int) -> None:
    with pytest.raises(ConfigError, match=r"budget_gb: 5 is too little: weights take 16\.00 GiB") as caught:
        decide(5, weights, gpus)
    enough = float(str(caught.value).split("Set it to ")[1].split(" ")[0])
    assert decide(enough, weights, gpus).states >= STATE
    with pytest.raises(ConfigError):
        decide(enough - 0.02, weights, gpus)


def test_a_small_model_is_not_streamed_for_lack_of_states() -> None:
    """Two slots may be larger than a model of one block: then streaming gains nothing."""
    small = Footprint(fixed=GIB, units=(GIB, GIB))
    found = memory._room(Memory(budget_gb=3 + 1 + 0.5), small, WORKING, STATE, 0)
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
