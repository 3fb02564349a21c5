from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from cornerstone.assets import documents as files
from cornerstone.log import Failure
from cornerstone.plan.plan import Plan
from cornerstone.present.progress import Part, Work, status, weight_of, work_of
from tests.helpers import configured, documents


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Job:
    """What is read of a job of Snakemake."""

    def __init__(self, log: str, *output: str) -> None:
        self.log = [log] if log else []
        self.output = list(output)


def write(log: str, *lines: str) -> None:
    path = Path(log)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"cornerstone: {line}\n" for line in lines))


def two_parts(**changes: Any) -> Work:
    parts = [Part("logs/a.log", "tiny", "alpha", 8), Part("logs/b.log", "tiny", "beta", 8)]
    return Work({part.log: part for part in parts}, planned=20, **changes)


def test_nothing_is_said_before_a_job_begins_and_after_the_last() -> None:
    work = two_parts()
    assert work.line(0) is None
    for log in ("logs/a.log", "logs/b.log"):
        work.begin(log, time.time())
        assert work.line(time.time()) is not None
        work.finish(log)
    assert work.line(time.time()) is None


def test_work_is_weighed_and_time_follows_it() -> None:
    work = two_parts(weigh=lambda model, task: 3.0 if task == "beta" else 1.0)
    now = time.time()
    for log in work.parts:
        work.begin(log, now)
    write("logs/a.log", "m: 0 of 8 coalitions are there, 8 to do", "m: 2 of 8 coalitions, 40% of the work, 0:09 left")
    assert work.line(now + 10) == "2 of 16 coalitions, 10% of the work, 1:30 left"
    work.finish("logs/a.log")
    assert work.line(now + 10) == "8 of 16 coalitions, 25% of the work, 0:30 left"


def test_all_count_the_same_while_a_weight_is_unknown() -> None:
    known: dict[str, float] = {"beta": 3.0}
    work = two_parts(weigh=lambda model, task: known.get(task))
    now = time.time()
    work.begin("logs/a.log", now)
    work.begin("logs/b.log", now)
    work.finish("logs/a.log")
    assert work.line(now + 10) == "8 of 16 coalitions, 50% of the work, 0:10 left"
    known["alpha"] = 1.0
    assert work.line(now + 10) == "8 of 16 coalitions, 25% of the work, 0:30 left"


def test_a_job_knows_better_what_it_has_to_do() -> None:
    work = two_parts()
    work.parts["logs/b.log"].guessed = True
    assert str(work) == "8 coalitions (the plan has 20), then about 8 of deletion curves"
    now = time.time()
    for log in work.parts:
        work.begin(log, now)
    assert work.line(now) == "0 of about 16 coalitions, 0% of the work, ? left"
    write("logs/b.log", "m: 4 of 6 coalitions are there, 2 to do")
    assert work.line(now) == "0 of 10 coalitions, 0% of the work, ? left"


def test_the_log_of_an_earlier_run_counts_for_nothing() -> None:
    write("logs/a.log", "m: 8 of 8 coalitions, 100% of the work, 0:00 left")
    os.utime("logs/a.log", (1_000_000, 1_000_000))
    work = two_parts()
    work.begin("logs/a.log", time.time())
    assert work.line(time.time()) == "0 of 16 coalitions, 0% of the work, ? left"


def test_a_job_that_is_tried_again_begins_anew() -> None:
    work = two_parts()
    work.begin("logs/a.log", time.time())
    work.finish("logs/a.log")
    work.begin("logs/a.log", time.time())
    assert work.line(time.time()) == "0 of 16 coalitions, 0% of the work, ? left"


def test_what_snakemake_has_to_do(here: Path) -> None:
    def path(name: str, task: str) -> str:
        return f"results/tiny/{task}/coalitions/{name}.json"

    names = Plan(configured(), "tiny", "alpha").names
    for each in [*(path(name, "alpha") for name in names[:2]), *(path(name, "beta") for name in names)]:
        (here / each).parent.mkdir(parents=True, exist_ok=True)
        (here / each).write_text("{}")
    jobs = [
        Job("logs/evaluate/tiny/alpha.0.log", "results/tiny/alpha/chunks/0.json"),
        Job("logs/evaluate/tiny/beta.0.log", "results/tiny/beta/chunks/0.json"),  # stale: all are there, and it runs
        Job("logs/evaluate/tiny/alpha.x-and-2-more.log", *(path(name, "alpha") for name in names[1:4])),
        Job("logs/deletion/tiny/beta.log", "results/tiny/beta/deletion.parquet"),
        Job("logs/tables.log", "results/tables/table1.md"),
        Job("", "all"),
    ]
    work = work_of(jobs, configured())
    assert [(part.coalitions, part.guessed) for part in work.parts.values()] == [
        (15, False),
        (17, False),
        (2, False),
        (20, True),
    ]
    assert work.planned == 2 * (1 + 8 + 7 + 1)


def test_a_coalition_weighs_as_its_documents_and_its_model(here: Path) -> None:
    config = configured({"tasks.beta.limit": 2})
    weigh = weight_of(config)
    assert weigh("tiny", "alpha") is None  # not fetched yet
    (here / "model").mkdir()
    (here / "model" / "x.safetensors").write_bytes(b"12345")
    (here / "resources/models").mkdir(parents=True)
    (here / "resources/models/tiny.json").write_text(json.dumps({"path": "model"}))
    asked = [[("context", " ab"), ("context", " cd")], [("c", "d"), ("c", "e")]] * 2
    for task in ("alpha", "beta"):
        files.write(documents(asked, task), here / f"resources/documents/embedded/{task}.json")
    assert weigh("tiny", "alpha") == 5 * 2 * (7 + 6 + 1 + 2)
    assert weigh("tiny", "beta") == 5 * (7 + 6 + 1 + 2)


def test_status_of_nothing() -> None:
    text = status(configured())
    assert "tiny alpha: 0 of 17 coalitions are there" in text
    assert "no job seems to be at work" in text
    assert "values of tiny: 0 of 10" in text
    assert "summary: not yet" in text
    assert "pages: not yet" in text


def test_status_by_what_is_on_disk(here: Path) -> None:
    folder = here / "results/tiny/beta/coalitions"
    folder.mkdir(parents=True)
    for name in ("full", "drop-attn0", ".half", "drop-attn0-ffn3"):  # the last two are in no plan
        (folder / f"{name}.json").write_text("{}")
    (here / "results/summary.md").write_text("it")
    begun = "0 of 8 coalitions are there, 8 to do"
    for task in ("alpha", "beta", "gamma", "delta"):
        write(f"logs/evaluate/tiny/{task}.0.log", begun)
    write("logs/evaluate/tiny/alpha.0.log", begun, "tiny alpha: 8 of 8 coalitions, 100% of the work, 0:00 left")
    write("logs/evaluate/tiny/beta.0.log", begun, "tiny beta: 3 of 8 coalitions, 40% of the work, 0:09 left")
    os.utime("logs/evaluate/tiny/gamma.0.log", (1_000_000, 1_000_000))  # was killed long ago
    with Path("logs/evaluate/tiny/delta.0.log").open("a") as stream:
        stream.write(Failure("ModelError", "no", expected=True).block())
    text = status(configured())
    assert "tiny beta: 2 of 17 coalitions are there" in text
    assert "  model tiny, task beta, chunk 0 (evaluating): tiny beta: 3 of 8 coalitions, 40% of the work" in text
    assert text.count("(evaluating)") == 1
    assert "summary: results/summary.md" in text
