"""Memory that is freed stays with the process: fresh memory is slow."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of mallopt, from malloc.h of glibc


def keep_freed_memory() -> bool:
    """Tell glibc not to hand freed memory back to the system; True where it listened.

    A sweep allocates and frees the same few megabytes for each sublayer. By default glibc returns them each time,
    and the kernel hands out zeroed pages anew: a fifth of the time of a feed-forward sublayer of SmolLM2-135M.
    The process keeps the most memory that it ever used. Other C libraries are left as they are.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, 2**31 - 1))
