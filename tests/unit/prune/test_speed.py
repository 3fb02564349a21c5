"""How fast a pruned model is: shares of the original's time, in turns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from cornerstone.errors import ModelError
from cornerstone.prune import speed
from cornerstone.prune.speed import Speed, measured
from tests import tiny


def folder(place: Path, name: str = "llama") -> Path:
    tiny.make(name).save_pretrained(place)
    return place


class Clock:
    """Says the seconds of each pair of stretches that it is given, one after another."""

    def __init__(self, *stretches: float) -> None:
        self.now, self.left = 0.0, list(stretches)

    def __call__(self) -> float:
        before, self.now = self.now, self.now + (self.left.pop(0) if self.left else 0.0)
        return before


def test_shares_are_medians_of_what_was_timed_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run looks at the clock three times: reading, writing, and a stretch between two runs."""
    warm = (1.0, 1.0, 0.0) * 2
    rounds = [(2.0, 4.0, 9.0, 1.0, 3.0, 9.0), (2.0, 4.0, 9.0, 1.5, 2.0, 9.0), (4.0, 8.0, 9.0, 1.0, 8.0, 9.0)]
    monkeypatch.setattr(speed.time, "perf_counter", Clock(*warm, *(each for one in rounds for each in one)))
    found = measured(folder(tmp_path / "a"), folder(tmp_path / "b"), rounds=3)
    assert found.reading == (0.5, 0.25, 0.75)
    assert found.writing == (0.75, 0.5, 1.0)
    assert found.words() == (
        f"Measured on the CPU with 1 thread: it reads a prompt of {found.prompt} tokens in 50% (25% to 75%) of the "
        "original's time and writes tokens in 75% (50% to 100%) of it (3 rounds, in turns)."
    )
    assert json.loads(json.dumps(found.facts()))["reading"] == [0.5, 0.25, 0.75]


def test_a_prompt_and_what_is_written_fit_into_the_model(tmp_path: Path) -> None:
    model: Any = tiny.make("gpt2")
    model.save_pretrained(tmp_path / "a")
    found = measured(tmp_path / "a", tmp_path / "a", rounds=1)
    assert found.prompt + speed.WRITTEN <= model.config.max_position_embeddings
    assert found.reading[0] > 0
    assert found.writing is not None


def test_a_model_without_a_cache_of_keys_and_values_is_timed_on_its_prompt() -> None:
    found = Speed(512, (0.9, 0.8, 1.0), None, "cuda:0", 4, 7)
    assert found.words() == (
        "Measured on cuda:0: it reads a prompt of 512 tokens in 90% (80% to 100%) of the original's time (7 rounds, "
        "in turns)."
    )


def test_too_little_memory_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> Any:
        raise torch.OutOfMemoryError("no")

    monkeypatch.setattr(speed, "_Timed", full)
    with pytest.raises(ModelError, match=r"don't fit into the memory of cpu\. Leave out --speed"):
        measured(tmp_path, tmp_path)
