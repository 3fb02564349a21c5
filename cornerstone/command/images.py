"""`cornerstone image`: build, verify, checksum."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from cornerstone.cluster import image as apptainer
from cornerstone.command.said import Said
from cornerstone.config.config import Config
from cornerstone.errors import ImageError

ACTIONS = ("build", "verify", "checksum")


def image(config: Config, action: str, options: Sequence[str], as_json: bool = False) -> Said:
    """Do something with the Apptainer image of the GPU rules.

    Args:
        config: the configuration, which names the image.
        action: one of `ACTIONS`.
        options: further ones, of Apptainer.
        as_json: keep stdout free for JSON.

    Raises:
        ImageError: the image is not there, not the one that is expected, or can't be built.
    """
    path = Path(config.container)
    if action == "build":
        digest = apptainer.build(path, list(options))
        return Said(f"{digest}  {path}", {"sha256": digest, "path": str(path)})
    if not path.is_file():
        raise ImageError(str(apptainer.mismatch(config)))
    if action == "checksum":
        digest = apptainer.sha256(path)
        return Said(digest, {"sha256": digest, "path": str(path)})
    wrong = apptainer.mismatch(config) or apptainer.stale(config)
    if wrong:
        raise ImageError(wrong)
    print(f"{path}: checksum and pins are right", flush=True, file=sys.stderr if as_json else sys.stdout)
    right = apptainer.run_test(path, list(options))
    return Said("", {"path": str(path), "right": right}, 0 if right else 1)
