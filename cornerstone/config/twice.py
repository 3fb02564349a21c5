"""Keys that a YAML file has twice: YAML would keep the last without a word, so what the first says would be lost."""

from __future__ import annotations

from collections.abc import Iterator

import yaml


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
