"""The corners of Snakemake that we lean on: what its documentation does not promise is used here and nowhere else."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cornerstone.config.config import Config
from cornerstone.errors import ConfigError
from cornerstone.files import write_atomically, write_text
from cornerstone.game import coalitions
from cornerstone.plan import fingerprint
from cornerstone.plan.layout import Layout
from cornerstone.plan.plan import Plan
from cornerstone.schedule.limits import Told, host, jobs_at_once, on_gpus, smallest

OFFLINE = "HF_HUB_OFFLINE"
"""Variable that keeps the libraries of the hub off the network."""


def prepare_jobs(root: Path) -> None:
    """Set what the processes of jobs inherit.

    They stay offline: only fetch may use the network (`online` takes it back). In the image, which does not have the
    package, Python finds it at `root`, where it is mounted.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ[OFFLINE] = "1"
    os.environ["APPTAINERENV_PYTHONPATH"] = str(root)


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


def check_installed(root: Path) -> None:
    """Check that the package is the one beside the rules: those of one version with the other would mix two codes.

    Raises:
        ConfigError: it is another one.
    """
    found = Path(__file__).resolve().parents[2]
    if found != root.resolve():
        raise ConfigError(
            f"the rules of {root} are run in a Python whose cornerstone is that of {found}. Use this folder's own "
            "environment (make run, or source .venv/bin/activate), or install it: pip install -e ."
        )


def online() -> None:
    """Let this process use the network: called by the scripts that fetch, before they import anything of the hub."""
    os.environ[OFFLINE] = "0"


def unplanned(names: Iterable[str]) -> str:
    """Regular expression of the names of coalitions that are not among `names` (any of them can be a target).

    The look-ahead includes the ending: without it, `drop-attn1` would also exclude `drop-attn10`.
    """
    return rf"(?!{any_of(names)}\.json)[a-z0-9-]+"


def any_of(words: Iterable[str]) -> str:
    """A regular expression of any of some words, as a tree of their prefixes.

    A plain alternation is tried word by word: with the 65,536 coalitions of an exact estimate, for each of as many
    files.

    >>> any_of(["full", "drop-attn0", "drop-attn1"])
    '(?:drop\\\\-attn(?:0|1)|full)'
    """
    tree: dict[str, Any] = {}
    for word in words:
        node = tree
        for letter in word:
            node = node.setdefault(letter, {})
        node[""] = {}

    def pattern(node: dict[str, Any]) -> str:
        choices = [re.escape(letter) + pattern(rest) for letter, rest in sorted(node.items()) if letter]
        if "" in node:
            choices.append("")
        return choices[0] if len(choices) == 1 else f"(?:{'|'.join(choices)})"

    return pattern(tree)


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


def note(config: Config, model: str, what: str) -> str:
    """An input of the rules that evaluate a model on a task, collect its values or estimate from them.

    It is newer than what they have made when that does not fit the config: see `note_stale`. Each folder of results has
    notes of its own.
    """
    results = hashlib.sha256(config.paths.results.encode()).hexdigest()[:8]
    return str(NOTES / results / model / what)


def note_stale(config: Config, plans: Mapping[str, Plan]) -> list[str]:
    """Have Snakemake run the rules again whose results were made by other settings or code.

    Snakemake decides by its own notes in `.snakemake`. Where these are not (results that were copied, a fresh clone),
    it takes whatever lies there. So what the results say of themselves is looked at, too: one file of each chunk, and
    each model's provenance. A job that is run again makes only what does not fit.

    Args:
        config: the configuration.
        plans: of each active model.

    Returns:
        The notes that are newer than what was made.
    """
    layout, newer = Layout(config), []
    for model, plan in plans.items():
        reasons = {task: _stale(layout, config, task, plan) for task in config.scored_tasks}
        made = Path(layout.provenance(model))
        for task in config.scored_tasks:
            reasons[task + VALUES] = _differ(_said(made, "values", task), fingerprint.of_values(config, model, task))
        reasons[ESTIMATES] = _differ(_said(made, "fingerprint"), fingerprint.of_estimates(config, model))
        for what, reason in reasons.items():
            path = Path(note(config, model, what))
            if reason:
                # Snakemake takes a file as it was if it says the same, however new it is
                write_text(path, f"{reason}, seen at {time.time_ns()}")
                newer.append(str(path))
            elif not path.is_file() or path.stat().st_size:
                write_atomically(path, lambda temporary: os.utime(temporary, (0, 0)))  # older than anything
    return newer


def _differ(found: object, wanted: object) -> str:
    """Why something that was noted does not fit; empty where it does, or nothing was noted."""
    return "" if found is None or found == wanted else f"{found} is not {wanted}"


def _stale(layout: Layout, config: Config, task: str, plan: Plan) -> str:
    """Why the results of a model and task do not fit; empty where they do."""
    folder = Path(layout.coalitions(plan.model, task))
    there = set(os.listdir(folder)) if folder.is_dir() else set()
    wanted = fingerprint.of_result(config, plan.model, task)
    for names in plan.chunks:
        name = next((name for name in names if f"{name}.json" in there), None)
        if name is not None:
            found = _said(Path(layout.coalition(plan.model, task, name)), "provenance", "fingerprint")
            if found != wanted:
                return f"{name}: {found} is not {wanted}"
    return ""


def _said(path: Path, *keys: str) -> object:
    """What a JSON file says under some keys; None when it is not there, and nothing that fits when it is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        for key in keys:
            found = found[key]
        return found
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return ""
