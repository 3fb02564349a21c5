"""Whatever lies in the place of a file: one message that names it, and no waiting."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cornerstone import reading
from cornerstone.analysis.games import read_values
from cornerstone.assets import contents, documents
from cornerstone.errors import CornerstoneError, UnreadableError
from cornerstone.evaluate import result
from cornerstone.files import read_csv

Lay = Callable[[Path], Any]


def _socket(path: Path) -> None:
    folder = os.getcwd()
    os.chdir(path.parent)  # a socket's name may have 107 letters
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
    os.chdir(folder)


def _huge(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(reading.LARGE + 1)  # takes no space on the disk


IN_ITS_PLACE: dict[str, tuple[Lay, str]] = {
    "nothing": (lambda path: None, "is missing"),
    "folder": (Path.mkdir, "is a folder"),
    "pipe": (os.mkfifo, "is a pipe"),
    "socket": (_socket, "is a socket"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "is a device"),
    "endless": (lambda path: path.symlink_to("/dev/urandom"), "is a device"),
    "itself": (lambda path: path.symlink_to(path), "leads back to itself"),
    "dangling": (lambda path: path.symlink_to(path.with_name("gone")), "is missing"),
    "huge": (_huge, r"has \d+ bytes, more than"),
    "empty": (lambda path: path.touch(), "truncated|No columns"),
    "garbage": (lambda path: path.write_bytes(bytes(range(256)) * 9), "UTF-8|truncated|no table"),
    "latin1": (lambda path: path.write_bytes(b'{"a": "\xe9"}'), r"UTF-8|truncated|no table"),
    "cut": (lambda path: path.write_text('{"results": {"a": 1'), "truncated|section|no table|can't be read"),
    "nested": (lambda path: path.write_text("[" * 200_000), "nested too deeply|truncated|no table|can't be read"),
    "digits": (lambda path: path.write_text('{"a": ' + "9" * 5000 + "}"), "can't be read"),
    "list": (lambda path: path.write_text("[1, 2]"), "sections|can't be read|no index"),
    "null": (lambda path: path.write_text("null"), "sections|can't be read|no index"),
    "page": (lambda path: path.write_text("<!doctype html><html>404</html>"), "JSON|truncated|can't be read|table"),
}
READERS: dict[str, Callable[[Path], Any]] = {
    "a.json": result.read,
    "b.json": documents.read,
    "c.parquet": read_values,
    "model.safetensors.index.json": contents.shards,
}
TABLE = {"nothing", "folder", "pipe", "socket", "device", "endless", "itself", "dangling", "huge", "empty", "garbage"}


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """An error instead of a test that waits for ever."""

    def ring(*_: object) -> None:
        raise TimeoutError("the reader waits")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("what", IN_ITS_PLACE)
@pytest.mark.parametrize("name", [*READERS, "d.csv"])
def test_each_reader_names_the_file_and_the_remedy(tmp_path: Path, what: str, name: str) -> None:
    path = tmp_path / name
    lay, problem = IN_ITS_PLACE[what]
    if (name == "d.csv" and what not in TABLE) or (name == "c.parquet" and what == "huge"):
        return  # a line of text is a table without rows; a Parquet file may be large
    lay(path)
    with pytest.raises(CornerstoneError, match=problem) as caught:
        READERS.get(name, read_csv)(path)
    said = str(caught.value)
    assert str(path) in said
    assert "\n" not in said
    assert any(word in said for word in ("Delete", "Run", "Get", "Move")), said


def test_a_file_that_may_not_be_read_names_its_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    path.touch()

    def refuse(*_: Any, **__: Any) -> int:  # root, who runs tests in a container, may read everything
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(reading.os, "open", refuse)
    with pytest.raises(UnreadableError, match=rf"{path} .*may not be read by you.*chmod u\+r {path}"):
        reading.content(path)


def test_a_name_that_no_file_can_have_is_said(tmp_path: Path) -> None:
    for name in ("a\0b", "x" * 300):
        with pytest.raises(UnreadableError, match="can't be read: it"):
            reading.content(tmp_path / name)


def test_what_is_there_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": "層", "b": [1, 2.5]}', encoding="utf-8")
    assert reading.parsed(path) == {"a": "層", "b": [1, 2.5]}
    assert reading.text(path) == path.read_text(encoding="utf-8")
    assert reading.content(path) == path.read_bytes()
    link = tmp_path / "link"
    link.symlink_to(path)
    assert reading.parsed(link) == json.loads(path.read_text(encoding="utf-8"))
    assert reading.size(link) == path.stat().st_size


def test_the_place_of_an_error_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": 1,\n "b": oops}')
    with pytest.raises(UnreadableError, match=r"not JSON \(line 2, column 7: "):
        reading.parsed(path)
    path.write_bytes(b"ok\nok \xff")
    with pytest.raises(UnreadableError, match=r"no text in UTF-8 \(line 2, byte 6\)"):
        reading.text(path)


def test_errors_of_this_program_and_interrupts_pass(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("x")
    for error in (KeyboardInterrupt(), MemoryError(), UnreadableError(path, "is odd")):
        with pytest.raises(type(error)) as caught, reading.foreign(path, "thing"):
            raise error
        assert caught.value is error
    with pytest.raises(UnreadableError, match=r"no thing \(boom\)"), reading.foreign(path, "thing"):
        raise RuntimeError("boom\nmore")


class PanicException(BaseException):
    """As libraries in Rust raise it."""


def test_a_panic_of_a_library_in_rust_is_an_error_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("x")
    with pytest.raises(UnreadableError, match="no thing"), reading.foreign(path, "thing"):
        raise PanicException("index out of bounds")
