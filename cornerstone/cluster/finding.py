"""One thing that was looked at before jobs start."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `problem` is None when it is as it should be."""

    what: str
    problem: str | None = None
