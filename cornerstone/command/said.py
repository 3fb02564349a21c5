"""What a subcommand says: text for people, data for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cornerstone.game.functions import SOFT
from cornerstone.game.game import ACCURACY

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Said:
    """What is printed.

    Attributes:
        text: for people.
        data: the same for programs; `--json` prints it.
        code: exit code: 0, or 1 where something is wrong.
    """

    text: str
    data: Any
    code: int = 0

    def shown(self, as_json: bool) -> str:
        """What to print. Numbers that are not finite are null in JSON."""
        return json.dumps(_finite(self.data), indent=2, ensure_ascii=False) if as_json else self.text


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A frame as JSON has it."""
    return [{str(key): _finite(value) for key, value in row.items()} for row in frame.to_dict("records")]


def table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Aligned columns without any rule: the first column to the left, the others to the right."""
    cells = [list(heads), *map(list, lines)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    )


def number(value: float, function: str = ACCURACY) -> str:
    """A value: accuracy and soft accuracy, which are shares, in points; anything else as it is."""
    if value != value:
        return "-"
    return f"{100 * value:.1f}" if function in (ACCURACY, SOFT) else f"{value:.3f}"


def interval(row: Any, value: str = "value", function: str = ACCURACY) -> str:
    """A value with its interval."""
    return f"{number(row[value], function)} ({number(row['low'], function)} to {number(row['high'], function)})"


def duration(hours: float) -> str:
    """A duration for people, in the unit that fits it.

    >>> duration(0.13), duration(5.2), duration(72)
    ('8 minutes', '5.2 hours', '3.0 days')
    """
    if hours != hours:
        return "an unknown time"
    if hours < 1.5:
        minutes = max(1, round(60 * hours))
        return "1 minute" if minutes == 1 else f"{minutes} minutes"
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.1f} days"
