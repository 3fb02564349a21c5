"""Configuration files as text: strict YAML, and the line of each key, for messages.

YAML allows what nobody means: of a key that stands twice the last one holds, `on` is true, `010` is eight, `1e5` is a
text, and a few lines of anchors can stand for billions of values. All that is refused here, with its line.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cornerstone import reading
from cornerstone.errors import ConfigError, UnreadableError, first_line

MOST_BYTES = 2**18
"""Of a configuration file: 256 KiB."""
MOST_NODES, DEEPEST = 20_000, 30
"""Values that a file may stand for, and how deep they may be nested."""
Key = tuple[str, ...]
_TAGS = {"str", "int", "float", "bool", "null", "timestamp", "merge", "seq", "map"}

_ODD = (
    (
        r"(?i:y|n|yes|no|on|off)",
        "YAML takes `{text}` for {value}; write true or false, or put it in quotes if it is a name",
    ),
    (
        r"[-+]?0[0-9_]+",
        "YAML takes `{text}` for an octal number ({value}); write it without the 0 in front, or in quotes",
    ),
    (
        r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+",
        "YAML takes `{text}` for a number to the base 60 ({value}); put it in quotes",
    ),
    (
        r"[-+]?[0-9_]{0,9}\.?[0-9_]{1,9}[eE][-+]?[0-9]{1,4}",
        "YAML takes `{text}` for {value}; write the number out, or as 1.0e+5",
    ),
    (r"[-+]?0[xXbB][0-9a-fA-F_]+", "YAML takes `{text}` for {value}; write it in tens, or in quotes"),
    (r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*", "YAML takes `{text}` for a date; put it in quotes"),
    (r"[-+]?[0-9]+(_[0-9]+)+", "YAML takes `{text}` for {value}; write it without _, or in quotes"),
    (r"[-+]?\.(?i:inf|nan)", "`{text}` is no number that can be asked for"),
)


@dataclass
class Source:
    """What some files say together.

    Attributes:
        values: as Snakemake merges them.
        lines: place of each key -> `file:line`.
    """

    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[Key, str] = field(default_factory=dict)

    def place(self, parts: Iterable[object]) -> str:
        """`file:line` of the deepest part of a place in the configuration that is written down; empty where none is."""
        key: Key = ()
        for part in parts:
            if (*key, str(part)) in self.lines:
                key = (*key, str(part))
        return self.lines.get(key, "")


def read(paths: Iterable[Path]) -> Source:
    """What YAML files say, each overriding the one before.

    Raises:
        ConfigError: one is missing, is no YAML, or says something that YAML takes for something else.
    """
    found = Source()
    for path in paths:
        try:
            text = reading.text(path, MOST_BYTES)
        except UnreadableError as error:
            raise ConfigError(error.then("Correct it, or name another file.")) from error
        node = _composed(path, text)
        if node is None:
            continue
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{path}:1: a configuration has keys, such as `run: [...]`; this is none. Correct it.")
        lines = dict(_lines(path, node))
        found = Source(merged(found.values, _plain(node)), found.lines | lines)
    return found


def _composed(path: Path, text: str) -> yaml.Node | None:
    """The tree of a file, checked."""
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(r" *\t", line) and line.strip() and not line.strip().startswith("#"):
            raise ConfigError(f"{path}:{number}: the line begins with a tab; YAML wants spaces. Correct it.")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # of libyaml, where PyYAML was built with it
    try:
        depth = 0
        for event in yaml.parse(text, Loader=loader):  # before a tree is made, which takes as many calls as it is deep
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                at = event.start_mark.line + 1 if event.start_mark else 1
                raise ConfigError(f"{path}:{at}: values are nested deeper than in any configuration. Correct it.")
        node = yaml.compose(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{at}: can't be read as YAML: {error.problem}. Correct it.") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path}: can't be read as YAML: {first_line(error)}. Correct it.") from None
    if node is not None:
        _check(path, node)
    return node


def _check(path: Path, top: yaml.Node) -> None:
    """Raise ConfigError for what YAML allows and nobody means."""
    count = 0
    todo: list[tuple[yaml.Node, int]] = [(top, 0)]
    while todo:
        node, depth = todo.pop()
        count += 1
        if count > MOST_NODES or depth > DEEPEST:
            raise ConfigError(
                f"{path}:{_line(node)}: with its anchors the file stands for more values, or deeper ones, than a "
                "configuration has. Write them out."
            )
        if node.tag.removeprefix("tag:yaml.org,2002:") not in _TAGS:
            raise ConfigError(f"{path}:{_line(node)}: the tag {node.tag} has no meaning here. Remove it.")
        if isinstance(node, yaml.ScalarNode):
            _check_scalar(path, node)
        elif isinstance(node, yaml.SequenceNode):
            todo += [(each, depth + 1) for each in reversed(node.value)]
        elif isinstance(node, yaml.MappingNode):
            for key, value in reversed(node.value):
                todo += [(value, depth + 1), (key, depth + 1)]
                if not isinstance(key, yaml.ScalarNode):
                    raise ConfigError(f"{path}:{_line(key)}: a key is a name, not a list or a mapping. Correct it.")
    for name, line, first in repeated(top):
        raise ConfigError(
            f"{path}:{line}: `{plain(name[-1])}` stands twice, here and in line {first}; only the last would hold. "
            "Remove one."
        )


def repeated(top: yaml.Node | None) -> list[tuple[Key, int, int]]:
    """The keys that a mapping of a composed YAML document has twice: their path, and the lines of both (from 1).

    YAML would keep the last without a word, so what the first says would be lost. What an alias stands for is looked at
    where its anchor is. `<<`, which merges other mappings, may stand more than once.
    """
    pending: list[tuple[yaml.Node | None, Key]] = [(top, ())]
    seen: set[int] = set()
    found: list[tuple[Key, int, int]] = []
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
                name, line = str(key.value), _line(key)
                if name in lines and name != "<<":
                    found.append(((*parents, name), line, lines[name]))
                lines.setdefault(name, line)
                pending.append((value, (*parents, name)))
    return sorted(found, key=lambda each: each[1])


def _check_scalar(path: Path, node: yaml.ScalarNode) -> None:
    if node.style:  # in quotes, or a block of text
        return
    for pattern, problem in _ODD:
        if re.fullmatch(pattern, node.value):
            value = _value(node)
            if value == node.value and not re.search("[eE]", node.value):
                continue  # YAML takes it as it stands
            shown = "a text, not a number" if isinstance(value, str) else repr(value).lower()
            said = problem.format(text=node.value, value=shown)
            raise ConfigError(f"{path}:{_line(node)}: {said}.")


def _value(node: yaml.Node) -> Any:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError, OverflowError):
        return None
    finally:
        loader.dispose()


def _plain(node: yaml.MappingNode) -> dict[str, Any]:
    loader = yaml.SafeLoader("")
    try:
        return dict(loader.construct_document(node))
    finally:
        loader.dispose()


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _lines(path: Path, node: yaml.Node, key: Key = ()) -> Iterator[tuple[Key, str]]:
    """The line of each key and item."""
    if key:
        yield key, f"{path}:{_line(node)}"
    if isinstance(node, yaml.SequenceNode):
        for i, each in enumerate(node.value):
            yield from _lines(path, each, (*key, str(i)))
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            yield from _lines(path, value, (*key, str(name.value)))
            yield (*key, str(name.value)), f"{path}:{_line(name)}"


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Two mappings as Snakemake merges them: sections key by key, all else replaced."""
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        result[key] = merged(base[key], value) if both else value
    return result


def near(name: str, known: Iterable[str], question: str = " Did you mean `{}`?") -> str:
    """A question for a name that is nearly one of some others; empty where none is near."""
    found = difflib.get_close_matches(name, sorted(known), 1, 0.5)
    return question.format(found[0]) if found else ""


def plain(name: str) -> str:
    r"""A key as it can be shown: in a message it makes no new line, and a terminal does nothing that it says.

    >>> plain("a\x1b[2J\nb")
    'a\\x1b[2J\\nb'
    """
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in name)
