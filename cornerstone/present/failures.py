"""What a failing run shows: for each failed job which it is, the message, the log; and last what to do about it."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cornerstone.disk import problem_in
from cornerstone.errors import ConfigError
from cornerstone.log import STOPPED, Failure, failure_of, tail
from cornerstone.logfile import written
from cornerstone.present.jobs import JobName, folded, with_lists_folded

MOST_LINES = 15
"""Lines of a failure, with the remedy and the empty line before it; a longer message is cut, as it is in the log."""
JOBS = 2
"""Jobs that are named where several failed for the same reason."""

DEFECT = "Report this defect (it is no mistake of yours) with the whole of {log}, where its traceback is."

DEFECT_OF_A_RUN = "Report this defect (it is no mistake of yours) with what the same command prints with --verbose."

SLURM_REMEDIES = {
    "OUT_OF_MEMORY": "Raise resources.memory_gb of models.{model} in config.yaml, or lower its memory.budget_gb.",
    "TIMEOUT": "Raise resources.runtime_minutes of models.{model} in config.yaml; what is finished is kept.",
    "CANCELLED": "Somebody, or the cluster, cancelled it. Run the same command again; what is finished is kept.",
    "NODE_FAIL": "A node went down. Run the same command again; what is finished is kept.",
}
"""State in which SLURM ended a job -> what to do about it, where the job could say nothing itself."""

OF_A_SCRIPT = ("CalledProcessError", "RuleException")
"""Errors with which Snakemake says that a script ended badly: with the command and the place in the rules."""
SLURM_SAYS = (
    ("OUT_OF_MEMORY", re.compile(r"^slurmstepd.*(?:memory limit|oom[-_ ]kill).*", re.MULTILINE | re.IGNORECASE)),
    ("TIMEOUT", re.compile(r"^slurmstepd.*DUE TO TIME LIMIT.*", re.MULTILINE)),
    ("NODE_FAIL", re.compile(r"^slurmstepd.*DUE TO NODE FAILURE.*", re.MULTILINE)),
    ("CANCELLED", re.compile(r"^slurmstepd.*CANCELLED AT.*", re.MULTILINE)),
)
"""State -> what SLURM writes into its own log of a job: where there is no accounting, all it tells else is `FAILED`."""

KILLED, NO_MESSAGE = "Killed", "NoMessage"
"""Kinds of failures of scripts that could not say why."""
CLOCKS_DIFFER = 60.0
"""Seconds by which the clock of a node may be behind."""

_KILLED = re.compile(r"exit status (?:137|143)\b|died with <Signals\.(?:SIGKILL|SIGTERM)")

_SENTENCE = re.compile(
    r"(?:^|(?<=[.:;] ))(?:accept|ask|build|choose|convert|correct|delete|drop|fetch|free|give|install|load|"
    r"lower|make|put|raise|run|see|set|take|to add|try|write)\b",
    re.IGNORECASE,
)


@dataclass
class FailedJob:
    """A job that failed, perhaps several times."""

    name: JobName | None
    rule: str
    outputs: Sequence[str]
    logs: Sequence[str]
    executor: str = ""
    """What SLURM says about it; empty for a job of this machine."""
    report: str = ""
    """What Snakemake says about the end of its process."""
    tries: int = 1
    since: float = 0.0
    """When it was started or submitted: what its log said before is of an earlier run."""

    def __str__(self) -> str:
        return str(self.name or self.rule)

    def failure(self) -> Failure:
        """Why it failed: by its log, else by what SLURM says."""
        known = (failure_of(Path(log)) for log in self.logs if written(Path(log)) >= self.since - CLOCKS_DIFFER)
        found = next(filter(None, known), None)
        state, said = self._by_slurm()
        # of a job that was ended from outside, SLURM knows why
        if found and not (state and found.kind in (KILLED, NO_MESSAGE, STOPPED)):
            return found
        if self.executor:
            what = SLURM_REMEDIES.get(state, "See the logs of the job for the reason.")
            model = self.name.get("model") if self.name else ""
            return Failure("SLURM", f"{said} {what.format(model=model or '<model>')}", expected=True)
        return ended(self.report)

    def _by_slurm(self) -> tuple[str, str]:
        """The state in which SLURM ended the job, where it is one with a remedy, and its words for it."""
        if not self.executor:
            return "", ""
        said = self.executor.partition("For further error details")[0].strip()
        state = next((state for state in SLURM_REMEDIES if f"'{state}" in said), "")
        if not state:
            for log in self.logs[1:]:
                text = tail(Path(log))
                for known, pattern in SLURM_SAYS:
                    if line := pattern.search(text):
                        return known, f"{line[0].strip()}."
        return state, said


def ended(text: str) -> Failure:
    """The failure of a job whose process ended without a message, by what Snakemake says of that."""
    if not text or _KILLED.search(text):
        said = "the job's process was ended from outside, by somebody or by the system for want of memory. "
        return Failure(KILLED, f"{said}Run the same command again; what is finished is kept.", expected=True)
    status = re.search(r"(?:returned non-zero|died with).*", text)
    return Failure(NO_MESSAGE, f"the job's process {status[0] if status else 'failed'}", expected=False)


def blocks(jobs: Sequence[FailedJob]) -> list[str]:
    """Lines about all failed jobs, those with the same reason together; the last line is the remedy."""
    groups: dict[Failure, list[FailedJob]] = {}
    for job in jobs:
        groups.setdefault(job.failure(), []).append(job)
    lines = []
    for failure, members in groups.items():
        lines += ["", *_block(failure, members)]
    remedies = dict.fromkeys(remedy(failure, members[0]) for failure, members in groups.items())
    return [*lines, "", *(f"What to do: {text}" for text in remedies)]


def _block(failure: Failure, jobs: Sequence[FailedJob]) -> list[str]:
    """Which jobs, the message, the files they owe, the logs."""
    ended = "STOPPED" if failure.kind == STOPPED else "FAILED"
    which = [f"{ended}: {job}" + (f" (after {job.tries} tries)" if job.tries > 1 else "") for job in jobs[:JOBS]]
    if len(jobs) > JOBS:
        which.append(f"{ended}: {len(jobs) - JOBS} more jobs, for the same reason")
    missing = [path for job in jobs for path in job.outputs]
    where = [f"  missing  {folded(missing)}"] if missing else []
    where += [f"  log      {', '.join(job.logs)}" for job in jobs[:JOBS] if job.logs]
    unexpected = "" if failure.expected else "unexpected error: "
    kind = "" if failure.kind == STOPPED else f"{failure.kind}: "
    said = [f"  {line}" for line in f"{unexpected}{kind}{failure.message}".splitlines()]
    room = MOST_LINES - 2 - len(which) - len(where)
    if len(said) > room:
        said = [*said[: room - 1], "  ... (the rest is in the log)"]
    return [*which, *said, *where]


def remedy(failure: Failure, job: FailedJob) -> str:
    """What to do: the sentences of a message from the first that tells the reader to do something; else all of it."""
    if not failure.expected:
        return DEFECT.format(log=job.logs[0] if job.logs else "its log")
    last = failure.message.splitlines()[-1].strip() if failure.message else ""
    found = _SENTENCE.search(last)
    text = last[found.start() :] if found else last
    return text[:1].upper() + text[1:]


_HEAD = re.compile(r"^(\w+)(?: in rule \S+?)?(?: in file \".*\", line \d+)?[:.]$")
_PLACE = re.compile(r"^\s*File \".*\", line \d+(, in .*)?$")
OURS = ("WorkflowError", "InputFunctionException", "RuleException")
"""Errors of Snakemake around a message that was written for users."""
NO_CONFIG = ("Config file is not valid JSON or YAML", "Config file must be given as JSON or YAML")
"""What Snakemake, which reads configuration files before the rules, says of one: neither which it is nor where."""
NO_FILE = ("FileNotFoundError", "IsADirectoryError", "UnicodeDecodeError", "PermissionError")
"""Errors with which Snakemake ends, with a traceback, where a file given as configuration is not there or no text."""
TAKES_ALL = "--configfile takes every name that follows it: put the files that you ask for in front of it."


def plainly(text: str) -> str:
    """What Snakemake says about an error while it reads the rules, without its lists of files and lines.

    A message of our own (raised as a WorkflowError) stays alone; of anything else its kind stays, too. Of an error that
    is not expected there, only the last line stays: its traceback is shown with --verbose. A full disk is expected.
    """
    if (full := problem_in(text)) and "can't be written" not in text:
        return full
    if any(said in text for said in (*NO_CONFIG, *NO_FILE)) and (named := _wrong_config()):
        return named
    if "Traceback (most recent call last)" in text:
        return f"unexpected error: {text.strip().splitlines()[-1]}\n{DEFECT_OF_A_RUN}"
    lines = [line for line in with_lists_folded(text).splitlines() if not _PLACE.match(line)]
    head = _HEAD.match(lines[0]) if lines else None
    if head and head[1] in OURS and len(lines) > 1:
        lines = lines[1:]
        if lines[0] == "Error:":  # raised by a function of a rule: then come wildcards and a traceback
            ends = [i for i, line in enumerate(lines) if line.startswith(("Wildcards:", "Traceback:"))]
            lines = [line.removeprefix("    ") for line in lines[1 : min(ends, default=len(lines))]]
            lines = lines[1:] if lines[0].strip() == "WorkflowError:" else lines
    plain = "\n".join(lines).strip()
    return f"{plain}\n{TAKES_ALL}" if any(f" {path}:" in plain for path in _no_configs()) else plain


def _given() -> list[Path]:
    """What follows --configfile in the command; Snakemake's messages come from a thread that sees only that."""
    found, taken = [], False
    for word in sys.argv[1:]:
        name, _, value = word.partition("=")
        if word.startswith("-"):
            taken = name in ("--configfile", "--configfiles")
        if taken and (path := value if word.startswith("-") else word):
            found.append(Path(path))
    return found


def _no_configs() -> list[Path]:
    """Of these, what is no configuration by its name: perhaps a file or a rule that was asked for."""
    return [path for path in _given() if path.suffix not in (".yaml", ".yml")]


def _wrong_config() -> str:
    """File, line and fault of the configuration file that can't be read; empty where all can."""
    from cornerstone.config.source import read  # not above: every run that goes well does without
    from cornerstone.plan.snakemake import config_files

    try:
        read(dict.fromkeys([*config_files(), *_given()]))
    except ConfigError as error:
        said = str(error)
        if any(said.startswith((f"{path} ", f"{path}:")) for path in _no_configs()):
            return f"{re.sub(r' (Correct it(, or name another file)?|Move it away)[.]$', '', said)} {TAKES_ALL}"
        return said
    return ""
