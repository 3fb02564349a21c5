"""The corners of Snakemake that we lean on: what its documentation does not promise is used here and nowhere else."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from base64 import urlsafe_b64encode
from pathlib import Path
from types import FrameType
from typing import Any

from cornerstone.config.config import Config
from cornerstone.errors import CornerstoneError
from cornerstone.game import coalitions
from cornerstone.log import failure_of
from cornerstone.logfile import keep_aside, written
from cornerstone.schedule.limits import Told, host, jobs_at_once, on_gpus, smallest

OFFLINE = "HF_HUB_OFFLINE"
"""Variable that keeps the libraries of the hub off the network."""


def prepare_jobs(root: Path) -> None:
    """Set what the processes of jobs inherit.

    They stay offline: only fetch may use the network (`online` takes it back). In the image, which does not have the
    package, Python finds it at `root`, where it is mounted. What their logs can't take has a place.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ[OFFLINE] = "1"
    os.environ["APPTAINERENV_PYTHONPATH"] = str(root)
    keep_aside()


def share_memory(workflow: Any, config: Config, jobs: int) -> None:
    """Tell jobs, in their environment, what memory they share with those that run beside them.

    Called once, before any of them runs: later, what is free would be what other jobs have left.

    Args:
        workflow: Snakemake's.
        config: the configuration.
        jobs: evaluate jobs that this run will make; 0 where it makes none, but plans for a run that makes all.
    """
    if workflow.non_local_exec:
        Told(submitted=True).tell()
        return
    cores = workflow.global_resources["_cores"].value or 1
    threads = {name: config.models[name].threads for name in config.run}
    gpus = {name: entry.resources.gpus for name in config.run if on_gpus(entry := config.models[name])}
    at_once = jobs_at_once(threads, cores, jobs or cores)
    gpu_jobs = jobs_at_once({name: threads[name] for name in gpus}, cores, jobs or cores)
    if "gpu" in workflow.global_resources:
        most = workflow.global_resources["gpu"].value
        limited = jobs_at_once({name: max(1, each) for name, each in gpus.items()}, max(1, most), jobs or cores)
        gpu_jobs = {name: min(count, limited[name]) for name, count in gpu_jobs.items()}
    Told(host=smallest(host()), jobs=at_once, gpu_jobs=gpu_jobs).tell()


def online() -> None:
    """Let this process use the network: called by the scripts that fetch, before they import anything of the hub."""
    os.environ[OFFLINE] = "0"


def command_line() -> Any | None:
    """What Snakemake's command was called with, as Snakemake itself has read it: `targets`, `forcerun` and so on.

    Called while rules are read. That is before Snakemake hands its settings to the workflow, so they are taken from the
    command that is running. None where Snakemake was called by a program of somebody's.
    """
    from snakemake.cli import main  # not above: only Snakemake's own processes have it

    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code is not main.__code__:
        frame = frame.f_back
    return None if frame is None else frame.f_locals.get("args")


MISTAKES = {kind.__name__ for kind in CornerstoneError.__subclasses__()}
"""Errors that a second try would end in, too. What may pass with more memory is a plain CornerstoneError."""


def retry_no_mistakes() -> None:
    """Keep Snakemake from submitting a job again that ended in a mistake of the user's, as its log says.

    A profile's `retries` are for limits of time and memory, and for nodes that fail.
    """
    from snakemake.jobs import Job

    usual, started = Job.restart_times, time.time()

    def restart_times(job: Any) -> int:
        for path in map(Path, map(str, job.log)):
            # a log of an earlier run says nothing of this one
            if written(path) >= started and (failure := failure_of(path)) and failure.kind in MISTAKES:
                return 0
        return int(usual.fget(job))

    if not hasattr(usual.fget, "mistakes"):
        restart_times.mistakes = MISTAKES  # type: ignore[attr-defined]
        Job.restart_times = property(restart_times)


def config_files() -> list[Path]:
    """The configuration files of this run: config.yaml, and those of --configfile, which override it."""
    asked = getattr(command_line(), "configfile", None) or ()
    found = [*(path for path in (Path("config.yaml"),) if path.is_file()), *(Path(str(path)) for path in asked)]
    return list(dict.fromkeys(found))


def check_coalition(config: Config, model: str, name: str) -> str:
    """The name itself, when it is a coalition of the model.

    Raises:
        CoalitionError: when it is not.
    """
    coalitions.parse(name, config.models[model].all_players())
    return name


def forget_backup(path: Path) -> None:
    """Keep Snakemake from putting an older version of a finished result back.

    Snakemake copies the `update` outputs of a job aside before it runs, and restores the copies if the job fails:
    also over results that the job had made anew since.
    """
    inside = path.relative_to(path.anchor) if path.is_absolute() else path
    (Path(".snakemake") / "backups" / inside).unlink(missing_ok=True)


def forget_notes(path: Path) -> None:
    """Delete what Snakemake has noted of the making of a file, so that it does not compare it with today's code."""
    name = urlsafe_b64encode(str(path).encode()).decode()
    longest = os.pathconf(".", "PC_NAME_MAX") - 1
    parts = [name[i : i + longest] for i in range(0, len(name), longest)]
    record = Path(".snakemake", "metadata", *(f"@{part}" for part in parts[:-1]), parts[-1])
    record.unlink(missing_ok=True)


def evaluate_rule(model: str, chunk: int) -> str:
    """The name of the rule that evaluates a chunk."""
    return f"evaluate_{model}_{chunk}"


NOTES = Path(".snakemake", "cornerstone")
"""Folder of notes by which rules run again whose results do not fit."""
ESTIMATES = "estimates"
"""The note of a model's estimates; all others are named after tasks."""
VALUES = ".values"
"""Ending of the note of a task's table of values."""
DOCUMENTS = "documents"
"""In the place of a model's name: the notes of the documents that are fetched together, by their name."""
COMPARISON = ".comparison"
"""The note of a pair of models that are compared."""
ASKED = ".asked"
"""Ending of the note of the coalitions of a task that were asked for by name."""


def chunk_note(task: str, number: int) -> str:
    """The name of the note of a chunk."""
    return f"{task}.{number}"


def notes(config: Config, model: str) -> Path:
    """The folder of a model's notes. Each folder of results has notes of its own."""
    results = hashlib.sha256(config.paths.results.encode()).hexdigest()[:8]
    return NOTES / results / model


def note(config: Config, model: str, what: str) -> str:
    """An input of the rules that evaluate a model on a task, collect its values, estimate from them, or compare.

    It is newer than what they have made when that does not fit: see `evaluate.stale.note_stale`.
    """
    return str(notes(config, model) / what)
