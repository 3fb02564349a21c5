"""Which processors compute a model's number format slowly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cornerstone.command import doctor
from cornerstone.schedule.processor import instructions, slow_formats
from tests.helpers import configured


def test_what_the_processor_can_do_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text("processor\t: 0\nflags\t\t: fpu avx2 avx512_bf16\n\nprocessor\t: 1\nflags\t\t: fpu\n")
    assert instructions(path) == {"fpu", "avx2", "avx512_bf16"}
    path.write_text("processor : 0\nFeatures : fp asimd bf16\n")
    assert instructions(path) == {"fp", "asimd", "bf16"}
    path.write_text("no such line\n")
    assert instructions(path) == set()
    assert instructions(tmp_path / "nowhere") == set()


@pytest.mark.parametrize(
    ("changes", "there", "slow"),
    [
        ({"models.tiny.dtype": "bfloat16"}, {"avx2"}, True),
        ({"models.tiny.dtype": "float16"}, {"avx2", "avx512_bf16"}, True),
        ({"models.tiny.dtype": "bfloat16"}, {"avx2", "avx512_bf16"}, False),
        ({"models.tiny.dtype": "bfloat16"}, {"bf16"}, False),
        ({"models.tiny.dtype": "float32"}, {"avx2"}, False),
        ({"models.tiny.dtype": "bfloat16"}, set(), False),  # nothing is known
        ({"models.tiny.dtype": "bfloat16", "models.tiny.resources": {"gpus": 1}}, {"avx2"}, False),
        ({"models.tiny.dtype": "bfloat16", "models.tiny.device_map": "cuda:0"}, {"avx2"}, False),
    ],
)
def test_what_is_slow_here_is_said(changes: dict[str, Any], there: set[str], slow: bool) -> None:
    said = list(slow_formats({"tiny": configured(changes).models["tiny"]}, there))
    assert [each.startswith("tiny: this processor has no instructions for") for each in said] == [True] * slow


def test_the_doctor_says_it_and_calls_nothing_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.processor, "instructions", lambda: {"avx2"})
    monkeypatch.setattr(doctor.preflight, "look", lambda *_: [])
    config = configured({"models.tiny.dtype": "bfloat16"})
    said = doctor.doctor(config)
    assert said.text.splitlines()[0].startswith("SLOW: tiny: this processor has no instructions for bfloat16")
    assert not said.code
    assert len(said.data["slow"]) == 1
    assert doctor.doctor(config, cluster=True).data["slow"] == []
