"""How much memory a job has, and who says so."""

from __future__ import annotations

import itertools
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cornerstone.config.models import Model
from cornerstone.log import Failure
from cornerstone.present.failures import FailedJob, remedy
from cornerstone.schedule import limits
from cornerstone.schedule.limits import GIB, OF_FREE, OF_LIMIT, Limit, Told, control_group, jobs_at_once, slurm_bytes
from tests.helpers import configured

MACHINE = 64 * GIB


def entry(changes: dict[str, Any] | None = None) -> Model:
    return configured(changes).models["tiny"]


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A machine of 64 GiB of which 40 are free, without SLURM, control groups and a workflow."""
    found = SimpleNamespace(free=40 * GIB)
    memory = namedtuple("memory", "total available")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory(MACHINE, found.free))
    monkeypatch.setattr(limits, "control_group", lambda: None)
    monkeypatch.setenv(limits.TOLD, "{}")  # what a test tells is forgotten after it
    for name in ("SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU", "SLURM_CPUS_ON_NODE"):
        monkeypatch.delenv(name, raising=False)
    process = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=GIB))
    monkeypatch.setattr(psutil, "Process", lambda: process)
    return found


def test_what_is_written_holds_whatever_else_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "1024")
    for found in (limits.of_job, lambda name, model: limits.foreseen(name, model, None)):
        limit = found("tiny", entry({"models.tiny.memory.budget_gb": 1.5, "models.tiny.resources": {"gpus": 2}}))
        assert limit is not None
        assert limit.bytes == 1.5 * GIB
        assert str(limit) == "1.5 GiB (memory.budget_gb)"


def test_most_of_what_is_free() -> None:
    found = limits.of_job("tiny", entry())
    assert found.bytes == int(OF_FREE * 41 * GIB)  # what the process holds itself is its own
    assert str(found) == "32.80 GiB (80% of the 41.00 of what this machine has free)"
    assert limits.foreseen("tiny", entry(), None) == limits.smallest(limits.host())


def test_jobs_that_run_at_once_share(machine: SimpleNamespace) -> None:
    Told(host=limits.smallest(limits.host()), jobs={"tiny": 4}).tell()
    found = limits.of_job("tiny", entry())
    assert found.bytes == int(OF_FREE * 40 * GIB) // 4
    assert str(found).endswith("80% of the 40.00 of what this machine has free, shared by the 4 jobs that run at once)")
    assert "more `threads` of models.tiny" in found.enough(9 * GIB)
    assert "45.00 GiB" in found.enough(9 * GIB)
    machine.free = 25 * GIB  # others run by now: the share stays what it was
    assert limits.of_job("tiny", entry()) == found
    machine.free = 5 * GIB  # somebody else has taken it
    assert limits.of_job("tiny", entry()).bytes == int(OF_FREE * 6 * GIB)
    assert limits.of_job("other", entry()).bytes == int(OF_FREE * 6 * GIB)


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, None),
        ({"SLURM_MEM_PER_NODE": "4096"}, 4 * GIB),
        ({"SLURM_MEM_PER_NODE": "0"}, None),
        ({"SLURM_MEM_PER_CPU": "2048", "SLURM_CPUS_ON_NODE": "8"}, 16 * GIB),
        ({"SLURM_MEM_PER_CPU": "2048"}, None),
    ],
)
def test_what_slurm_says(environment: dict[str, str], found: int | None) -> None:
    assert slurm_bytes(environment) == found


def test_slurms_limit_holds_where_the_machine_has_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_MEM_PER_NODE", str(8 * 1024))
    Told(submitted=True).tell()
    found = limits.of_job("tiny", entry())
    assert found.bytes == int(OF_LIMIT * 8 * GIB)
    assert found.enough(9 * GIB) == "Raise resources.memory_gb to 10.00 or more, or lower batch_tokens."
    monkeypatch.setenv("SLURM_MEM_PER_NODE", str(80 * 1024))
    assert limits.of_job("tiny", entry()).what == "what this machine has free"


def test_what_a_job_asked_a_cluster_for() -> None:
    """The executor takes SLURM's variables away; on one machine nobody holds a job to what it asks for."""
    assert limits.of_job("tiny", entry(), 2048).what == "what this machine has free"
    Told(submitted=True).tell()
    assert limits.of_job("tiny", entry(), 2048).bytes == int(OF_LIMIT * 2 * GIB)
    assert limits.of_job("tiny", entry(), None).what == "what this machine has free"


def groups(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return folder


VERSION_2 = {
    "memory.stat": "inactive_file 1",
    "jobs/memory.max": str(16 * GIB),
    "jobs/memory.current": str(9 * GIB),
    "jobs/memory.stat": f"anon 5\ninactive_file {2 * GIB}",
    "jobs/mine/memory.max": "max",
    "jobs/mine/memory.high": "max",
    "jobs/mine/memory.current": "1",
}


@pytest.mark.parametrize(
    ("changes", "own", "found"),
    [
        ({}, "0::/jobs/mine", 9 * GIB),  # the parent's, less what is used there and can't be taken back
        ({"jobs/mine/memory.max": str(4 * GIB)}, "0::/jobs/mine", 4 * GIB - 1),
        ({"jobs/mine/memory.high": str(3 * GIB)}, "0::/jobs/mine", 3 * GIB - 1),
        ({"jobs/memory.max": str(2 * GIB)}, "0::/jobs/mine", 0),  # lower than what is used
        ({"jobs/memory.max": "max"}, "0::/jobs/mine", None),
        ({"memory.max": str(5 * GIB)}, "0::/only/the/host/sees/this", 5 * GIB),  # a container's own is the top
        ({}, "0::/", None),
    ],
)
def test_control_groups(changes: dict[str, str], own: str, found: int | None, tmp_path: Path) -> None:
    mount = groups(tmp_path / "groups", {**VERSION_2, **changes})
    process = groups(tmp_path, {"process": f"1:name=systemd:/x\n{own}"}) / "process"
    assert control_group(mount, process) == found


def test_control_groups_of_version_1(tmp_path: Path) -> None:
    files = {
        "memory/memory.limit_in_bytes": "9223372036854771712",  # none
        "memory/docker/me/memory.limit_in_bytes": str(6 * GIB),
        "memory/docker/me/memory.usage_in_bytes": str(2 * GIB),
        "memory/docker/me/memory.stat": f"inactive_file 7\ntotal_inactive_file {GIB}",
    }
    mount = groups(tmp_path / "groups", files)
    process = groups(tmp_path, {"process": "9:cpu:/docker/me\n4:memory:/docker/me\n0::/"}) / "process"
    assert control_group(mount, process) == 5 * GIB
    process.write_text("4:memory:/\n")
    assert control_group(mount, process) is None
    assert control_group(mount, tmp_path / "nothing") is None  # no Linux


def test_a_containers_limit_is_shared_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "control_group", lambda: 8 * GIB)
    Told(host=limits.smallest(limits.host()), jobs={"tiny": 2}).tell()
    found = limits.of_job("tiny", entry())
    assert found.bytes == int(OF_LIMIT * 8 * GIB) // 2
    assert "control group" in str(found)


@given(
    threads=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    cores=st.integers(1, 16),
    chosen=st.lists(st.integers(0, 3), min_size=1, max_size=16),
)
def test_shares_never_add_up_to_more_than_there_is(threads: list[int], cores: int, chosen: list[int]) -> None:
    models = {str(i): each for i, each in enumerate(threads)}
    at_once = jobs_at_once(models, cores, 100)
    running, left = [], cores
    for i in chosen:  # as Snakemake does: it starts what fits into the cores
        name = str(i % len(threads))
        if min(models[name], cores) <= left:
            running.append(name)
            left -= min(models[name], cores)
    assert sum(1 / at_once[name] for name in running) <= 1 + 1e-9


def test_jobs_at_once() -> None:
    assert jobs_at_once({"small": 1, "large": 8}, 8, 100) == {"small": 8, "large": 1}
    assert jobs_at_once({"small": 1, "large": 6}, 8, 100) == {"small": 8, "large": 3}
    assert jobs_at_once({"small": 1}, 8, 3) == {"small": 3}
    assert jobs_at_once({"large": 16}, 2, 10) == {"large": 1}
    assert jobs_at_once({}, 2, 10) == {}


def gpus(monkeypatch: pytest.MonkeyPatch, *memory: tuple[int, int]) -> None:
    """GPUs with (free, total) GiB."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(memory))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(memory))

    def mem_get_info(device: Any) -> tuple[int, int]:
        free, total = memory[device if isinstance(device, int) else device.index or 0]
        return free * GIB, total * GIB

    monkeypatch.setattr(torch.cuda, "mem_get_info", mem_get_info)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"models.tiny.resources": {"gpus": 1}}, 79),
        ({"models.tiny.resources": {"gpus": 2}}, 2 * 70),  # twice what the fuller one has
        ({"models.tiny.device_map": "cuda:1"}, 70),
        ({"models.tiny.device_map": "cuda"}, 79),
    ],
)
def test_memory_of_gpus(wanted: dict[str, Any], found: int, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, (79, 80), (70, 80))
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "1024")  # that of the host
    limit = limits.of_job("tiny", entry(wanted))
    assert limit.bytes == int(OF_LIMIT * found * GIB)
    assert limits.foreseen("tiny", entry(wanted), None) == limit


def test_jobs_that_share_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, (79, 80))
    model = entry({"models.tiny.resources": {"gpus": 1}})
    Told(host=limits.smallest(limits.host()), gpu_jobs={"tiny": 2}).tell()
    assert limits.of_job("tiny", model).bytes == int(OF_LIMIT * 40 * GIB)
    gpus(monkeypatch, (79, 80), (79, 80))  # one for each
    assert limits.of_job("tiny", model).bytes == int(OF_LIMIT * 79 * GIB)


@pytest.mark.parametrize("asked", [None, 4])
def test_a_clusters_jobs_have_what_they_ask_for(asked: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    Told(submitted=True).tell()
    model = entry({"models.tiny.resources": {"memory_gb": asked}})
    found = limits.foreseen("tiny", model, 10 * GIB)
    assert found is not None
    assert found.of == (asked or 16) * GIB
    on_gpu = entry({"models.tiny.resources": {"gpus": 1}})
    gpus(monkeypatch, (79, 80))  # the login node's
    assert limits.foreseen("tiny", on_gpu, 10 * GIB) is None


def test_gpus_that_are_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, (79, 80))
    assert limits.foreseen("tiny", entry({"models.tiny.resources": {"gpus": 2}}), 1) is None


@pytest.mark.parametrize(
    ("weights", "section", "found"),
    [
        (None, {}, 8),
        (GIB, {}, 8),
        (10 * GIB, {}, 16),
        (10 * GIB, {"models.tiny.memory": {"host_gb": 20}}, 36),
        (10 * GIB, {"models.tiny.resources": {"memory_gb": 3}}, 3),
    ],
)
def test_what_a_job_asks_for(weights: int | None, section: dict[str, Any], found: int) -> None:
    assert limits.asked_gb(entry(section), weights) == found


def test_what_is_told_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    for told in (Told(), Told(submitted=True), Told(host=Limit(5, "x", 0.5, 2, "y {least}"), jobs={"a": 2})):
        told.tell()
        assert Told.heard() == told
    monkeypatch.delenv(limits.TOLD)
    assert Told.heard() == Told()


def test_what_to_do_is_found_by_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows the sentences of a message from the first that tells the reader to do something."""
    gpus(monkeypatch, (79, 80))
    monkeypatch.setattr(limits, "control_group", lambda: GIB)
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "1024")
    shared = limits._share(Told(host=limits.smallest(limits.host()), jobs={"tiny": 2}), "tiny")
    on_gpu = limits.of_job("tiny", entry({"models.tiny.resources": {"gpus": 1}}))
    for limit in (limits.stated(1), *limits.host(), *shared, on_gpu):
        said = limit.enough(GIB)
        told = remedy(Failure("ConfigError", f"it is too little. {said}", True), FailedJob(None, "x", [], []))
        assert told == said if limit not in shared else said.endswith(told)
        assert told != f"It is too little. {said}"


def test_who_does_as_told_has_enough() -> None:
    for part, jobs, least in itertools.product((0.8, 0.9, 1.0), (1, 3), (GIB, 7 * GIB // 3)):
        said = float(Limit(1, "x", part, jobs, "{least}").enough(least))
        assert Limit(int(said * GIB), "x", part, jobs, "").bytes >= least
        assert Limit(int((said - 0.02) * GIB), "x", part, jobs, "").bytes < least
