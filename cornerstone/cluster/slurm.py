"""What a job asks of a cluster, and whether the cluster would grant it.

The numbers come from the model's `resources` in config.yaml. A job that is tried again asks for more time and
memory: most second tries follow a limit that was too low.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

from cornerstone.config.config import Config
from cornerstone.config.models import Model

GROWTH = 0.5
"""How much of the first request each further try adds: 1, 1.5 and 2 times the time and memory."""

TRANSIENT = ("down, drained or reserved", "Unable to contact slurm controller", "Socket timed out")
"""Answers of SLURM that pass by themselves: a job would wait, so they are no reason to stop."""


def with_retry(value: int, attempt: int) -> int:
    """A limit for the first, second, ... try of a job."""
    return round(value * (1 + GROWTH * (attempt - 1)))


def job_resources(entry: Model) -> dict[str, Any]:
    """The `resources:` of an evaluate job, as Snakemake and its SLURM executor name them.

    Partition, account and constraint are left out where the model's entry has none, so that `default-resources`
    of the profile hold.
    """
    wanted = entry.resources

    def mem_mb(wildcards: Any, attempt: int) -> int:
        return with_retry(1024 * wanted.memory_gb, attempt)

    def runtime(wildcards: Any, attempt: int) -> int:
        return with_retry(wanted.runtime_minutes, attempt)

    named = {
        "gpu": wanted.gpus or None,
        "slurm_partition": wanted.partition,
        "slurm_account": wanted.account,
        "constraint": wanted.constraint,
    }
    return {"mem_mb": mem_mb, "runtime": runtime, **{key: value for key, value in named.items() if value is not None}}


def resources_message(entry: Model) -> str:
    """What a job of a model that wants GPUs asks for, to be put behind the job's message (Snakemake fills it in)."""
    if not entry.resources.gpus:
        return ""
    # threads as stated: a dry run would scale them down to the cores that it was not given
    return (
        f": {entry.resources.gpus} GPUs, {{resources.mem_mb}} MB, {{resources.runtime}} minutes, {entry.threads} CPUs"
    )


def request(entry: Model, defaults: Mapping[str, Any]) -> list[str]:
    """The options of `sbatch` for the first try of a model's job.

    Args:
        entry: the model.
        defaults: `default-resources` of the profile.
    """
    wanted = entry.resources
    partition = wanted.partition or defaults.get("slurm_partition")
    account = wanted.account or defaults.get("slurm_account")
    constraint = wanted.constraint or defaults.get("constraint")
    options = [f"--mem={1024 * wanted.memory_gb}", f"--time={wanted.runtime_minutes}", "--ntasks=1"]
    options.append(f"--cpus-per-task={entry.threads}")
    if wanted.gpus:
        options.append(f"--gpus={wanted.gpus}")
    for name, value in (("partition", partition), ("account", account), ("constraint", constraint)):
        if value:
            options.append(f"--{name}={value}")
    return options


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
    answers: dict[tuple[str, ...], str | None] = {}
    for name in config.run:
        options = request(config.models[name], defaults)
        if tuple(options) not in answers:
            answers[tuple(options)] = refusal(options)
        answer = answers[tuple(options)]
        if answer:
            found[name] = (
                f"jobs of {name} ({' '.join(options)}) would be refused. {answer}. Partition and account are set in "
                f"profiles/slurm/config.yaml, what a job asks for in models.{name}.resources of config.yaml."
            )
    return found
