"""How much memory an evaluate job may use, and who says so.

The first of these that is there holds:

    memory.budget_gb   of the model, in config.yaml
    the GPUs           on which the job computes
    the host           the smallest of SLURM's limit, the control group's (a container's) and what the machine has free

What several jobs on one machine share is divided by how many of them run at once. The workflow knows that, and says it
in the environment (`Told`): it decides no number, so it is in no fingerprint.

Nothing heavy is imported here, as the Snakefile does.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from cornerstone.config.models import Model

GIB = 2**30
OF_LIMIT = 0.9
"""Share of a limit that is used. The rest is for what no estimate knows: fragments, files on their way into memory."""
OF_FREE = 0.8
"""Share of a machine's free memory that is used: other programs grow, and files that are read twice stay in memory."""
TOLD = "CORNERSTONE_MEMORY"
"""Environment variable in which the workflow tells its jobs what they share (`Told`)."""
GROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Limit:
    """Memory that a job may use.

    Attributes:
        of: bytes of what limits it.
        what: that limits it, for people.
        part: share of it that is used.
        jobs: that share it.
        remedy: what to do where it is too little; `{least}` stands for the GiB of `of` that are enough.
    """

    of: int
    what: str
    part: float
    jobs: int
    remedy: str

    @property
    def bytes(self) -> int:
        """What one job may use."""
        return int(self.of * self.part) // self.jobs

    def enough(self, least: float) -> str:
        """What to do so that a job has `least` bytes."""
        # rounded up, so that who does as told has enough
        return self.remedy.format(least=f"{math.ceil(100 * least * self.jobs / self.part / GIB) / 100:.2f}")

    def __str__(self) -> str:
        if self.part == 1:
            return f"{self.bytes / GIB:g} GiB ({self.what})"
        shared = f", shared by the {self.jobs} jobs that run at once" if self.jobs > 1 else ""
        return f"{self.bytes / GIB:.2f} GiB ({self.part:.0%} of the {self.of / GIB:.2f} of {self.what}{shared})"


@dataclass(frozen=True)
class Told:
    """What the workflow tells its jobs.

    Attributes:
        submitted: they go to a cluster, so each has what it asked for.
        host: what all jobs on this machine share; taken before any of them ran. None where they are submitted.
        jobs: model -> jobs that run at once when one of its jobs does, that one included.
        gpu_jobs: the same, of the jobs that compute on GPUs.
    """

    submitted: bool = False
    host: Limit | None = None
    jobs: Mapping[str, int] = field(default_factory=dict)
    gpu_jobs: Mapping[str, int] = field(default_factory=dict)

    def tell(self) -> None:
        """Put it where jobs that are started from now on find it."""
        os.environ[TOLD] = json.dumps(asdict(self))

    @classmethod
    def heard(cls) -> Told:
        """What the workflow said; that nothing is shared, where there is none."""
        said = json.loads(os.environ.get(TOLD, "{}"))
        if said.get("host"):
            said["host"] = Limit(**said["host"])
        return cls(**said)


def jobs_at_once(threads: Mapping[str, int], cores: int, most: int) -> dict[str, int]:
    """How many jobs can run beside each other when one of a model's does, that one included.

    No choice of jobs that fit into the cores takes more than the whole, if each takes one part in as many.

    Args:
        threads: of a job of each model.
        cores: of all jobs together.
        most: jobs that there are.
    """
    fewest = min((min(each, cores) for each in threads.values()), default=1)
    return {name: max(1, min(most, 1 + (cores - min(each, cores)) // fewest)) for name, each in threads.items()}


def stated(budget_gb: float) -> Limit:
    """`memory.budget_gb`, which is used in full."""
    return Limit(int(budget_gb * GIB), "memory.budget_gb", 1.0, 1, "Set it to {least} or more, or lower batch_tokens.")


def on_gpus(entry: Model) -> bool:
    """Whether a model's jobs compute on GPUs."""
    return entry.device_map.startswith("cuda") or (entry.device_map == "auto" and entry.resources.gpus > 0)


def of_job(name: str, entry: Model, asked_mb: int | None = None) -> Limit:
    """The memory of the job that calls this, on the device that computes.

    Args:
        name: of the model.
        entry: its section of the config.
        asked_mb: host memory in MiB that the job asked for. It binds only where jobs are submitted to a cluster, whose
            executor may hide from them what the cluster says itself.
    """
    if entry.memory.budget_gb is not None:
        return stated(entry.memory.budget_gb)
    told = Told.heard()
    if on_gpus(entry):
        return _of_gpus(entry, 1 if told.submitted else told.gpu_jobs.get(name, 1))
    # what this process holds already is part of what it may use
    limits = host(psutil.Process().memory_info().rss)
    if told.submitted and asked_mb:
        limits.append(_asked(asked_mb * 2**20))
    return smallest([*limits, *_share(told, name)])


def foreseen(name: str, entry: Model, weight_bytes: int | None) -> Limit | None:
    """The memory that a model's jobs will have, as far as it can be known before they start.

    Args:
        name: of the model.
        entry: its section of the config.
        weight_bytes: of all its weights, where they are known.

    Returns:
        None where nobody knows: it is that of GPUs that are not here.
    """
    if entry.memory.budget_gb is not None:
        return stated(entry.memory.budget_gb)
    told = Told.heard()
    if on_gpus(entry):
        import torch

        here = torch.cuda.device_count() >= max(1, entry.resources.gpus) and not told.submitted
        return _of_gpus(entry, told.gpu_jobs.get(name, 1)) if here else None
    if told.submitted:
        return _asked(asked_gb(entry, weight_bytes) * GIB)
    return smallest([*host(), *_share(told, name)])


def _share(told: Told, name: str) -> list[Limit]:
    if told.submitted or told.host is None:
        return []
    remedy = told.host.remedy
    jobs = told.jobs.get(name, 1)
    if jobs > 1:
        remedy = (
            f"{jobs} jobs at once would need {{least}} GiB. Run fewer (fewer --cores, or more `threads` of "
            f"models.{name}), close other programs, or lower batch_tokens."
        )
    return [Limit(told.host.of, told.host.what, told.host.part, jobs, remedy)]


def smallest(limits: list[Limit]) -> Limit:
    """The one that leaves a job the least."""
    return min(limits, key=lambda limit: limit.bytes)


def host(own: int = 0) -> list[Limit]:
    """All limits of this machine's memory that hold for this process.

    Args:
        own: bytes that count as free although they are in use.
    """
    limits = []
    asked = slurm_bytes(os.environ)
    if asked is not None:
        limits.append(_asked(asked))
    group = control_group()
    if group is not None:
        remedy = "Give the container or control group {least} GiB or more that are free, or lower batch_tokens."
        limits.append(Limit(group + own, "what this process's control group has free", OF_LIMIT, 1, remedy))
    remedy = "Free {least} GiB (close other programs), or lower batch_tokens."
    free = psutil.virtual_memory().available + own
    return [*limits, Limit(free, "what this machine has free", OF_FREE, 1, remedy)]


def _asked(asked: int) -> Limit:
    remedy = "Raise resources.memory_gb to {least} or more, or lower batch_tokens."
    return Limit(asked, "what the job asked the cluster for", OF_LIMIT, 1, remedy)


def slurm_bytes(environment: Mapping[str, str]) -> int | None:
    """The memory that SLURM gives to this job on its node; None outside of a job, or where it sets no limit."""
    mebibyte, per_cpu = 2**20, environment.get("SLURM_MEM_PER_CPU", "")
    cpus, whole = environment.get("SLURM_CPUS_ON_NODE", ""), environment.get("SLURM_MEM_PER_NODE", "")
    if whole.isdigit() and int(whole):  # 0 is all that the node has
        return int(whole) * mebibyte
    if per_cpu.isdigit() and cpus.isdigit() and int(per_cpu) * int(cpus):
        return int(per_cpu) * int(cpus) * mebibyte
    return None


def control_group(mount: Path = GROUPS, process: Path = Path("/proc/self/cgroup")) -> int | None:
    """Bytes that are free in this process's control group, or the one above it that has the least; None without limit.

    In version 2 limits are `memory.max` and `memory.high`, above which a process is slowed down; in version 1
    `memory.limit_in_bytes`. Pages of files that nobody has used for a while count as free.
    """
    try:
        lines = process.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            top, names, used, stale = mount, ["memory.max", "memory.high"], "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            top, used, stale = mount / "memory", "memory.usage_in_bytes", "total_inactive_file"
            names = ["memory.limit_in_bytes"]
        else:
            continue
        own = top / path.lstrip("/")
        for folder in (own, *own.parents):
            # inside of a container the path may be one that only the host sees: then the group is the top
            if not folder.is_relative_to(top):
                break
            most = [value for name in names if (value := _number(folder / name)) is not None]
            if most and min(most) < psutil.virtual_memory().total:  # version 1 says "none" with a large number
                reclaimable = _entry(folder / "memory.stat", stale)
                found.append(max(0, min(most) - max(0, (_number(folder / used) or 0) - reclaimable)))
    return min(found, default=None)


def _number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None  # version 2 says "max"


def _entry(path: Path, name: str) -> int:
    try:
        rows = dict(line.split(" ", 1) for line in path.read_text(encoding="utf-8").splitlines())
    except OSError:
        return 0
    return int(rows.get(name, 0))


def _of_gpus(entry: Model, jobs: int) -> Limit:
    """What a job has of the GPUs that it sees, which it may share with other jobs of the run."""
    import torch

    seen, wanted = torch.cuda.device_count(), max(1, entry.resources.gpus)
    devices = [torch.device(entry.device_map)] if entry.device_map != "auto" else range(min(wanted, seen))
    used = [torch.cuda.mem_get_info(device) for device in devices]
    sharing = max(1, -(-jobs * len(used) // max(1, seen)))
    # others that started before take part in what is free; those that start later only in what there is
    least = min(min(free, total // sharing) for free, total in used)
    plural = "s" * (len(used) != 1)
    remedy = f"Take GPUs with more memory ({{least}} GiB on the job's {len(used)} GPU{plural}), or lower batch_tokens."
    return Limit(
        least * len(used),
        f"what the job's {len(used)} GPU{plural} ha{'ve' if plural else 's'} free",
        OF_LIMIT,
        1,
        remedy,
    )


def asked_gb(entry: Model, weight_bytes: int | None) -> int:
    """Host memory that an evaluate job asks of a cluster, in GiB.

    `resources.memory_gb`, else what the weights take and a fifth more, 4 GiB for everything else, and
    `memory.host_gb`; 8 GiB at least.

    Args:
        entry: the model.
        weight_bytes: of all its weights, where they are known.
    """
    if entry.resources.memory_gb is not None:
        return entry.resources.memory_gb
    return max(8, math.ceil(1.2 * (weight_bytes or 0) / GIB + 4 + entry.memory.host_gb))
