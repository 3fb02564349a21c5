"""The image itself, and what a job in it can and can't see."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cornerstone.cluster import image as package
from cornerstone.config.config import load
from tests.helpers import script
from tests.hpc.container import Apptainer
from tests.hpc.site import settings
from tests.workflow.runner import ROOT

pytestmark = [pytest.mark.workflow, pytest.mark.hpc]


def inside(
    apptainer: Apptainer, image: Path, *command: str, options: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in the image, as Snakemake would."""
    return subprocess.run(
        ["apptainer", "exec", *options, str(image), *command],
        env={**apptainer.environment, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.rare
def test_verify(apptainer: Apptainer, whole_image: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings(whole_image)))
    done = subprocess.run(
        [sys.executable, "-m", "cornerstone.cli", "image", "verify"],
        cwd=tmp_path,
        env=apptainer.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "checksum and pins are right" in done.stdout
    assert "torch 2." in done.stdout
    assert "GPUs seen: 0" in done.stdout


@pytest.mark.rare
def test_labels(apptainer: Apptainer, whole_image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", apptainer.environment["PATH"])
    found = package.labels(whole_image)
    assert found["org.opencontainers.image.title"] == "cornerstone-evaluate"
    assert found[package.LABEL] == package.sha256(package.LOCK)


@pytest.mark.rare
def test_torch_compiles(apptainer: Apptainer, whole_image: Path, tmp_path: Path) -> None:
    """What `compile: true` needs is there: a C++ compiler and Python's headers."""
    code = (
        "import torch; x = torch.arange(-4.0, 4.0); f = lambda x: torch.nn.functional.silu(x) * x\n"
        "torch.testing.assert_close(torch.compile(f)(x), f(x)); print(torch._dynamo.utils.counters['stats'])"
    )
    done = inside(apptainer, whole_image, "python", "-c", code, TORCHINDUCTOR_CACHE_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "unique_graphs" in done.stdout
    assert list(tmp_path.rglob("*.so"))


def test_assets_are_read_only(
    apptainer: Apptainer, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("resources", "model", "results"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("APPTAINER_BIND", "")
    package.share_binds(load(settings(image)), ROOT)
    bind, home = os.environ["APPTAINER_BIND"], ("--home", str(tmp_path))
    for name in ("resources/x", "model/x"):
        done = inside(apptainer, image, "touch", name, options=home, APPTAINER_BIND=bind)
        assert "Read-only file system" in done.stderr
        assert not (tmp_path / name).exists()
    assert inside(apptainer, image, "touch", "results/x", options=home, APPTAINER_BIND=bind).returncode == 0
    assert (tmp_path / "results/x").exists()


def test_no_network(apptainer: Apptainer, image: Path) -> None:
    """The option that the whole workflow is tested with does cut jobs off, even from this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 5)"
        assert inside(apptainer, image, "python", "-c", code).returncode == 0
        done = inside(apptainer, image, "python", "-c", code, options=("--net", "--network", "none"))
        assert "Error" in done.stderr


def test_nv_shows_the_nodes_gpus(apptainer: Apptainer, image: Path, tmp_path: Path) -> None:
    """With a pretended driver: its tool is in the image with --nv, and only then."""
    script(tmp_path / "bin", "nvidia-smi", "echo 'GPU 0: pretended'")
    path = f"{tmp_path / 'bin'}{os.pathsep}{apptainer.environment['PATH']}"
    assert "pretended" in inside(apptainer, image, "nvidia-smi", "-L", options=("--nv",), PATH=path).stdout
    assert inside(apptainer, image, "nvidia-smi", "-L", PATH=path).returncode != 0
