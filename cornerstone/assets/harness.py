"""lm-eval's tasks as objects: found by name, and loaded with documents from where the recipe says."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from cornerstone import reading
from cornerstone.assets import client, embedded, hub
from cornerstone.assets.recipe import OWN_TASKS, Recipe
from cornerstone.config.source import repeated
from cornerstone.errors import AssetError, TaskError, UnreadableError, first_line
from cornerstone.files import write_text
from cornerstone.log import log

LOCK = "data-sets.lock"
"""File beside the documents from the hub: which commit of each data set was taken where the config names none."""
STOCK = True
"""Whether lm-eval's own tasks are in the index; tests do without, as reading them takes many seconds."""


@lru_cache(maxsize=4)
def index(include_path: tuple[str, ...] = (), stock: bool = True) -> Any:
    """lm-eval's index of tasks: its own, the package's, and the user's, of which later ones take precedence.

    Reading lm-eval's thousands of files takes many seconds: it is done once, and not at all where `stock` is False.

    Raises:
        TaskError: a task file of the user's is no YAML, or says what lm-eval does not know.
    """
    from lm_eval.tasks import TaskManager

    for folder in include_path:
        check_files(Path(folder))
    return TaskManager(include_path=[str(OWN_TASKS), *include_path], include_defaults=stock and STOCK)


@lru_cache(maxsize=1)
def _folders() -> dict[str, Path | None]:
    """Name of a task -> the folder of lm-eval whose file has the line `task: <name>`; None where several have."""
    import lm_eval.tasks

    line = re.compile(rb"^['\"]?task['\"]?: *['\"]?([\w.-]+)['\"]? *$", re.MULTILINE)
    found: dict[str, Path | None] = {}
    for path in Path(lm_eval.tasks.__file__).parent.rglob("*.yaml"):
        for name in line.findall(path.read_bytes()):
            found[name.decode()] = None if name.decode() in found else path.parent
    return found


@lru_cache(maxsize=64)
def of_its_folder(task: str) -> Any:
    """lm-eval's index of the one folder whose file defines this task of its own; None where it takes them all to know.

    Most tasks have a file that names them. To find the names in all files takes a second, to read all of them as YAML
    many.
    """
    from lm_eval.tasks import TaskManager

    folder = _folders().get(task)
    if folder is None:
        return None
    manager = TaskManager(include_path=[str(folder)], include_defaults=False)
    return manager if task in manager.all_subtasks else None


def check_files(folder: Path) -> None:
    """Check the task files of a folder: lm-eval passes over those that it can't read, without a word.

    Raises:
        TaskError: file, line and what is wrong.
    """
    from dataclasses import fields

    from lm_eval.config.group import GroupConfig
    from lm_eval.config.task import TaskConfig

    known = {field.name for kind in (TaskConfig, GroupConfig) for field in fields(kind)}
    known |= {"include", "task_list", "class", "group", "tag", "dataset_path"}
    for path in sorted(folder.rglob("*.yaml")):
        try:
            node = yaml.compose(reading.text(path))
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise TaskError(f"{path}:{line}: this is no YAML: {error.problem}. Correct the file.") from None
        except UnreadableError as error:
            raise TaskError(error.then("Correct the file.")) from None
        except (yaml.YAMLError, RecursionError) as error:
            raise TaskError(f"{path}: can't be read: {first_line(error)}. Correct the file.") from None
        if not isinstance(node, yaml.MappingNode):
            raise TaskError(f"{path}:1: a task file has keys such as `task` and `doc_to_text`; this one has none.")
        for key, line, first in repeated(node):
            raise TaskError(f"{path}:{line}: `{'.'.join(key)}` is there twice, first in line {first}. Remove one.")
        keys = {key.value: key.start_mark.line + 1 for key, _ in node.value}
        wrong = [key for key in keys if key not in known]
        if wrong and "task" in keys and not isinstance(dict(_plain(node)).get("task"), list):
            near = difflib.get_close_matches(wrong[0], sorted(known), 1)
            hint = f"; `{near[0]}`?" if near else ""
            raise TaskError(
                f"{path}:{keys[wrong[0]]}: lm-eval's tasks have no key `{wrong[0]}`{hint} Correct the file."
            )


def _plain(node: yaml.MappingNode) -> Iterator[tuple[str, Any]]:
    """The keys of a mapping, and whether each value is a list (as a list) or not (as text)."""
    for key, value in node.value:
        yield key.value, [] if isinstance(value, yaml.SequenceNode) else str(value.value)


def known(task: str, include_path: tuple[str, ...] = ()) -> Any:
    """lm-eval's index of tasks, which has this one.

    Raises:
        TaskError: it has not; the message names those with a similar name. Or it is a group.
    """
    few = index(include_path, stock=False)
    if task in few.all_subtasks:
        return few
    own = of_its_folder(task) if STOCK else None
    if own is not None:
        return own
    manager = index(include_path)
    if task in manager.all_subtasks:
        return manager
    if task in (*manager.all_groups, *manager.all_tags):
        raise TaskError(
            f"config.yaml: run_tasks: '{task}' is a group of lm-eval. `cornerstone task {task}` writes an entry with "
            "its subtasks for `tasks`."
        )
    near = difflib.get_close_matches(task, manager.all_subtasks, 3, 0.7)
    meant = f" Did you mean {' or '.join(near)}?" if near else ""
    raise TaskError(
        f"config.yaml: run_tasks: lm-eval has no task '{task}'.{meant} `lm_eval ls tasks` lists those it has; folders "
        "of your own go under `include_path`."
    )


def stock(task: str, include_path: tuple[str, ...] = ()) -> dict[str, Any]:
    """What the task's file says, with what it includes."""
    from lm_eval.tasks._yaml_loader import load_yaml

    manager = known(task, include_path)
    said: dict[str, Any] = load_yaml(manager.task_index[task].yaml_path, resolve_func=False)
    return said


def load(recipe: Recipe, locked: str | None, wheels: Path, workspace: Path) -> Any:
    """The task object, with documents from where the recipe says.

    Args:
        recipe: the settings.
        locked: the commit of the data set that is taken where the recipe says none; None takes the newest.
        wheels: folder in which wheels are kept.
        workspace: folder for what is only needed while documents are made.

    Raises:
        TaskError: unknown to lm-eval, or its file is wrong.
        AssetError: the documents can't be had.
    """
    import jinja2

    task, manager = recipe.task, known(recipe.task, recipe.include_path)
    path = Path(manager.task_index[task].yaml_path).resolve()
    # lm-eval's way to change where a task's documents come from: a task file that includes the stock one
    own = workspace.resolve() / f"{task}.yaml"
    own.write_text(yaml.safe_dump({"include": str(path), "task": task, **_changes(recipe, locked, wheels, own.parent)}))
    client.impatient()
    try:
        with _no_metrics_from_elsewhere():
            return manager.load(str(own))["tasks"][task]
    except jinja2.TemplateError as error:
        raise TaskError(f"{path}: a template of task '{task}' can't be filled in: {first_line(error)}.") from error
    except Exception as error:  # lm-eval and datasets raise nearly every kind
        if "Dataset scripts are no longer supported" in str(error):
            raise AssetError(
                f"could not get the documents of task '{task}': its data set is a script, which is not run. Choose "
                f"another task, or name a JSONL or Parquet file with its documents under `tasks.{task}.documents`."
            ) from error
        if recipe.source == "hub" and (said := hub.trouble(_repository(recipe, locked, path), error)):
            raise AssetError(f"could not get the documents of task '{task}': {said}") from error
        network = "Run `snakemake fetch` where there is network access."
        remedy = network if recipe.source == "hub" else f"The task's file is {path}."
        reason = f"{type(error).__name__}: {first_line(error)}" if isinstance(error, KeyError) else first_line(error)
        raise AssetError(
            f"could not get the documents of task '{task}' ({recipe.source}): {reason}. {remedy}"
        ) from error


def _repository(recipe: Recipe, locked: str | None, path: Path) -> hub.Repository:
    """The data set of a task, and where the user says which."""
    return hub.Repository(
        str(stock(recipe.task, recipe.include_path).get("dataset_path")),
        recipe.revision or locked or "main",
        "dataset",
        id_in=f"`dataset_path` in {path}",
        revision_in=f"`tasks.{recipe.task}.revision`" if recipe.revision else f"its line in {LOCK}",
    )


def _changes(recipe: Recipe, locked: str | None, wheels: Path, workspace: Path) -> dict[str, Any]:
    """What of the task's file is replaced."""
    said = stock(recipe.task, recipe.include_path)
    return {**_metrics(recipe.task, said), **_data(recipe, said, locked, wheels, workspace)}


def _metrics(task: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics that lm-eval has itself, where a task names others: those are code, which it would download and run.

    Raises:
        TaskError: no metric is left.
    """
    from lm_eval.api import metrics  # noqa: F401 - fills the registry
    from lm_eval.api.registry import metric_registry

    listed = [each for each in said.get("metric_list") or [] if isinstance(each, dict)]
    brought = [
        each
        for each in listed
        if each.get("hf_evaluate") or (str(each.get("metric")) not in metric_registry and not _own(each.get("metric")))
    ]
    if not brought:
        return {}
    left = [each for each in listed if each not in brought and not any(map(_own, each.values()))]
    if not left:
        names = ", ".join(str(each.get("metric")) for each in brought)
        raise TaskError(
            f"task '{task}' is scored by {names} of the library `evaluate`, which downloads the code of a metric and "
            "runs it. No such code is run here. Choose another task, or write one with a metric of lm-eval's own "
            "(docs/tasks.md)."
        )
    return {"metric_list": left}


def _own(value: object) -> bool:
    """Whether a task's file names a function beside it, of which `stock` gives the path."""
    return isinstance(value, str) and value.startswith("/")


@contextmanager
def _no_metrics_from_elsewhere() -> Iterator[None]:
    """Keep lm-eval from having a metric that it does not know loaded, whatever a task's file says: that is code."""
    import evaluate

    def refuse(path: str, *_: Any, **__: Any) -> None:
        raise TaskError(f"the metric {path} is code from elsewhere, which is not run")

    load = evaluate.load
    evaluate.load = refuse
    try:
        yield
    finally:
        evaluate.load = load


def _data(recipe: Recipe, said: Mapping[str, Any], locked: str | None, wheels: Path, workspace: Path) -> dict[str, Any]:
    """Where the documents come from, in place of what the task's file says."""
    if recipe.source == "hub":
        revision = recipe.revision or locked
        return {"dataset_kwargs": {**(said.get("dataset_kwargs") or {}), "revision": revision}} if revision else {}
    if recipe.source == "embedded":
        files = embedded.parquet(recipe.task, workspace, wheels)
    else:
        assert recipe.documents is not None
        files = {said.get("test_split") or said.get("validation_split") or "test": Path(recipe.documents)}
        if recipe.fewshot_documents:
            files["fewshot"] = Path(recipe.fewshot_documents)
    form = "json" if next(iter(files.values())).suffix == ".jsonl" else "parquet"
    changes: dict[str, Any] = {
        "dataset_path": form,
        "dataset_name": None,
        "dataset_kwargs": {
            "data_files": {split: str(path.resolve()) for split, path in files.items()},
            "cache_dir": str(workspace),
        },
    }
    for key in ("training_split", "validation_split", "test_split", "fewshot_split"):
        if said.get(key) not in files:
            changes[key] = None
    if "fewshot" in files:
        changes["fewshot_split"] = "fewshot"
    elif isinstance(said.get("fewshot_config"), dict) and said["fewshot_config"].get("split") not in (None, *files):
        changes["fewshot_config"] = {**said["fewshot_config"], "split": None}
    if "test" in files and not said.get("test_split") and not said.get("validation_split"):
        changes["test_split"] = "test"
    return changes


def locked_revision(recipe: Recipe, lock: Path) -> str | None:
    """The commit of a task's data set that was taken before, or else the newest, which is written down in `lock`.

    None where the data set is no repository of the hub, but files that lm-eval's task names.

    Raises:
        TaskError: unknown to lm-eval.
        AssetError: the hub can't be asked, or `lock` is damaged.
    """
    name = str(stock(recipe.task, recipe.include_path).get("dataset_path"))
    if name.count("/") != 1 or Path(name).exists():
        return None
    try:
        before = reading.parsed(lock)
        taken = {str(key): str(value) for key, value in before.items()}
    except UnreadableError as error:
        if not error.missing:
            raise AssetError(error.then("Delete it to take the newest data.")) from error
        taken = {}
    except AttributeError as error:
        raise AssetError(f"{lock} can't be read ({first_line(error)}). Delete it to take the newest data.") from error
    if name not in taken:
        taken[name] = hub.newest(name, "dataset")
        write_text(lock, json.dumps(dict(sorted(taken.items())), indent=1) + "\n")
        log(f"data set {name}: taking its newest commit, {taken[name]}, now and in later runs ({lock})")
    return taken[name]
