"""Where the tests of SLURM and Apptainer can't run, they must say why; where they can, they must not be left out."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path

import pytest

from tests.hpc import container, install

DEBIAN = {"ID": "debian", "VERSION_ID": "12", "PRETTY_NAME": "Debian 12"}


@pytest.fixture(autouse=True)
def _suited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine on which they can run, with nothing installed."""
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: DEBIAN)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(install.sys, "version_info", (3, 11, 7))
    monkeypatch.setattr(install, "STATE", tmp_path / "state.json")
    monkeypatch.setattr(install, "packages", lambda: None)
    monkeypatch.setattr(container, "install", lambda prefix: None)
    monkeypatch.setattr(container, "light", lambda apptainer, folder: folder / "light.sif")


def test_suited() -> None:
    assert "nothing is installed yet" in str(install.reason())
    assert install.main() == 0
    assert install.reason() is None


@pytest.mark.parametrize("ci", ["true", ""])
def test_another_system(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ci: str) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {**DEBIAN, "ID": "ubuntu", "PRETTY_NAME": "Ubuntu"})
    assert install.main() == 0
    assert "CAN'T RUN HERE: they are made for Debian 12, this is Ubuntu" in capsys.readouterr().out
    assert "this is Ubuntu" in str(install.reason())


def test_no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "they need root" in str(install.unsuited())


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
def test_packages_that_are_gone(monkeypatch: pytest.MonkeyPatch, ci: str, code: int) -> None:
    """On a machine where they could run, continuous integration fails; a person's tests go on without them."""

    def gone(prefix: Path) -> None:
        raise container.Failed("no such package: apptainer")

    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(container, "install", gone)
    assert install.main() == code
    assert json.loads(install.STATE.read_text())["problem"] == "the set-up failed: no such package: apptainer"
    assert "no such package" in str(install.reason())
