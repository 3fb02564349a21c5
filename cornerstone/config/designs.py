"""What a nested design asks of the rest of the configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cornerstone.estimators.base import Asked
from cornerstone.estimators.budget import Budgeted
from cornerstone.estimators.nested import BLOCK


def samples(entries: Iterable[Asked]) -> int:
    """How many samples of coalitions have documents of their own; 0 where no design is nested.

    Raises:
        ValueError: some entries have more than others. Documents are dealt out once.
    """
    counts = sorted({entry.replicates for entry in entries if isinstance(entry, Budgeted) and entry.nested})
    if len(counts) > 1:
        raise ValueError(
            "`estimators`: all with `design: nested` must have the same `replicates`, because each of these has "
            f"documents of its own; there are {' and '.join(map(str, counts))}"
        )
    return counts[0] if counts else 0


def check(entries: Iterable[Asked], limits: Mapping[str, int | None]) -> None:
    """Raise ValueError where documents are too few for two samples, or samples differ.

    Args:
        entries: estimators.
        limits: how many documents are asked for of each task; None: all.
    """
    few = {task: limit for task, limit in limits.items() if limit is not None and limit < 2 * BLOCK}
    if samples(entries) and few:
        task, limit = min(few.items(), key=lambda each: each[1])
        raise ValueError(
            f"`estimators`: `design: nested` needs at least {2 * BLOCK} documents of each task, for each block of "
            f"{BLOCK} has coalitions of its own; of {task} {limit} are asked for. Raise `documents.limit`, or leave "
            "`design` at crossed"
        )
