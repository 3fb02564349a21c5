from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import absl.logging
import pytest

from cornerstone import log as console
from cornerstone import stopping
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
    console.log("hello")
    assert capsys.readouterr() == ("", "cornerstone: hello\n")


@pytest.fixture(autouse=True)
def not_verbose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(console.VERBOSE, raising=False)


def speak() -> None:
    """Write in three ways: as our code does, as a library's C code does, as a process does."""
    console.log("hello – 1")
    os.write(2, b"from below\n")
    subprocess.run([sys.executable, "-c", "import sys; print('from a process', file=sys.stderr)"], check=True)


def test_stderr_goes_to_the_log_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "new" / "job.log"
    before = sys.stderr
    with console.script(str(log)):
        assert not sys.stderr.isatty()
        speak()
    assert sys.stderr is before
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "afterwards\n"
    assert log.read_text(encoding="utf-8") == "cornerstone: hello – 1\nfrom below\nfrom a process\n"


@pytest.mark.parametrize("how", ["verbose", "shown"])
def test_stderr_goes_to_the_screen_too(
    how: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "verbose":
        monkeypatch.setenv(console.VERBOSE, "1")
    with console.script(str(tmp_path / "log"), shown=how == "shown"):
        assert not sys.stderr.isatty()
        console.log("hello")
    assert capfd.readouterr().err == (tmp_path / "log").read_text() == "cornerstone: hello\n"


@pytest.mark.parametrize("shown", [True, False])
def test_a_library_that_keeps_stderr_may_close_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], shown: bool
) -> None:
    """As absl does when Python ends, which a task of lm-eval imports."""
    with console.script(str(tmp_path / "log"), shown=shown):
        handler: Any = absl.logging.PythonHandler()
        handler.flush()
    handler.close()
    console.log("afterwards")
    assert capfd.readouterr().err == "cornerstone: afterwards\n"


@pytest.mark.parametrize("error", [CornerstoneError, ModelError])
@pytest.mark.parametrize("message", ["what to do", "two things:\n  one\n  --- two"])
def test_known_errors_are_one_message_and_exit_code_1(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], error: type[CornerstoneError], message: str
) -> None:
    log = tmp_path / "log"
    with pytest.raises(SystemExit) as caught, console.script(str(log)):
        raise error(message)
    assert caught.value.code == 1
    assert capfd.readouterr().err == ""
    assert console.failure_of(log) == console.Failure(error.__name__, message, expected=True)
    assert log.read_text() == f"\n--- failed: {error.__name__}\n{message}\n--- end\n"


def test_a_defect_leaves_its_traceback_in_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log"
    with pytest.raises(SystemExit) as caught, console.script(str(log)):
        raise KeyError("made by\na test")
    assert caught.value.code == 1
    assert capfd.readouterr().err == ""
    text = log.read_text()
    assert "Traceback (most recent call last)" in text
    assert 'raise KeyError("made by' in text
    found = console.failure_of(log)
    assert found is not None
    assert (found.kind, found.expected, found.message.count("\n")) == ("KeyError", False, 0)


def is_stopped(number: signal.Signals, swallowed: bool) -> None:
    """Get a signal twice, as a cluster may send it; `swallowed`: a library makes another error of it."""
    try:
        signal.raise_signal(number)
    except stopping.Stop:
        signal.raise_signal(number)
        if swallowed:
            raise RuntimeError("a library was interrupted") from None
        raise


@pytest.mark.parametrize("swallowed", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_job_that_is_stopped_says_so_without_a_traceback(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], number: signal.Signals, swallowed: bool
) -> None:
    log = tmp_path / "log"
    usual = signal.signal(number, signal.default_int_handler)  # in the background of a script it may be ignored
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as caught, console.script(str(log)):
        is_stopped(number, swallowed)
    assert caught.value.code == 1
    assert signal.signal(number, usual) is before
    assert stopping.asked() is None
    assert capfd.readouterr().err == ""
    said = f"stopped by {number.name}. What is finished is kept. Run the same command again: it goes on with the rest."
    assert log.read_text() == f"\n--- failed: Stopped\n{said}\n--- end\n"


def test_a_signal_that_is_ignored_stays_so(tmp_path: Path) -> None:
    """As after nohup, or in the background of a script."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with console.script(str(tmp_path / "log")):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert console.failure_of(tmp_path / "log") is None


def test_a_log_without_a_failure(tmp_path: Path) -> None:
    assert console.failure_of(tmp_path / "nowhere") is None
    with console.script(str(tmp_path / "log")):
        console.log("--- failed: not really")
    assert console.failure_of(tmp_path / "log") is None


def test_the_last_failure_of_a_long_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(console.Failure("First", "no", expected=True).block() + "x" * 2 * console.TAIL + "\n")
    assert console.failure_of(log) is None  # not at the end
    for kind in ("Second", "Third"):
        console.append_failure(log, console.Failure(kind, "yes", expected=True), "details")
    found = console.failure_of(log)
    assert found is not None
    assert found.kind == "Third"


def test_the_garbage_collector_runs_rarely_inside(tmp_path: Path) -> None:
    before = gc.get_threshold()
    with console.script(str(tmp_path / "log")):
        assert gc.isenabled()
        assert gc.get_threshold()[0] > 10 * before[0]
    assert gc.get_threshold() == before


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("cornerstone.evaluate.job", {"pandas", "scipy", "matplotlib", "lm_eval"}),
        ("cornerstone.evaluate.result", {"torch", "pandas", "scipy"}),
        ("cornerstone.analysis.write", {"torch", "transformers", "matplotlib", "scipy.stats", "shapiq"}),
        ("cornerstone.present.summary", {"torch", "transformers", "matplotlib", "scipy.stats", "shapiq"}),
        ("snakemake_logger_plugin_cornerstone", {"torch", "pandas", "numpy", "pydantic", "cornerstone.config"}),
    ],
)
def test_jobs_import_only_what_they_use(module: str, heavy: set[str]) -> None:
    code = f"import sys, {module}; print(*sorted({heavy} & set(sys.modules)))"
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


def test_how_far_a_job_is_by_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert console.reached(log) is None
    with console.script(str(log)):
        console.log("loading")
        assert console.reached(log) is None
        console.log("m t: 3 of 11 coalitions are there, 8 to do")
        assert console.reached(log) == console.Reached(0, 8, 0.0, "?")
        assert console.last_said(log) == "m t: 3 of 11 coalitions are there, 8 to do"
        progress = console.Progress("m t", coalitions=8, work=400, every=0)
        progress.advance(100)
        progress.finished(2)
        found = console.reached(log)
    assert found is not None
    assert (found.done, found.of, found.share) == (2, 8, 0.25)


def test_a_job_that_has_nothing_to_do(tmp_path: Path) -> None:
    with console.script(str(tmp_path / "log")):
        console.log("m t: 8 of 8 coalitions are there, 0 to do")
    assert console.reached(tmp_path / "log") == console.Reached(0, 0, 1.0, "?")
