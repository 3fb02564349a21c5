"""Runs on a disk of their own that loses power: what was not synced by then is gone. Needs root, ext4 and loop devices.

The image of the disk is copied in the moment after the run was killed, so the copy holds what had reached the disk, and
nothing that was only in memory. It is mounted in the disk's place, as after a restart, and the run goes on.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cornerstone.evaluate import result
from cornerstone.files import check
from tests.workflow.runner import Workflow

TARGETS = ("results/tiny/shapley_window-k2.csv", "results/tiny/cornerstones.csv", "results/summary.md")
MOUNTS = {"as it is": "loop", "worst": "loop,data=writeback,noauto_da_alloc"}
"""ext4's own order writes data before names; in the worst case a name may be there, and its content not."""


def loops() -> bool:
    """Whether disks can be mounted here."""
    tools = all(map(shutil.which, ("mkfs.ext4", "mount", "losetup")))
    return os.geteuid() == 0 and tools and Path("/dev/loop-control").exists()


pytestmark = [
    pytest.mark.workflow,
    pytest.mark.rare,
    pytest.mark.skipif(not loops(), reason="needs root, mkfs.ext4 and loop devices"),
]


class Disk:
    """An ext4 disk in a file."""

    def __init__(self, folder: Path, options: str) -> None:
        self.place, self.options, self._image, self._cuts = folder / "disk", options, folder / "0.img", 0
        self.place.mkdir()
        with self._image.open("wb") as stream:
            stream.truncate(2**30)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(self._image)], check=True)
        self._mount()

    def _mount(self) -> None:
        subprocess.run(["mount", "-o", self.options, str(self._image), str(self.place)], check=True)

    def cut(self) -> None:
        """Take the power away, and give it back."""
        self._cuts += 1
        copy = self._image.with_name(f"{self._cuts}.img")
        subprocess.run(["cp", "--sparse=always", str(self._image), str(copy)], check=True)
        self.close()
        self._image.unlink()
        self._image = copy
        self._mount()

    def close(self) -> None:
        """Unmount it, as soon as the last process that was killed has let go of it."""
        for _ in range(200):
            kill_all_below(self.place)
            if not subprocess.run(["umount", str(self.place)], capture_output=True, check=False).returncode:
                return
            time.sleep(0.1)
        subprocess.run(["umount", str(self.place)], check=True)


@pytest.fixture(params=MOUNTS)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path, MOUNTS[request.param])
    yield made
    made.close()


def kill_all_below(folder: Path) -> None:
    """Kill every process that works in a folder, and wait until it is gone."""
    while True:
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and Path(os.readlink(entry / "cwd")).is_relative_to(folder):
                    found.append(int(entry.name))
            except OSError:
                continue
        if not found:
            return
        for process in found:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)


def test_a_power_cut_loses_nothing_that_has_a_finished_name(straight: Workflow, disk: Disk) -> None:
    workflow = straight.copy(disk.place / "work")
    for name in ("results", ".snakemake", "logs"):
        shutil.rmtree(workflow.folder / name)
    os.sync()
    results, cuts, seen = workflow.folder / "results", 0, 0
    for _ in range(20):
        run = subprocess.Popen(
            workflow.command(*TARGETS), cwd=workflow.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        before = len(list(results.rglob("[!.]*")))
        while run.poll() is None and len(list(results.rglob("[!.]*"))) < before + 12:
            time.sleep(0.05)
        if run.poll() is not None:
            break
        kill_all_below(disk.place)
        run.wait()
        disk.cut()
        cuts += 1
        for path in results.rglob("coalitions/[!.]*.json"):
            assert result.read(path)["documents"]
            seen += 1
        for path in [*results.rglob("[!.]*.csv"), *results.rglob("[!.]*.parquet")]:
            if path.is_file():
                check(path)
    assert run.returncode == 0
    assert cuts > 2
    assert seen > 0
    assert workflow.results("arc_easy").keys() == straight.results("arc_easy").keys()
    for name in TARGETS:
        assert (workflow.folder / name).read_bytes() == (straight.folder / name).read_bytes()
