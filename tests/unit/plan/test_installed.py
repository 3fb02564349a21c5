from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

import pytest

from cornerstone.errors import ConfigError
from cornerstone.plan.installed import check_installed, shadowed
from tests.helpers import ROOT

OWN = [Path(sysconfig.get_path("purelib"))]


def test_other_packages_on_the_path_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a cluster's module system puts them there: a job would import them in place of the pinned ones."""
    other = tmp_path / "module" / "transformers"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text('raise ImportError("another transformers")')
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", str(tmp_path / "nowhere"), str(other.parent)]))
    with pytest.raises(
        ConfigError, match=rf"PYTHONPATH is set and holds another transformers \({other}\).*unset PYTHO"
    ):
        check_installed(ROOT)
    (other.parent / "typing_extensions.py").touch()
    assert [path.name for path in shadowed(str(other.parent), OWN)] == ["transformers", "typing_extensions.py"]


def test_packages_that_this_environment_takes_from_elsewhere_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A virtual environment on top of a system's packages, or a *.pth file, finds them outside of itself."""
    for folder in ("module", "system"):
        (tmp_path / folder / "elsewhere").mkdir(parents=True)
        (tmp_path / folder / "elsewhere" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "module"))
    monkeypatch.setattr("sys.path", [str(tmp_path / "module"), *sys.path])
    check_installed(ROOT)
    monkeypatch.setattr("sys.path", [*sys.path, str(tmp_path / "system")])
    with pytest.raises(ConfigError, match=rf"another elsewhere \({tmp_path / 'module' / 'elsewhere'}\)"):
        check_installed(ROOT)
    (tmp_path / "module" / "elsewhere" / "__init__.py").unlink()
    (tmp_path / "module" / "enum.py").touch()
    with pytest.raises(ConfigError, match="another enum"):  # the standard library's
        check_installed(ROOT)


def test_what_hides_nothing_may_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").touch()
    (tmp_path / "transformers").mkdir()  # without modules: Python looks on
    (tmp_path / "numpy.txt").touch()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(OWN[0]), str(ROOT)]))
    check_installed(ROOT)
    monkeypatch.delenv("PYTHONPATH")
    check_installed(ROOT)
    with pytest.raises(ConfigError, match=f"the rules of {tmp_path} are run in a Python whose cornerstone is that of"):
        check_installed(tmp_path)


@pytest.mark.parametrize("odd", [" ", "$", ";"])
def test_a_python_whose_path_a_shell_would_take_apart_is_refused(odd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Snakemake puts it into the command line of each job unquoted."""
    monkeypatch.setattr("sys.executable", f"/home/some{odd}body/.venv/bin/python")
    with pytest.raises(ConfigError, match=r"this Python, .*Rename the folder, delete \.venv, and run make again"):
        check_installed(ROOT)
