"""In which unit a reader sees the values of a value function, and how many digits."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from cornerstone.config.config import Config
from cornerstone.game.functions import LOGARITHMS, PER, SOFT, per
from cornerstone.game.game import ACCURACY

DIGITS = 5
"""Significant digits of the numbers that the page holds; the CSV files hold all."""


@dataclass(frozen=True)
class Unit:
    """How a value function is shown.

    Attributes:
        name: of the unit, such as `points of accuracy`.
        factor: by which the CSV files' numbers are multiplied.
    """

    name: str
    factor: float = 1.0


def unit_of(function: str, config: Config) -> Unit:
    """The unit of a value function.

    Args:
        function: `accuracy`, or one of `value_functions`.
        config: the configuration; its metrics decide what `accuracy` is.
    """
    if function == ACCURACY:
        metrics = {config.tasks[task].metric for task in config.run_tasks}
        logarithms = [metric for metric in LOGARITHMS if metric in metrics]
        if logarithms:
            sign = "-" if logarithms[0] == "bits_per_byte" else "-ln of "
            return Unit(f"hundredths of {sign}{logarithms[0]}", 100.0)
        return Unit("points of accuracy", 100.0)
    if function == SOFT:
        return Unit("points of soft accuracy", 100.0)
    if function == "margin":
        return Unit("nats per character")
    for short in PER:
        if function == per(short):
            return Unit(f"nats per {short}")
    return Unit("nats")


def mean_unit(function: str, config: Config) -> Unit:
    """The unit of a value function's mean over tasks: of one that is no share, standard deviations (docs/method.md)."""
    return unit_of(function, config) if function in (ACCURACY, SOFT) else Unit("standard deviations")


def rounded(values: Iterable[float], factor: float = 1.0) -> list[float | None]:
    """Numbers as JSON holds them: times a factor, `DIGITS` significant digits, None where there is none.

    >>> rounded([0.123456789, float("nan")], 100)
    [12.346, None]
    """
    return [None if not math.isfinite(value) else float(f"{factor * value:.{DIGITS}g}") for value in values]


def said(value: float) -> str:
    """A number for readers, with a minus sign, about two significant digits.

    >>> said(-1.084), said(40.2), said(0.0312), said(6.04), said(123.4), said(0)
    ('−1.1', '40', '0.031', '6.0', '123', '0')
    """
    if value == 0:
        return "0"
    decimals = max(0, 1 - math.floor(math.log10(abs(float(f"{value:.2g}")))))
    text = f"{value:.{decimals}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def between(low: float, high: float) -> str:
    """An interval for readers, both ends with the digits of the finer one's size.

    >>> between(-1.1, 13.04), between(0.09, 0.333)
    ('−1.1 to 13', '0.090 to 0.33')
    """
    return f"{said(low)} to {said(high)}"


def p_value(p: float) -> str:
    """A p-value for readers.

    >>> p_value(0.00002), p_value(0.0312)
    ('< 0.001', '0.031')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def listed(names: Iterable[str], word: str = "and") -> str:
    """Names as a sentence has them.

    >>> listed(["a", "b", "c"]), listed(["a"])
    ('a, b and c', 'a')
    """
    found = list(names)
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} {word} {found[-1]}" if found else ""


def counted(number: int, noun: str) -> str:
    """A number and its noun.

    >>> counted(1, "task"), counted(2, "task"), counted(1548, "document")
    ('1 task', '2 tasks', '1,548 documents')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
