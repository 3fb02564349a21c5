"""The command by which single results are made, as it is printed where they are not there."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

MAIN = Path("config.yaml")
"""The configuration file that the workflow reads in any case."""


def making(paths: Sequence[str], files: Sequence[Path] = ()) -> str:
    """The command that makes files.

    They stand in front of the configuration files, as --configfile takes every name that follows it.

    Args:
        paths: the files.
        files: configuration files of the run; that which the workflow reads anyway is not named.

    >>> making(["results-quick/a.json"], [Path("config.yaml"), Path("studies/quick.yaml")])
    'snakemake --cores 2 results-quick/a.json --configfile studies/quick.yaml'
    """
    more = [str(path) for path in files if path.resolve() != MAIN.resolve()]
    return shlex.join(["snakemake", "--cores", "2", *paths, *(["--configfile", *more] if more else [])])
