"""docs/cli.md, made from the help texts of the command."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from cornerstone.files import write_text

NAME = "docs/cli.md"


def page(app: typer.Typer) -> str:
    """All commands with all their options, in Markdown."""
    group = typer.main.get_command(app)
    blocks = [
        "# The command line",
        "Generated from the help texts of `cornerstone/cli.py` by `cornerstone schema`; do not edit by hand.",
        "`cornerstone COMMAND --help` prints the same. The command works in the folder of the project, and needs the "
        "environment that `make run` makes (`.venv/bin/cornerstone`). Snakemake's own commands keep working beside it.",
        "The exit code is 0, or 1 where something is wrong that the message names, or 2 for words that the command "
        "does not know. `run` ends with Snakemake's own. Every command has `--json`: data on stdout in the place of "
        "text, everything else on stderr.",
        "| command | what it does |\n|---|---|\n"
        + "\n".join(
            f"| [`{name}`](#cornerstone-{name.replace(' ', '-')}) | {_first(command)} |"
            for name, command in _all(group)
        ),
    ]
    for name, command in _all(group):
        blocks += [f"## cornerstone {name}", *_text(command), f"```\n{_usage(name, command)}\n```"]
        if rows := [_row(parameter) for parameter in command.params if not _is_help(parameter)]:
            blocks.append("\n".join(["| | default | meaning |", "|---|---|---|", *rows]))
    return "\n\n".join(blocks) + "\n"


def write(root: Path, app: typer.Typer) -> Path:
    """Write the page below `root`; returns its path."""
    write_text(root / NAME, page(app))
    return root / NAME


def _all(group: Any) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from ((f"{name} {inner}", each) for inner, each in _all(command))
        else:
            yield name, command


def _text(command: Any) -> list[str]:
    return [" ".join(part.split()) for part in inspect.cleandoc(command.help or "").split("\n\n")]


def _first(command: Any) -> str:
    return _text(command)[0].rstrip(".")


def _is_help(parameter: Any) -> bool:
    return "--help" in parameter.opts


def _is_argument(parameter: Any) -> bool:
    return parameter.param_type_name == "argument"


def _usage(name: str, command: Any) -> str:
    words = [_word(parameter) for parameter in command.params if _is_argument(parameter)]
    words += [
        f"{_word(parameter)}" for parameter in command.params if not _is_argument(parameter) and parameter.required
    ]
    return " ".join(["cornerstone", name, *words, "[OPTIONS]"])


def _word(parameter: Any) -> str:
    if _is_argument(parameter):
        return str(parameter.metavar or parameter.name.upper()).strip("{}")
    flag = parameter.opts[-1]
    return flag if parameter.is_flag else f"{flag} {parameter.metavar or 'N'}"


def _row(parameter: Any) -> str:
    shown = "required" if parameter.required else ""
    default = parameter.default
    if (
        not parameter.required
        and default is not None
        and not callable(default)
        and default is not False
        and default != []
    ):
        shown = f"`{default}`"
    return f"| `{_word(parameter)}` | {shown} | {parameter.help or ''} |"
