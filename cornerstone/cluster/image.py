"""The image in which GPU rules run: how it is built, and what must be true of it before it is used.

spython is the Python client of Apptainer and of Singularity.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cornerstone import reading
from cornerstone.config.config import Config
from cornerstone.errors import ImageError, UnreadableError
from cornerstone.files import sha256, state, write_text

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "envs" / "run.lock"
DEFINITION = ROOT / "containers" / "evaluate.def"
CHECKSUM = Path(".snakemake/cornerstone-image.json")
"""Where the checksum of an image is remembered."""
LABEL = "cornerstone.lock"
"""Label of the image: checksum of the pins that it was built from."""


def note_of(image: Path) -> Path:
    """The file beside an image that holds the checksum it had when it was built."""
    return image.with_name(f"{image.name}.sha256")


def checksum(image: Path) -> str:
    """SHA-256 of an image; remembered, as it takes a while for several GB, until its size or times change."""
    key = [str(image.resolve()), *state(image)]
    with contextlib.suppress(UnreadableError, TypeError, KeyError):
        known = reading.parsed(CHECKSUM)
        if known["key"] == key:
            return str(known["sha256"])
    found = sha256(image)
    with contextlib.suppress(OSError):  # a folder that can't be written to costs time, no more
        write_text(CHECKSUM, json.dumps({"key": key, "sha256": found}))
    return found


def expected(config: Config) -> tuple[str, str] | None:
    """The checksum that the image must have, and where that is said; None when nothing says it."""
    if config.container_sha256:
        return config.container_sha256, "container_sha256 in config.yaml"
    note = note_of(Path(config.container))
    try:
        found = re.match(r"[0-9a-f]{64}\b", reading.text(note))
    except UnreadableError:
        return None
    return (found[0], str(note)) if found else None


def mismatch(config: Config) -> str | None:
    """What is wrong with the image; None when it is the one that was built and checked."""
    image = Path(config.container)
    divided = [path for path in (ROOT, Path.cwd().resolve()) if re.search("[,:]", str(path))]
    if divided:
        return (
            f"the folder {divided[0]} has `,` or `:` in its path, by which Apptainer divides the list of folders that "
            "it shows to jobs. Rename it."
        )
    if not image.is_file():
        return (
            f"there is no image at {image} (`container` in config.yaml). Build it with `make image` or copy it there "
            "(containers/README.md). To run without an image, remove the two lines on Apptainer from "
            "profiles/slurm/config.yaml."
        )
    known = expected(config)
    if known is None:
        return (
            f"nothing says which checksum {image} must have. If you trust it, put what `cornerstone image "
            "checksum` prints into config.yaml."
        )
    wanted, where = known
    found = checksum(image)
    if found != wanted:
        return (
            f"{image} has checksum {found}, but {where} says {wanted}: it is damaged or another image. Copy or build "
            "it again; do not use it if you don't know why it differs."
        )
    return None


def stale(config: Config) -> str | None:
    """What is wrong with the packages inside the image; None when they are those of envs/run.lock."""
    pins = labels(Path(config.container)).get(LABEL)
    if pins is None:
        return f"{config.container} was not built from containers/evaluate.def. Build it with `make image`."
    if LOCK.is_file() and pins != sha256(LOCK):
        return f"{config.container} was built from other pins than envs/run.lock has now. Run `make image` again."
    return None


def binds(config: Config, root: Path) -> list[str]:
    """What jobs in the image see beside the working directory, for APPTAINER_BIND.

    Code, weights and documents are shown read-only, wherever they are; results can be written.

    Args:
        config: the configuration.
        root: folder of the Snakefile.
    """
    folders = [Path(entry.id) for entry in (config.models[name] for name in config.run) if entry.source == "folder"]
    read = [*(root / name for name in ("cornerstone", "scripts", "rules")), Path(config.paths.resources), *folders]
    results = Path(config.paths.results)
    shown = [f"{path.resolve()}:{path.resolve()}:ro" for path in read if path.is_dir()]
    if not results.resolve().is_relative_to(Path.cwd()):
        shown.append(f"{results.resolve()}:{results.resolve()}")
    return list(dict.fromkeys(shown))


def share_binds(config: Config, root: Path) -> None:
    """Let the jobs' containers show these folders, beside what the user has set."""
    there = [entry for entry in os.environ.get("APPTAINER_BIND", "").split(",") if entry]
    os.environ["APPTAINER_BIND"] = ",".join(dict.fromkeys([*there, *binds(config, root)]))


def labels(image: Path) -> dict[str, str]:
    """The labels of an image.

    Raises:
        ImageError: no Apptainer, or no image.
    """
    with client() as apptainer:
        answer = apptainer.inspect(str(image), quiet=True)
    try:
        return dict(answer["attributes"]["labels"])
    except (KeyError, TypeError):
        raise ImageError(f"{image} is no image that Apptainer can read. Build or copy it again.") from None


def build(image: Path, options: list[str]) -> str:
    """Build the image from containers/evaluate.def, note its checksum beside it, and return that.

    Raises:
        ImageError: no Apptainer, no pinned base, or the build failed.
    """
    _need_pinned_base(DEFINITION, options)
    image.parent.mkdir(parents=True, exist_ok=True)
    fresh = image.with_name(f".{image.name}.new")
    fresh.unlink(missing_ok=True)
    try:
        with client() as apptainer:
            done = apptainer.build(
                recipe=str(DEFINITION), image=str(fresh), sudo=False, options=options, return_result=True
            )
        if not fresh.is_file() or (isinstance(done, dict) and done.get("return_code")):
            raise ImageError(
                f"Apptainer could not build {DEFINITION}; its own words are above. See containers/README.md."
            )
        found = sha256(fresh)
        note_of(image).unlink(missing_ok=True)
        fresh.replace(image)
    finally:
        fresh.unlink(missing_ok=True)
    write_text(note_of(image), f"{found}  {image.name}\n")
    return found


def _need_pinned_base(definition: Path, options: list[str]) -> None:
    given = next((option.removeprefix("BASE=") for option in options if option.startswith("BASE=")), None)
    written = re.search(r"^\s*BASE=(\S+)", reading.text(definition), re.MULTILINE)
    base = given or (written[1] if written else "")
    if not re.search(r"@sha256:[0-9a-f]{64}$", base) and not Path(base).exists():
        raise ImageError(
            f"the base image '{base}' is pinned by no digest. Put docker.io/...@sha256:<64 digits> into BASE of "
            f"{definition}, or give it: cornerstone image build --build-arg BASE=..."
        )


def run_test(image: Path, options: list[str]) -> bool:
    """Run the image's own test (%test of its definition) and print what it says."""
    with client() as apptainer:
        done = apptainer._run_command(
            [*apptainer._init_command("test"), *options, str(image)], quiet=True, capture=False, return_result=True
        )
    return not done["return_code"]


@contextlib.contextmanager
def client() -> Iterator[Any]:
    """spython's client. It calls `singularity`; where only `apptainer` exists, it gets that under this name.

    Raises:
        ImageError: there is neither.
    """
    if shutil.which("singularity") is None and shutil.which("apptainer") is None:
        raise ImageError("there is no `apptainer` here. Load its module or install it, or run where it is.")
    from spython.main import get_client

    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get("PATH", "")
        if shutil.which("singularity") is None:
            (Path(folder) / "singularity").symlink_to(str(shutil.which("apptainer")))
            os.environ["PATH"] = f"{folder}{os.pathsep}{before}"
        try:
            yield get_client(quiet=True)
        finally:
            os.environ["PATH"] = before
