from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError

from cornerstone.log import STOPPED, Failure
from cornerstone.present.failures import (
    DEFECT_OF_A_RUN,
    NO_CONFIG,
    TAKES_ALL,
    FailedJob,
    blocks,
    ended,
    plainly,
    remedy,
)
from cornerstone.present.jobs import JobName


def job(folder: Path, task: str, failure: Failure | None, **changes: object) -> FailedJob:
    """A failed evaluate job of the tiny model whose log ends with a failure."""
    log = folder / "logs" / "evaluate" / "tiny" / f"{task}.0.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("cornerstone: hello\n" + (failure.block() if failure else ""))
    outputs = [f"results/tiny/{task}/coalitions/{i}.json" for i in range(188)]
    made = FailedJob(JobName.of(str(log)), "evaluate_tiny_0", outputs, [str(log)])
    for key, value in changes.items():
        setattr(made, key, value)
    return made


WRONG = Failure("ModelError", "config.yaml says blocks: 4, but the weights have 3. Set blocks: 3 there.", expected=True)


def test_a_block_says_which_what_where_and_last_what_to_do(tmp_path: Path) -> None:
    failed = job(tmp_path, "boolq", WRONG)
    assert blocks([failed]) == [
        "",
        "FAILED: model tiny, task boolq, chunk 0 (evaluating)",
        f"  ModelError: {WRONG.message}",
        "  missing  188 files in results/tiny/boolq/coalitions",
        f"  log      {failed.logs[0]}",
        "",
        "What to do: Set blocks: 3 there.",
    ]


def test_jobs_that_failed_for_one_reason_share_a_block(tmp_path: Path) -> None:
    lines = blocks([job(tmp_path, f"task{i}", WRONG) for i in range(9)])
    assert [line for line in lines if "FAILED" in line][-1] == "FAILED: 7 more jobs, for the same reason"
    assert sum(WRONG.message in line for line in lines) == 1
    assert "  missing  1692 files in results/tiny" in lines
    assert len(lines) <= 15
    assert lines[-1] == "What to do: Set blocks: 3 there."


def test_two_reasons_are_two_blocks_and_two_remedies(tmp_path: Path) -> None:
    other = Failure("TaskError", "boolq has no acc_norm. Choose acc.", expected=True)
    lines = blocks([job(tmp_path, "arc_easy", WRONG), job(tmp_path, "boolq", other)])
    assert [line.partition(" ")[0] for line in lines if line and line[0] != " "] == [
        "FAILED:",
        "FAILED:",
        "What",
        "What",
    ]
    assert lines[-2:] == ["What to do: Set blocks: 3 there.", "What to do: Choose acc."]


def test_a_long_message_is_cut(tmp_path: Path) -> None:
    long = Failure("PreflightError", "\n".join(f"line {i}. Set it" for i in range(50)), expected=True)
    failed = [job(tmp_path, f"task{i}", long, tries=3) for i in range(5)]
    lines = blocks(failed)
    assert len(lines) == 1 + 15  # an empty line goes before
    assert len(blocks(failed[:1])) == 1 + 15
    assert lines[1].endswith("chunk 0 (evaluating) (after 3 tries)")
    assert "  ... (the rest is in the log)" in lines
    assert lines[-1] == "What to do: Set it"


def test_a_defect_says_where_the_whole_of_it_is(tmp_path: Path) -> None:
    failed = job(tmp_path, "boolq", Failure("ZeroDivisionError", "division by zero", expected=False))
    lines = blocks([failed])
    assert lines[2] == "  unexpected error: ZeroDivisionError: division by zero"
    assert lines[-1].startswith("What to do: Report this defect")
    assert failed.logs[0] in lines[-1]


@pytest.mark.parametrize(
    ("state", "expected"),
    [("OUT_OF_MEMORY", "Raise resources.memory_gb of models.tiny"), ("TIMEOUT", "Raise resources.runtime_minutes")],
)
def test_what_slurm_says_of_a_job_that_said_nothing(tmp_path: Path, state: str, expected: str) -> None:
    said = f"SLURM-job '7' failed, SLURM status is: '{state}'. For further error details see the cluster log."
    lines = blocks([job(tmp_path, "boolq", None, executor=said)])
    assert f"  SLURM: SLURM-job '7' failed, SLURM status is: '{state}'. " in lines[2]
    assert "further" not in lines[2]
    assert lines[-1].startswith(f"What to do: {expected}")


def test_slurm_knows_why_a_job_was_ended_from_outside(tmp_path: Path) -> None:
    killed = ended("died with <Signals.SIGKILL: 9>")
    assert "OUT_OF_MEMORY" in job(tmp_path, "boolq", killed, executor="status is: 'OUT_OF_MEMORY'. ").failure().message
    assert job(tmp_path, "boolq", killed, executor="status is: 'FAILED'. ").failure() == killed
    stopped = Failure(STOPPED, "stopped by SIGTERM. Run the same command again.", expected=True)
    assert "runtime_minutes" in job(tmp_path, "boolq", stopped, executor="status is: 'TIMEOUT'. ").failure().message
    lines = blocks([job(tmp_path, "boolq", stopped)])
    assert lines[1:3] == ["STOPPED: model tiny, task boolq, chunk 0 (evaluating)", f"  {stopped.message}"]
    assert lines[-1] == "What to do: Run the same command again."


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("slurmstepd-n0: error: StepId=2.0 exceeded memory limit (2 > 1), being killed", "Raise resources.memory_gb"),
        ("slurmstepd: error: Detected 1 oom_kill event in StepId=2.0.", "Raise resources.memory_gb"),
        ("slurmstepd: error: *** JOB 2 ON n0 CANCELLED AT 12:00 DUE TO TIME LIMIT ***", "Raise resources.runtime"),
        ("slurmstepd: error: *** JOB 2 ON n0 CANCELLED AT 12:00 ***", "Run the same command again"),
        ("srun: error: n0: task 0: Killed", "See the logs of the job"),
    ],
)
def test_slurms_own_log_is_asked_where_its_state_says_little(tmp_path: Path, line: str, remedy: str) -> None:
    own = tmp_path / "2.log"
    own.write_text(f"something\n{line}\nmore\n")
    failed = job(tmp_path, "boolq", None, executor="SLURM-job '2' failed, SLURM status is: 'FAILED'. ")
    failed.logs = [*failed.logs, str(own)]
    lines = blocks([failed])
    assert ("slurmstepd" in line) == (line in lines[2])
    assert lines[-1].startswith(f"What to do: {remedy}")


def test_the_log_of_an_earlier_run_is_not_believed(tmp_path: Path) -> None:
    failed = job(tmp_path, "boolq", WRONG, since=time.time())
    assert failed.failure() == WRONG
    os.utime(failed.logs[0], (1_000_000, 1_000_000))
    assert failed.failure() == ended("")


def test_what_the_job_says_goes_before_what_slurm_says(tmp_path: Path) -> None:
    assert job(tmp_path, "boolq", WRONG, executor="'FAILED'").failure() == WRONG


@pytest.mark.parametrize(
    ("report", "kind", "expected"),
    [
        ("", "Killed", True),
        ("Command 'x' returned non-zero exit status 137.", "Killed", True),
        ("Command 'x' died with <Signals.SIGKILL: 9>.", "Killed", True),
        ("Command 'x' died with <Signals.SIGSEGV: 11>.", "NoMessage", False),
        ("Command 'x' returned non-zero exit status 1.", "NoMessage", False),
    ],
)
def test_a_job_that_ended_without_a_word(tmp_path: Path, report: str, kind: str, expected: bool) -> None:
    found = ended(report)
    assert (found.kind, found.expected) == (kind, expected)
    assert job(tmp_path, "boolq", None, report=report).failure() == found


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("it is wrong. Delete it and run `x`.", "Delete it and run `x`."),
        (
            "too little: weights take 3. Set it to 4 or more, or lower batch_tokens.",
            "Set it to 4 or more, or",
        ),
        ("a.whl has no file x: correct `file` in config.yaml.", "Correct `file` in config.yaml."),
        ("is damaged; try `snakemake fetch` again, and", "Try `snakemake fetch` again, and"),
        ("2 things:\n  one. Set 1\n  two. Set 2", "Set 2"),
        ("there is no task", "There is no task"),
        ("a settings file. Settings are wrong", "A settings file. Settings are wrong"),
    ],
)
def test_the_remedy_is_what_tells_the_reader_to_do_something(tmp_path: Path, message: str, text: str) -> None:
    assert remedy(Failure("X", message, expected=True), job(tmp_path, "boolq", None)).startswith(text)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (
            'WorkflowError in file "/x/rules/common.smk", line 24:\nit is wrong:\n  config.yaml: no such key\n'
            '  File "/x/rules/common.smk", line 24, in <module>',
            "it is wrong:\n  config.yaml: no such key",
        ),
        (
            'InputFunctionException in rule a in file "/x/rules/b.smk", line 3:\nError:\n  WorkflowError:\n'
            "    no player. Use one\nWildcards:\n    task=x\nTraceback:\n"
            '  File "/x/rules/b.smk", line 4, in f',
            "no player. Use one",
        ),
        ("MissingRuleException:\nNo rule to produce banana", "MissingRuleException:\nNo rule to produce banana"),
        ("NameError in file \"/x/Snakefile\", line 3:\nname 'x' is not defined", None),
        ("Cancelling snakemake on user request.", None),
        (
            'Traceback (most recent call last):\n  File "/x/y.py", line 3, in f\n    1 / 0\nZeroDivisionError: no\n',
            f"unexpected error: ZeroDivisionError: no\n{DEFECT_OF_A_RUN}",
        ),
    ],
)
def test_errors_of_the_rules_are_said_plainly(text: str, plain: str | None) -> None:
    assert plainly(text) == (plain or text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("run\n", "config.yaml:1: a configuration has keys"),
        ("- run\n- tasks\n", "config.yaml:1: a configuration has keys"),
        ("run: [a]\na: b: c\n", "config.yaml:2: can't be read as YAML: mapping values are not allowed"),
        ("<<<<<<< HEAD\nrun: [a]\n=======\n", "config.yaml:"),
        ("run: [a]\n---\nrun: [b]\n", "config.yaml:2: can't be read as YAML: "),
        ("seed: 'open\n", "config.yaml:"),
        ("\0", "config.yaml"),
    ],
)
def test_a_configuration_that_snakemake_can_not_read_is_named_with_its_line(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snakemake itself says neither which file it is nor where."""
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(text)
    with pytest.raises(WorkflowError) as caught:
        load_configfile(tmp_path / "config.yaml")
    assert any(part in str(caught.value) for part in NO_CONFIG)
    shown = plainly(f'WorkflowError in file "Snakefile", line 8:\n{caught.value}')
    assert shown.startswith(said)
    assert "Correct it" in shown
    assert "\n" not in shown


MISSING = (
    'Traceback (most recent call last):\n  File "x.py", line 3, in f\nFileNotFoundError: [Errno 2] No such file: {}\n'
)


@pytest.mark.parametrize(
    ("target", "text", "said"),
    [
        ("results/x.json", MISSING.format("'results/x.json'"), f"results/x.json is missing. {TAKES_ALL}"),
        ("plan", MISSING.format("'plan'"), f"plan is missing. {TAKES_ALL}"),
        ("studies", "IsADirectoryError", f"studies can't be read: it is a folder, not a file. {TAKES_ALL}"),
        ("nosuch.yaml", MISSING.format("'nosuch.yaml'"), "nosuch.yaml is missing. Correct it, or name another file."),
        (
            "x.csv",
            f"{NO_CONFIG[1]} with keys at top level.",
            f"x.csv:1: a configuration has keys, such as `run: [...]`; this is none. {TAKES_ALL}",
        ),
        (
            "x.json",
            'WorkflowError in file "/x/rules/common.smk", line 24:\nit is wrong:\n  x.json:1: no such key',
            f"it is wrong:\n  x.json:1: no such key\n{TAKES_ALL}",
        ),
        ("x.json", MISSING.format("'elsewhere'"), None),
    ],
)
@pytest.mark.parametrize(
    "way", [["--configfile", "quick.yaml", "{}"], ["--configfile=quick.yaml", "{}", "--cores", "2"]]
)
def test_what_configfile_swallows_is_no_defect(
    way: list[str], target: str, text: str, said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--configfile quick.yaml results/x.json` takes the file that is asked for as a configuration, too."""
    monkeypatch.chdir(tmp_path)
    Path("studies").mkdir()
    Path("quick.yaml").write_text("seed: 1\n")
    Path("x.json").write_text('{"results": {}}')
    Path("x.csv").write_text("a\n1\n")
    monkeypatch.setattr(sys, "argv", ["snakemake", "-n", *(word.format(target) for word in way)])
    shown = plainly(text)
    assert shown == said if said else shown.endswith(DEFECT_OF_A_RUN)
