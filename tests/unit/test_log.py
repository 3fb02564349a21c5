from __future__ import annotations

import gc
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cornerstone import log as console
from cornerstone.errors import CornerstoneError, ModelError
from tests.helpers import ROOT


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (61, "1:01"), (3599.6, "1:00:00"), (7325, "2:02:05")],
)
def test_clock(seconds: float, text: str) -> None:
    assert console.clock(seconds) == text


def test_unknown_durations_are_a_question_mark() -> None:
    assert console.clock(float("nan")) == "?"


def test_lines_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("hello")
    assert capsys.readouterr() == ("", "cornerstone: hello\n")


def test_stderr_also_goes_to_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "new" / "job.log"
    before = sys.stderr
    with console.script(str(log)):
        console.say("hello – 1")
        assert not sys.stderr.isatty()
    assert sys.stderr is before
    assert capsys.readouterr().err == log.read_text(encoding="utf-8") == "cornerstone: hello – 1\n"


@pytest.mark.parametrize("error", [CornerstoneError, ModelError])
def test_known_errors_are_one_message_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], error: type[CornerstoneError]
) -> None:
    with pytest.raises(SystemExit) as caught, console.script(str(tmp_path / "log")):
        raise error("what to do")
    assert caught.value.code == 1
    shown = capsys.readouterr().err
    assert shown == (tmp_path / "log").read_text() == f"\n{error.__name__}: what to do\n\n"


def test_defects_keep_their_traceback(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), console.script(str(tmp_path / "log")):
        raise ZeroDivisionError


def test_the_garbage_collector_runs_rarely_inside(tmp_path: Path) -> None:
    before = gc.get_threshold()
    with console.script(str(tmp_path / "log")):
        assert gc.isenabled()
        assert gc.get_threshold()[0] > 10 * before[0]
    assert gc.get_threshold() == before


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("evaluate", {"pandas", "scipy", "matplotlib", "lm_eval"}),
        ("analysis", {"torch", "transformers", "matplotlib", "scipy.stats", "shapiq"}),
        ("present", {"torch", "transformers", "matplotlib", "scipy.stats", "shapiq"}),
        ("store", {"torch", "pandas", "scipy"}),
    ],
)
def test_jobs_import_only_what_they_use(module: str, heavy: set[str]) -> None:
    code = f"import sys, cornerstone.{module}; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


class Clock:
    """A clock that is moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


def test_progress_tells_what_is_left(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock(monkeypatch)
    progress = console.Progress("m t", coalitions=8, work=400, every=10)
    clock.now += 9
    progress.advance(50)
    assert capsys.readouterr().err == ""  # too early for a line
    clock.now += 21
    progress.advance(50)  # a quarter in 30 seconds
    assert capsys.readouterr().err == "cornerstone: m t: 0 of 8 coalitions, 25% of the work, 1:30 left\n"
    progress.finished(2)
    assert capsys.readouterr().err == "cornerstone: m t: 2 of 8 coalitions, 25% of the work, 1:30 left\n"


def test_progress_without_work_knows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    console.Progress("m t", coalitions=1, work=0, every=0).advance(0)
    assert capsys.readouterr().err.endswith("0% of the work, ? left\n")


def test_progress_ends_at_all(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Clock(monkeypatch)
    progress = console.Progress("m t", coalitions=1, work=10, every=99)
    progress.advance(12)
    progress.finished(1)
    assert capsys.readouterr().err == "cornerstone: m t: 1 of 1 coalitions, 100% of the work, 0:00 left\n"
