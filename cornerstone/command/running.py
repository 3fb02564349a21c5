"""`cornerstone run` and `cornerstone plan`: Snakemake, called with what it must be told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cornerstone import reading
from cornerstone.command import rounds
from cornerstone.command.said import Said, duration, rows
from cornerstone.config.config import Config
from cornerstone.errors import ConfigError, CornerstoneError
from cornerstone.files import read_csv
from cornerstone.plan.layout import Layout

STUDIES = Path("studies")
"""Folder of the configuration files that stand on top of config.yaml."""
QUIET = ("--quiet", "host", "reason")
MAIN = Path("config.yaml")
"""The configuration file that the workflow reads in any case."""


def study_file(study: str) -> Path:
    """The configuration file of a study: a file of `studies/` by its name, or any file by its path.

    Raises:
        ConfigError: there is none.
    """
    named = STUDIES / f"{study}.yaml"
    path = named if named.is_file() else Path(study)
    if not path.is_file():
        there = ", ".join(sorted(path.stem for path in STUDIES.glob("*.yaml"))) or "none"
        raise ConfigError(f"there is no study '{study}': neither {named} nor a file of that name. Studies: {there}.")
    return path


def snakemake(
    files: Sequence[Path], cores: int | None, profile: str | None, more: Sequence[str], targets: Sequence[str]
) -> list[str]:
    """The command that runs the workflow.

    Args:
        files: configuration files, config.yaml first.
        cores: for Snakemake; None: all of this machine's.
        profile: of Snakemake, such as `slurm`; with one, the number of cores is the profile's unless it is given.
        more: further options of Snakemake.
        targets: rules or files.

    Raises:
        ConfigError: the first file is not the one that the workflow reads in any case.
    """
    if not files or files[0].resolve() != MAIN.resolve():
        raise ConfigError(
            f"the workflow always reads {MAIN} first; name it first (--config {MAIN} --config ...), or use --study."
        )
    command = [sys.executable, "-m", "snakemake"]
    if cores is not None or profile is None:
        command += ["--cores", str(cores or os.cpu_count() or 1)]
    if profile is not None:
        command += ["--profile", profile if Path(profile).exists() else f"profiles/{profile}"]
    if files[1:]:
        command += ["--configfile", *map(str, files[1:])]
    return [*command, *QUIET, *more, "--", *targets]


def need_workflow() -> None:
    """Check that this is the folder of the workflow.

    Raises:
        CornerstoneError: it is not.
    """
    if not Path("Snakefile").is_file():
        raise CornerstoneError(f"{Path.cwd()} has no Snakefile. Run this in the folder of the project.")


def run(
    config: Config,
    files: Sequence[Path],
    cores: int | None = None,
    profile: str | None = None,
    more: Sequence[str] = (),
    targets: Sequence[str] = (),
    as_json: bool = False,
) -> Said:
    """Run the workflow; Snakemake shows how far it is. Where the config has `until`, in rounds (`rounds.run`).

    Args:
        config: the configuration.
        files: that it is from.
        cores: see `snakemake`.
        profile: see `snakemake`.
        more: further options of Snakemake.
        targets: rules or files; none: everything.
        as_json: send what Snakemake prints to stderr, so that stdout holds JSON alone.

    Returns:
        Where the results are; Snakemake's exit code.
    """
    need_workflow()
    dry = any(option in ("-n", "--dry-run", "--dryrun") for option in more)
    out = sys.stderr if as_json else None

    def call(asked: Sequence[str]) -> int:
        command = snakemake(files, cores, profile, more, asked)
        return subprocess.run(command, check=False, stdout=out).returncode

    if config.until is None or dry or list(targets) not in ([], [rounds.WHOLE]):
        ended = rounds.Rounds(call(targets or [rounds.WHOLE]), {})
    else:
        ended = rounds.run(files, lambda rule: call([rule]), lambda text: print(text, file=out, flush=True))
    layout = Layout(config)
    page = Path(layout.results) / "index.html"
    best = str(page) if page.is_file() else layout.summary
    text = "" if ended.code or dry or targets else f"The results are in {layout.results}; begin with {best}."
    command = snakemake(files, cores, profile, more, targets or [rounds.WHOLE])
    data = {"code": ended.code, "results": layout.results, "page": best, "command": command}
    if config.until is not None:
        data["verdicts"] = list(ended.verdicts.values())
    return Said(text, data, ended.code)


def plan(config: Config, files: Sequence[Path], cores: int | None = None) -> Said:
    """What a run would cost: one line, then the table of `snakemake plan`.

    Raises:
        CornerstoneError: the plan can't be made; Snakemake has said why.
    """
    need_workflow()
    command = snakemake(files, 1, None, [], ["plan"])
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)  # what it downloads is shown
    numbers, page = map(Path, Layout(config).forecast)
    if done.returncode:
        raise CornerstoneError("the plan could not be made; what is wrong is said above.")
    frame = read_csv(numbers)
    used = cores or os.cpu_count() or 1
    single = frame[frame["estimator"] != "all"]
    left = single["new"] - single["done"]
    hours = float((single["hours"] * left / single["new"].where(single["new"] > 0, 1)).sum(skipna=False))
    walls = float(frame["wall_hours"].iloc[-1])
    time = max(hours / used, walls * (hours / float(frame["hours"].iloc[-1]) if frame["hours"].iloc[-1] else 0))
    new = int(left.sum())
    line = f"about {duration(time)} with {used} cores; {new:,} new coalitions" if new else "nothing left to evaluate"
    data = {
        "hours": time,
        "cores": used,
        "new_coalitions": new,
        "files": [str(numbers), str(page)],
        "rows": rows(frame),
    }
    return Said(f"{line}\n\n{reading.text(page).partition(chr(10))[2].strip()}", data)
