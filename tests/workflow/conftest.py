"""One straight run of the tiny workflow, from nothing to figures, for all tests that start from a finished one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workflow.runner import Workflow, configuration

BLOCKS, LARGEST, LIMIT = 3, 2, 6
QUIET = ["--quiet", "host", "reason", "--"]
"""As the Makefile calls Snakemake."""
SAID = "said.txt"
"""File in the folder of the straight run: what the screen showed."""


@pytest.fixture(scope="session")
def straight(real_assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """Never change it: work on a copy."""
    folder = tmp_path_factory.mktemp("straight") / "work"
    workflow = Workflow.create(folder, real_assets, configuration(BLOCKS, LARGEST, LIMIT))
    workflow.succeed("--force", "fetch_documents_embedded")  # they are there; now Snakemake has notes of them
    (folder / SAID).write_text(workflow.succeed(*QUIET))
    return workflow
