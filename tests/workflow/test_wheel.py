"""The wheel, built and installed without network: the package with its data, the command, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.helpers import ROOT
from tests.workflow.runner import site_packages

PLUGIN = "snakemake_logger_plugin_cornerstone"


def succeed(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pip(*arguments: str | Path, cwd: Path) -> None:
    succeed(sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments, "--no-index", "--no-deps", cwd=cwd)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools leaves a folder of what it built, and takes from it the next time."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE", "cornerstone", "scripts", "tests", PLUGIN, f"{PLUGIN}.py"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, folder / name)
    pip("wheel", "--no-build-isolation", "--wheel-dir", "dist", ".", cwd=folder)
    (made,) = (folder / "dist").iterdir()
    return made


def test_the_wheel_has_every_file_of_the_package_and_no_others(wheel: Path) -> None:
    files = [path for path in (ROOT / "cornerstone").rglob("*") if path.is_file() and path.parent.name != "__pycache__"]
    wanted = {path.relative_to(ROOT).as_posix() for path in files}
    assert {path.suffix for path in files} > {".py"}
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in names if name.startswith("cornerstone/")} == wanted
    assert {name.partition("/")[0].partition("-")[0].removesuffix(".py") for name in names} <= {"cornerstone", PLUGIN}


def test_what_is_installed_works_away_from_the_clone(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "env"
    folder = site_packages(environment)
    pip("--python", environment / "bin" / "python", "install", wheel, cwd=tmp_path)
    code = (
        "import importlib, pkgutil, cornerstone\n"
        "print(cornerstone.__file__, cornerstone.__version__)\n"
        "for module in pkgutil.walk_packages(cornerstone.__path__, 'cornerstone.'):\n"
        "    importlib.import_module(module.name)\n"
    )
    said = succeed(environment / "bin" / "python", "-c", code, cwd=tmp_path).split()
    assert said == [str(folder / "cornerstone" / "__init__.py"), wheel.name.split("-")[1]]
    assert "Usage: cornerstone" in succeed(environment / "bin" / "cornerstone", "--help", cwd=tmp_path)
