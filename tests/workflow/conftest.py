"""One straight run of the tiny workflow, from nothing to figures, for all tests that start from a finished one.

`--runs straight` takes the tests that start from it and `--runs own` all others, so that both can go on side by side.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workflow.runner import Workflow, configuration

BLOCKS, LARGEST, LIMIT = 3, 2, 6
QUIET = ["--quiet", "host", "reason", "--"]
"""As the Makefile calls Snakemake."""
SAID = "said.txt"
"""File in the folder of the straight run: what the screen showed."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--runs", choices=("straight", "own"), help="only the tests that start from the straight run, or not"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = config.getoption("--runs")
    if wanted is None:
        return
    left = [item for item in items if ("straight" in getattr(item, "fixturenames", ())) == (wanted == "straight")]
    config.hook.pytest_deselected(items=[item for item in items if item not in left])
    items[:] = left


@pytest.fixture(scope="session")
def straight(real_assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """Never change it: work on a copy."""
    folder = tmp_path_factory.mktemp("straight") / "work"
    workflow = Workflow.create(folder, real_assets, configuration(BLOCKS, LARGEST, LIMIT))
    workflow.succeed("--force", "fetch_documents_embedded")  # they are there; now Snakemake has notes of them
    done = workflow.start(*QUIET)
    assert done.returncode == 0, done.stdout
    (folder / SAID).write_text(done.stdout)
    return workflow
