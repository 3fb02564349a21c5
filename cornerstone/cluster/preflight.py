"""What jobs need, checked before any is submitted.

`snakemake preflight` lists everything; before each run the Snakefile looks at what that run can't make itself.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cornerstone.assets import fetch
from cornerstone.cluster import fit, image, slurm
from cornerstone.cluster.finding import Finding
from cornerstone.config.config import Config
from cornerstone.config.models import Model
from cornerstone.errors import CornerstoneError, PreflightError
from cornerstone.files import size
from cornerstone.plan.layout import Layout
from cornerstone.plan.plan import plans

BYTES_PER_RESULT = 4_000
BYTES_PER_DOCUMENT = 250
"""Size of a coalition's file: measured on the six tasks, and rounded up."""
WIDTH = 512
"""Tokens of a long document, its choices included: where memory is foreseen, documents are not counted."""
DOCUMENTS = 3_500
"""Documents of a task where no limit is set: the largest of the six has fewer."""


@dataclass(frozen=True)
class Circumstances:
    """How Snakemake was called: in an image, on a cluster, with which default resources."""

    container: bool
    cluster: bool
    defaults: Mapping[str, Any]

    @classmethod
    def of(cls, workflow: Any) -> Circumstances:
        """Those of Snakemake's `workflow`."""
        methods = {method.name for method in workflow.deployment_settings.deployment_method}
        defaults = dict(workflow.resource_settings.default_resources or {})
        return cls(
            container="APPTAINER" in methods,
            cluster=bool(workflow.non_local_exec),
            defaults={key: str(getattr(value, "raw", value) or "").strip("'\"") for key, value in defaults.items()},
        )


def look(config: Config, how: Circumstances, fetched: bool = True) -> list[Finding]:
    """Look at everything that jobs need.

    Args:
        config: the configuration.
        how: how Snakemake was called.
        fetched: whether weights and documents must be there already; a run that fetches them needs no such check.
    """
    findings = [_versions()]
    if how.container:
        findings += _image(config)
    if fetched:
        findings += _assets(config)
        findings += _memory(config)
    if fetched or how.cluster:  # a wrong entry would fail in each of many jobs
        findings += fit.models(config)
        findings += fit.metrics(config)
    findings.append(Finding("room for results", _room(config)))
    findings += _cluster(config, how.defaults) if how.cluster else _gpus(config)
    return findings


def require(findings: list[Finding]) -> None:
    """Check that nothing is missing.

    Raises:
        PreflightError: with one line for each problem.
    """
    lines = [f"{finding.what}: {finding.problem}" for finding in findings if finding.problem]
    if lines:
        raise PreflightError("\n  ".join([f"missing or wrong, and jobs need it ({len(lines)}):", *lines]))


def _versions() -> Finding:
    here = ".".join(map(str, sys.version_info[:3]))
    old = sys.version_info < (3, 11)
    return Finding(f"Python {here}", "3.11 or newer is needed: make PYTHON=python3.12 .venv/run" if old else None)


def _tried(check: Callable[[], str | None]) -> str | None:
    try:
        return check()
    except CornerstoneError as error:
        return str(error)


def _image(config: Config) -> list[Finding]:
    wrong = _tried(lambda: image.mismatch(config))
    findings = [Finding(f"image {config.container}", wrong)]
    if not wrong:
        findings.append(Finding("pins of the image", _tried(lambda: image.stale(config))))
    return findings


def _assets(config: Config) -> list[Finding]:
    layout = Layout(config)

    def weights(name: str) -> str | None:
        fetch.model_folder(Path(layout.model_marker(name)), config.models[name])
        return None

    def documents(path: str) -> str | None:
        return None if Path(path).is_file() else "is not there. Run `snakemake fetch` where there is network."

    findings = [
        Finding(f"weights of {name}", _tried(lambda name=name: weights(name)))  # type: ignore[misc]
        for name in config.run
    ]
    wanted = dict.fromkeys(layout.documents_for(name, task) for name in config.run for task in config.scored_tasks)
    return findings + [Finding(path, documents(path)) for path in wanted]


def _memory(config: Config) -> list[Finding]:
    """Whether the weights that are there fit into a job's memory, as far as that is known before."""
    findings = []
    for name, folder in fit.fetched(config):
        try:
            findings.append(Finding(f"memory of {name}: {_use_of_memory(name, config.models[name], folder)}"))
        except CornerstoneError as error:
            findings.append(Finding(f"memory of {name}", str(error)))
    return findings


def _use_of_memory(name: str, entry: Model, folder: Path) -> str:
    """How a job would use its memory.

    Raises:
        ConfigError: it has too little even to stream the weights.
        ModelError: config or tokenizer can't be read.
    """
    # torch and transformers: the Snakefile, which imports this file, must not wait for them
    from cornerstone.engine.loading import shapes_only
    from cornerstone.engine.weights import footprint
    from cornerstone.schedule import limits, memory

    model, _ = shapes_only(folder, entry.dtype)
    weights = footprint(model).resident
    limit = limits.foreseen(name, entry, weights)
    if limit is None:
        return f"that of its GPUs, which are not here; its weights take {weights / limits.GIB:.2f} GiB"
    room = memory.room(name, entry, limit, model, [entry.batch_tokens], min(WIDTH, entry.batch_tokens))
    said = f"a job has {limit}; {room}"
    return f"{said}; {memory.why_streamed(entry)}" if room.streamed and entry.memory.weights == "auto" else said


def _room(config: Config) -> str | None:
    wanted = 0
    for name in config.run:
        for task, plan in plans(config, name).items():
            each = BYTES_PER_RESULT + BYTES_PER_DOCUMENT * (config.limit(name, task) or DOCUMENTS)
            wanted += each * len(plan.names)
    folder = Path(config.paths.results).resolve()
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    free = shutil.disk_usage(there).free
    if free >= wanted:
        return None
    return (
        f"{folder} needs up to {size(wanted)}, its disk has {size(free)}. Free some, or set `paths.results` in "
        "config.yaml to a folder on a larger disk."
    )


def _gpus(config: Config) -> list[Finding]:
    """GPUs of this machine, for models that want some."""
    wanted = {name: config.models[name].resources.gpus for name in config.run}
    most = max(wanted, key=lambda name: wanted[name])
    if not wanted[most] or not config.models[most].device_map.startswith(("auto", "cuda")):
        return []
    seen = 0
    if shutil.which("nvidia-smi"):
        try:
            done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False, timeout=60)
        except subprocess.TimeoutExpired:
            return [Finding("GPUs of this machine", "nvidia-smi does not answer within a minute. Look at the driver.")]
        seen = sum(line.startswith("GPU ") for line in done.stdout.splitlines())
    problem = None
    if seen < wanted[most]:
        problem = (
            f"{most} asks for {wanted[most]} (`resources.gpus`), nvidia-smi shows {seen}. Run it on a cluster "
            "(`--profile slurm`) or a machine with more, or set device_map: cpu."
        )
    return [Finding("GPUs of this machine", problem)]


def _cluster(config: Config, defaults: Mapping[str, Any]) -> list[Finding]:
    refused = slurm.refusals(config, defaults)
    return [Finding(f"SLURM takes jobs of {name}", refused.get(name)) for name in config.run]
