"""A table as LaTeX that compiles and fits: numbers in siunitx columns, a value and its interval in one cell."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import Final

import pandas as pd

ESCAPES: Final = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "–": "--",
        "<": "$<$",
        ">": "$>$",
        "−": "$-$",
        "∅": r"$\emptyset$",
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    }
)
PACKAGES: Final = ("array", "booktabs", "siunitx")
NARROW, WIDE = 46, 96
"""Characters of a line in \\footnotesize: of one of two columns (7.7 cm), and of a page (16 cm)."""
LONG = 20
"""Text of more characters than this is broken into lines."""


@dataclass(frozen=True)
class Column:
    """One column of the table that is printed.

    Attributes:
        head: its heading, escaped.
        cells: what it shows, escaped; a number, or "{--}" where there is none.
        number: whether siunitx aligns it at the decimal point.
        ends: the interval of each number, in brackets, or None.
    """

    head: str
    cells: list[str]
    number: bool
    ends: list[str] | None = None

    @property
    def width(self) -> int:
        """Characters of its widest cell; of its heading the longest word, as headings are broken."""
        cells = [a + b for a, b in zip(self.cells, self.ends, strict=True)] if self.ends else self.cells
        longest = max((len(cell) for cell in cells), default=0)
        return max(longest, *(len(word) for word in self.head.split() or [""]))

    def printed(self, row: int) -> str:
        """A cell, and beside a number its interval."""
        return f"{self.cells[row]} & {self.ends[row]}" if self.ends else self.cells[row]

    @property
    def stacked(self) -> str:
        """Its heading in as many lines as make it no wider than the column."""
        lines = textwrap.wrap(self.head, max(self.width, 6), break_long_words=False, break_on_hyphens=False)
        return self.head if len(lines) == 1 else r"\shortstack{" + r" \\ ".join(lines) + "}"

    @property
    def broken(self) -> bool:
        """Whether its cells take several lines."""
        return not self.number and self.width > LONG


def latex(frame: pd.DataFrame, caption: str, label: str) -> str:
    """A table for a paper, as wide as one column where that is enough, else as the page.

    Args:
        frame: the table. A column `low` and one `high` are the interval of `share_percent`, `unclipped_percent`,
            `measured_percent` or `difference_percent`, and stand in its cell. `model` goes into the caption where all
            rows are of one.
        caption: plain text; `code` in backquotes.
        label: what the text refers to.

    Returns:
        The source. It needs the packages of `PACKAGES`.
    """
    if "model" in frame and frame["model"].nunique() == 1 and len(frame.columns) > 1:
        caption = f"{caption} Model: `{frame['model'].iloc[0]}`."
        frame = frame.drop(columns="model")
    columns = _columns(frame)
    page = sum(column.width + 2 for column in columns) > NARROW
    room = WIDE - sum(column.width + 2 for column in columns if not column.broken)
    long = sum(column.width for column in columns if column.broken) or 1
    layout, heads = [], []
    for column in columns:
        if column.number:
            layout.append(f"S[table-format={_format(column.cells)}]" + (r"@{\,}l" if column.ends else ""))
            heads.append(rf"\multicolumn{{2}}{{c}}{{{column.stacked}}}" if column.ends else f"{{{column.stacked}}}")
        else:
            share = max(0.1, 0.9 * room / WIDE * column.width / long)
            layout.append(rf">{{\raggedright\arraybackslash}}p{{{share:.2f}\textwidth}}" if column.broken else "l")
            heads.append(column.head if column.broken else column.stacked)
    environment = "table*" if page else "table"
    lines = [
        f"% \\usepackage{{{','.join(PACKAGES)}}}",
        rf"\begin{{{environment}}}[tbp]",
        r"\centering\footnotesize",
        r"\setlength{\tabcolsep}{3pt}",
        rf"\begin{{tabular}}{{@{{}}{' '.join(layout)}@{{}}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
    ]
    for row in range(len(frame)):
        cells = [
            cell for column in columns for cell in ([column.cells, column.ends] if column.ends else [column.cells])
        ]
        lines.append(" & ".join(part[row] for part in cells) + r" \\")
    lines += [
        r"\bottomrule",
        r"\end{tabular}",
        rf"\caption{{{escaped(caption)}}}",
        rf"\label{{{label}}}",
        rf"\end{{{environment}}}",
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Plain text as LaTeX; what stands in backquotes is set as code."""
    parts = re.split(r"`([^`]*)`", text)
    return "".join(
        rf"\texttt{{{part.translate(ESCAPES)}}}" if place % 2 else part.translate(ESCAPES)
        for place, part in enumerate(parts)
    )


def _columns(frame: pd.DataFrame) -> list[Column]:
    """What is printed of a table, an interval beside what it encloses."""
    enclosed = next((name for name in ENCLOSED if name in frame), None)
    within = {"low", "high"} if enclosed and {"low", "high"} <= set(frame) else set()
    found = []
    for name in frame.columns:
        if name in within:
            continue
        number = pd.api.types.is_numeric_dtype(frame[name]) and not pd.api.types.is_bool_dtype(frame[name])
        number = number or bool(frame[name].isna().all()) or str(name).endswith("_percent")
        cells = [_number(value) if number else escaped(str("–" if pd.isna(value) else value)) for value in frame[name]]
        ends = (
            [_ends(*pair) for pair in zip(frame["low"], frame["high"], strict=True)]
            if within and name == enclosed
            else None
        )
        found.append(Column(_head(str(name)), cells, number, ends))
    return found


ENCLOSED: Final = ("share_percent", "unclipped_percent", "measured_percent", "difference_percent")
"""What `low` and `high` are the ends of, the first that a table has."""


def _head(name: str) -> str:
    return escaped(name.replace("_percent", " (%)").replace("_", " "))


def _number(value: object) -> str:
    """A number for siunitx, one decimal of those that are not whole."""
    if pd.isna(value):  # type: ignore[call-overload]
        return "{--}"
    return f"{value:z.1f}" if isinstance(value, float) else str(value)


def _ends(low: float, high: float) -> str:
    """An interval in brackets, with signs that are no hyphens."""
    if pd.isna(low) or pd.isna(high):
        return ""
    return f"[{low:z.1f}, {high:z.1f}]".replace("-", "$-$")


def _format(cells: list[str]) -> str:
    """What siunitx reserves room for: a sign, digits before the point, and after it."""
    numbers = [cell for cell in cells if cell != "{--}"]
    whole = max((len(cell.lstrip("-").split(".")[0]) for cell in numbers), default=1)
    after = max((len(cell.partition(".")[2]) for cell in numbers), default=0)
    return f"{'-' if any(cell.startswith('-') for cell in numbers) else ''}{whole}.{after}"
