"""Pin everything anew after an edit of envs/*.in: called by `make lock`, with uv installed beside this Python.

uv resolves for Python 3.11 and newer at once, on every system, and keeps the pins that still fit. Each lock has
environment markers, and a checksum of every file on PyPI. What uv can't know is added here:

- torch's build on PyPI wants CUDA's libraries beside it, gigabytes that its CPU build has no use for. They are in a
  file of their own, envs/cuda.lock. Its checksum stands in envs/run.lock, so that whoever compares that file (an image
  has its checksum as a label) compares both.
- the checksums of envs/torch-cpu.txt are allowed for torch, too.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ENVS = Path(__file__).parents[1] / "envs"
OLDEST = "3.11"
CUDA = re.compile(r"(nvidia|cuda)-|triton==")
"""How the entries of what only torch's CUDA build needs begin."""
COMPILED = "llama-cpp-python=="
"""How the entry begins of what is compiled with the rest of envs/peers.lock."""
CHECKSUM = re.compile(r"--hash=(sha256:[0-9a-f]{64})")


def resolve(source: str, before: str, *options: str | Path) -> str:
    """What uv makes of a .in file, with the pins of an older lock where they still fit."""
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder) / "pins.lock"
        lock.write_text(before, encoding="utf-8")
        command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-config", "--universal"]
        command += ["--python-version", OLDEST, "--generate-hashes", "--no-header", "--no-emit-index-url"]
        done = subprocess.run(
            [*command, *options, "--output-file", lock, f"envs/{source}"], cwd=ENVS.parent, check=False
        )
        if done.returncode:
            sys.exit(f"uv finds no pins for envs/{source}; its own words are above")
        return lock.read_text(encoding="utf-8")


def entries(lock: str) -> list[str]:
    """The entries of a lock, each with its checksums and comments."""
    return [entry for entry in re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE) if entry[:1].isalnum()]


def requirement(entry: str) -> str:
    """Name, version and markers of an entry."""
    return entry.partition(" \\\n")[0]


def with_builds(entry: str, builds: str) -> str:
    """The entry of torch, with the checksums of further builds of that release.

    Args:
        entry: as uv wrote it.
        builds: content of envs/torch-cpu.txt.
    """
    (wanted,) = re.findall(r"^torch==([^\s+;]+)", entry)
    for found in re.findall(r"^torch==([^\s+;]+)", builds, re.MULTILINE):
        if found != wanted:
            sys.exit(f"envs/torch-cpu.txt has torch {found}, envs/run.in {wanted}: write down that release's checksums")
    known = CHECKSUM.findall(entry)
    added = [checksum for checksum in CHECKSUM.findall(builds) if checksum not in known]
    first, _, rest = entry.partition("\n")
    return "\n".join([first, *(f"    --hash={checksum} \\" for checksum in added), rest])


def checksum_of(text: str) -> str:
    """SHA-256 of a file's content."""
    return hashlib.sha256(text.encode()).hexdigest()


def main() -> None:
    """Write the locks."""

    def old(name: str) -> str:
        path = ENVS / name
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    def write(name: str, comment: str, body: str) -> None:
        (ENVS / name).write_text(f"# Written by `make lock`: {comment}\n{body}", encoding="utf-8")

    build = resolve("build.in", old("build.lock"))
    write("build.lock", "see build.in.", build)
    pins = entries(resolve("run.in", old("run.lock") + old("cuda.lock"), "--constraint", "envs/build.in"))
    cuda = "".join(entry for entry in pins if CUDA.match(entry))
    write("cuda.lock", "what torch's build on PyPI wants beside it on Linux, and its CPU build does not.", cuda)
    run = "".join(
        with_builds(entry, old("torch-cpu.txt")) if entry.startswith("torch==") else entry
        for entry in pins
        if not CUDA.match(entry)
    )
    write("run.lock", f"what a run needs, with cuda.lock ({checksum_of(old('cuda.lock'))}).", run)
    write("dev.lock", "what tests and lint need beside run.lock.", beside("dev.in", old("dev.lock"), "run.lock"))
    tools = beside("tools.in", old("tools.lock"), "run.lock", "dev.lock")
    write("tools.lock", "what sbom, audit, mutants and coverage need beside dev.lock.", tools)
    both = ("--constraint", "envs/build.in", "--constraint", "envs/run.lock")
    peers = entries(resolve("peers.in", old("peers.lock") + old("llama.lock"), *both))
    compiled = [entry for entry in peers if entry.startswith(COMPILED)]
    options = ("--constraint", "envs/run.lock", "--constraint", "envs/dev.lock")
    newer = entries(resolve("newer.in", old("newer.lock"), *options))
    write("newer.lock", "see newer.in.", "".join(entry for entry in newer if not CUDA.match(entry)))
    write("peers.lock", "see peers.in.", "".join(entry for entry in peers if entry not in compiled))
    write("llama.lock", "see peers.in; compiled with what peers.lock has.", "".join(compiled))


def beside(source: str, before: str, *locks: str) -> str:
    """The pins of a .in file that are not in these locks already, and agree with them."""
    options = [option for name in locks for option in ("--constraint", f"envs/{name}")]
    pins = entries(resolve(source, before, *options))
    known = {requirement(entry) for name in locks for entry in entries((ENVS / name).read_text(encoding="utf-8"))}
    return "".join(entry for entry in pins if requirement(entry) not in known)


if __name__ == "__main__":
    main()
