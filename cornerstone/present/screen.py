"""The screen of a run: a line for each stage, one line of progress, and at the end what failed and what to do.

Snakemake hands its log records to `Screen.take` (through snakemake_logger_plugin_cornerstone). A dry run, and a run
with --verbose, also show what Snakemake itself would show, with long lists of files folded. A process that Snakemake
starts for a job has no such screen (cornerstone.present.inner).
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from cornerstone.log import STOPPED, WARNING, clock, failure_of, last_said, warnings_of
from cornerstone.present.failures import OF_A_SCRIPT, FailedJob, blocks, plainly
from cornerstone.present.jobs import DRAWING, ESTIMATING, EVALUATING, FETCHING, JobName, folded, with_lists_folded
from cornerstone.present.progress import Work

WORK = "cornerstone_work"
"""Attribute of the record with which rules/preflight.smk says what a run has to do."""
EVERY = 10.0
"""Seconds between two lines of progress, or more; on a terminal the line is renewed each second."""
STEP, LONGEST = 0.03, 600.0
"""Share of the work that makes a new line worth it (so that a run has no more than 35), and seconds after which any
news is."""
WARNING_LINES = 4

STAGES = {
    FETCHING: "fetching weights and documents",
    ESTIMATING: "estimating",
    DRAWING: "drawing tables and figures",
}
BEFORE_A_RUN = ("Building DAG of jobs", "Assuming unrestricted shared filesystem usage", "Workflow has started")
"""What Snakemake says before each run, which tells nothing."""
OF_USE = ("Nothing to be done", "Will exit after finishing", "This was a dry-run")
"""What Snakemake says in a run and users should see."""
NOT_OF_USE = ("--keep-incomplete mode is set", "Restored previous version of")
"""Warnings that tell nothing: results that a failed job has finished are always kept."""
AFTER_A_FAILURE = ("At least one job did not complete", "Exiting because a job", "BUG: Out of jobs", "Remaining jobs")
"""Errors that only say that there was another one."""


class Terminal:
    """A stream with a line at its end that is written anew, where it is a terminal.

    Where it can't be written (its output goes to a file on a full disk, say), lines go to standard error; where that
    can't be, nowhere: what is shown must not end what is done.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.renews = stream.isatty()
        self._open = False

    def line(self, text: str) -> None:
        """Write a line that stays."""
        self._clear()
        self._write(f"{text}\n")

    def renew(self, text: str) -> None:
        """Write the line at the end anew; a line like any other where that is not possible."""
        if not self.renews:
            self.line(text)
            return
        self._clear()
        self._write(text[: shutil.get_terminal_size().columns - 1])
        self._open = True

    def _clear(self) -> None:
        if self._open:
            self._write("\r\033[2K")
            self._open = False

    def _write(self, text: str) -> None:
        for stream in (self.stream, sys.stderr):
            with suppress(OSError):
                stream.write(text)
                stream.flush()
                return


class Screen:
    """What is shown of Snakemake's records.

    Records come in a thread of the logging queue, time passes in another: both hold the lock while they write.

    Args:
        settings: Snakemake's output settings.
        stream: where to write.
        usual: Snakemake's own handler, for dry runs and --verbose; by default it is made when it is needed.
    """

    def __init__(self, settings: Any, stream: TextIO, usual: logging.Handler | None = None) -> None:
        self.terminal = Terminal(stream)
        self.dry = bool(settings.dryrun)
        self.quiet = {getattr(entry, "name", str(entry)).upper() for entry in settings.quiet or ()}
        self.usual = usual or (_usual(settings, stream) if self.dry or settings.verbose else None)
        self.names: dict[int, JobName | None] = {}
        self.logs: dict[int, str] = {}
        self.at_work: dict[int, float] = {}
        self.failed: dict[int, FailedJob] = {}
        self.complaints: list[str] = []
        self.told: set[str] = set()
        self.work = Work({}, 0)
        self.began: float | None = None
        self.finished = 0
        self._report = ""
        self._last = ""
        self._share, self._told_at = -1.0, 0.0
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._clock: threading.Thread | None = None

    def take(self, record: logging.LogRecord) -> None:
        """Show a record, or keep it for the end."""
        with self._lock:
            match str(getattr(record, "event", None)):
                case "workflow_started":
                    self.began = time.monotonic()
                case "job_info":
                    self._started(record)
                case "job_finished":
                    self._finished(record)
                case "job_error":
                    self._failed(vars(record))
                    return
                case "group_error":
                    for info in record.job_error_info:  # type: ignore[attr-defined]
                        self._failed(info)
                    return
                case _ if hasattr(record, WORK):
                    self._plan(getattr(record, WORK))
                    return
                case _ if record.levelno >= logging.ERROR:
                    self._complain(record)
                    return
            if self.usual:
                self._as_usual(record)
            elif getattr(record, "event", None) is None:
                self._said(record)

    def tick(self) -> None:
        """Write how far the run is, if that is news."""
        with self._lock:
            now = time.time()
            line = self.work.line(now)
            if line and not self.terminal.renews:
                if self.work.share < self._share + STEP and now < self._told_at + LONGEST:
                    return
                self._share, self._told_at = self.work.share, now
            line = line or self._last_words()
            if line and line != self._last:
                self._last = line
                self.terminal.renew(f"cornerstone: {line}")

    def end(self) -> None:
        """Write what belongs at the end: all that failed, and as the last line what to do about it."""
        self._over.set()
        if self._clock:
            self._clock.join()
        with self._lock:
            if self.usual:
                self.usual.flush()
            for text in dict.fromkeys(self.complaints):
                if not self.failed or not text.startswith(AFTER_A_FAILURE):
                    self.terminal.line(f"\n{text}")
            if self.failed:
                for line in blocks(list(self.failed.values())):
                    self.terminal.line(line)
            elif not self.complaints:
                self._success()
            self.failed, self.complaints, self.began = {}, [], None

    def _success(self) -> None:
        if self.finished and self.began is not None and not self.dry and not self._silent("PROGRESS"):
            jobs = f"{self.finished} job{'s' * (self.finished != 1)}"
            self.terminal.line(f"cornerstone: done, {jobs} in {clock(time.monotonic() - self.began)}")

    def _silent(self, what: str) -> bool:
        return bool(self.quiet & {what, "ALL"})

    def _once(self, text: str, about: str = "PROGRESS", key: str = "") -> None:
        """Write a line, unless one with the same key (by default the line itself) was written before."""
        if (key or text) not in self.told and not self._silent(about):
            self.told.add(key or text)
            self.terminal.line(f"cornerstone: {text}")

    def _plan(self, work: Work) -> None:
        """Take what the run has to do, and begin to tell how far it is."""
        self.work = work
        if self._silent("PROGRESS"):
            return
        every = 1.0 if self.terminal.renews else EVERY

        def run() -> None:
            while not self._over.wait(every):
                self.tick()

        self._clock = threading.Thread(target=run, daemon=True)
        self._clock.start()

    def _started(self, record: Any) -> None:
        log = record.log[0] if record.log else ""
        name = JobName.of(log)
        self.names[record.jobid], self.logs[record.jobid] = name, log
        if self.dry:
            return
        now = time.time()
        self.at_work[record.jobid] = now
        self.work.begin(log, now)
        if self.usual or not log:
            return
        if name and name.step == "collect" and any(not part.done for part in self.work.parts.values()):
            return  # one task is finished; others are still evaluated
        stage = name.stage if name else None
        if stage == EVALUATING and log in self.work.parts:
            self._once(f"evaluating {self.work}", "RULES", key=EVALUATING)  # its numbers change as guesses are replaced
        elif stage in STAGES:
            self._once(STAGES[stage], "RULES")
        elif record.rule_msg:
            self._once(record.rule_msg, "RULES")

    def _finished(self, record: Any) -> None:
        self.finished += 1
        self.at_work.pop(record.job_id, None)
        self.failed.pop(record.job_id, None)  # an earlier try of it
        log = self.logs.get(record.job_id, "")
        self.work.finish(log)
        for warning in warnings_of(Path(log)) if log and not self.usual else []:
            self._once(WARNING + warning, "ALL")

    def _failed(self, info: dict[str, Any]) -> None:
        job = info["jobid"]
        since = self.at_work.pop(job, 0.0)
        logs = [os.path.relpath(name) if Path(name).is_relative_to(Path.cwd()) else name for name in info["log"]]
        tries = self.failed[job].tries + 1 if job in self.failed else 1
        name = self.names.get(job) or (JobName.of(logs[0]) if logs else None)
        remote = (info["rule_msg"] or "") if "external_jobid" in info.get("aux", {}) else ""
        outputs = [name.split(" ")[0] for name in info["output"]]
        missing = [path for path in outputs if not Path(path).exists()]
        report, self._report = self._report, ""
        self.failed[job] = FailedJob(name, info["rule_name"], missing, logs, remote, report, tries, since)
        why = failure_of(Path(logs[0])) if logs else None
        # more of the same reason come only at the end
        if (key := f"failed {why or job}") not in self.told:
            self.told.add(key)
            ended = "stopped" if why and why.kind == STOPPED else "failed"
            self.terminal.line(f"cornerstone: {ended}: {self.failed[job]}; details come at the end")

    def _complain(self, record: logging.LogRecord) -> None:
        if getattr(record, "exception", "") in OF_A_SCRIPT:
            self._report = record.getMessage()  # the error of its job comes next
        else:
            self.complaints.append(plainly(record.getMessage()))

    def _as_usual(self, record: Any) -> None:
        """Let Snakemake's own handler write a record, with its lists of files folded."""
        if getattr(record, "event", None) == "job_info":
            for key in ("input", "output"):
                files = getattr(record, key)
                setattr(record, key, [folded(files)] if files else [])
            record.reason = with_lists_folded(record.reason)
            record.rule_msg = record.rule_msg and with_lists_folded(record.rule_msg)
        assert self.usual is not None
        self.terminal._clear()
        self.usual.handle(record)

    def _said(self, record: logging.LogRecord) -> None:
        """A warning, or a line that belongs to no event."""
        text = with_lists_folded(record.getMessage()).strip()
        if record.levelno >= logging.WARNING:
            lines = text.splitlines()
            if lines and not any(part in text for part in NOT_OF_USE):
                self._once("\n".join(["warning: " + lines[0], *lines[1:WARNING_LINES]]), "ALL")
        elif text.startswith("Trying to restart job"):
            job = text.rstrip(".").rpartition(" ")[2]
            name = self.names.get(int(job)) if job.isdigit() else None
            self.terminal.line(f"cornerstone: trying again: {name or job}")
        elif text.startswith(OF_USE) or (self.began is None and text and not text.startswith(BEFORE_A_RUN)):
            self._once(text)

    def _last_words(self) -> str | None:
        """What the job that has been at work for longest has said last, where it takes its time (a download, say)."""
        for job, since in self.at_work.items():
            path = Path(self.logs[job]) if self.logs[job] else None
            if path and path.is_file() and path.stat().st_mtime >= since - 1 and time.time() - since > EVERY:
                return last_said(path)
        return None


def _usual(settings: Any, stream: TextIO) -> logging.Handler:
    """Snakemake's own handler, as it would be without a plugin."""
    from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter

    quiet = settings.quiet or set()
    return ColorizingTextHandler(
        nocolor=settings.nocolor,
        stream=stream,
        formatter=DefaultFormatter(quiet, settings.show_failed_logs),
        filter=DefaultFilter(quiet, settings.debug_dag, settings.verbose, settings.dryrun, settings.printshellcmds),
    )
