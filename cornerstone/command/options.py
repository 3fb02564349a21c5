"""What subcommands share: their options, how they read the configuration, print and end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from cornerstone.command.said import Said
from cornerstone.config.config import Config, load_files

PLAIN: dict[str, Any] = {"rich_markup_mode": None, "add_completion": False, "pretty_exceptions_enable": False}
PASSED_ON = {"ignore_unknown_options": True, "allow_extra_args": True}
"""Words that are unknown here go to another program."""


Configs = Annotated[
    list[Path] | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Configuration file; again for more, each overriding the one before (default: config.yaml).",
    ),
]
Study = Annotated[
    str | None, typer.Option("--study", metavar="NAME", help="A file of studies/ on top of the configuration.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Cores = Annotated[int | None, typer.Option(min=1, metavar="N", help="CPU cores to use (default: all of this machine).")]


class Done(Exception):
    """A subcommand is through, with an exit code."""

    def __init__(self, code: int) -> None:
        self.code = code


def files_of(configs: list[Path] | None, study: str | None = None) -> list[Path]:
    """The configuration files that are asked for, config.yaml by default, and that of a study."""
    from cornerstone.command.running import study_file

    return [*(configs or [Path("config.yaml")]), *([study_file(study)] if study else [])]


def config_of(configs: list[Path] | None, study: str | None = None) -> Config:
    """The configuration of these files."""
    return load_files(files_of(configs, study))


def say(said: Said, as_json: bool) -> NoReturn:
    """Print what a function of `command` said."""
    if as_json or said.text:
        print(said.shown(as_json), flush=True)
    raise Done(said.code)


def tell(text: str, data: Any, as_json: bool, code: int = 0) -> NoReturn:
    """Print a text, or the same as data."""
    say(Said(text, data, code), as_json)
