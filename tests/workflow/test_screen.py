"""What people see: a run in few lines, and a failure in fewer, with what to do about it as the last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.workflow.conftest import QUIET, SAID
from tests.workflow.runner import Workflow, configuration

pytestmark = pytest.mark.workflow
VALUES = [f"results/tiny/{task}/values.parquet" for task in ("arc_easy", "openbookqa")]
COALITIONS = 13
MOST_LINES = 15


@pytest.fixture(scope="module")
def fresh(real_assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    return Workflow.create(tmp_path_factory.mktemp("screen") / "fresh", real_assets, configuration(3, 2, limit=4))


@pytest.fixture
def workflow(fresh: Workflow, tmp_path: Path) -> Workflow:
    return fresh.copy(tmp_path / "work")


def wrong(workflow: Workflow, **settings: Any) -> None:
    """A mistake in the model's entry that only its jobs find."""
    config = workflow.config()
    config["models"]["tiny"] |= settings
    workflow.write_config(config)


def failing(workflow: Workflow, *arguments: str) -> tuple[list[str], list[str]]:
    """The lines of a run that fails: before the first failed job, and from there on."""
    done = workflow.run(*arguments)
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    assert "CalledProcessError" not in done.stdout
    assert ".json (update)" not in done.stdout
    before, _, after = done.stdout.partition("\nFAILED: ")
    return before.splitlines(), f"FAILED: {after}".splitlines()


def test_a_whole_run_is_few_lines(straight: Workflow) -> None:
    """As the Makefile calls it; the next tests call Snakemake without its options, too."""
    lines = (straight.folder / SAID).read_text().splitlines()
    assert len(lines) < 60
    stages = [line for line in lines if line.startswith("cornerstone: ") and "of the work" not in line]
    curves = 3 * 2 * 2 * 2  # by depth and, on each half, by value; two directions, two points, on two tasks
    assert stages[:4] == [
        "cornerstone: fetching weights and documents",
        f"cornerstone: evaluating {2 * COALITIONS} coalitions (the plan has {2 * COALITIONS}), then about {curves} of "
        "deletion curves",
        "cornerstone: estimating",
        "cornerstone: drawing tables and figures",
    ]
    assert stages[4].startswith("cornerstone: done, 21 jobs in ")
    assert lines[-1] == stages[-1]


@pytest.mark.parametrize("options", [[], QUIET])
def test_a_wrong_value_is_few_lines_and_the_last_says_what_to_do(workflow: Workflow, options: list[str]) -> None:
    wrong(workflow, blocks=4)
    before, after = failing(workflow, *options, VALUES[1])
    assert before[-1] == (
        "cornerstone: failed: model tiny, task openbookqa, chunk 0 (evaluating); details come at the end"
    )
    assert len(before) + len(after) < 2 * MOST_LINES
    assert len(after) <= MOST_LINES
    assert after == [
        "FAILED: model tiny, task openbookqa, chunk 0 (evaluating)",
        "  ModelError: config.yaml says blocks: 4, but the weights have 3. Set blocks: 3 in this model's entry.",
        "  missing  results/tiny/openbookqa/chunks/0.json",
        "  log      logs/evaluate/tiny/openbookqa.0.log",
        "",
        "What to do: Set blocks: 3 in this model's entry.",
    ]


READS = "        wanted = self.wanted()\n        lacking: "
"""Where a job begins to work."""


def insert(path: Path, place: str, before: str) -> None:
    text = path.read_text()
    assert place in text
    path.write_text(text.replace(place, before + place, 1))


def test_two_failures_and_the_rest_goes_on(workflow: Workflow) -> None:
    """The jobs of two tasks find something that is wrong: two blocks, two remedies."""
    config = workflow.config()
    config["run_tasks"] += ["boolq"]
    workflow.write_config(config)
    fails = '        if self.task in ("arc_easy", "boolq"):\n'
    fails += '            raise AssetError(f"the documents of {self.task} are wrong. Mend {self.task}.")\n'
    insert(workflow.folder / "cornerstone" / "evaluate" / "job.py", READS, fails)
    _, after = failing(workflow, "--keep-going", *VALUES, "results/tiny/boolq/values.parquet")
    assert sorted(line for line in after if line.startswith("FAILED: ")) == [
        "FAILED: model tiny, task arc_easy, chunk 0 (evaluating)",
        "FAILED: model tiny, task boolq, chunk 0 (evaluating)",
    ]
    assert len(after) <= 2 * MOST_LINES
    assert {line.partition(":")[0] for line in after[-2:]} == {"What to do"}
    remedies = {line for line in after if line.startswith("What to do")}
    assert {line.partition("Mend ")[2] for line in remedies} == {"arc_easy.", "boolq."}
    assert (workflow.folder / VALUES[1]).is_file()


def test_a_defect_leaves_its_traceback_in_the_log(workflow: Workflow) -> None:
    module = workflow.folder / "cornerstone" / "evaluate" / "job.py"
    insert(module, READS, "        wanted = 1 / 0\n")
    _, after = failing(workflow, VALUES[0])
    assert after[1] == "  unexpected error: ZeroDivisionError: division by zero"
    assert len(after) <= MOST_LINES
    assert after[-1].startswith("What to do: Report this defect")
    assert "logs/evaluate/tiny/arc_easy.0.log" in after[-1]
    log = workflow.log("evaluate/tiny/arc_easy.0")
    assert "Traceback (most recent call last)" in log
    assert "wanted = 1 / 0" in log


def test_a_job_that_is_killed_says_so(workflow: Workflow) -> None:
    module = workflow.folder / "cornerstone" / "evaluate" / "job.py"
    kill = "        import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n"
    insert(module, READS, kill)
    _, after = failing(workflow, VALUES[0])
    assert after[1].startswith("  Killed: the job's process was ended from outside")
    assert after[-1] == "What to do: Run the same command again; what is finished is kept."


@pytest.mark.parametrize(
    ("change", "target", "last"),
    [
        ({"shapely": 1}, "all", "  config.yaml:"),
        ({}, "results/tiny/arc_easy/coalitions/drop-attn77.json", "there is no player 'attn77' in this model:"),
    ],
)
def test_an_error_while_rules_are_read_is_the_last_line(
    workflow: Workflow, change: dict[str, Any], target: str, last: str
) -> None:
    workflow.write_config(workflow.config() | change)
    done = workflow.run(target)
    assert done.returncode != 0
    lines = done.stdout.splitlines()
    assert lines[-1].startswith(last)
    assert len(lines) <= MOST_LINES
    assert "WorkflowError" not in done.stdout
    assert "rules/common.smk" not in done.stdout


def test_verbose_shows_what_jobs_say(workflow: Workflow) -> None:
    said = workflow.succeed("--verbose", VALUES[0])
    assert f"cornerstone: tiny arc_easy: 0 of {COALITIONS} coalitions are there, {COALITIONS} to do" in said
    assert "Job stats:" in said
    wrong(workflow, blocks=4)
    last = workflow.run("--verbose", VALUES[1]).stdout.splitlines()[-1]
    assert last == "What to do: Set blocks: 3 in this model's entry."


def test_a_dry_run_shows_its_jobs(workflow: Workflow) -> None:
    said = workflow.succeed("--dry-run")
    table = said.partition("Job stats:")[2].partition("\n\n")[0].split()
    assert table[table.index("evaluate_tiny_0") + 1] == "2"
    assert f"Evaluating {COALITIONS} coalitions of tiny on arc_easy" in said
    assert "Missing output files: results/tiny/arc_easy/chunks/0.json" in said
    named = [f"results/tiny/arc_easy/coalitions/drop-attn{i}-ffn{j}.json" for i in range(3) for j in range(i, 3)]
    said = workflow.succeed("--dry-run", *named)
    assert f"Missing output files: {len(named)} files in results/tiny/arc_easy/coalitions" in said
    assert "drop-attn0-ffn0.json, " not in said


def test_preflight_is_shown(workflow: Workflow) -> None:
    workflow.succeed("fetch")
    assert "cornerstone: ok: weights of tiny" in workflow.succeed("preflight")
