"""The examples in docstrings say what the functions return."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import cornerstone


def source_of(name: str) -> str:
    return Path(cornerstone.__path__[0], *name.split(".")[1:]).with_suffix(".py").read_text()


MODULES = [
    module.name
    for module in pkgutil.walk_packages(cornerstone.__path__, "cornerstone.")
    if not module.ispkg and ">>>" in source_of(module.name)
]


def test_there_are_examples() -> None:
    assert len(MODULES) >= 8


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted
    assert not found.failed
