"""Keys that a YAML file has twice: YAML would keep the last without a word, so what the first says would be lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from cornerstone.errors import ConfigError


def refuse(paths: Iterable[Path]) -> None:
    """Check that no mapping of some YAML files has a key twice.

    Files that can't be read are passed over: whoever loads them says so.

    Raises:
        ConfigError: with file, line and key.
    """
    for path in paths:
        try:
            node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        except (OSError, ValueError, yaml.YAMLError):
            continue
        for key, line, first in repeated(node):
            raise ConfigError(
                f"{path}:{line}: `{key}` is there twice, first in line {first}; only this one would count. Merge the "
                "two, or remove one."
            )


def repeated(node: yaml.Node | None, parents: tuple[str, ...] = ()) -> Iterator[tuple[str, int, int]]:
    """The keys that a mapping of a composed YAML document has twice: their path, and the lines of both (from 1).

    What an alias stands for is looked at where its anchor is.
    """
    pending, seen = [(node, parents)], set()
    while pending:
        node, parents = pending.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            pending += [(item, (*parents, str(i))) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                name, line = str(key.value), key.start_mark.line + 1
                if name in lines and name != "<<":
                    yield ".".join((*parents, name)), line, lines[name]
                lines.setdefault(name, line)
                pending.append((value, (*parents, name)))
