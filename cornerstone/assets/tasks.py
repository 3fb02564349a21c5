"""From lm-eval's task objects to documents: its own code reads the data, makes the prompts and finds the right choices.

What can't be scored as the task itself would score it is refused here, before any weight is read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from cornerstone.assets import fewshot, harness, sample
from cornerstone.assets.documents import EQUAL, Document, TaskDocuments, read, write
from cornerstone.assets.recipe import Recipe
from cornerstone.errors import AssetError, TaskError
from cornerstone.game.functions import LOGARITHMS, SHARES
from cornerstone.log import log

LONG = 80
"""Characters from which on a text that documents share is taken for a passage that they are about."""
MEANS = ("mean", "perplexity", "weighted_perplexity", "bits_per_byte")
"""lm-eval's names of the aggregations that a value is made for."""


def build(
    recipe: Recipe, wheels: Path, locked: str | None = None, tokenizer: Any = None, template: str = ""
) -> TaskDocuments:
    """Have lm-eval make the documents of a task.

    Args:
        recipe: the settings.
        wheels: folder in which wheels are kept.
        locked: the commit of the data set that is taken where the recipe says none; None takes the newest.
        tokenizer: the model's, for its chat template.
        template: hash of that template.

    Raises:
        TaskError: unknown to lm-eval, of a kind that can't be scored, or documents that can't.
        AssetError: the documents can't be had.
    """
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    check_kind(recipe.task, harness.stock(recipe.task, recipe.include_path))
    with tempfile.TemporaryDirectory() as workspace:
        task = harness.load(recipe, locked, wheels, Path(workspace))
        fewshot.prepare(recipe, task)
        with _named(recipe.task, task):
            made, marked, remarks = _documents(recipe, task, fewshot.chat(tokenizer))
        together = sample.clusters(marked)
        order = sample.order([tuple(d.right) for d in made], together, [d.doc_hash for d in made], recipe.seed)
        where = {"embedded": "embedded", "file": f"file:{recipe.documents}"}
        for what, ids in remarks.items():
            log(f"{recipe.task}: {what}: {len(ids)} of {len(made)} documents, {_few(ids)}; they are scored as they are")
        return TaskDocuments(
            task=recipe.task,
            version=str(task.VERSION),
            source=where.get(recipe.source, f"hub:{task.DATASET_PATH}@{recipe.revision or locked or 'newest'}"),
            split=task.config.test_split or task.config.validation_split,
            metrics=_metrics(task),
            made_from=recipe.made_from,
            total=len(made),
            documents=[replace(made[i], cluster=together[i]) for i in order],
            kind=task.OUTPUT_TYPE,
            num_fewshot=task.config.num_fewshot,
            remarks=remarks,
            template=template,
        )


def check_kind(name: str, said: dict[str, Any]) -> None:
    """Refuse a task that can't be scored, or not as it scores itself.

    Args:
        name: of the task.
        said: what its file says (`harness.stock`).

    Raises:
        TaskError: why not.
    """
    kind, drop = said.get("output_type", "generate_until"), "Drop it from `run_tasks`."
    start = f"config.yaml: run_tasks: '{name}'"
    if "class" in said or said.get("doc_to_image") or said.get("doc_to_audio"):
        what = "code of its own" if "class" in said else "images or sound"
        raise TaskError(f"{start} has {what}, which can't be scored here. {drop}")
    if kind == "generate_until":
        raise TaskError(
            f"{start} has the model write its answer (generate_until). Each coalition would write another one, token "
            f"by token, so that they could share no computation. {drop}"
        )
    if said.get("process_results") and kind == "multiple_choice":
        function = str(said["process_results"]).rpartition(".")[2]
        raise TaskError(f"{start} scores itself by a function of its own ({function}), not by its metrics. {drop}")
    if said.get("filter_list") is not None:
        raise TaskError(f"{start} filters what the model says (filter_list). {drop}")


def _metrics(task: Any) -> list[str]:
    """The metrics of a task that a value can be made for: its own aggregation is the usual one."""
    from lm_eval.api.registry import AGGREGATION_REGISTRY

    usual = {AGGREGATION_REGISTRY[name] for name in MEANS if name in AGGREGATION_REGISTRY}
    return [
        metric
        for metric in (*SHARES, *LOGARITHMS)
        if metric in task._metric_fn_list and task.aggregation().get(metric) in usual
    ]


@contextmanager
def _named(name: str, task: Any) -> Iterator[None]:
    """What a task's own templates and functions raise, as an error that names the task."""
    try:
        yield
    except TaskError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise TaskError(
            f"task '{name}': lm-eval can't make a prompt of one of its documents: {reason}. The task's file is "
            f"{(task.config.metadata or {}).get('config_source')}; correct it, or its documents."
        ) from error


def _documents(
    recipe: Recipe, task: Any, chat: dict[str, Any]
) -> tuple[list[Document], list[set[tuple[str, str]]], dict[str, list[int]]]:
    """All documents in the order of the split, what makes each depend on others, and what is odd about some."""
    made, marked = [], []
    problems: dict[int, str] = {}
    remarks: dict[str, list[int]] = {}
    if recipe.cluster and recipe.cluster not in task.features:
        raise TaskError(
            f"config.yaml: tasks.{recipe.task}.cluster: its documents have no field '{recipe.cluster}'; there are "
            f"{', '.join(task.features)}. Choose one of them."
        )
    for doc_id, doc in enumerate(task.eval_docs):
        document, problem = document_of(task, doc_id, doc, recipe.system_instruction, chat)
        if problem:
            problems[doc_id] = problem
        elif len(set(document.requests)) < len(document.requests):
            remarks.setdefault(EQUAL, []).append(doc_id)
        made.append(document)
        asked = task.doc_to_choice(doc) if task.multiple_input else [task.doc_to_text(doc)]
        marked.append(marks(asked, doc, recipe.cluster))
    if problems:
        first = "; ".join(f"document {i}: {problem}" for i, problem in list(problems.items())[:3])
        more = "; ..." if len(problems) > 3 else ""
        raise TaskError(
            f"task '{recipe.task}' ({recipe.source}): {len(problems)} of {len(made)} documents can't be scored: "
            f"{first}{more}. Take a split or a data set with answers, or correct the documents."
        )
    return made, marked, remarks


def document_of(
    task: Any,
    doc_id: int,
    doc: dict[str, Any],
    system_instruction: str | None = None,
    chat: dict[str, Any] | None = None,
) -> tuple[Document, str | None]:
    """One document of a task object as `Task.build_all_requests` of lm-eval makes it, and why it can't be scored."""
    from lm_eval.utils import handle_non_serializable, hash_string

    chat = chat or {}
    context = task.fewshot_context(
        doc,
        num_fewshot=task.config.num_fewshot or 0,
        system_instruction=system_instruction,
        gen_prefix=task.doc_to_prefix(doc),
        **chat,
    )
    given = {key: value for key, value in chat.items() if key != "fewshot_as_multiturn"}
    instances = task.construct_requests(doc=doc, ctx=context, metadata=(task.config.task, doc_id, 1), **given)
    content = json.dumps(doc, indent=2, default=handle_non_serializable, ensure_ascii=False)
    hashed = hash_string(content)
    if task.OUTPUT_TYPE != "multiple_choice":
        return _text(task, doc_id, doc, instances, hashed)
    choices = task.doc_to_choice(doc)
    requests = [(str(i.args[0]), str(i.args[1])) for i in instances][: len(choices)]  # more for acc_mutual_info
    gold, problem = _gold(task, doc, choices)
    empty = [i for i, (_, continuation) in enumerate(requests) if not continuation.strip()]
    if len(choices) < 2:
        problem = f"it has {len(choices)} choice{'s' * (len(choices) != 1)}"
    elif empty or any(choice == "" for choice in choices):
        problem = f"choice {(empty or [choices.index('')])[0]} is empty"
    document = Document(
        doc_id=doc_id,
        doc_hash=hashed,
        cluster=str(doc_id),
        requests=requests,
        lengths=[len(choice) for choice in choices],
        gold=gold if len(gold) > 1 or task.multiple_target else (gold or [0])[0],
        bytes=[len(choice.encode()) for choice in choices],
    )
    return document, problem


def _gold(task: Any, doc: dict[str, Any], choices: Sequence[str]) -> tuple[list[int], str | None]:
    """The right choices of a document; or what is wrong with them, which lm-eval would score as a wrong answer."""
    said = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
    found = []
    for gold in said if isinstance(said, list) else [said]:
        if isinstance(gold, str) and gold in choices:
            gold = list(choices).index(gold)
        if not isinstance(gold, int) or not 0 <= gold < len(choices):
            return [], f"its right choice is {gold!r}, of {len(choices)} choices"
        found.append(int(gold))
    distinct = sorted(set(found))
    if isinstance(said, list) != bool(task.multiple_target):
        return distinct, f"its right choice is {said!r}, unlike that of document 0 (one or a list)"
    if not distinct or len(distinct) == len(choices):
        return distinct, f"{'all' if distinct else 'none'} of its choices are right"
    return distinct, None


def _text(task: Any, doc_id: int, doc: dict[str, Any], instance: Any, hashed: str) -> tuple[Document, str | None]:
    """A document without choices. What it counts as is asked of the task's own scoring, by made-up likelihoods."""
    rolling = task.OUTPUT_TYPE == "loglikelihood_rolling"
    context, text = ("", str(instance.args[0])) if rolling else (str(instance.args[0]), str(instance.args[1]))
    words, count = [], [len(text.encode())]
    problem = None if text.strip() else f"its {'text' if rolling else 'continuation'} is empty"
    scored = task.process_results(doc, [-1.0] if rolling else [(-1.0, True)])
    if rolling:
        weights = {}
        for metric in LOGARITHMS[1:]:
            value, weight = scored.get(metric, (-1.0, None))
            if value != -1.0 or (weight is not None and weight <= 0):
                problem = problem or f"its {metric} is not a log-likelihood by a count"
            weights[metric] = weight
        words = [int(weights["word_perplexity"] or task.count_words(text))]
        count = [int(weights["byte_perplexity"] or weights["bits_per_byte"] or count[0])]
    else:
        expected = {"perplexity": -1.0, "acc": 1}
        other = task.process_results(doc, [(-2.0, False)])
        if any(scored.get(metric, expected[metric]) != expected[metric] for metric in expected) or any(
            other.get(metric, value) != value for metric, value in (("perplexity", -2.0), ("acc", 0))
        ):
            problem = problem or "the task scores it by a function of its own"
    document = Document(
        doc_id=doc_id,
        doc_hash=hashed,
        cluster=str(doc_id),
        requests=[(context, text)],
        lengths=[len(text)],
        gold=0,
        bytes=count,
        words=words,
    )
    return document, problem


def marks(asked: Sequence[str], doc: dict[str, Any], field: str | None = None) -> set[tuple[str, str]]:
    """What makes a document depend on others: what it asks (WinoGrande's twins), and a passage that it is about.

    Args:
        asked: its own part of the context of each choice, without examples.
        doc: its fields, as the data set has them.
        field: the one that matters; None: each that holds a long text (`LONG`).
    """
    shared = {("asked", text) for text in asked if text}
    if field is not None:
        return shared | {(field, json.dumps(doc[field], default=str))}
    return shared | {(key, text) for key, text in doc.items() if isinstance(text, str) and len(text) >= LONG}


def _few(ids: Sequence[int]) -> str:
    """Some numbers of documents."""
    return ", ".join(map(str, ids[:5])) + (", ..." if len(ids) > 5 else "")


def ensure(
    path: Path,
    recipe: Recipe,
    metric: str,
    functions: Sequence[str],
    wheels: Path,
    code: str,
    folder: Path | None = None,
) -> None:
    """Make a task's file of documents, unless it is there and was made from the same settings by the same code.

    A data set of the hub for which the config names no commit is taken at the commit that `locked_revision` says.

    Args:
        path: the file.
        recipe: the settings.
        metric: the task's metric in the config, which it must have.
        functions: value functions that are asked for, which it must have.
        wheels: folder in which wheels are kept.
        code: hash of the code that makes documents.
        folder: the model whose chat template is used.

    Raises:
        TaskError, AssetError: see `build`.
    """
    tokenizer, template = None, ""
    if recipe.template_of:
        assert folder is not None
        tokenizer = fewshot.tokenizer_with_template(recipe.task, folder)
        template = hashlib.sha256(str(tokenizer.chat_template).encode()).hexdigest()[:16]
    try:
        there = read(path)
        if (there.made_from, there.code, there.template) == (recipe.made_from, code, template):
            return there.need_metric(metric, functions)
    except AssetError:
        pass  # missing or damaged: it is made
    newest = recipe.source == "hub" and recipe.revision is None
    locked = harness.locked_revision(recipe, path.with_name(harness.LOCK)) if newest else None
    made = build(recipe, wheels, locked, tokenizer, template)
    made.need_metric(metric, functions)
    write(replace(made, code=code), path)
