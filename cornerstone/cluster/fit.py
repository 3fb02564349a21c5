"""Whether the entries of the config fit what was fetched: blocks and players the weights, metrics the documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from cornerstone.assets import documents, fetch
from cornerstone.cluster.finding import Finding
from cornerstone.config.config import Config
from cornerstone.errors import CornerstoneError
from cornerstone.plan.layout import Layout


def _tried(what: str, check: Callable[[], object]) -> Finding:
    try:
        check()
    except CornerstoneError as error:
        return Finding(what, str(error))
    return Finding(what)


def fetched(config: Config) -> Iterator[tuple[str, Path]]:
    """The active models whose weights are there, and their folders; of the others `preflight` says what is wrong."""
    for name in config.run:
        try:
            yield name, fetch.model_folder(Path(Layout(config).model_marker(name)), config.models[name])
        except CornerstoneError:
            continue


def models(config: Config) -> Iterator[Finding]:
    """Whether blocks, kinds and players of the entries are those of the weights."""
    for name, folder in fetched(config):

        def taken_apart(folder: Path = folder, name: str = name) -> None:
            from cornerstone.engine.loading import shapes_only  # torch and transformers
            from cornerstone.engine.network import Network

            entry = config.models[name]
            Network(shapes_only(folder, entry.dtype)[0], entry.all_players(), entry.kinds())

        yield _tried(f"layout of {name}", taken_apart)


def metrics(config: Config) -> Iterator[Finding]:
    """Whether the documents define the metrics and are as many as an interval needs."""
    layout = Layout(config)
    for task in config.scored_tasks:
        for path in dict.fromkeys(layout.documents_for(name, task) for name in config.run):
            if Path(path).is_file():  # else it is said already

                def read(path: str = path, task: str = task) -> None:
                    documents.read(Path(path)).need_metric(config.task(task).metric, config.value_functions)

                yield _tried(f"{task} in {path}", read)
