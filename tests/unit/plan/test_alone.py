from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cornerstone.errors import CornerstoneError
from cornerstone.plan import alone


def test_a_second_run_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    first = alone.hold(tmp_path / "results")
    assert first is not None
    for _ in range(2):
        with pytest.raises(CornerstoneError, match=rf"another run is under way .*results \(process {os.getpid()} on"):
            alone.hold(tmp_path / "results")
    other = alone.hold(tmp_path / "others")
    assert other is not None
    first.close()
    again = alone.hold(tmp_path / "results")
    assert again is not None
    again.close()
    other.close()


def test_a_run_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    code = f"""
import time
from pathlib import Path
from cornerstone.plan import alone
alone.keep(Path({str(tmp_path)!r}))
print("held", flush=True)
time.sleep(60)
"""
    running = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    assert running.stdout.readline() == "held\n"
    with pytest.raises(CornerstoneError, match=rf"process {running.pid} on"):
        alone.hold(tmp_path)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    held = alone.hold(tmp_path)
    assert held is not None
    held.close()


def test_file_systems_without_locks_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    assert alone.hold(tmp_path) is None


def _folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("lay", [os.mkfifo, _folder, lambda path: path.symlink_to(path)])
def test_whatever_lies_in_the_place_of_the_lock(tmp_path: Path, lay: Callable[[Path], None]) -> None:
    lay(tmp_path / alone.LOCK)
    assert not alone.under_way(tmp_path)
    assert alone.by_another(tmp_path) == ""
    with pytest.raises(CornerstoneError, match=r"\.run\.lock, which a run locks, .*Move it away\."):
        alone.hold(tmp_path)
