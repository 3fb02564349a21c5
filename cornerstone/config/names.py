"""What may stand in the config where it becomes a path, a name for SLURM, an image, or an address.

Snakemake and its executors put such values into command lines of a shell, some of them unquoted: there `$(...)`, `;`
and quotes would be run. So each is matched here against what it may be.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

LONGEST = 1000
"""Letters of a path: systems allow four thousand, with all that is put behind it."""
_FOR_SHELLS = re.compile(r"[^\w .,:@%+=/~-]")
CODE = ("cornerstone", "scripts", "rules", "tests", "envs", "profiles", "schemas", "report", "containers", "studies")
"""Folders of the program, in which nothing is put."""
OURS = (".snakemake", ".venv", ".git", ".cache", "logs")
"""Folders that Snakemake and the environment use."""
FIXED = {"figures", "tables", "compare", "documents", "models", "plan.csv", "plan.md", "summary.md", "report.html"}
"""Files and folders beside those that are named after models."""
ROWS = {"mean"}
"""Names in tables that no task may have."""


def _at_home(value: str) -> str:
    """The path with its `~`, as a shell would have replaced it."""
    try:
        return str(Path(value).expanduser()) if value.startswith("~") else value
    except RuntimeError as error:
        raise ValueError(f"{value}: {error}") from None


def _path(value: str) -> str:
    if not value.strip():
        raise ValueError("it is empty; write a path, or leave the key out")
    if value != value.strip():
        raise ValueError(f"{value!r} begins or ends with a space; take it away")
    found = _FOR_SHELLS.search(value)
    if found:
        raise ValueError(
            f"{value!r} holds {found[0]!r}, which a shell may read as a command; a path here may have letters, digits, "
            "spaces and . , : @ % + = _ - ~ /"
        )
    if value.startswith("-"):
        raise ValueError(f"{value!r} begins with `-`: programs would take it for an option. Write ./{value}")
    value = _at_home(value)
    if len(value) > LONGEST or any(len(part.encode()) > 255 for part in value.split("/")):
        raise ValueError(f"the path {value[:40]!r}... is too long")
    return value


def folder(value: str) -> str:
    """A path that containers are shown: their list of folders is divided by `,` and `:`.

    Raises:
        ValueError: it is none.
    """
    value = _path(value)
    if found := re.search("[,:]", value):
        raise ValueError(f"{value!r} holds {found[0]!r}, which divides lists of folders; rename the folder")
    return value


def _image(value: str) -> str:
    value = _path(value)
    if " " in value:
        raise ValueError(f"{value!r} holds a space, and Snakemake hands the image's path to a shell; rename it")
    return value


def _matching(pattern: str, what: str) -> AfterValidator:
    allowed = re.compile(pattern)

    def check(value: str) -> str:
        if len(value) > 200 or not allowed.fullmatch(value):
            raise ValueError(f"{value!r} is no {what}")
        return value

    return AfterValidator(check)


Home = Annotated[str, AfterValidator(_at_home)]
AnyPath = Annotated[str, AfterValidator(_path)]
Folder = Annotated[str, AfterValidator(folder)]
Image = Annotated[str, AfterValidator(_image)]
Partition = Annotated[
    str,
    _matching(r"[A-Za-z0-9_][\w.+-]*(,[A-Za-z0-9_][\w.+-]*)*", "partition: letters, digits, . _ + -, several with , "),
]
Account = Annotated[str, _matching(r"[A-Za-z0-9_][\w.@+-]*", "account: letters, digits and . _ @ + -")]
Constraint = Annotated[
    str,
    _matching(
        r"(?!.*\*(?![0-9]))[A-Za-z0-9_(\[][\w.,:&|*()\[\]+=-]*", "constraint: features, joined by & | , * and brackets"
    ),
]
Revision = Annotated[str, _matching(r"[A-Za-z0-9][\w.+!/-]*", "revision: a commit, a tag, or a version")]


def hub_id(value: str) -> str:
    """The name of a repository of the hub.

    Raises:
        ValueError: it is none.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9_][\w.-]*)?", value) or ".." in value or len(value) > 200:
        raise ValueError(f"{value!r} is no repository of the hub: organisation/name, letters, digits and . _ -")
    return value


def wheel_id(value: str) -> str:
    """The name of a package of the Python package index.

    Raises:
        ValueError: it is none.
    """
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", value) or len(value) > 200:
        raise ValueError(f"{value!r} is no name of a package: letters, digits and . _ - inside")
    return value


def inside(value: str) -> str:
    """The path of a file inside an archive or a repository.

    Raises:
        ValueError: it leads outside.
    """
    parts = _path(value).split("/")
    if value.startswith("/") or ".." in parts or "" in parts:
        raise ValueError(f"{value!r} is no path inside a repository or an archive")
    return value


def check_folders(results: str, resources: str) -> None:
    """Check that results and resources are two folders, neither in the other nor in the program.

    Raises:
        ValueError: they are not.
    """
    here = os.path.normpath(os.getcwd())
    placed = {
        name: os.path.normpath(os.path.join(here, value))
        for name, value in (("results", results), ("resources", resources))
    }
    for name, path in placed.items():
        shown = {"results": results, "resources": resources}[name]
        if Path(here).is_relative_to(path):
            raise ValueError(f"`paths.{name}`: {shown} is the working folder, or above it; name a folder of its own")
        for other in (*CODE, *OURS):
            if Path(path).is_relative_to(Path(here) / other):
                raise ValueError(f"`paths.{name}`: {shown} is inside {other}/, which is not for data; name another")
        if Path(path).is_relative_to(Path(__file__).parents[1]):
            raise ValueError(f"`paths.{name}`: {shown} is inside the program; name another folder")
    if placed["results"] == placed["resources"]:
        raise ValueError(f"`paths.results`: results and resources are one folder, {results}; name two")
    if Path(placed["results"]).is_relative_to(placed["resources"]):
        raise ValueError(f"`paths.results`: {results} is inside of {resources}, the resources; name a folder beside it")
    if Path(placed["resources"]).is_relative_to(placed["results"]):
        raise ValueError(f"`paths.resources`: {resources} is inside of {results}, the results; name a folder beside it")


def check_names(models: list[str], tasks: list[str]) -> None:
    """Check that no model or task has a name that something else has.

    Raises:
        ValueError: one has.
    """
    for model in models:
        if model in FIXED or model.startswith("any_") or len(model) > 80:
            why = "is too long" if len(model) > 80 else "is the name of something else in the results"
            raise ValueError(f"`models.{model}`: this name {why}; choose another")
    for task in tasks:
        if task in ROWS or len(task) > 120:
            why = "is too long" if len(task) > 120 else "is that of a row in the tables"
            raise ValueError(f"`tasks.{task}`: this name {why}; choose another")
