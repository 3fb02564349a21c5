"""What the workflow costs beside the sweep: `python -m benchmarks.workflow`.

- Orchestration: a real `make run`, in a folder of its own with the weights and documents of this one. Its
  *core-seconds* are its wall time x the cores it may use. The *sweep* is what the results say that it took: the sum
  of the seconds in `provenance.jobs` of every file that the run wrote, x `threads` of the model. The share of
  orchestration is 1 - sweep / core-seconds: process starts, imports, model load, encoding, JSON, Snakemake,
  estimates, figures, the report, and also cores that have nothing to do. That is the strict way to count: where two
  jobs run side by side,
  each has its own core-seconds, and a core that waits at the end counts as a cost of the workflow. On a machine that
  is busy with other things, all wall times are longer; the share of the CPU seconds beside it knows nothing of that,
  nor of idle cores.
  The parts: jobs of the GPU rules (evaluate, deletion) by what they do, all other jobs by rule, each with the seconds
  that its process lived; of Snakemake and make, which wait for most of the time, the CPU seconds. What is then left of
  the core-seconds is `idle cores`. (Jobs of estimates may use more than one core at times: then it is too small.)
- Dry run: wall and CPU time and peak memory (of the largest process) of `snakemake --dry-run` for the paper's three
  models.
- Table: results of one model and task to one Parquet file.

`benchmarks/clock/sitecustomize.py` says how the time in a process is told apart.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import yaml

from benchmarks import report
from cornerstone.assets.documents import Document, TaskDocuments
from cornerstone.config.config import load
from cornerstone.evaluate import result, table
from cornerstone.evaluate.wanted import Wanted
from cornerstone.game.coalitions import name
from cornerstone.game.players import alike, players_of
from cornerstone.log import clock, log

ROOT = Path(__file__).parents[1]
CODE = (
    *("Makefile", "Snakefile", "config.yaml", "rules", "scripts", "cornerstone"),
    *("snakemake_logger_plugin_cornerstone", "profiles", "report", "envs"),
)
SWEEPING = ("evaluate", "deletion")
"""Scripts that hold a model; all others make something of its results."""
PARTS = ("imports", "model load", "encoding", "JSON writing", "JSON checking")
"""What these scripts do beside the sweep; in one word the rest is `other`."""
LONG_AGO = 946_684_800.0
"""The year 2000, in seconds since 1970."""
PAPER = {
    "run": ["llama3-8b", "llama3-70b", "mixtral-8x7b"],
    "estimators": [{"kind": "window", "removed": 4}],
}


class Row(NamedTuple):
    """A line of the table; `met` is empty where there is no target."""

    figure: str
    value: float
    unit: str
    target: str = ""
    met: bool | None = None


def at_most(figure: str, value: float, most: float, unit: str) -> Row:
    """A row whose value must not be larger than its target."""
    return Row(figure, value, unit, f"<= {most:g}", value <= most)


def at_least(figure: str, value: float, least: float, unit: str) -> Row:
    """A row whose value must not be smaller than its target."""
    return Row(figure, value, unit, f">= {least:g}", value >= least)


@dataclass(frozen=True)
class Used:
    """What a child process took: wall and CPU seconds (with its own children), bytes of the largest process."""

    wall: float
    cpu: float
    peak: int


STARTER = """
import json, os, sys, time
started = time.perf_counter()
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, used = os.wait4(child, 0)
wall = time.perf_counter() - started
with open(sys.argv[1], "w") as file:
    json.dump([os.waitstatus_to_exitcode(status), wall, used.ru_utime + used.ru_stime, used.ru_maxrss], file)
"""
"""Linux counts what a process held before it became the child as the child's: so it is started by a small one."""


def measured(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Used:
    """Run a command and say what it took.

    Raises:
        RuntimeError: it failed; with the end of what it said.
    """
    with tempfile.TemporaryFile("w+") as said, tempfile.NamedTemporaryFile("r") as found:
        starter = [sys.executable, "-I", "-S", "-c", STARTER, found.name]
        subprocess.run([*starter, *command], cwd=folder, env=environment, stdout=said, stderr=said, check=True)
        code, wall, cpu, peak = json.load(found)
        if code:
            said.seek(0)
            raise RuntimeError(f"{' '.join(command)} failed:\n{said.read()[-3000:]}")
    return Used(wall, cpu, peak * (1 if sys.platform == "darwin" else 1024))


@contextmanager
def fresh_folder(changes: Mapping[str, Any], resources: Path = ROOT / "resources") -> Iterator[Path]:
    """A working folder with a copy of the code, a config with changes, and the assets and environment of this one.

    Raises:
        FileNotFoundError: there are no assets here yet.
    """
    if not (resources / "documents").is_dir():
        raise FileNotFoundError(f"there are no weights and documents in {resources}. Run `snakemake fetch` first.")
    with tempfile.TemporaryDirectory(prefix="cornerstone-") as made:
        folder = Path(made)
        for part in CODE:
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / part, folder / part)
        settings = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")) | dict(changes)
        if changes:
            (folder / "config.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        # older than the assets, or Snakemake takes the code that fetched them for changed and fetches again
        for path in folder.rglob("*"):
            os.utime(path, (LONG_AGO, LONG_AGO))
        (folder / "resources").symlink_to(resources.resolve())
        (folder / ".venv").symlink_to(sys.prefix)
        yield folder


def orchestration(changes: Mapping[str, Any] | None = None, cores: int = os.cpu_count() or 1) -> list[Row]:
    """Run the workflow from nothing to the report, and tell where its core-seconds went.

    Args:
        changes: keys of config.yaml to replace; none is what `make run` does.
        cores: that the run may use.
    """
    with fresh_folder(changes or {}) as folder:
        notes = folder / "clock"
        notes.mkdir()
        paths = f"{ROOT / 'benchmarks' / 'clock'}{os.pathsep}{folder}"
        timed = {"PYTHONPATH": paths, "CORNERSTONE_CLOCK": str(notes)}
        # the environment is there: make must not look whether it is older than its pins
        command = ["make", "--assume-old", ".venv/ready", "run", f"CORES={cores}"]
        used = measured(command, folder, os.environ | timed)
        processes = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(notes.glob("*.json"))]
        config = load(yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")))
        sweep = sum(
            config.models[model].threads * job["seconds"]
            for model in config.run
            for path in (folder / config.paths.results / model).glob("*/*/[!.]*.json")
            for job in json.loads(path.read_text(encoding="utf-8"))["provenance"].get("jobs", [])
        )
    return shares(processes, sweep, used, cores)


def shares(processes: Sequence[Mapping[str, Any]], sweep: float, used: Used, cores: int) -> list[Row]:
    """The rows of a run.

    Args:
        processes: what each noted of itself (`benchmarks/clock/sitecustomize.py`).
        sweep: core-seconds in the sweep.
        used: by the whole run.
        cores: that it might use.
    """
    total = used.wall * cores
    sweep_cpu = sum(process["parts"].get("sweep", [0.0, 0.0])[1] for process in processes)
    parts: dict[str, float] = {}
    for process in processes:
        kind, lived = kind_of(process["arguments"]), process["seconds"]
        if kind in SWEEPING:
            told = {f"{kind}: {part}": process["parts"].get(part, [0.0])[0] for part in PARTS}
            told[f"{kind}: other"] = lived - sum(told.values())  # with the sweep
        elif kind.startswith("snakemake"):
            told = {kind: process["cpu"]}
        else:
            told = {kind: lived}
        for part, seconds in told.items():
            parts[part] = parts.get(part, 0.0) + seconds
    # the results do not say which job they are from
    inside = sum(seconds for part, seconds in parts.items() if part.endswith(": other"))
    others = {part: seconds for part, seconds in parts.items() if not part.endswith(": other")}
    others["evaluate, deletion: other"] = inside - sweep
    others["idle cores"] = total - sweep - sum(others.values())
    return [
        at_most("orchestration, of the core-seconds of a run", 100 * (1 - sweep / total), 15, "%"),
        *([Row("orchestration, of the CPU time of a run", 100 * (1 - sweep_cpu / used.cpu), "%")] if sweep_cpu else []),
        Row("run, wall time", used.wall, "s"),
        Row("run, CPU time", used.cpu, "s"),
        Row(f"run, core-seconds on {cores} cores", total, "core-s"),
        Row("sweep", sweep, "core-s"),
        Row("orchestration", total - sweep, "core-s"),
        *(Row(part, others[part], "core-s") for part in sorted(others)),
    ]


def kind_of(arguments: Sequence[str]) -> str:
    """The rule's script that a process ran, `snakemake` or `snakemake --report`, or the name of another program."""
    program = Path(arguments[0]).stem if arguments else ""
    if found := re.fullmatch(r"tmp[^.]*\.(\w+)", program):
        return found[1]
    if program in ("snakemake", "__main__"):
        return "snakemake --report" if "--report" in arguments else "snakemake"
    if program == "cornerstone":
        return " ".join(["cornerstone", *arguments[1:2]])
    return program or "python"


def dry_run() -> list[Row]:
    """A dry run of the paper's three models (251 + 635 + 251 coalitions) on six tasks."""
    with fresh_folder(PAPER) as folder:
        command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "all", "--cores", "2"]
        used = measured(command, folder, os.environ | {"PYTHONPATH": str(folder)})
    what = "dry run, three models of the paper, six tasks"
    return [
        at_most(f"{what}: wall time", used.wall, 10, "s"),
        Row(f"{what}: CPU time", used.cpu, "s"),
        at_most(f"{what}: peak memory", used.peak / 1e6, 500, "MB"),
    ]


def collect(files: int = 20_000, documents: int = 100, choices: int = 4) -> list[Row]:
    """Read result files of made-up scores into a table, and write it."""
    players = players_of(alike(8))
    data = Wanted(made_up(documents, choices))
    origin = result.Origin("0" * 16, "0" * 16, {"name": "made up"}, {"torch": "2"}, "cpu", "resident")
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="cornerstone-") as made:
        paths = []
        for coalition in range(files):
            paths.append(Path(made) / "coalitions" / f"{name(coalition, players)}.json")
            scores = (10 * rng.standard_normal((documents, choices)) - 50).tolist()
            scored = [result.Scored(p, scores[p.first : p.first + p.count]) for p in data.missing([])]
            result.write(paths[-1], coalition, players, data, scored, origin, 1.0)
        wall, cpu = time.perf_counter(), time.process_time()
        table.write(paths, players, "0" * 16, "0" * 16, data, Path(made) / "values.parquet")
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    what = f"{files:,} files of {documents} documents to a table"
    return [at_most(f"{what}: wall time", wall, 60, "s"), Row(f"{what}: CPU time", cpu, "s")]


def made_up(documents: int, choices: int) -> TaskDocuments:
    """Documents of a multiple-choice task."""
    made = [
        Document(i, f"{i:064x}", str(i), [(f"question {i}", f" {c}") for c in range(choices)], [5] * choices, 0)
        for i in range(documents)
    ]
    return TaskDocuments("made_up", "1", "made up", "validation", ["acc", "acc_norm"], "made up", documents, made)


def rows() -> list[Row]:
    """All measurements: those of a few seconds first, then the whole run."""
    found: list[Row] = []
    for measure in (dry_run, collect, orchestration):
        log(f"{measure.__name__}: {(measure.__doc__ or '').splitlines()[0]}")
        started = time.monotonic()
        found += measure()
        log(f"{measure.__name__}: {clock(time.monotonic() - started)}")
    return found


def text(frame: pd.DataFrame, origin: str) -> str:
    """The Markdown file."""
    shown = frame.assign(met=frame["met"].map({True: "yes", False: "no"}).fillna(""))
    definitions = (__doc__ or "").partition("\n\n")[2].rpartition("\n\n")[0]
    return f"# What the workflow costs\n\n{origin}\n{report.markdown(shown, {'value': ',.1f'})}\n{definitions}\n"


def main() -> None:
    """Measure, print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=report.RESULTS)
    chosen = parser.parse_args()
    frame = pd.DataFrame(rows(), columns=Row._fields)
    written = text(frame, report.origin({"cores": os.cpu_count()}, ("snakemake", *report.MODEL_PACKAGES)))
    print(written)
    report.write(chosen.results, "workflow", frame, written)


if __name__ == "__main__":
    main()
