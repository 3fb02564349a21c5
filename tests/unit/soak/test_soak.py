"""The soak itself: its cases stay the same, and it tells a good end from a bad one."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import psutil
import pytest

from tests.soak import configs, corruptions, kills, models, report, strings
from tests.soak.lab import contents
from tests.soak.outcomes import GOOD, Case, Ended, Outcome, Said, call, until

EVERY = {
    "kills": (kills, 100),
    "corruptions": (corruptions, 200),
    "configs": (configs, 150),
    "strings": (strings, 30),
    "models": (models, 30),
}


@pytest.mark.parametrize("kind", EVERY)
def test_cases_are_many_and_stay_the_same(kind: str) -> None:
    made: list[list[Case]] = [EVERY[kind][0].cases() for _ in range(2)]
    assert len(made[0]) == EVERY[kind][1]
    assert [case.number for case in made[0]] == list(range(len(made[0])))
    assert [case.what for case in made[0]] == [case.what for case in made[1]]
    assert kind == "kills" or len({case.what for case in made[0]}) == len(made[0])
    assert {case.kind for case in made[0]} == {kind}
    assert kind in report.KINDS


@pytest.mark.parametrize(
    ("code", "text", "ended"),
    [
        (None, "", Ended.HANG),
        (1, "Traceback (most recent call last):\nKeyError: a.json", Ended.TRACEBACK),
        (0, "Traceback (most recent call last):\n", Ended.TRACEBACK),
        (1, "StoreError: x/a.json can't be read", Ended.NAMED),
        (1, "StoreError: something can't be read", Ended.UNNAMED),
        (0, "a.json", None),
    ],
)
def test_how_a_command_ended(code: int | None, text: str, ended: Ended | None) -> None:
    found = Said(code, text).refusal("a.json")
    assert (found and found.ended) == ended


def test_what_does_not_end_is_ended_with_what_it_started(tmp_path: Path) -> None:
    child = "import subprocess, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    found = call([sys.executable, "-c", child], tmp_path, tmp_path / "out", seconds=1)
    assert found.code is None
    assert until(
        lambda: not psutil.pid_exists(int(found.text)) or psutil.Process(int(found.text)).status() == "zombie", 5
    )
    said = call([sys.executable, "-c", "print(input())"], tmp_path, tmp_path / "out", answer=b"y\n")
    assert (said.code, said.text) == (0, "y\n")


def test_every_damage_changes_the_file(tmp_path: Path) -> None:
    import random

    held = b'{"loglikelihood": [-12.25, -3.5]}\n'
    for name, damage in corruptions.DAMAGES.items():
        path = tmp_path / "case" / f"{name.replace('/', '')}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(held)
        (tmp_path / "config.yaml").write_text("other")
        damage(path, random.Random(0), tmp_path)
        same = path.is_file() and not path.is_symlink() and path.read_bytes() == held
        assert not same or path.stat().st_mode & 0o777 == 0, name


def test_what_differs_from_an_undisturbed_run_is_seen(tmp_path: Path) -> None:
    """Also below a hidden folder, which is where the soak works."""
    folder, result = tmp_path / ".cache" / "case", "results/tiny/arc_easy/coalitions/full.json"

    def lay(seconds: int, score: float) -> dict[str, str]:
        held = {"results": score, "provenance": {"jobs": [{"seconds": seconds}]}, "sha256": {"others": str(seconds)}}
        for name, text in (
            (result, json.dumps(held)),
            ("model/weights", "w"),
            ("results/.sha256/a.sha256", str(score)),
        ):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        (folder / "results/.left.json").write_text(str(seconds))
        return contents(folder)

    assert set(lay(1, 0.5)) == {result, "model/weights", "results/.sha256/a.sha256"}
    assert lay(1, 0.5) == lay(2, 0.5)  # but for the time that it took
    assert {name for name in lay(1, 0.5) if lay(1, 0.5)[name] != lay(1, 0.6)[name]} == {
        result,
        "results/.sha256/a.sha256",
    }
    (folder / result).write_text("{")
    assert contents(folder)[result] != lay(1, 0.5)[result]
    (folder / result).unlink()
    os.mkfifo(folder / result)
    assert contents(folder)[result] == "no file"


def test_a_bad_end_is_named_and_a_case_has_one_row(tmp_path: Path) -> None:
    rows = report.read(tmp_path / "none.csv")
    for ended in (Ended.NAMED, Ended.USED):
        rows = report.add(rows, tmp_path / "a.csv", ("kills", 7), ["kills", 7, "TERM", str(ended), "so", 1.0, "abc"])
    rows = report.add(rows, tmp_path / "a.csv", ("configs", 1), ["configs", 1, "b", str(Ended.NAMED), "", 1.0, "abc"])
    assert report.read(tmp_path / "a.csv")["ended"].tolist() == ["silently used", "refused and named"]
    assert report.told(report.failed(rows)) == ["kills 7, TERM: silently used. so"]
    page = report.page(rows, {"kills": 100, "configs": 150})
    assert "kills 7, TERM: silently used" in page
    assert "248 of the cases were not tried yet" in page
    assert {Ended.USED, Ended.RAN, Ended.TRACEBACK, Ended.HANG, Ended.WRONG, Ended.UNNAMED}.isdisjoint(GOOD)


def test_no_folder_of_the_machine_gets_into_the_rows(tmp_path: Path) -> None:
    said = Outcome(Ended.NAMED, f"{tmp_path}/a\x1b[2J\nb {tmp_path}")
    assert report.short(said, tmp_path) == "a?[2J b ."
