"""The whole workflow through `snakemake --profile slurm`, each evaluate job in the image."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.hpc.cluster import Cluster
from tests.hpc.container import Apptainer
from tests.hpc.site import Site, settings
from tests.workflow.runner import Workflow

pytestmark = [pytest.mark.workflow, pytest.mark.hpc]
TASKS = ("arc_easy", "openbookqa")


@pytest.fixture(scope="module")
def finished(
    real_assets: Path,
    running_cluster: Cluster,
    apptainer: Apptainer,
    image: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Site, str]:
    """A straight run, its jobs without any network."""
    folder = tmp_path_factory.mktemp("hpc") / "work"
    site = Site(Workflow.create(folder, real_assets, settings(image)), running_cluster, apptainer)
    said = site.succeed("--apptainer-args=--nv --net --network none")
    return site, said


def test_equal_to_a_local_run(finished: tuple[Site, str], real_assets: Path, image: Path, tmp_path: Path) -> None:
    site, _ = finished
    local = Workflow.create(tmp_path / "local", real_assets, settings(image))
    local.succeed()
    for task in TASKS:
        assert site.workflow.results(task) == local.results(task)
    for name in ("ablation.csv", "shapley_window-k2.csv", "cornerstones.csv", "deletion.csv"):
        ours, theirs = (w.folder / "results/tiny" / name for w in (site.workflow, local))
        pd.testing.assert_frame_equal(pd.read_csv(ours), pd.read_csv(theirs))
