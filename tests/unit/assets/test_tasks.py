"""Documents out of lm-eval's task objects. That whole runs agree is the business of tests/parity/test_tasks.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
from lm_eval.api.task import ConfigurableTask
from lm_eval.utils import hash_string

from cornerstone.assets import documents, embedded, groups, harness, tasks
from cornerstone.assets.documents import EQUAL, Document, TaskDocuments
from cornerstone.assets.recipe import Recipe
from cornerstone.errors import AssetError, CornerstoneError, ModelError, TaskError
from cornerstone.evaluate.scoring import Scores
from tests import task_files, tiny
from tests.task_files import CHOICES, SHARES

NOWHERE = Path("/nowhere")


pytestmark = pytest.mark.usefixtures("no_stock_tasks")


def build(folder: Path, task: str = "own", source: str = "hub", **settings: Any) -> TaskDocuments:
    return tasks.build(Recipe(task, source, include_path=(str(folder),), **settings), NOWHERE)


def own(folder: Path, rows: list[dict[str, Any]] | None = None, **changes: Any) -> TaskDocuments:
    """The documents of a task of multiple choice, with some keys of its file changed."""
    files = {} if rows is None else {"test": rows}
    return build(task_files.write(folder, {"own": {"metric_list": SHARES, **changes}}, **files))


def by_number(made: TaskDocuments) -> list[Document]:
    """Documents in the order of the split."""
    return sorted(made.documents, key=lambda document: document.doc_id)


def test_documents_are_as_lm_eval_makes_them(tmp_path: Path) -> None:
    made = own(tmp_path)
    found = by_number(made)
    assert [d.doc_id for d in found] == list(range(5))
    assert [d.gold for d in found] == [0, 2, 1, 1, 0]
    assert found[0].requests == [
        ("Q: Which is renewable?\nA:", f" {choice}") for choice in ("the wind", "coal and oil", "gas")
    ]
    assert found[2].lengths == [5, 5, 8]  # characters
    assert found[2].bytes == [5, 5, 9]
    assert found[0].doc_hash == hash_string(json.dumps(CHOICES[0], indent=2, ensure_ascii=False))
    assert (made.task, made.version, made.split, made.metrics) == ("own", "2.0", "test", ["acc", "acc_norm"])
    assert made.source == "hub:json@newest"
    assert (made.kind, made.num_fewshot, made.total) == ("multiple_choice", 0, 5)
    assert len({d.doc_hash for d in made.documents}) == len({d.cluster for d in made.documents}) == 5


@pytest.mark.parametrize("metric", ["acc", "acc_norm", "acc_bytes"])
@pytest.mark.parametrize("target", ["gold", "many"])
def test_right_answers_are_lm_evals(metric: str, target: str) -> None:
    """Ties and random scores; tests/parity has models."""
    task = ConfigurableTask(
        config={
            "task": "own",
            "custom_dataset": lambda **_: {"validation": datasets.Dataset.from_list(CHOICES)},
            "validation_split": "validation",
            "output_type": "multiple_choice",
            "doc_to_text": "q",
            "doc_to_choice": "options",
            "doc_to_target": target,
            "metric_list": [{"metric": metric, "aggregation": "mean", "higher_is_better": True}],
        }
    )
    docs = list(task.validation_docs())
    made = [tasks.document_of(task, i, doc)[0] for i, doc in enumerate(docs)]
    rng, seen = np.random.default_rng(0), set()
    for trial in range(300):
        scores = [rng.normal(-5, 3, len(d.lengths)).round(0 if trial % 2 else 9).tolist() for d in made]  # odd: ties
        found = Scores(scores, [d.lengths for d in made], [d.gold for d in made], {"bytes": [d.bytes for d in made]})
        theirs = [
            task.process_results(doc, [(score, False) for score in row])[metric]
            for doc, row in zip(docs, scores, strict=True)
        ]
        assert found.metric(metric).tolist() == theirs
        seen.update(theirs)
    assert seen == {0.0, 1.0}


PASSAGE = "The river rises in the hills, runs through three towns, and reaches the sea after many days of slow travel."


def test_documents_with_a_long_text_in_common_are_a_cluster(tmp_path: Path) -> None:
    rows = [{**CHOICES[0], "q": f"{i}?", "paragraph": text} for i, text in enumerate([PASSAGE, PASSAGE + "!", PASSAGE])]
    assert [d.cluster for d in by_number(own(tmp_path, rows))] == ["0", "1", "0"]
    shorter = [{**row, "paragraph": row["paragraph"][:20]} for row in rows[:2]] + [{**rows[2], "paragraph": "no"}]
    assert [d.cluster for d in by_number(own(tmp_path, shorter))] == ["0", "1", "2"]


def test_a_field_of_the_config_says_which_documents_depend_on_each_other(tmp_path: Path) -> None:
    rows = [{**CHOICES[0], "q": f"{i}?", "source": i % 2} for i in range(4)]
    folder = task_files.write(tmp_path, {"own": {"metric_list": SHARES}}, test=rows)
    assert [d.cluster for d in by_number(build(folder, cluster="source"))] == ["0", "1", "0", "1"]
    with pytest.raises(TaskError, match=r"tasks\.own\.cluster: its documents have no field 'para'; there are q, opt"):
        build(folder, cluster="para")


@pytest.mark.parametrize("settings", [{}, {"cluster": "paragraph"}])
def test_sixty_questions_on_six_paragraphs_are_six_clusters(tmp_path: Path, settings: dict[str, str]) -> None:
    """As MultiRC has them; a text of less than 80 characters must be named in the config."""
    rows = [
        {
            **CHOICES[0],
            "q": f"{paragraph}, {question}?",
            "options": [f"fox {answer}", "no"],
            "paragraph": f"{paragraph} {PASSAGE}",
        }
        for paragraph in range(6)
        for question in range(2)
        for answer in range(5)
    ]
    folder = task_files.write(tmp_path, {"own": {"metric_list": SHARES}}, test=rows)
    assert [d.cluster for d in by_number(build(folder, **settings))] == [str(10 * (i // 10)) for i in range(60)]
    short = [{**row, "paragraph": row["paragraph"][:9]} for row in rows]
    folder = task_files.write(tmp_path / "short", {"own": {"metric_list": SHARES}}, test=short)
    assert len({d.cluster for d in build(folder, cluster="paragraph").documents}) == 6


def test_documents_that_ask_the_same_are_a_cluster_whatever_the_examples(tmp_path: Path) -> None:
    questions = [{**CHOICES[0], "q": question} for question in ("a?", "b?", "a?", "c?")]
    folder = task_files.write(tmp_path, {"own": {"metric_list": SHARES}}, test=questions)
    for count in (0, 2):
        assert [d.cluster for d in by_number(build(folder, num_fewshot=count))] == ["0", "1", "0", "3"]
    same = [{**row, "q": "the same?"} for row in questions]  # says nothing of any of them
    assert len({d.cluster for d in own(tmp_path / "same", same).documents}) == 4


def test_documents_stand_in_a_random_order_of_their_own(tmp_path: Path) -> None:
    rows = [{**CHOICES[0], "q": f"{i}?", "gold": int(i < 10)} for i in range(40)]
    folder = task_files.write(tmp_path, {"own": {"metric_list": SHARES}}, test=rows)
    orders = []
    for seed in range(2):
        made = build(folder, seed=seed)
        orders.append([d.doc_id for d in made.documents])
        assert sorted(orders[-1]) == list(range(40))
        assert sum(d.right == [1] for d in made.first(8).documents) == 2  # a quarter, as of all
    assert orders[0] != orders[1]


def test_a_gold_answer_may_be_text(tmp_path: Path) -> None:
    assert own(tmp_path, [{**CHOICES[0], "gold": "gas"}], doc_to_target="{{gold}}").documents[0].gold == 2


def test_what_is_odd_is_counted_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [CHOICES[0], {**CHOICES[1], "options": ["same", "other", "same"]}, CHOICES[2]]
    made = own(tmp_path, rows)
    assert made.remarks == {EQUAL: [1]}
    assert "own: equal choices: 1 of 3 documents, 1; they are scored as they are" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("row", "changes", "message"),
    [
        ({"gold": -1}, {}, "document 1: its right choice is -1, of 3 choices"),
        ({"gold": 3}, {}, "document 1: its right choice is 3, of 3 choices"),
        ({"gold": None}, {}, "document 1: its right choice is None"),
        ({"options": ["a", "", "c"]}, {}, "document 1: choice 1 is empty"),
        ({"options": ["a"], "gold": 0}, {}, "document 1: it has 1 choice"),
        ({"many": []}, {"doc_to_target": "many"}, "document 1: none of its choices are right"),
        ({"many": [0, 1, 2]}, {"doc_to_target": "many"}, "document 1: all of its choices are right"),
        ({"many": [5]}, {"doc_to_target": "many"}, "document 1: its right choice is 5"),
    ],
)
def test_documents_that_cannot_be_scored(
    tmp_path: Path, row: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    rows = [CHOICES[0], {**CHOICES[1], **row}, CHOICES[2]]
    with pytest.raises(TaskError, match=f"task 'own'.*: 1 of 3 documents can't be scored: {message}.*Take a split"):
        own(tmp_path, rows, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output_type": "generate_until", "metric_list": None}, "has the model write its answer .generate_until"),
        ({"doc_to_image": ["picture"]}, "has images or sound"),
        ({"filter_list": [{"name": "x", "filter": [{"function": "take_first"}]}]}, "filters what the model says"),
    ],
)
def test_tasks_that_are_not_scored_by_likelihoods(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=rf"run_tasks: 'own' {message}.*Drop it from `run_tasks`"):
        own(tmp_path, **changes)


def test_scoring_of_its_own_is_refused_where_it_is_not_the_usual(tmp_path: Path) -> None:
    folder = task_files.write(tmp_path, {"own": {"metric_list": SHARES}, "greedy": task_files.TASKS["greedy"]})
    (tmp_path / "mine.py").write_text(
        "def mass(doc, results):\n    return {'acc': 0.5}\n"
        "def twice(doc, results):\n    return {'perplexity': 2 * results[0][0], 'acc': int(results[0][1])}\n"
        "def same(doc, results):\n    return {'perplexity': results[0][0], 'acc': int(results[0][1])}\n"
    )

    def scored_by(task: str, function: str) -> TaskDocuments:
        plain = folder / f"{task}.yaml"
        (folder / f"{function}.yaml").write_text(
            plain.read_text().replace(f"task: {task}", f"task: {function}")
            + f"process_results: !function mine.{function}\n"
        )
        harness.index.cache_clear()
        return build(folder, function)

    with pytest.raises(TaskError, match=r"'mass' scores itself by a function of its own \(mass\)"):
        scored_by("own", "mass")
    with pytest.raises(TaskError, match="document 0: the task scores it by a function of its own"):
        scored_by("greedy", "twice")
    assert scored_by("greedy", "same").metrics == ["acc", "perplexity"]


def test_metrics_with_another_aggregation_are_not_offered(tmp_path: Path) -> None:
    folder = task_files.write(
        tmp_path, {"own": {"metric_list": [{"metric": "acc"}, {"metric": "f1"}, {"metric": "mcc"}]}}
    )
    assert build(folder).metrics == ["acc"]
    file = folder / "own.yaml"
    (folder / "agg.py").write_text("def best(items):\n    return max(items)\n")
    file.write_text(file.read_text().replace("- metric: acc", "- metric: acc\n  aggregation: !function agg.best"))
    harness.index.cache_clear()
    made = build(folder)
    assert made.metrics == []
    with pytest.raises(TaskError, match="own does not define 'acc', nor any other that can be scored here"):
        made.need_metric("acc")


def test_a_revision_leaves_the_tasks_own_data_arguments(tmp_path: Path) -> None:
    assert len(own(tmp_path).documents) == 5  # of two splits, which dataset_kwargs name
    made = build(tmp_path, revision="abc")
    assert len(made.documents) == 5
    assert made.source == "hub:json@abc"


def test_a_file_of_the_users_is_a_tasks_documents(tmp_path: Path) -> None:
    folder = task_files.write(tmp_path / "tasks", {"own": {"metric_list": SHARES}})
    rows = [{**CHOICES[0], "q": f"{i}?"} for i in range(3)]
    pd.DataFrame(rows).to_parquet(tmp_path / "mine.parquet")
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for ending in ("parquet", "jsonl"):
        made = build(folder, source="file", documents=str(tmp_path / f"mine.{ending}"))
        assert [d.requests[0][0] for d in by_number(made)] == [f"Q: {i}?\nA:" for i in range(3)]
        assert made.source == f"file:{tmp_path / f'mine.{ending}'}"
    with pytest.raises(
        TaskError, match=r"tasks\.own\.num_fewshot: 2 examples are asked for, and the data has no split"
    ):
        build(folder, source="file", documents=str(tmp_path / "mine.jsonl"), num_fewshot=2)
    files = {"documents": str(tmp_path / "mine.jsonl"), "fewshot_documents": str(folder / "train.jsonl")}
    made = build(folder, source="file", num_fewshot=2, **files)
    assert all(d.requests[0][0].count("Q: What is") == 2 for d in made.documents)
    with pytest.raises(TaskError, match="9 examples are asked for, and there are 6"):
        build(folder, source="file", num_fewshot=9, **files)
    (tmp_path / "bad.jsonl").write_text('{"q": 1')
    with pytest.raises(AssetError, match=r"could not get the documents of task 'own' \(file\)"):
        build(folder, source="file", documents=str(tmp_path / "bad.jsonl"))
    (tmp_path / "few.jsonl").write_text('{"question": "?", "options": ["a", "b"], "gold": 0}\n')
    with pytest.raises(TaskError, match=r"own.yaml: a template of task 'own' can't be filled in: 'q' is undefined"):
        build(folder, source="file", documents=str(tmp_path / "few.jsonl"))


def test_a_task_that_wants_no_examples_gets_none(tmp_path: Path) -> None:
    folder = task_files.write(tmp_path, {"own": {"metric_list": SHARES, "num_fewshot": 0}})
    assert build(folder).num_fewshot == 0
    with pytest.raises(TaskError, match="the task itself says 0"):
        build(folder, num_fewshot=2)
    folder = task_files.write(tmp_path / "one", {"own": {"metric_list": SHARES, "num_fewshot": 1}})
    harness.index.cache_clear()
    assert build(folder).num_fewshot == 1


def test_embedded_documents_take_the_place_of_all_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = task_files.write(tmp_path / "tasks", {"own": {"metric_list": SHARES, "validation_split": "validation"}})
    pd.DataFrame(CHOICES[:2]).to_parquet(tmp_path / "x.parquet")
    monkeypatch.setattr(embedded, "parquet", lambda *_: {"validation": tmp_path / "x.parquet"})
    made = build(folder, source="embedded")
    assert (made.total, made.split, made.source) == (2, "validation", "embedded")
    with pytest.raises(TaskError, match="the data has no split for them"):  # the hub's has one
        build(folder, source="embedded", num_fewshot=2)


def test_unknown_tasks_and_groups(tmp_path: Path) -> None:
    folder = task_files.write(tmp_path, {"hellaswag": {"metric_list": SHARES, "tag": "common"}})
    (folder / "both.yaml").write_text("group: both\ntask: [hellaswag]\n")
    with pytest.raises(TaskError, match=r"lm-eval has no task 'helaswag'\. Did you mean hellaswag\?.*include_path"):
        build(folder, "helaswag")
    with pytest.raises(TaskError, match=r"'common' is a group of lm-eval\. `cornerstone task common` writes"):
        build(folder, "common")
    assert groups.group("common", (str(folder),)) == (["hellaswag"], True)
    with pytest.raises(TaskError, match=r"'both' is a group of lm-eval\. `cornerstone task both` writes"):
        build(folder, "both")
    with pytest.raises(TaskError, match=r"no task, group or tag 'comon'\. Did you mean common\?"):
        groups.group("comon", (str(folder),))


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("task: a\n  doc_to_text: x\n", 2, "this is no YAML: mapping values are not allowed here"),
        ("- a\n", 1, "a task file has keys"),
        ("task: a\ntag: x\ntask: b\n", 3, "`task` is there twice, first in line 1"),
        ("task: a\ndataset_path: json\ndoc_to_txt: x\n", 3, "lm-eval's tasks have no key `doc_to_txt`; `doc_to_text`?"),
    ],
)
def test_task_files_with_an_error_say_where(tmp_path: Path, text: str, line: int, message: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(TaskError, match=rf"{tmp_path / 'a.yaml'}:{line}: {message}"):
        build(tmp_path, "a")


def test_templates_that_make_no_prompt_name_task_and_file(tmp_path: Path) -> None:
    rows = [CHOICES[0], {**CHOICES[1], "q": None}]
    with pytest.raises(TaskError, match=r"task 'own': lm-eval can't make a prompt of one of its documents.*own\.yaml"):
        own(tmp_path, rows, doc_to_text="{{q.strip()}}")


@pytest.mark.parametrize("error", [ConnectionError("no route to host\nmore"), ConnectionError(), ValueError("x")])
def test_documents_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(AssetError, match=r"task 'own' \(hub\): .+ Run `snakemake fetch`"):
        own(tmp_path)


def test_data_sets_that_are_scripts_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "somebody" / "puzzles" / "puzzles.py"
    script.parent.mkdir(parents=True)
    script.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    folder = task_files.write(tmp_path / "tasks", {"own": {"metric_list": SHARES, "dataset_path": "somebody/puzzles"}})
    with pytest.raises(AssetError, match=r"task 'own': its data set is a script, which is not run\. Choose another"):
        build(folder)
    assert not (tmp_path / "ran").exists()


def test_documents_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, path, calls = (
        task_files.write(tmp_path / "tasks", {"own": {"metric_list": SHARES}}),
        tmp_path / "own.json",
        [],
    )
    build = tasks.build

    def counted(*arguments: Any) -> TaskDocuments:
        calls.append(arguments)
        return build(*arguments)

    def ensure(code: str = "0f", metric: str = "acc", **settings: Any) -> int:
        made_by = Recipe("own", "hub", include_path=(str(folder),), **settings)
        tasks.ensure(path, made_by, metric, [], NOWHERE, code)
        assert documents.read(path).made_from == made_by.made_from
        assert documents.read(path).code == code
        return len(calls)

    monkeypatch.setattr(tasks, "build", counted)
    assert [ensure(), ensure()] == [1, 1]
    assert ensure(revision="abc") == 2
    path.write_bytes(path.read_bytes()[:40])
    assert ensure(revision="abc") == 3  # damaged
    assert ensure("f0", revision="abc") == 4
    assert ensure("f0", revision="abc", num_fewshot=1) == 5
    with pytest.raises(TaskError, match=r"tasks\.own\.metric: own does not define 'acc_bytes', it has acc, acc_norm"):
        ensure("f0", "acc_bytes", revision="abc", num_fewshot=1)


def test_a_chat_template_is_that_of_the_model(tmp_path: Path) -> None:
    folder = task_files.write(tmp_path / "tasks", {"own": {"metric_list": SHARES}})
    made_by = Recipe("own", "hub", include_path=(str(folder),), template_of="tiny")
    tokenizer = tiny.tokenizer()
    tokenizer.save_pretrained(tmp_path / "model")
    with pytest.raises(
        ModelError, match=r"tasks\.own\.apply_chat_template: the tokenizer in .*model has no chat template"
    ):
        tasks.ensure(tmp_path / "x.json", made_by, "acc", [], NOWHERE, "code", tmp_path / "model")
    for template in ("<{{ messages[0].content }}>", "[{{ messages[0].content }}]"):  # changed: made again
        tokenizer.chat_template = template
        tokenizer.save_pretrained(tmp_path / "model")
        tasks.ensure(tmp_path / "x.json", made_by, "acc", [], NOWHERE, "code", tmp_path / "model")
        first = by_number(documents.read(tmp_path / "x.json"))[0]
        assert first.requests[0] == (f"{template[0]}Q: Which is renewable?\nA:{template[-1]}", "the wind")


def test_every_refusal_is_for_the_user(tmp_path: Path) -> None:
    """No kind of error of another library comes through."""
    wrong: list[dict[str, Any]] = [
        {"doc_to_choice": "{{nothing}}"},
        {"doc_to_target": "{{gold + }}"},
        {"test_split": "nowhere"},
    ]
    for changes in wrong:
        harness.index.cache_clear()
        with pytest.raises(CornerstoneError, match="own"):
            own(tmp_path / next(iter(changes)), **changes)


def test_entries_for_the_config(tmp_path: Path) -> None:
    shown = {"metric_list": SHARES, "tag": "both"}
    folder = task_files.write(tmp_path, {"one": shown, "two": shown, "read": task_files.TASKS["read"]})
    (folder / "all.yaml").write_text(
        "group: all\ntask: [both]\naggregate_metric_list: [{metric: acc, weight_by_size: false}]\n"
    )
    where = (str(folder),)
    assert groups.entry("read", where) == "read: {metric: word_perplexity}\n"
    assert groups.entry("both", where) == "both:\n  metric: acc_norm\n  subtasks: [one, two]\n"
    assert groups.entry("all", where) == "all:\n  metric: acc_norm\n  subtasks: [one, two]\n  by_size: false\n"
    with pytest.raises(TaskError, match="no task, group or tag 'al'"):
        groups.entry("al", where)
