"""That freed memory stays: a process with the setting sees far fewer page faults."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.helpers import ROOT

CODE = """
import resource, sys
from cornerstone.schedule.malloc import keep_freed_memory
import torch
if sys.argv[1] == "keep" and not keep_freed_memory():
    print("no glibc")
    raise SystemExit
x = torch.ones(16, 1 << 20)  # 64 MiB: more than glibc ever learns to keep by itself
for _ in range(10):
    x.clone()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    x.clone()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(mode: str) -> str:
    environment = {"OMP_NUM_THREADS": "1", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", CODE, mode], capture_output=True, text=True, check=True, cwd=ROOT, env=environment
    )
    return done.stdout.strip()


def test_freed_memory_is_used_again() -> None:
    kept = faults("keep")
    if kept == "no glibc":
        pytest.skip("this C library is not glibc: the setting is left alone")
    assert 2 * int(kept) < int(faults("as it comes"))  # there 64 MiB twenty times: 330,000 pages of 4 KiB
