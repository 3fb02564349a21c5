"""One private SLURM, one Apptainer and one image for all tests here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hpc import container, install
from tests.hpc.cluster import Cluster

WHOLE = "CORNERSTONE_TEST_WHOLE_IMAGE"
"""Environment variable of `make test-rare`: when set, jobs run in the image of containers/evaluate.def."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    problem = install.reason()
    if problem is None or (os.environ.get("CI") == "true" and install.unsuited() is None):
        return  # in continuous integration the set-up must work: the fixtures below will say what is missing
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=f"NO SLURM, NO APPTAINER: {problem}"))


@pytest.fixture(scope="session")
def apptainer() -> container.Apptainer:
    assert install.reason() is None
    return container.install(container.CACHE / "apptainer")


@pytest.fixture(scope="session")
def whole_image(apptainer: container.Apptainer) -> Path:
    """containers/evaluate.def, built on a stand-in base."""
    return container.evaluate(apptainer, container.CACHE)


@pytest.fixture(scope="session")
def image(apptainer: container.Apptainer, request: pytest.FixtureRequest) -> Path:
    """What jobs run in: the light image, and with `make test-rare` the whole one."""
    if os.environ.get(WHOLE):
        return request.getfixturevalue("whole_image")
    return container.light(apptainer, container.CACHE)


@pytest.fixture(scope="session")
def running_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    assert install.reason() is None
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def cluster(running_cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with all nodes up and an empty queue."""
    running_cluster.calm()
    yield running_cluster
    running_cluster.calm()
