"""Logs that can't be written: what a job says is not lost, and nothing else takes its place."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from cornerstone import disk, logfile
from cornerstone import log as console
from cornerstone.errors import TaskError
from cornerstone.present import failures

FULL = "No space left on device. Free some space on its disk, and run the same command again."


def full(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is opened, but its disk takes nothing."""
    path.touch()
    monkeypatch.setattr(logfile, "_opened", lambda _: os.open("/dev/full", os.O_WRONLY))


def full_folder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk has no room for a name."""

    def mkdir(self: Path, *_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))

    monkeypatch.setattr(Path, "mkdir", mkdir)


def lost(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk says that it takes all, and does not."""
    monkeypatch.setattr(logfile, "_opened", lambda _: os.open(os.devnull, os.O_WRONLY))


def folder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.mkdir()


def pipe(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(path)


def device(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.symlink_to("/dev/zero")


def listener(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)  # the name of a socket has to be short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)


Hurt = Callable[[Path, pytest.MonkeyPatch], None]
KINDS: dict[Hurt, str] = {
    full: FULL,
    full_folder: FULL,
    lost: "",
    folder: "Is a directory",
    pipe: "Move away what lies there",
    device: "it is no file",
    listener: "Move away what lies there",
}


@pytest.fixture(autouse=True)
def _no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(logfile.ASIDE, raising=False)
    monkeypatch.delenv(console.VERBOSE, raising=False)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The main process has made a place for what logs can't take."""
    (tmp_path / "aside").mkdir()
    monkeypatch.setenv(logfile.ASIDE, str(tmp_path / "aside"))
    return tmp_path / "aside"


@pytest.mark.parametrize("hurt", KINDS)
def test_the_failure_is_told_whatever_keeps_a_log_from_being_written(
    hurt: Hurt, place: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "job.log"
    hurt(path, monkeypatch)

    def job() -> None:
        console.log("a line")
        with suppress(OSError):  # C code looks at no such error
            os.write(2, b"from below\n")
        raise TaskError("no such metric. Set metric: acc")

    with pytest.raises(SystemExit) as caught, console.script(str(path)):
        job()
    assert caught.value.code == 1
    said = capfd.readouterr().err
    failure = console.Failure("TaskError", "no such metric. Set metric: acc", expected=True)
    assert failure.block() in said
    assert f"cornerstone: warning: {path} can't be written" in said
    assert KINDS[hurt] in said
    assert "Traceback" not in said
    assert console.failure_of(path) == failure  # this is what the screen and the retries look at
    failed = failures.FailedJob(None, "summary", [], [str(path)], report="returned non-zero exit status 1", since=1.0)
    assert failures.blocks([failed])[-1] == "What to do: Set metric: acc"


@pytest.mark.parametrize("hurt", KINDS)
def test_a_job_does_not_end_for_want_of_a_log(
    hurt: Hurt, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "job.log"
    hurt(path, monkeypatch)
    with console.script(str(path)):
        console.log("a line")
        console.warn("a warning")
    assert ("can't be written" in capfd.readouterr().err) == (hurt is not lost)  # only a failure is looked for again
    assert console.failure_of(path) is None
    assert console.warnings_of(path) == []


def test_a_defect_brings_its_traceback(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    full(tmp_path / "job.log", monkeypatch)
    with pytest.raises(SystemExit), console.script(str(tmp_path / "job.log")):
        raise KeyError("made by a test")
    said = capfd.readouterr().err
    assert 'raise KeyError("made by a test")' in said
    assert "--- defect: KeyError" in said


def test_what_a_log_could_not_take_is_forgotten_when_it_is_written_again(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "job.log"
    path.mkdir()
    with pytest.raises(SystemExit), console.script(str(path)):
        raise TaskError("once")
    assert logfile.written(path) > 0
    path.rmdir()
    with console.script(str(path)):
        pass
    assert console.failure_of(path) is None
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("number", disk.OF_THE_DISK)
@pytest.mark.parametrize("how", ["raised", "wrapped", "printed"])
def test_a_disk_that_takes_nothing_more_is_no_defect(
    how: str, number: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whichever library meets it, in a file of whatever it writes."""
    path = tmp_path / "job.log"
    full = OSError(number, os.strerror(number), "results/a.safetensors")
    printed = RuntimeError(f"I/O error: {os.strerror(number)} (os error {number})")
    wrapped = RuntimeError("the library failed")
    wrapped.__context__ = full
    error = {"raised": full, "printed": printed, "wrapped": wrapped}[how]
    with pytest.raises(SystemExit), console.script(str(path)):
        raise error
    named = "A file" if how == "printed" else "results/a.safetensors"
    message = f"{named} can't be written: {os.strerror(number)}. {disk.REMEDIES[number]}"
    assert console.failure_of(path) == console.Failure("StoreError", message, expected=True)
    assert "Traceback" not in path.read_text()
    assert capfd.readouterr().err == ""


def test_other_errors_are_not_of_the_disk() -> None:
    assert disk.problem(OSError(errno.ENOENT, "No such file", "a")) == ""
    assert disk.problem(KeyError("a")) == ""


def test_a_process_that_adds_to_a_log_tells_it_elsewhere(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    failure = console.Failure("Killed", "by somebody", expected=True)
    console.append_failure(tmp_path, failure, "details")
    assert capfd.readouterr().err == f"\ndetails\n{failure.block()}"


def test_the_place_is_made_once_and_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfile, "PLACES", (str(tmp_path / "none"), str(tmp_path)))
    logfile.keep_aside()
    made = os.environ[logfile.ASIDE]
    assert Path(made).parent == tmp_path
    assert Path(made).stat().st_mode & 0o777 == 0o700
    logfile.keep_aside()
    assert os.environ[logfile.ASIDE] == made
    monkeypatch.setattr(logfile, "PLACES", (str(tmp_path / "none"),))
    monkeypatch.setenv(logfile.ASIDE, str(tmp_path / "gone"))
    logfile.keep_aside()  # nowhere, and no error


def test_what_snakemake_says_of_a_full_disk_is_no_defect() -> None:
    said = (
        "Traceback (most recent call last):\n  File \"x\"\nOSError: [Errno 28] No space left on device: '.snakemake/x'"
    )
    assert failures.plainly(said) == f".snakemake/x can't be written: {FULL}"
    ours = f"results/a can't be written: {FULL} What was there stays."
    assert failures.plainly(ours) == ours
