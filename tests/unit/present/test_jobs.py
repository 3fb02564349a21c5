from __future__ import annotations

import pytest

from cornerstone.present.jobs import DRAWING, EVALUATING, FETCHING, JobName, folded, with_lists_folded


@pytest.mark.parametrize(
    ("log", "said", "stage"),
    [
        ("logs/evaluate/tiny/arc_easy.0.log", "model tiny, task arc_easy, chunk 0 (evaluating)", EVALUATING),
        (
            "logs/evaluate/a.b/mmlu.pro.12.log",  # names may have dots
            "model a.b, task mmlu.pro, chunk 12 (evaluating)",
            EVALUATING,
        ),
        (
            "logs/evaluate/tiny/boolq.drop-attn0.log",
            "model tiny, task boolq, coalition drop-attn0 (evaluating)",
            EVALUATING,
        ),
        ("logs/deletion/tiny/boolq.log", "model tiny, task boolq (evaluating the deletion curves)", EVALUATING),
        (
            "logs/of-results-b/deletion/tiny/boolq.log",
            "model tiny, task boolq (evaluating the deletion curves)",
            EVALUATING,
        ),
        ("logs/of-evaluate/tables.log", "making tables", DRAWING),
        ("logs/figure/tiny/shares.log", "model tiny, figure shares (drawing)", DRAWING),
        ("/far/away/logs/fetch_model/tiny.log", "model tiny (fetching weights)", FETCHING),
        ("logs/tables.log", "making tables", DRAWING),
        ("logs/plan.log", "plan", None),
    ],
)
def test_a_job_is_named_after_its_log(log: str, said: str, stage: str | None) -> None:
    name = JobName.of(log)
    assert name is not None
    assert str(name) == said
    assert name.stage == stage


@pytest.mark.parametrize("log", ["", "logs", "other/x.log", "logs/evaluate/tiny.log", "logs/x/y.log", "logs/x.txt"])
def test_other_files_are_no_logs_of_jobs(log: str) -> None:
    assert JobName.of(log) is None


def test_few_files_are_named_and_many_are_counted() -> None:
    assert folded(["a/x", "a/y"]) == "a/x, a/y"
    assert folded([f"r/t/{i}.json" for i in range(188)]) == "188 files in r/t"
    assert folded([*(f"r/t/{i}" for i in range(3)), "r/u/0"]) == "4 files in r"
    assert folded(["a", "b", "c", "d"]) == "4 files in ."


def test_lists_within_a_text() -> None:
    many = ", ".join(f"r/t/{i}.json" for i in range(188))
    assert with_lists_folded(f"Missing output files: {many}; code") == "Missing output files: 188 files in r/t; code"
    assert with_lists_folded("one, two, three, four, five") == "one, two, three, four, five"
    assert with_lists_folded("see a/b, c/d") == "see a/b, c/d"
