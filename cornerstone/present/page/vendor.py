"""The libraries that draw: Vega, Vega-Lite and Vega-Embed as files beside this one, with their checksums."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cornerstone.errors import StoreError

FOLDER = Path(__file__).parent / "vendor"
SCRIPTS = ("vega.min.js", "vega-lite.min.js", "vega-embed.min.js")
"""In the order in which a page loads them."""


def checksums() -> dict[str, str]:
    """Name of each file -> its SHA-256, as vendor/SHA256SUMS has them."""
    lines = (FOLDER / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("  ", 1) for line in lines if line and not line.startswith("#")]
    return {name: digest for digest, name in pairs}


def scripts() -> list[str]:
    """The texts of the three libraries, without the lines that name maps to their sources.

    Raises:
        StoreError: a file is not the one whose checksum is noted.
    """
    noted, found = checksums(), []
    for name in SCRIPTS:
        content = (FOLDER / name).read_bytes()
        if hashlib.sha256(content).hexdigest() != noted[name]:
            raise StoreError(f"{FOLDER / name} is not the published file: its checksum differs. Get it again from git.")
        text = content.decode("utf-8")
        found.append("\n".join(line for line in text.splitlines() if not line.startswith("//# sourceMappingURL")))
    return found
