"""A headless Chromium for the tests of the page; `python -m tests.page.browser` installs it where that is possible.

It is Debian's own Chromium, which Playwright drives: Playwright's own builds can't be had from a package registry.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
OPTIONS = ("--disable-gpu", "--force-device-scale-factor=1")


def path() -> str | None:
    """The browser; None where there is none. `CORNERSTONE_CHROMIUM` names another."""
    named = os.environ.get("CORNERSTONE_CHROMIUM")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


def options() -> list[str]:
    """Its options: root, as in a container, can't have a sandbox."""
    return [*OPTIONS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]


def main() -> int:
    """Install Chromium by apt, as root on Debian or Ubuntu; elsewhere say what to do. Tests without it are skipped."""
    if path():
        return 0
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        print("tests of the page need a Chromium: install it, or name it in CORNERSTONE_CHROMIUM", file=sys.stderr)
        return 0
    for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "chromium"]):
        done = subprocess.run(["apt-get", *command], capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"no Chromium can be installed, tests of the page are skipped:\n{done.stderr}", file=sys.stderr)
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
