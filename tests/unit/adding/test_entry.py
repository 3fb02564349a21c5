"""What is written of a model: its name, its keys, and what it asks of a cluster."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cornerstone.adding.description import Description
from cornerstone.adding.entry import GIB, choose_name, estimate, make_entry
from cornerstone.assets.look import Origin
from cornerstone.config.models import Model
from cornerstone.errors import ConfigError
from cornerstone.game.players import Kinds, alike

COMMIT = "abcdef1" + "0" * 33
HUB = Origin("hub", "org/Model-7B", COMMIT)


def described(kinds: Kinds, weights: float = 1.0, experts: int | None = None) -> Description:
    """A model of so many GiB in bfloat16."""
    count = int(weights * GIB / 2)
    return Description("some", kinds, "bfloat16", count, 2 * count, count, experts, False, None, 1)


@pytest.mark.parametrize(
    ("origin", "taken", "name"),
    [
        (Origin("hub", "Qwen/Qwen2.5-0.5B", COMMIT), [], "qwen2.5-0.5b"),
        (Origin("hub", "gpt2", COMMIT), [], "gpt2"),
        (Origin("hub", "gpt2", COMMIT), ["gpt2"], "gpt2-abcdef1"),
        (Origin("hub", "gpt2", COMMIT), ["gpt2", "gpt2-abcdef1"], "gpt2-2"),
        (Origin("folder", "/models/My Model (new)/"), [], "my-model-new"),
        (Origin("folder", "/models/x"), ["x", "x-2"], "x-3"),
        (Origin("folder", "/models/Ω"), [], "model"),
        (Origin("gguf", "/models/SmolLM2-135M.Q4_1.gguf"), [], "smollm2-135m.q4_1"),
    ],
)
def test_a_name_is_made_of_the_models_own(origin: Origin, taken: list[str], name: str) -> None:
    assert choose_name(origin, taken) == name


def test_a_name_can_be_chosen() -> None:
    assert choose_name(HUB, ["other"], "mine") == "mine"
    with pytest.raises(ConfigError, match="--name mine: there is a model of this name"):
        choose_name(HUB, ["mine"], "mine")
    with pytest.raises(ConfigError, match="--name Mine: a model's name has lower-case letters"):
        choose_name(HUB, [], "Mine")


MIXED: Kinds = (("attn", "ffn"), ("attn", "moe"), ("attn", "moe"))


@pytest.mark.parametrize(
    ("kinds", "experts", "keys"),
    [
        (alike(3), None, {}),
        (alike(3, "moe"), 8, {"feed_forward": "moe"}),
        (MIXED, 8, {"sublayers": ["attn+ffn", "2 x attn+moe"]}),
        ((("mamba",),) * 3, None, {"sublayers": ["3 x mamba"]}),
    ],
)
def test_keys_say_who_the_players_are(kinds: Kinds, experts: int | None, keys: dict[str, object]) -> None:
    entry = make_entry("m", HUB, described(kinds, experts=experts), 100)
    about = {key: entry.keys[key] for key in ("feed_forward", "sublayers") if key in entry.keys}
    assert about == keys
    assert "memory" not in entry.keys
    assert "experts" not in entry.keys
    assert any("experts: 8" in remark for remark in entry.remarks.values()) == (experts is not None)
    assert Model.model_validate(entry.keys).kinds() == kinds


def test_a_commit_is_pinned_and_a_folder_is_not() -> None:
    assert make_entry("m", HUB, described(alike(1)), None).keys["revision"] == COMMIT
    assert "revision" not in make_entry("m", Origin("folder", "x"), described(alike(1)), None).keys


def test_quantised_weights_are_named() -> None:
    entry = make_entry("m", HUB, replace(described(alike(1)), quantised="gptq"), None)
    assert entry.remarks["id"] == "quantised (gptq); sizes are those of plain weights"


@pytest.mark.parametrize(
    ("weights", "gpus", "memory"),
    [
        (0.25, 0, 8),
        (2.0, 0, 8),
        (2.5, 1, 8),
        (15.0, 1, 22),
        (54.0, 1, 69),
        (56.0, 2, 72),
        (131.0, 3, 162),
        (600.0, 1, 64),
    ],
)
def test_gpus_and_memory_follow_from_the_size(weights: float, gpus: int, memory: int) -> None:
    asked = estimate(described(alike(32), weights), 100)
    assert (asked["gpus"], asked["memory_gb"]) == (gpus, memory)


def test_what_streams_says_so() -> None:
    assert "streamed to one" in make_entry("m", HUB, described(alike(80), 600.0), 100).remarks["resources"]
    assert "streamed" not in make_entry("m", HUB, described(alike(80), 131.0), 100).remarks["resources"]


def test_minutes_follow_from_arithmetic() -> None:
    # 2 FLOP x 4e9 entries x 200 tokens x 1000 documents x 2 x 64 sublayers = 2.0e17, three times that at 125 TFLOP/s
    model = replace(described(alike(32), 8.0), multiplied=4e9)
    assert estimate(model, None)["runtime_minutes"] == 90  # 81.9 of arithmetic, 0.9 of reading
    assert estimate(model, 2)["runtime_minutes"] == 60
    assert estimate(replace(model, multiplied=1e12), None)["runtime_minutes"] == 24 * 60
    on_cpu = replace(described(alike(30), 0.25), multiplied=9e7)
    assert estimate(on_cpu, 24)["runtime_minutes"] == estimate(on_cpu, 100)["runtime_minutes"] == 240  # 216.0
    assert estimate(on_cpu, 110)["runtime_minutes"] == 240  # 237.6
    assert estimate(on_cpu, 120)["runtime_minutes"] == 270  # 259.2
    assert estimate(described(alike(80), 600.0), 2)["runtime_minutes"] == 24 * 60


def test_a_gpu_gets_larger_batches() -> None:
    assert make_entry("m", HUB, described(alike(32), 15.0), 100).keys["batch_tokens"] == 16384
    assert "batch_tokens" not in make_entry("m", HUB, described(alike(32), 1.0), 100).keys
