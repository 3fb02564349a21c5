from __future__ import annotations

import io
import logging
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.tests import MockOutputSettings, TestLogHandlerBase

import snakemake_logger_plugin_cornerstone as plugin
from cornerstone.log import TAIL, VERBOSE, Failure, failure_of
from cornerstone.present import inner, screen
from cornerstone.present.progress import Part, Work

TRIED = Failure("ModelError", "blocks: 4 is wrong. Set blocks: 3.", expected=True)
OUTPUTS = [f"results/tiny/boolq/coalitions/{i}.json" for i in range(188)]


class TestPlugin(TestLogHandlerBase):
    """What the plugin interface asks of every plugin."""

    __test__ = True

    def get_log_handler_cls(self) -> type[plugin.LogHandler]:
        return plugin.LogHandler

    def get_log_handler_settings(self) -> None:  # type: ignore[override]
        return None


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Watched:
    """A screen, what it wrote, and records for it as Snakemake makes them."""

    def __init__(self, stream: io.StringIO | None = None, usual: logging.Handler | None = None, **changes: Any) -> None:
        settings = MockOutputSettings()
        for key, value in {"dryrun": False, "verbose": False, "quiet": set(), **changes}.items():
            setattr(settings, key, value)
        self.stream = stream or io.StringIO()
        self.screen = screen.Screen(settings, self.stream, usual)

    def record(self, message: str | None, level: Any = logging.INFO, **extra: Any) -> None:
        record = logging.LogRecord("snakemake", level, "file.py", 1, message, (), None)
        vars(record).update(extra)
        self.screen.take(record)

    def starts(self, job: int, log: str, message: str = "a message") -> None:
        facts = {"rule_name": "r", "rule_msg": message, "log": [log], "input": [], "output": OUTPUTS, "reason": "why"}
        self.record("Rule: r", event=LogEvent.JOB_INFO, jobid=job, **facts)

    def finishes(self, job: int) -> None:
        self.record("Finished", event=LogEvent.JOB_FINISHED, job_id=job)

    def fails(self, job: int, log: str, said: str | None = None, **aux: str) -> None:
        report = 'CalledProcessError in file "a.smk", line 1:\nCommand returned non-zero exit status 1.'
        self.record(report, logging.ERROR, event=LogEvent.ERROR, exception="RuleException")
        facts = {"rule_name": "r", "rule_msg": said, "log": [log], "output": [f"{path} (update)" for path in OUTPUTS]}
        self.record("Error in rule", logging.ERROR, event=LogEvent.JOB_ERROR, jobid=job, aux=aux, **facts)

    def ends_badly(self) -> None:
        self.record("Exiting because a job execution failed. Look above", logging.ERROR)
        self.record("--keep-incomplete mode is set, so", logging.WARNING)
        text = "WorkflowError:\nAt least one job did not complete successfully."
        self.record(text, logging.ERROR, event=LogEvent.ERROR, exception="WorkflowError")

    def end(self) -> list[str]:
        self.screen.end()
        return self.lines()

    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def log(task: str, failure: Failure | None = TRIED) -> str:
    """The log of an evaluate job that failed."""
    path = Path("logs/evaluate/tiny") / f"{task}.0.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(failure.block() if failure else "cornerstone: hello\n")
    return str(path)


def test_a_run_is_a_line_for_each_stage_and_one_at_the_end() -> None:
    watched = Watched()
    watched.record("Building DAG of jobs...")
    watched.record("Workflow has started!", event=LogEvent.WORKFLOW_STARTED)
    watched.record("Using shell: /bin/bash")
    watched.record("Job stats:\n...", event=LogEvent.RUN_INFO, stats={})
    logs = ["fetch_model/tiny", "fetch_documents/hub", "estimate/tiny", "figure/tiny/shares", "figure/tiny/values"]
    for job, name in enumerate(logs):
        watched.record("Execute 1 jobs...", event=LogEvent.JOB_STARTED, jobs=[job])
        watched.starts(job, f"logs/{name}.log")
        watched.finishes(job)
        watched.record(None, event=LogEvent.PROGRESS, done=job, total=5)
    watched.record("Complete log(s): x")
    assert watched.end() == [
        "cornerstone: fetching weights and documents",
        "cornerstone: estimating",
        "cornerstone: drawing tables and figures",
        "cornerstone: done, 5 jobs in 0:00",
    ]
    assert watched.end() == watched.lines()  # ends once


def test_a_task_that_is_collected_while_others_are_evaluated_is_no_stage() -> None:
    watched = Watched()
    parts = [Part(log(task, None), "tiny", task, 13) for task in ("arc_easy", "boolq")]
    watched.record("To evaluate", **{screen.WORK: Work({part.log: part for part in parts}, 30)})
    watched.starts(0, parts[0].log)
    watched.finishes(0)
    watched.starts(1, "logs/collect/tiny/arc_easy.log")
    assert watched.lines() == ["cornerstone: evaluating 26 coalitions (the plan has 30)"]
    watched.starts(2, parts[1].log)
    watched.finishes(2)
    watched.starts(3, "logs/collect/tiny/boolq.log")
    assert watched.lines()[1:] == ["cornerstone: estimating"]


def test_coalitions_are_announced_and_counted() -> None:
    watched = Watched()
    watched.record("Workflow has started!", event=LogEvent.WORKFLOW_STARTED)
    parts = [Part(log("arc_easy", None), "tiny", "arc_easy", 13), Part(log("boolq", None), "tiny", "boolq", 13)]
    watched.record("To evaluate", **{screen.WORK: Work({part.log: part for part in parts}, 30)})
    watched.screen.tick()
    assert watched.lines() == []
    for job, part in enumerate(parts):
        watched.starts(job, part.log)
    watched.screen.tick()
    watched.screen.tick()  # nothing new
    with Path(parts[0].log).open("a") as stream:
        stream.write("cornerstone: tiny arc_easy: 13 of 13 coalitions, 100% of the work, 0:00 left\n")
    watched.screen.tick()
    assert watched.lines()[:2] == [
        "cornerstone: evaluating 26 coalitions (the plan has 30)",
        "cornerstone: 0 of 26 coalitions, 0% of the work, ? left",
    ]
    assert watched.lines()[2].startswith("cornerstone: 13 of 26 coalitions, 50% of the work, 0:0")
    parts[1].coalitions = 12  # a guess that was replaced
    watched.starts(2, parts[1].log)
    assert sum("evaluating" in line for line in watched.lines()) == 1
    assert len(watched.end()) == 3


def test_a_long_run_has_few_lines_of_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched()
    part = Part(log("boolq", None), "tiny", "boolq", 1000)
    watched.record("To evaluate", **{screen.WORK: Work({part.log: part}, 1000)})
    watched.starts(1, part.log)
    for done in range(1000):
        line = f"cornerstone: tiny boolq: {done} of 1000 coalitions, {done // 10}% of the work, 0:01 left\n"
        Path(part.log).write_text(line)
        watched.screen.tick()
    assert 20 <= len(watched.lines()) <= 35
    monkeypatch.setattr(screen, "LONGEST", -1.0)  # the last line is old
    Path(part.log).write_text(line.replace("999", "1000"))
    count = len(watched.lines())
    watched.screen.tick()
    assert len(watched.lines()) == count + 1
    assert " 1000 of 1000 " in watched.end()[-1]


def test_progress_comes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "EVERY", 0.01)
    watched = Watched()
    part = Part(log("boolq", None), "tiny", "boolq", 13)
    watched.record("To evaluate", **{screen.WORK: Work({part.log: part}, 13)})
    watched.starts(1, part.log)
    deadline = time.monotonic() + 60
    while len(watched.lines()) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert watched.end()[1] == "cornerstone: 0 of 13 coalitions, 0% of the work, ? left"


def test_what_a_slow_fetch_says_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched()
    watched.starts(1, "logs/fetch_model/tiny.log")
    path = Path("logs/fetch_model/tiny.log")
    path.parent.mkdir(parents=True)
    path.write_text("cornerstone: downloading x (16 GB)\n")
    watched.screen.tick()
    assert len(watched.lines()) == 1  # not slow yet
    monkeypatch.setattr(screen, "EVERY", -1.0)
    watched.screen.tick()
    watched.screen.tick()
    assert watched.lines()[1:] == ["cornerstone: downloading x (16 GB)"]


def test_what_a_job_warns_of_is_shown_once() -> None:
    said = "cornerstone: warning: tiny boolq: 6 of 6 documents are longer than the model reads"
    watched = Watched()
    for job in (1, 2):
        path = Path(log("boolq", None))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"cornerstone: begun\n{said}\n{'x' * 2 * TAIL}\ncornerstone: the end\n")
        watched.starts(job, str(path))
        watched.finishes(job)
    assert [line for line in watched.lines() if "warning" in line] == [said]


def test_a_terminal_renews_its_line() -> None:
    terminal = screen.Terminal(stream := Terminal())
    terminal.renew("10%")
    terminal.renew("20%")
    terminal.line("done")
    assert stream.getvalue() == "10%\r\033[2K20%\r\033[2Kdone\n"


def test_a_failure_ends_with_its_remedy() -> None:
    watched = Watched()
    watched.starts(1, log("boolq"))
    watched.fails(1, log("boolq"))
    watched.ends_badly()
    lines = watched.end()
    assert lines[1] == "cornerstone: failed: model tiny, task boolq, chunk 0 (evaluating); details come at the end"
    assert lines[2:] == [
        "",
        "FAILED: model tiny, task boolq, chunk 0 (evaluating)",
        "  ModelError: blocks: 4 is wrong. Set blocks: 3.",
        "  missing  188 files in results/tiny/boolq/coalitions",
        "  log      logs/evaluate/tiny/boolq.0.log",
        "",
        "What to do: Set blocks: 3.",
    ]


def test_logs_are_named_as_seen_from_here() -> None:
    watched = Watched()
    watched.fails(1, str(Path(log("boolq")).resolve()))
    assert "  log      logs/evaluate/tiny/boolq.0.log" in watched.end()


def test_failures_for_one_reason_are_told_once() -> None:
    watched = Watched()
    tasks = ["arc_easy", "boolq", "piqa"]
    for job, task in enumerate(tasks):
        watched.starts(job, log(task))
    for job, task in enumerate(tasks):
        watched.fails(job, log(task))
    watched.ends_badly()
    text = "\n".join(watched.end())
    assert text.count("cornerstone: failed") == text.count("ModelError") == text.count("What to do") == 1


def test_a_job_that_succeeds_at_last_is_no_failure() -> None:
    watched = Watched()
    watched.record("Workflow has started!", event=LogEvent.WORKFLOW_STARTED)
    name = log("boolq", None)
    watched.starts(1, name)
    watched.fails(1, name, "SLURM-job '7' failed, SLURM status is: 'TIMEOUT'.", external_jobid="7")
    watched.record("Trying to restart job 1.")
    watched.starts(1, name)
    watched.finishes(1)
    lines = watched.end()
    assert "cornerstone: trying again: model tiny, task boolq, chunk 0 (evaluating)" in lines
    assert lines[-1] == "cornerstone: done, 1 job in 0:00"
    assert not any("FAILED" in line for line in lines)


def test_tries_are_counted() -> None:
    watched = Watched()
    name = log("boolq", None)
    for _ in range(3):
        watched.starts(1, name)
        watched.fails(1, name, "SLURM-job '7' failed, SLURM status is: 'TIMEOUT'.", external_jobid="7")
        watched.record("Trying to restart job 1.")
    lines = watched.end()
    assert "FAILED: model tiny, task boolq, chunk 0 (evaluating) (after 3 tries)" in lines
    assert lines[-1].startswith("What to do: Raise resources.runtime_minutes of models.tiny")


def test_errors_of_the_rules_come_last() -> None:
    watched = Watched(quiet={Quietness.ALL})
    text = 'WorkflowError in file "/x/common.smk", line 24:\nit is wrong. Set it\n  File "/x/common.smk", line 24, in x'
    watched.record(text, logging.ERROR, event=LogEvent.ERROR, exception="WorkflowError")
    watched.record("a line")
    assert watched.end() == ["", "it is wrong. Set it"]


def test_another_error_comes_before_what_failed() -> None:
    watched = Watched()
    watched.fails(1, log("boolq"))
    watched.record("the disk is full", logging.ERROR, event=LogEvent.ERROR, exception="OSError")
    watched.ends_badly()
    lines = watched.end()
    assert "the disk is full" in lines
    assert lines[-1] == "What to do: Set blocks: 3."


def test_group_errors_are_those_of_their_jobs() -> None:
    watched = Watched()
    info = {"jobid": 1, "rule_name": "r", "rule_msg": None, "log": [log("boolq")], "output": OUTPUTS, "aux": {}}
    watched.record("Error", logging.ERROR, event=LogEvent.GROUP_ERROR, job_error_info=[info])
    assert watched.end()[-1] == "What to do: Set blocks: 3."


@pytest.mark.parametrize(
    ("quiet", "shown"),
    [
        (set(), ["cornerstone: estimating", "cornerstone: warning: beware", "cornerstone: done, 1 job in 0:00"]),
        ({Quietness.HOST, Quietness.REASON}, None),
        ({Quietness.RULES}, ["cornerstone: warning: beware", "cornerstone: done, 1 job in 0:00"]),
        ({Quietness.PROGRESS}, ["cornerstone: estimating", "cornerstone: warning: beware"]),
        ({Quietness.ALL}, []),
    ],
)
def test_quiet(quiet: set[Quietness], shown: list[str] | None) -> None:
    def lines(quiet: set[Quietness]) -> list[str]:
        watched = Watched(quiet=quiet)
        watched.record("Workflow has started!", event=LogEvent.WORKFLOW_STARTED)
        watched.starts(1, "logs/estimate/tiny.log")
        watched.record("beware", logging.WARNING)
        watched.record("beware", logging.WARNING)
        watched.finishes(1)
        return watched.end()

    assert lines(quiet) == (lines(set()) if shown is None else shown)


def test_warnings_are_short() -> None:
    watched = Watched()
    many = ", ".join(OUTPUTS)
    watched.record(f"deleted: {many}\n" + "line\n" * 20, logging.WARNING)
    watched.record("Restored previous version of x", logging.WARNING)
    lines = watched.end()
    assert lines[0] == "cornerstone: warning: deleted: 188 files in results/tiny/boolq/coalitions"
    assert len(lines) == screen.WARNING_LINES


def test_what_snakemake_says_outside_a_run_is_shown() -> None:
    watched = Watched()
    watched.record("Congratulations, your workflow is in a good condition!")
    watched.record("Workflow has started!", event=LogEvent.WORKFLOW_STARTED)
    watched.record("Nothing to be done (all requested files are present and up to date).")
    assert len(watched.end()) == 2


class Usual(logging.Handler):
    """Stands in for Snakemake's own handler."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.mark.parametrize("mode", ["dryrun", "verbose"])
def test_dry_and_verbose_runs_show_what_snakemake_says_but_no_long_lists(mode: str) -> None:
    usual = Usual()
    changes: dict[str, Any] = {mode: True}
    watched = Watched(usual=usual, **changes)
    watched.record("Building DAG of jobs...")
    watched.record("Job stats", event=LogEvent.RUN_INFO)
    watched.starts(1, log("boolq"), f"doing {', '.join(OUTPUTS)}")
    watched.fails(1, log("boolq"))
    assert [record.getMessage() for record in usual.records] == ["Building DAG of jobs...", "Job stats", "Rule: r"]
    assert usual.records[2].output == ["188 files in results/tiny/boolq/coalitions"]
    assert usual.records[2].rule_msg == "doing 188 files in results/tiny/boolq/coalitions"
    assert watched.end()[-1] == "What to do: Set blocks: 3."


def record_of(event: LogEvent, message: str, **extra: Any) -> logging.LogRecord:
    record = logging.LogRecord("snakemake", logging.ERROR, "file.py", 1, message, (), None)
    vars(record).update(event=event, **extra)
    return record


@pytest.mark.parametrize(("status", "kind"), [(137, "Killed"), (255, "NoMessage")])
def test_a_cluster_job_adds_to_a_log_that_does_not_say_why(status: int, kind: str) -> None:
    name = log("boolq", None)
    watch = inner.ToTheLog()
    report = f"CalledProcessError:\nCommand 'x' returned non-zero exit status {status}."
    assert watch.filter(record_of(LogEvent.ERROR, report, exception="RuleException"))
    assert watch.filter(record_of(LogEvent.JOB_ERROR, "Error in rule", log=[name]))
    found = failure_of(Path(name))
    assert found is not None
    assert found.kind == kind
    assert report in Path(name).read_text()


def test_a_log_that_says_why_is_left_alone() -> None:
    name = log("boolq")
    before = Path(name).read_text()
    watch = inner.ToTheLog()
    watch.filter(record_of(LogEvent.ERROR, "exit status 1", exception="RuleException"))
    watch.filter(record_of(LogEvent.JOB_ERROR, "Error in rule", log=[name]))
    assert Path(name).read_text() == before


@pytest.mark.parametrize(("mode", "filters"), [("main", 0), ("remote", 1), ("subprocess", 1)])
@pytest.mark.parametrize("verbose", [True, False])
def test_jobs_learn_whether_they_may_write_on_the_screen(
    monkeypatch: pytest.MonkeyPatch, mode: str, filters: int, verbose: bool
) -> None:
    monkeypatch.setenv(VERBOSE, "")
    workflow = SimpleNamespace(
        output_settings=SimpleNamespace(verbose=verbose),
        remote_exec=mode == "remote",
        subprocess_exec=mode == "subprocess",
    )
    logger = logging.Logger("one")
    inner.prepare(workflow, logger)
    assert bool(os.environ[VERBOSE]) == verbose
    assert len(logger.filters) == filters


def test_the_plugin_hands_on_and_ends(capsys: pytest.CaptureFixture[str]) -> None:
    settings = MockOutputSettings()
    handler = plugin.LogHandler(settings, None)
    handler.handle(record_of(LogEvent.ERROR, "it is wrong. Set it", exception="WorkflowError"))
    assert capsys.readouterr().err == ""
    handler.close()
    assert capsys.readouterr().err == "\nit is wrong. Set it\n"


@pytest.mark.parametrize("terminal", [False, True])
def test_a_screen_that_can_not_be_written_goes_to_standard_error(
    terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with `snakemake --stdout > file` on a full disk: what failed is told all the same, and nothing else fails."""
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(full, "isatty", lambda: terminal, raising=False)
        watched = Watched(full)  # type: ignore[arg-type]
        watched.record("Workflow has started!", event=LogEvent.WORKFLOW_STARTED)
        watched.starts(1, log("boolq"))
        watched.screen.tick()
        watched.fails(1, log("boolq"))
        watched.screen.end()
        monkeypatch.undo()
        with pytest.raises(OSError, match="No space"):
            full.close()
    assert capsys.readouterr().err.splitlines()[-1] == "What to do: Set blocks: 3."


def test_the_plugin_tells_of_its_own_defects_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", True)
    handler = plugin.LogHandler(MockOutputSettings(), None)
    handler.emit(logging.LogRecord("snakemake", logging.INFO, "f.py", 1, "%d", ("no number",), None))
    assert "TypeError" in capsys.readouterr().err
    with open("/dev/full", "w") as full:  # as Snakemake's own log
        logging.StreamHandler(full).emit(logging.LogRecord("snakemake", logging.INFO, "f.py", 1, "a line", (), None))
        with pytest.raises(OSError, match="No space"):
            full.close()
    assert capsys.readouterr().err == ""
