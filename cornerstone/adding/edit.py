"""Putting an entry into a YAML file, in which every byte that was there stays as it is."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from cornerstone import reading
from cornerstone.adding.entry import Entry
from cornerstone.errors import ConfigError, UnreadableError, first_line
from cornerstone.files import write_atomically

_INDENT = 2


def read(path: Path) -> str:
    """The text of a YAML file, with its own ends of lines.

    Raises:
        ConfigError: it is missing, is no text, or is not YAML.
    """
    try:
        text = reading.text(path)
        YAML().load(text)
    except UnreadableError as error:
        raise ConfigError(error.then("Correct it, or name another file.")) from error
    except YAMLError as error:
        raise ConfigError(
            f"{path}: can't be read as YAML: {_reason(error)}. Correct it, or name another file."
        ) from error
    return text


def _reason(error: Exception) -> str:
    """What a YAML error says, in one line."""
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    return f"{problem} (line {mark.line + 1})" if problem and mark else first_line(error)


def as_text(entry: Entry, indent: int = _INDENT) -> str:
    """An entry as lines of YAML, with its comments."""
    inner = CommentedMap({key: _plain(value) for key, value in entry.keys.items()})
    for key, remark in entry.remarks.items():
        inner.yaml_add_eol_comment(remark, key, column=0)
    outer = CommentedMap({_scalar(entry.name): inner})
    writer = YAML()
    writer.width = 10_000
    writer.indent(mapping=_INDENT, sequence=2 * _INDENT, offset=_INDENT)
    stream = io.StringIO()
    writer.dump(outer, stream)
    heading = [f"# {entry.heading}"] if entry.heading else []
    return "".join(f"{' ' * indent}{line}\n" for line in [*heading, *stream.getvalue().splitlines()])


def _plain(value: Any) -> Any:
    """A value as it is written: mappings and lists in one line."""
    if isinstance(value, dict):
        made = CommentedMap({key: _plain(each) for key, each in value.items()})
        made.fa.set_flow_style()
        return made
    if isinstance(value, list):
        listed = CommentedSeq(_plain(each) for each in value)
        listed.fa.set_flow_style()
        return listed
    return _scalar(value) if isinstance(value, str) else value


def _scalar(text: str) -> str:
    """Text, quoted where YAML 1.1 (PyYAML reads the file) or 1.2 takes it for something else."""
    try:
        plain = yaml.safe_load(text) == text
    except yaml.YAMLError:
        plain = False
    return text if plain else DoubleQuotedScalarString(text)


def inserted(text: str, entry: Entry, path: Path) -> str:
    """A file's text with an entry at the end of `models`.

    Args:
        text: of the file.
        entry: the model.
        path: of the file, for messages.

    Raises:
        ConfigError: `models` is written in a form into which no lines can be put.
    """
    end = "\r\n" if "\r\n" in text else "\n"
    base = text if text.endswith("\n") or not text else text + end
    root = YAML().compose(base)
    if root is not None and (not isinstance(root, MappingNode) or root.flow_style):
        raise ConfigError(
            f"{path}: holds no keys on lines of their own, so no entry can be put in. Add it by hand (--print)."
        )
    found = (
        next(((key, value) for key, value in root.value if key.value == "models"), None) if root is not None else None
    )
    if found is None:
        place, indent, before = len(base), _INDENT, f"{end}models:{end}" if base else f"models:{end}"
    elif isinstance(found[1], MappingNode) and not found[1].flow_style:
        indent, before = found[1].start_mark.column, end
        place = _end(base[: found[1].end_mark.index], indent)
    elif isinstance(found[1], ScalarNode) and found[1].value in ("", "null", "~"):
        place = base.index("\n", found[0].end_mark.index) + 1
        indent, before = found[0].start_mark.column + _INDENT, ""
        if found[1].value:
            raise _not_lines(path)
    else:
        raise _not_lines(path)
    added = before + as_text(entry, indent).replace("\n", end)
    result = base[:place] + added + base[place:]
    _need_only_added(text, result, entry, path)
    return result


def _not_lines(path: Path) -> ConfigError:
    return ConfigError(
        f"{path}: `models` is not written with one model after another on lines of their own. Write it so, or add the "
        "entry by hand (--print shows it)."
    )


def _end(text: str, indent: int) -> int:
    """Where a text's last entry ends: blank lines and comments that are less indented belong to what follows."""
    lines = text[: text.rindex("\n") + 1].split("\n")[:-1]
    while lines:
        content = lines[-1].lstrip(" ")
        if content.strip() and not (content.startswith("#") and len(lines[-1]) - len(content) < indent):
            break
        lines.pop()
    return sum(len(line) + 1 for line in lines)


def _need_only_added(before: str, after: str, entry: Entry, path: Path) -> None:
    """Raise ConfigError where the file does not say what it said, and the entry."""
    expected = yaml.safe_load(before) or {}
    expected["models"] = {**(expected.get("models") or {}), entry.name: entry.keys}
    try:
        right = yaml.safe_load(after) == expected
    except yaml.YAMLError:
        right = False
    if not right:
        raise ConfigError(
            f"{path}: no entry can be put into `models` as it is written. Add it by hand (--print shows it)."
        )


def write(path: Path, text: str) -> None:
    """Write the file in one step; where it is a link, what it points to. Its permissions stay.

    Raises:
        ConfigError: it can't be written.
    """
    target = path.resolve()
    try:
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError("it is write-protected")
        mode = target.stat().st_mode & 0o7777
        write_atomically(target, lambda temporary: temporary.write_bytes(text.encode("utf-8")))
        target.chmod(mode)
    except OSError as error:
        raise ConfigError(
            f"{path}: can't be written: {error.strerror or first_line(error)}. Make it writable, or add the entry by "
            "hand (--print shows it)."
        ) from error
