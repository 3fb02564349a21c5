"""Finished results of one model, and of two that are compared."""

from __future__ import annotations

import pytest

from cornerstone.config.config import Config
from cornerstone.present.page.source import Source
from tests import pages


@pytest.fixture(scope="package")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return pages.save(pages.config_of(tmp_path_factory.mktemp("one")))


@pytest.fixture(scope="package")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return pages.save(pages.config_of(tmp_path_factory.mktemp("two"), models=2, blocks=3))


@pytest.fixture(scope="package")
def source(config: Config) -> Source:
    return Source(config, "base")
