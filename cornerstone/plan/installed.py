"""Whether Python finds the code that the rules belong to, and the packages that are pinned: looked at first."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from cornerstone.errors import ConfigError


def check_installed(root: Path) -> None:
    """Check that the package is the one beside the rules: those of one version with the other would mix two codes.

    Raises:
        ConfigError: it is another one, the path of a folder or of Python is nothing for a shell, or PYTHONPATH puts
            other packages before those of this environment.
    """
    for folder in (root.resolve(), Path.cwd()):
        if odd := re.search(r"[^\w .,:@%+=/~-]", str(folder)):
            raise ConfigError(
                f"the folder {str(folder)!r} has {odd[0]!r} in its name, which a shell may read as a command. Rename "
                "it."
            )
    if odd := re.search(r"[^\w.,:@%+=/~-]", sys.executable):
        raise ConfigError(
            f"the path of this Python, {sys.executable!r}, holds {odd[0]!r}, and Snakemake hands it to a shell as it "
            "is. Rename the folder, delete .venv, and run make again."
        )
    found = Path(__file__).resolve().parents[2]
    if found != root.resolve():
        raise ConfigError(
            f"the rules of {root} are run in a Python whose cornerstone is that of {found}. Use this folder's own "
            "environment (make run, or source .venv/bin/activate), or install it: pip install -e ."
        )
    given = os.environ.get("PYTHONPATH", "")
    aside = {Path(name).resolve() for name in given.split(os.pathsep)} | {root.resolve(), Path.cwd()}
    behind = [Path(name) for name in sys.path if Path(name).resolve() not in aside]
    own = [Path(sysconfig.get_path(key)) for key in ("purelib", "platlib")]  # they may be named by PYTHONPATH, too
    if hidden := shadowed(given, [*own, *behind]):
        raise ConfigError(
            f"PYTHONPATH is set and holds another {hidden[0].stem} ({hidden[0]}), which jobs would use in place of "
            "this environment's. Unset it (unset PYTHONPATH; a cluster's module system sets it, say), and start again."
        )


def shadowed(path: str, installed: Sequence[Path]) -> list[Path]:
    """What stands before the packages of this environment.

    Args:
        path: folders, as PYTHONPATH has them.
        installed: the folders in which Python finds the packages of this environment, wherever they lie, and its own.

    Returns:
        Modules and packages in the folders of `path` of which the environment has one of the same name.
    """
    own = {folder.resolve() for folder in installed}
    found = []
    for name in filter(None, path.split(os.pathsep)):
        if (folder := Path(name)).is_dir() and folder.resolve() not in own:
            modules = [each for each in sorted(folder.iterdir()) if _imports(each)]
            found += [each for each in modules if any(_imports(place / each.name) for place in own)]
    return found


def _imports(path: Path) -> bool:
    return (path / "__init__.py").is_file() or (path.suffix == ".py" and path.is_file())
