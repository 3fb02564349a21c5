"""The documents of a task as requests, with all that is needed to score them, kept in a JSON file.

`assets.tasks` has lm-eval make them, once for each task. From then on a model is scored without network and without
lm-eval's task objects.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cornerstone import reading
from cornerstone.errors import AssetError, TaskError, UnreadableError
from cornerstone.files import write_text
from cornerstone.game.functions import GREEDY, PER, SOFT, per

Kind = Literal["multiple_choice", "loglikelihood", "loglikelihood_rolling"]
"""What lm-eval calls the output type of a task."""

SEAL = "sha256"
"""The key of the checksum."""
EQUAL = "equal choices"
"""The remark on documents with choices of the same text in the same context: they have the same score."""
REMARKS = {EQUAL: "equal_choices"}
"""What can be odd about documents that are scored all the same -> its column in tables."""


@dataclass(frozen=True)
class Document:
    """One document of a task.

    A document of `multiple_choice` has two choices or more. One of `loglikelihood` has one, the continuation that is
    right; one of `loglikelihood_rolling` has one, the text itself, with an empty context.

    Attributes:
        doc_id: its index in the split. Documents stand in another order: see `sample.order`.
        doc_hash: lm-eval's hash of its content.
        cluster: documents with equal cluster are not independent: see `tasks.marks`.
        requests: (context, continuation) of each choice, as lm-eval makes them.
        lengths: characters of each choice, by which `acc_norm` divides.
        gold: index of the right choice, or of all that are right.
        bytes: of each choice in UTF-8; of a text, what lm-eval divides by.
        words: of a text, what lm-eval divides by; else nothing.
    """

    doc_id: int
    doc_hash: str
    cluster: str
    requests: list[tuple[str, str]]
    lengths: list[int]
    gold: int | list[int]
    bytes: list[int] = field(default_factory=list)
    words: list[int] = field(default_factory=list)

    @property
    def right(self) -> list[int]:
        """The choices that are right."""
        return self.gold if isinstance(self.gold, list) else [self.gold]


@dataclass(frozen=True)
class TaskDocuments:
    """All documents of a task, and where they come from.

    Attributes:
        task: its name in lm-eval.
        version: lm-eval's version of the task.
        source: where the documents come from.
        split: of the data set.
        metrics: those of lm-eval's that the task defines and that can be had (`game.functions`).
        made_from: `Recipe.made_from` of the settings.
        total: documents of the whole split.
        documents: in the order in which they are taken.
        code: hash of the code that made them.
        kind: see `Kind`.
        num_fewshot: examples before each document.
        remarks: what is odd about documents that are scored all the same: what -> doc_id of each.
        template: hash of the chat template; empty where there is none.
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
    kind: Kind = "multiple_choice"
    num_fewshot: int = 0
    remarks: dict[str, list[int]] = field(default_factory=dict)
    template: str = ""

    def first(self, limit: int | None) -> TaskDocuments:
        """The same with the first `limit` documents (None: all): a random sample, which a larger limit contains."""
        return replace(self, documents=self.documents[:limit])

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits of all that is scored: requests, lengths, gold choices, clusters."""
        content = json.dumps([self.kind, *(asdict(document) for document in self.documents)])
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @cached_property
    def ids(self) -> list[int]:
        """[document] its index in the split."""
        return [document.doc_id for document in self.documents]

    @cached_property
    def golds(self) -> list[int | list[int]]:
        """[document] the right choice, or choices."""
        return [document.gold for document in self.documents]

    @cached_property
    def lengths(self) -> list[list[int]]:
        """[document][choice], characters."""
        return [document.lengths for document in self.documents]

    @cached_property
    def counts(self) -> dict[str, list[list[int]]]:
        """By `bytes` and `words`: [document][choice], where all documents have them."""
        counted = {"bytes": [each.bytes for each in self.documents], "words": [each.words for each in self.documents]}
        return {name: rows for name, rows in counted.items() if all(rows)}

    @property
    def chance(self) -> float:
        """Expected accuracy of a uniform guess; not a number where there is nothing to choose."""
        if self.kind != "multiple_choice":
            return float("nan")
        return float(np.mean([len(document.right) / len(document.requests) for document in self.documents]))

    @property
    def rolling(self) -> bool:
        """Whether each document is one text, which is read in windows."""
        return self.kind == "loglikelihood_rolling"

    @property
    def greedy(self) -> bool:
        """Whether a metric asks if a continuation is what the model would write by itself."""
        return (self.kind == "loglikelihood" and "acc" in self.metrics) or any(name in GREEDY for name in self.metrics)

    @property
    def functions(self) -> list[str]:
        """The value functions that follow from what the task has, beside its metrics."""
        units = [unit for unit in PER if unit != "word" or self.kind == "loglikelihood_rolling"]
        of_choices = ["margin", SOFT] if self.kind == "multiple_choice" else []
        return [*of_choices, "log-probability", *(per(unit) for unit in units)]

    def remarked(self) -> dict[str, list[int]]:
        """The `remarks` on documents that are here."""
        here = set(self.ids)
        found = {what: [i for i in ids if i in here] for what, ids in self.remarks.items()}
        return {what: ids for what, ids in found.items() if ids}

    def need_metric(self, metric: str, functions: Sequence[str] = ()) -> None:
        """Check that the task defines a metric, and has what value functions need.

        Raises:
            TaskError: when it does not; the message lists those it has.
        """
        if metric not in self.metrics:
            have = f"it has {', '.join(self.metrics)}. Choose one of them"
            if not self.metrics:
                have = "nor any other that can be scored here (docs/tasks.md). Drop it from `run_tasks`"
            raise TaskError(f"config.yaml: tasks.{self.task}.metric: {self.task} does not define '{metric}', {have}.")
        lacking = [function for function in functions if function not in self.functions]
        if lacking:
            raise TaskError(
                f"config.yaml: value_functions: {self.task} ({self.kind}) has no {', '.join(lacking)}; it has "
                f"{', '.join(self.functions)}. Take {'it' if len(lacking) == 1 else 'them'} out, or the task."
            )


def write(documents: TaskDocuments, path: Path) -> None:
    """Write a task's documents as JSON, atomically. A context that a document's choices share stands there once.

    The last key, `sha256`, is the checksum of what the file says before it: see `_checksum`.
    """
    raw = asdict(documents)
    for document in raw["documents"]:
        contexts, continuations = zip(*document.pop("requests"), strict=True)
        document["contexts"] = [contexts[0]] if len(set(contexts)) == 1 else contexts
        document["continuations"] = continuations
    raw[SEAL] = _checksum(raw)
    write_text(path, json.dumps(raw, ensure_ascii=False, indent=1) + "\n")


def _checksum(raw: Mapping[str, Any]) -> str:
    """SHA-256 of all keys but `sha256`, as JSON with sorted keys, without spaces, letters beyond ASCII escaped."""
    said = {key: value for key, value in raw.items() if key != SEAL}
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read(path: Path) -> TaskDocuments:
    """Read what `write` wrote.

    Raises:
        AssetError: when the file is missing, damaged, or not what was written.
    """
    try:
        raw = reading.parsed(path, reading.LARGE)
        if raw.pop(SEAL, None) not in (None, _checksum(raw)):  # None: an older version wrote it
            raise UnreadableError(path, "was changed after it was written: its sha256 differs")
        return TaskDocuments(**raw | {"documents": [_document(each) for each in raw["documents"]]})
    except UnreadableError as error:
        raise AssetError(error.then("Delete it and run `snakemake fetch`.")) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise AssetError(
            f"{path}: can't be read ({type(error).__name__}). Delete it and run `snakemake fetch`."
        ) from error


def _document(raw: dict[str, Any]) -> Document:
    contexts, continuations = raw.pop("contexts"), raw.pop("continuations")
    if len(contexts) == 1:
        contexts = contexts * len(continuations)
    return Document(requests=[(str(c), str(t)) for c, t in zip(contexts, continuations, strict=True)], **raw)
