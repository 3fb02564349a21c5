"""The command `cornerstone add`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from cornerstone.adding import edit
from cornerstone.adding.description import Description, describe
from cornerstone.adding.entry import choose_name, make_entry, summary
from cornerstone.assets.look import Origin, look
from cornerstone.config.config import Config, load_files
from cornerstone.config.models import Model
from cornerstone.errors import ConfigError, CornerstoneError
from cornerstone.log import log


def add(
    where: str, configs: Sequence[Path], name: str | None = None, revision: str | None = None, show: bool = False
) -> str:
    """Write the entry of a model into a configuration file.

    Args:
        where: hub repository, folder or .gguf file.
        configs: configuration files, each overriding the one before; the last is written.
        name: the entry's key; None: made from `where`.
        revision: commit, branch or tag of a hub repository; None: the newest commit.
        show: change nothing.

    Returns:
        What to print: what was done, or the entry where it is only shown.

    Raises:
        ConfigError: the configuration is wrong, or can't be written.
        AssetError: the model can't be had.
        ModelError: it can't be measured.
    """
    target = configs[-1]
    text = edit.read(target)
    config = load_files(list(configs))
    if name is not None:
        choose_name(Origin("", ""), config.models, name)  # before anything is downloaded
    with tempfile.TemporaryDirectory(prefix="cornerstone-add-") as temporary:
        with _named(where, temporary):
            origin = look(where, Path(temporary), revision)
        there = next((key for key, model in config.models.items() if _same(origin, model)), None)
        if there is not None:
            pinned = f" at {origin.revision}" if origin.revision else ""
            return (
                f"{target}: models.{there} is {origin.id}{pinned} already. Nothing is changed.{_choose(there, config)}"
            )
        log("recognising its layout")
        with _named(where, temporary):
            model = describe(Path(temporary))
    entry = make_entry(choose_name(origin, config.models, name), origin, model, _documents(config))
    changed = edit.inserted(text, entry, target)
    _need_valid(configs, changed)
    if show:
        return edit.as_text(entry).rstrip("\n")
    edit.write(target, changed)
    return f"{target}: added models.{entry.name}.\n  {summary(model)}\n  {_proof(model)}{_choose(entry.name, config)}"


@contextmanager
def _named(where: str, temporary: str) -> Iterator[None]:
    """Have messages say what the user knows in place of a temporary folder."""
    try:
        yield
    except CornerstoneError as error:
        raise type(error)(str(error).replace(temporary, where)) from error


def _same(origin: Origin, model: Model) -> bool:
    """Whether an entry names the same weights."""
    if (model.source, model.revision) != (origin.source, origin.revision):
        return False
    if origin.source == "hub":
        return model.id == origin.id and model.file is None and model.base is None
    return Path(model.id).expanduser().resolve() == Path(origin.id).resolve()


def _documents(config: Config) -> int | None:
    """The most documents of a task that a model is scored on; None where a task has no limit."""
    limits = [config.task(task).limit or config.documents.limit for task in config.scored_tasks]
    return None if None in limits else max(limit for limit in limits if limit is not None)


def _need_valid(configs: Sequence[Path], changed: str) -> None:
    """Raise ConfigError where the configuration would be wrong with the changed file."""
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / configs[-1].name
        file.write_text(changed, encoding="utf-8")
        try:
            load_files([*configs[:-1], file])
        except ConfigError as error:
            raise ConfigError(str(error).replace(str(file), str(configs[-1]))) from None


def _proof(model: Description) -> str:
    if model.proven is None:
        return "No tiny copy of this type can be made here: its layout is proven when the weights are loaded."
    return f"Its layout is proven on a tiny random copy of {model.proven} blocks."


def _choose(name: str, config: Config) -> str:
    return (
        "" if name in config.run else f"\n  Choose it: run: {yaml.safe_dump([name], default_flow_style=True).strip()}"
    )
