"""Shared by all tests: one thread, as suites share the cores, and the real assets where they are needed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session", autouse=True)
def _threads() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def no_stock_tasks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """lm-eval without its own tasks, whose index takes seconds."""
    from cornerstone.assets import harness

    monkeypatch.setattr(harness, "STOCK", False)
    harness.index.cache_clear()
    yield
    harness.index.cache_clear()


@pytest.fixture(scope="session")
def real_assets() -> Path:
    """The embedded model and documents, fetched by the workflow itself if they are not there.

    Without Snakemake's lock: `make test` fetches them first, then several runs of tests look at them at once.
    """
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--nolock", "--quiet", "all", "--", "fetch"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return ROOT / "resources"
