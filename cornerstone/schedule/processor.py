"""What the processors of this machine compute slowly."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from cornerstone.config.models import Model
from cornerstone.schedule.limits import on_gpus

OWN = {
    "bfloat16": {"avx512_bf16", "amx_bf16", "bf16"},
    "float16": {"avx512_fp16", "amx_fp16", "asimdhp"},
}
"""Number format -> instructions of x86 and ARM that multiply matrices of it, as Linux names them."""


def instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> set[str]:
    """What the processor can do, as Linux names it; nothing where the system does not say."""
    try:
        found = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return set()
    return set(found[1].split()) if found else set()


def slow_formats(models: Mapping[str, Model], there: set[str]) -> Iterator[str]:
    """A sentence for each model that is evaluated on this processor in a number format that it has no instructions for.

    On an AMD EPYC with AVX2 alone, products of matrices took six times as long in bfloat16 as in float32.

    Args:
        models: by name; those that are evaluated.
        there: the processor's `instructions`; without any, nothing is said.
    """
    for name, entry in models.items():
        if there and entry.dtype in OWN and not on_gpus(entry) and not OWN[entry.dtype] & there:
            yield (
                f"{name}: this processor has no instructions for {entry.dtype}, so float32 is several times as fast. "
                f"Set models.{name}.dtype: float32 in config.yaml; `make plan` says what either takes."
            )
