"""Whether the numbers of a result fit each other: lengths, ranges, and metrics that follow from log-likelihoods.

It needs nothing but the result. `evaluate.table` compares it with the task's documents, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cornerstone.game.functions import SHARES

ROUNDING = 1e-3
"""By how much a log-likelihood may be above 0, the logarithm of certainty."""


def problem(result: Mapping[str, Any]) -> str:
    """What is wrong with the numbers of a result; empty where nothing is."""
    try:
        return _problem(result["documents"], sum(block["count"] for block in result["blocks"]))
    except (IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
        return f"is damaged: its arrays do not fit each other ({type(error).__name__}: {error})"


def _problem(arrays: Mapping[str, list[Any]], count: int) -> str:
    for key, array in arrays.items():
        if len(array) != count:
            return f"is damaged: `{key}` is of {len(array)} documents, its blocks are of {count}"
    rows, lengths = arrays["loglikelihood"], arrays["length"]
    right = [[gold] if isinstance(gold, int) else list(gold) for gold in arrays["gold"]]
    for place, row in enumerate(rows):
        which = f"document {arrays['doc_id'][place]}"
        if not row or len(row) != len(lengths[place]) or len(row) != len(arrays["tokens"][place]):
            return f"is damaged: {which} has {len(row)} log-likelihoods, {len(lengths[place])} lengths"
        if not all(math.isfinite(value) and value <= ROUNDING for value in row):
            return f"is damaged: {which} has a log-likelihood that is none: {row}"
        if not all(type(gold) is int and 0 <= gold < len(row) for gold in right[place]):
            return f"is damaged: the right choice of {which} is none of its {len(row)} choices"
        if not all(type(number) is int and number >= 0 for number in (*lengths[place], *arrays["tokens"][place])):
            return f"is damaged: {which} has lengths or tokens that are no whole numbers"
    for metric in (name for name in SHARES if name in arrays):
        if not all(type(value) is int and value in (0, 1) for value in arrays[metric]):
            return f"is damaged: `{metric}` has a value that is neither 0 nor 1"
        if (follows := _METRICS.get(metric)) is None:
            continue
        for place, (row, value) in enumerate(zip(rows, arrays[metric], strict=True)):
            greedy = arrays["greedy"][place]
            if value != follows(row, lengths[place], right[place], greedy):
                return (
                    f"was changed: `{metric}` does not follow from the log-likelihoods beside it (document "
                    f"{arrays['doc_id'][place]})"
                )
    return ""


Row = Sequence[Any]


def _first(values: Sequence[float]) -> int:
    """Index of the largest, the first of equals."""
    return max(range(len(values)), key=values.__getitem__)


def _acc(row: Row, lengths: Row, right: Row, greedy: Row) -> bool:
    return _exact(row, lengths, right, greedy) if len(row) == 1 else _first(row) in right


def _acc_norm(row: Row, lengths: Row, right: Row, greedy: Row) -> bool:
    return _first([value / max(1, length) for value, length in zip(row, lengths, strict=True)]) in right


def _exact(row: Row, lengths: Row, right: Row, greedy: Row) -> bool:
    return any(best and choice in right for choice, best in enumerate(greedy))


_METRICS: dict[str, Callable[[Row, Row, Row, Row], bool]] = {"acc": _acc, "acc_norm": _acc_norm, "exact_match": _exact}
"""Those that follow from what a result holds; `acc_bytes` needs the documents."""
