"""What all figures share: style, palette, panels, and the writer of figure files."""

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cornerstone.errors import CornerstoneError
from cornerstone.files import write_atomically, write_table
from cornerstone.game.functions import LOGARITHMS
from cornerstone.game.game import MEAN
from cornerstone.present.figures.rows import rows_of

STYLE: Final = Path(__file__).with_name("style.mplstyle")
NARROW: Final = 4.0
"""Inches below which a figure is for a column: it shows the mean over tasks alone."""

# Okabe and Ito's palette, which colour-blind readers can tell apart.
BLACK, BLUE, SKY, GREEN = "#000000", "#0072B2", "#56B4E9", "#009E73"
VERMILLION, ORANGE, YELLOW, PURPLE = "#D55E00", "#E69F00", "#F0E442", "#CC79A7"
GREY, MID_GREY, PALE_GREY = "#555555", "#9A9A9A", "#DDDDDD"

KINDS: Final[dict[str, tuple[str, str]]] = {
    "attn": ("attention", BLUE),
    "head": ("attention head", BLUE),
    "linear": ("linear attention", SKY),
    "mamba": ("state space model", GREEN),
    "conv": ("convolution", PURPLE),
    "recurrent": ("recurrent network", ORANGE),
    "ffn": ("feed-forward", VERMILLION),
    "moe": ("mixture of experts", VERMILLION),
    "expert": ("expert", VERMILLION),
    "ple": ("per-layer embedding", MID_GREY),
    "group": ("group of sublayers", BLUE),
}
"""Kind of player -> its name for readers and its colour."""


@contextmanager
def styled() -> Iterator[None]:
    """Apply the project's style over matplotlib's defaults, whatever the user's own settings are."""
    with matplotlib.rc_context(fname=str(STYLE)):
        yield


@styled()
def save_figure(
    figure: Figure, paths: Iterable[Path], title: str = "", description: str = "", noted: bool = True
) -> None:
    """Write a figure to files in the formats that their endings name (PNG: 200 dpi), each atomically.

    The same figure gives the same bytes: no dates, and identifiers from a fixed salt. The layout is frozen,
    as drawing again would move it by a hair. `title` and `description` are for who can't see the picture: as elements
    of an SVG, and as metadata of the others. `noted`: with a note of its checksum beside each, as results have it.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    about: dict[str, dict[str, Any]] = {
        ".svg": {"Date": None},
        ".pdf": {"CreationDate": None, "Title": title, "Subject": description},
        ".png": {"Title": title, "Description": description},
    }
    for path in paths:
        buffer = io.BytesIO()
        figure.savefig(buffer, format=path.suffix[1:], dpi=200, metadata=about[path.suffix])
        data = buffer.getvalue()
        if path.suffix == ".svg" and title:
            words = f" <title>{escape(title)}</title>\n <desc>{escape(description)}</desc>\n".encode()
            head, start, rest = data.partition(b"<svg ")
            tag, end, inside = rest.partition(b">\n")
            data = head + start + tag + end + words + inside
        (write_table if noted else write_atomically)(path, partial(Path.write_bytes, data=data))


def baselines_of(baselines: pd.DataFrame, model: str, tasks: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return original, empty and chance by task, the mean's being means; raise if a task is missing."""
    names = ["original", "empty", "chance"]
    rows = rows_of(baselines, model).set_index("task")[names].astype(float)
    single = [task for task in tasks if task != MEAN]
    if missing := [task for task in single if task not in rows.index]:
        raise CornerstoneError(f"{model}: no baseline for {', '.join(missing)}")
    if MEAN in tasks and MEAN not in rows.index:
        rows.loc[MEAN] = rows.loc[single or list(rows.index)].mean(skipna=False)
    return {task: {name: float(rows[name][task]) for name in names} for task in tasks}


def panels(
    model: str, panels: int, columns: int, height: float, width: float, first: int = 0
) -> tuple[Figure, list[Axes]]:
    """Return a figure with `panels` axes, `height` inches a row and titled if it is no column of a paper.

    The first `first` axes fill a row of their own; below them are `columns` in a row. In a column of a paper there is
    one in a row.
    """
    narrow = width < NARROW
    head = 1 if narrow else first
    columns = 1 if narrow else max(1, min(columns, panels - first))
    lines = panels if narrow else (first > 0) - (-(panels - first) // columns)
    figure = Figure(figsize=(width, lines * height + (0.6 if narrow else 0.8)), layout="constrained")
    if not narrow:
        figure.suptitle(model)
    grid = figure.add_gridspec(lines, columns * max(1, head))
    axes = []
    for panel in range(panels):
        if not narrow and panel < first:
            axes.append(figure.add_subplot(grid[0, panel * columns : (panel + 1) * columns]))
        else:
            row, column = divmod(panel - (0 if narrow else first), columns)
            wide = max(1, head)
            place = slice(column * wide, (column + 1) * wide)
            axes.append(figure.add_subplot(grid[row + (not narrow and first > 0), place]))
    return figure, axes


def legend(figure: Figure, handles: Sequence[Any], width: float, columns: int | None = None) -> None:
    """Put one legend below all panels, in as many columns as there is room for (at most `columns`)."""
    many = min(2 if width < NARROW else len(handles), columns or len(handles))
    for count in sorted({-(-len(handles) // lines) for lines in range(1, len(handles) + 1)}, reverse=True):
        if count > many:
            continue
        made = figure.legend(handles=handles, loc="outside lower center", ncols=count)
        if count == 1 or made.get_window_extent().width <= 0.98 * width * figure.dpi:
            return
        made.remove()


def mark_players(ax: Axes, rows: pd.DataFrame, width: float) -> str:
    """Put ticks at players: at each block's first, or by name where players are groups. Returns what they count.

    rows: columns position, kind, block, player, of one task; x is the position.
    """
    ordered = rows.drop_duplicates("position").sort_values("position")
    named = set(ordered["kind"]) == {"group"}
    ticks = ordered if named else ordered.drop_duplicates("block")
    room = 7 if width < NARROW else 12
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, len(ticks)) if len(ticks) / step <= room)
    shown = ticks.iloc[::step]
    labels = shown["player"] if named else shown["block"].astype(str)
    turned = named and labels.str.len().max() > 3
    ax.set_xticks(shown["position"], list(labels), rotation=90 if turned else 0)
    ax.set_xlim(ordered["position"].iloc[0] - 1, ordered["position"].iloc[-1] + 1)
    return "player" if named else "block"


def mean_first(tasks: Sequence[str], width: float) -> list[str]:
    """The tasks with their mean in front; in a column of a paper the mean alone. One task is its own mean."""
    single = [task for task in tasks if task != MEAN]
    if len(single) == 1:
        return single
    if MEAN not in tasks:
        return single
    return [MEAN] if width < NARROW else [MEAN, *single]


def label_axes(axes: Sequence[Axes], x: str, y: str) -> None:
    """Label x below the bottom row of panels and y left of the first column."""
    for ax in axes:
        spec = ax.get_subplotspec()
        if spec is not None and spec.is_last_row():
            ax.set_xlabel(x)
        if spec is not None and spec.is_first_col():
            ax.set_ylabel(y)


def limits(extent: Sequence[float], floor: float, shares: bool = True) -> tuple[float, float]:
    """Return limits of y in points: around all finite numbers, ten points apart; of shares within [floor, 100]."""
    numbers = np.asarray(extent, dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    low, high = float(numbers.min()), float(numbers.max())
    pad = max(0.05 * (high - low), (10 - (high - low)) / 2)
    if not shares:
        return low - pad, high + pad
    return max(low - pad, floor), min(high + pad, 100.0)


def are_shares(frame: pd.DataFrame) -> bool:
    """Whether the metrics of a table's rows are shares of documents, and not logarithms."""
    return not set(LOGARITHMS) & set(frame.get("metric", ()))


def metric_label(frame: pd.DataFrame) -> str:
    """Name what 100 times the metric of a table's rows is: percent of the documents, or hundredths of a logarithm."""
    logarithms = [name for name in LOGARITHMS if name in set(frame.get("metric", ()))]
    if not logarithms:
        return "metric (%)"
    said = logarithms[0].replace("_", " ")
    return f"-100 × {said}" if logarithms[0] == "bits_per_byte" else f"-100 ln({said})"


def points_label(frame: pd.DataFrame) -> str:
    """Name the unit of 100 times a difference of the metric of a table's rows."""
    return "percentage points" if are_shares(frame) else f"points of {metric_label(frame)}"


def whiskers(ax: Axes, x: Any, low: Any, high: Any, *, colour: str, width: float, alpha: float) -> None:
    """Draw intervals as vertical lines; those that are not known (one document) are left out."""
    known = np.isfinite(low) & np.isfinite(high)
    ax.vlines(x[known], low[known], high[known], color=colour, linewidth=width, alpha=alpha, zorder=2.5)
