"""What a job asks of a cluster, and whether the cluster would grant it.

The numbers come from the model's `resources` in config.yaml. A job that is tried again asks for more time and
memory: most second tries follow a limit that was too low.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cornerstone.cluster.weights import weight_bytes
from cornerstone.config.config import Config
from cornerstone.config.models import Model
from cornerstone.plan.layout import Layout
from cornerstone.schedule.limits import asked_gb

GROWTH = 0.5
"""How much of the first request each further try adds: 1, 1.5 and 2 times the time and memory."""

TRANSIENT = ("down, drained or reserved", "Unable to contact slurm controller", "Socket timed out")
"""Answers of SLURM that pass by themselves: a job would wait, so they are no reason to stop."""


def with_retry(value: int, attempt: int) -> int:
    """A limit for the first, second, ... try of a job."""
    return round(value * (1 + GROWTH * (attempt - 1)))


def memory_gb(entry: Model, marker: Path) -> int:
    """Host memory of an evaluate job in GiB: what the entry says, else what the weights need.

    Args:
        entry: the model.
        marker: JSON file that says where its weights are, once they are fetched.
    """
    return asked_gb(entry, None if entry.resources.memory_gb is not None else weight_bytes(marker, entry))


def job_resources(entry: Model, marker: Path) -> dict[str, Any]:
    """The `resources:` of an evaluate job, as Snakemake and its SLURM executor name them.

    Its GPUs are on one node: SLURM would take them from several where it is not told. Snakemake asks for the memory
    again when the job's inputs are there, so weights that are not fetched yet may have any size. Partition, account and
    constraint are left out where the model's entry has none, so that `default-resources` of the profile hold.
    """
    wanted = entry.resources

    def mem_mb(wildcards: Any, attempt: int) -> int:
        return with_retry(1024 * memory_gb(entry, marker), attempt)

    def runtime(wildcards: Any, attempt: int) -> int:
        return with_retry(wanted.runtime_minutes, attempt)

    named = {
        "gpu": wanted.gpus or None,
        "slurm_partition": wanted.partition,
        "slurm_account": wanted.account,
        "constraint": wanted.constraint,
    }
    always: dict[str, Any] = {"mem_mb": mem_mb, "runtime": runtime, "nodes": 1}
    return always | {key: value for key, value in named.items() if value is not None}


def resources_message(entry: Model) -> str:
    """What a job of a model that wants GPUs asks for, to be put behind the job's message (Snakemake fills it in)."""
    if not entry.resources.gpus:
        return ""
    # threads as stated: a dry run would scale them down to the cores that it was not given
    return (
        f": {entry.resources.gpus} GPUs, {{resources.mem_mb}} MB, {{resources.runtime}} minutes, {entry.threads} CPUs"
    )


def request(entry: Model, defaults: Mapping[str, Any], marker: Path) -> list[str]:
    """The options of `sbatch` for the first try of a model's job.

    Args:
        entry: the model.
        defaults: `default-resources` of the profile.
        marker: JSON file that says where its weights are.
    """
    wanted = entry.resources
    partition = partition_of(entry, defaults)
    account = wanted.account or defaults.get("slurm_account")
    constraint = wanted.constraint or defaults.get("constraint")
    options = [f"--mem={1024 * memory_gb(entry, marker)}", f"--time={wanted.runtime_minutes}", "--nodes=1"]
    # as the executor has it: for GPUs it names no tasks
    options.append(f"--gpus={wanted.gpus}" if wanted.gpus else "--ntasks=1")
    options.append(f"--cpus-per-task={entry.threads}")
    for name, value in (("partition", partition), ("account", account), ("constraint", constraint)):
        if value:
            options.append(f"--{name}={value}")
    return options


def partition_of(entry: Model, defaults: Mapping[str, Any]) -> str | None:
    """The partition of a model's jobs, as it or the profile names it; None is the cluster's default."""
    return entry.resources.partition or defaults.get("slurm_partition") or None


def gpus_of_nodes(partition: str | None) -> int | None:
    """The most GPUs that a node of a partition has, as `sinfo` tells it.

    Args:
        partition: a name, or several with commas between; None is the cluster's default.

    Returns:
        None where it can't be said: there is no `sinfo`, it does not answer, or it knows no such partition.
    """
    if shutil.which("sinfo") is None:
        return None
    try:
        done = subprocess.run(
            ["sinfo", "--noheader", "--format=%P|%G"], capture_output=True, text=True, timeout=60, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    found = []
    for line in done.stdout.splitlines():
        name, _, resources = line.partition("|")
        # an asterisk marks the default
        if name.rstrip("*") in partition.split(",") if partition else name.endswith("*"):
            found.append(_gpus_in(resources))
    return max(found, default=None)


def _gpus_in(resources: str) -> int:
    """GPUs in a list of generic resources, such as `gpu:a100:4(S:0-1),shard:8`."""
    kinds = re.sub(r"\([^)]*\)", "", resources).split(",")
    return sum(int(kind.rsplit(":", 1)[1]) for kind in kinds if re.fullmatch(r"gpu(:\S+)?:\d+", kind.strip()))


def too_many_gpus(name: str, entry: Model, defaults: Mapping[str, Any], most: int | None) -> str | None:
    """Why no node can have a job's GPUs; None where one can, or nobody knows.

    Args:
        name: of the model.
        entry: its section of the config.
        defaults: `default-resources` of the profile.
        most: GPUs that a node of its partition has, see `gpus_of_nodes`.
    """
    wanted, partition = entry.resources.gpus, partition_of(entry, defaults)
    if most is None or wanted <= most:
        return None
    where = f"partition '{partition}'" if partition else "the cluster's default partition"
    remedy = (
        f"Set models.{name}.resources.gpus to {most} or less (weights that do not fit are streamed), or choose another "
        if most
        else "Choose another "
    )
    return (
        f"jobs of {name} ask for {wanted} GPUs on one node (models.{name}.resources.gpus), and nodes of {where} have "
        f"{f'{most} at most' if most else 'none'}. {remedy}partition (profiles/slurm/config.yaml, or "
        f"models.{name}.resources.partition)."
    )


def refusal(options: list[str]) -> str | None:
    """Why SLURM would refuse a job with these options; None when it would take it.

    Asks the controller itself (`sbatch --test-only`): partition, account, limits and what sites add of their own.
    """
    if shutil.which("sbatch") is None:
        return "there is no `sbatch` here. Run on a login node of the cluster"
    command = ["sbatch", "--test-only", *options, "--wrap", "true"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode == 0 or any(answer in done.stderr for answer in TRANSIENT):
        return None
    lines = [re.sub(r"^(sbatch|allocation failure):\s*(error:\s*)?", "", line) for line in done.stderr.splitlines()]
    words = "; ".join(dict.fromkeys(line.removeprefix("allocation failure: ") for line in lines if line.strip()))
    return f"SLURM says: {words or f'exit code {done.returncode}'}"


def refusals(config: Config, defaults: Mapping[str, Any]) -> dict[str, str]:
    """Model -> why its jobs would be refused, for the active models whose jobs would be."""
    found = {}
    layout = Layout(config)
    answers: dict[tuple[str, ...], str | None] = {}
    gpus: dict[str | None, int | None] = {}
    for name in config.run:
        entry = config.models[name]
        partition = partition_of(entry, defaults)
        if entry.resources.gpus and partition not in gpus:
            gpus[partition] = gpus_of_nodes(partition)
        impossible = too_many_gpus(name, entry, defaults, gpus.get(partition))
        if impossible:
            found[name] = impossible
            continue
        options = request(entry, defaults, Path(layout.model_marker(name)))
        if tuple(options) not in answers:
            answers[tuple(options)] = refusal(options)
        answer = answers[tuple(options)]
        if answer:
            found[name] = (
                f"jobs of {name} ({' '.join(options)}) would be refused. {answer}. Partition and account are set in "
                f"profiles/slurm/config.yaml, what a job asks for in models.{name}.resources of config.yaml."
            )
    return found
