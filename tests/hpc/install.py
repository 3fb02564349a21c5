"""Install what tests/hpc needs: SLURM's daemons, and an Apptainer in a folder of its own. `make test` calls this.

Safe to call again: what is there is left alone. Where it can't be had (another system, no root), the tests are
skipped with the reason; with CI=true on a system where it can be had, a failure here is an error.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from pathlib import Path

from tests.hpc import container

STATE = container.CACHE / "state.json"
PROGRAMS = {
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
    "mmdebstrap": "mmdebstrap",
    "mksquashfs": "squashfs-tools",
    "newuidmap": "uidmap",
    "patchelf": "patchelf",
}
"""Program -> Debian package that has it."""


def unsuited() -> str | None:
    """Why this machine can't run the tests, however it is set up; None when it can."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return f"they need Linux on x86-64, this is {platform.system()} on {platform.machine()}"
    release = platform.freedesktop_os_release()
    if release.get("ID") != "debian" or release.get("VERSION_ID") != "12":
        return f"they are made for Debian 12, this is {release.get('PRETTY_NAME')}"
    if os.geteuid() != 0:
        return "they need root, to pretend GPUs and to build an image"
    if sys.version_info[:2] != (3, 11):
        return "the image of the tests has Python 3.11, and results are compared with those of the same Python outside"
    return None


def reason() -> str | None:
    """Why the tests can't run now; None when they can."""
    wrong = unsuited()
    if wrong is None:
        try:
            wrong = json.loads(STATE.read_text())["problem"]
        except (OSError, ValueError, KeyError):
            wrong = "nothing is installed yet; run `.venv/bin/python -m tests.hpc.install`"
    return wrong


def packages() -> None:
    """Install the Debian packages that are missing, without starting any service."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = sorted({package for program, package in PROGRAMS.items() if shutil.which(program, path=path) is None})
    if not missing:
        return
    print(f"cornerstone: installing {', '.join(missing)} for tests/hpc", flush=True)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        container.call("apt-get", "update", "-qq", env=env)
        container.call("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, env=env)
    finally:
        if ours:
            policy.unlink()


def main() -> int:
    """Install everything and note whether it worked."""
    problem = unsuited()
    if problem is None:
        try:
            packages()
            container.light(container.install(container.CACHE / "apptainer"), container.CACHE)
        except container.Failed as error:
            problem = f"the set-up failed: {error}"
    STATE.parent.mkdir(parents=True, exist_ok=True)
    STATE.write_text(json.dumps({"problem": problem}))
    if problem:
        print(f"cornerstone: TESTS OF SLURM AND APPTAINER (tests/hpc) CAN'T RUN HERE: {problem}", flush=True)
        return 1 if os.environ.get("CI") == "true" and unsuited() is None else 0
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
