"""The figures: one module each, and the registry that rules, captions and scripts read.

A new figure is a module `<kind>.py` with `draw(frames, model, width)` and an entry in `FIGURES`. The registry imports
no matplotlib: what draws is imported where a figure is drawn.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from cornerstone.errors import CornerstoneError
from cornerstone.game.game import MEAN
from cornerstone.present.figures.rows import rows_of, tasks_of
from cornerstone.present.tables import task_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure


WIDTHS: Final = {"": 6.3, "-column": 3.03, "-neurips": 5.5}
"""What the name of a figure's file ends in -> its width in inches: the text of a page, and a column of it, in the style
of the ACL; and the text of a page in that of NeurIPS."""


@dataclass(frozen=True)
class FigureKind:
    """A kind of figure.

    Attributes:
        kind: its name in paths, and the module that draws it.
        reads: the estimates that it shows, by their names in `Layout.shown`. A model without one of them has no such
            figure.
        opening: what it shows, as the caption begins; {model} is filled in.
        interval: what its intervals count, as the caption ends; {level} is filled in.
    """

    kind: str
    reads: tuple[str, ...]
    opening: str
    interval: str

    def draw(self, frames: Mapping[str, pd.DataFrame], model: str, width: float = WIDTHS[""]) -> Figure:
        """Draw it from the tables that it reads, so many inches wide."""
        module: Any = importlib.import_module(f"{__name__}.{self.kind}")
        return module.draw(frames, model, width)

    def write(self, frames: Mapping[str, pd.DataFrame], model: str, paths: Iterable[Path], level: float) -> None:
        """Draw it in the width that the name of each file asks for (`WIDTHS`), and write the files.

        Args:
            frames: the tables that it reads.
            model: configuration name; of two models, what the pair is called.
            paths: where it goes, `<kind><width>.<format>`.
            level: coverage of the intervals, for the description.
        """
        from cornerstone.present.figures.drawing import save_figure

        about = (self.opening.format(model=model), self.interval.format(level=f"{level:.0%}"))
        by_width: dict[str, list[Path]] = {}
        for path in paths:
            by_width.setdefault(path.stem.removeprefix(self.kind), []).append(path)
        for name, files in by_width.items():
            save_figure(self.draw(frames, model, WIDTHS[name]), files, *about)

    def caption(self, model: str, baselines: pd.DataFrame, level: float = 0.95, about: str | None = None) -> str:
        """Say what a figure shows, measured how, on what, and what its intervals count.

        Args:
            model: configuration name.
            baselines: columns model, task, metric, documents, split, source.
            level: coverage of the intervals.
            about: what it shows; None: the model.

        Raises:
            CornerstoneError: no rows for the model.
        """
        rows = rows_of(baselines, model)
        rows = rows[rows["task"] != MEAN].set_index("task")
        parts = []
        for task in tasks_of(rows.reset_index()):
            row = rows.loc[task]
            what = f"{row['metric']}, {row['documents']} documents, {row['split']}, {row['source']}"
            parts.append(f"{task_name(task)} ({what})")
        interval = self.interval.format(level=f"{level:.0%}")
        return f"{self.opening.format(model=about or model)}: {'; '.join(parts)}. {interval}"


FIGURES: Final = (
    FigureKind(
        "shares",
        ("shapley", "cornerstones"),
        "Shares of the sublayers of {model} in the sum of the Shapley values (negative values set to 0)",
        "Shares are shown without an interval; the table of shares has one.",
    ),
    FigureKind(
        "ablation",
        ("ablation", "baselines"),
        "Metric after removing one single sublayer of {model}",
        "The {level} intervals are those of the difference to the original model on the same documents: they "
        "count the choice of documents only. A filled mark: the interval excludes a drop of 0.",
    ),
    FigureKind(
        "values",
        ("shapley",),
        "Shapley values of the sublayers of {model} in percentage points of the metric",
        "The {level} intervals count the choice of documents (the same under every coalition), not the bias "
        "of the estimator. A pale bar: the interval contains 0.",
    ),
    FigureKind(
        "interactions",
        ("interactions", "shapley"),
        "Interactions between pairs of players of {model}, mean over tasks: what removing both costs beyond "
        "what removing each costs (below 0: redundant; above 0: synergistic)",
        "Dots mark the pairs that are found to interact at a false discovery rate of 5% (Benjamini and Hochberg): of "
        "them at most one in twenty is expected to be there by chance.",
    ),
    FigureKind(
        "assumptions",
        ("by_removed", "by_distance"),
        "Marginal contributions of {model} against the number of players removed before, and interactions against "
        "the distance of the two players, mean over tasks",
        "Up to K players removed, and K - 1 apart, is what the window estimator looks at. What its two shortcuts leave "
        "out is not seen there. The {level} intervals of the means count the choice of documents only.",
    ),
    FigureKind(
        "deletion",
        ("deletion", "order_quality", "baselines"),
        "Metric while sublayers of {model} are removed one after another, by the estimate and by depth; what the "
        "estimate's order keeps above that by depth, on the same documents; and how much more each order loses with "
        "the most important first than with the least, which is 0 for an order without information",
        "The order of removal comes from one half of the documents and the curve from the other, both ways (of few "
        "documents from all of them). The {level} intervals count the choice of documents; those of the differences "
        "are paired.",
    ),
)
"""All kinds of figures of a model."""

COMPARISONS: Final = (
    FigureKind(
        "differences",
        ("differences",),
        "What each sublayer is worth to one model less what it is worth to the other, {model}, mean over tasks",
        "The {level} intervals are those of the paired difference on the same documents; a filled mark differs from 0 "
        "when adjusted for testing every sublayer (Holm).",
    ),
    FigureKind(
        "agreement",
        ("differences", "agreement"),
        "How far the rankings of the sublayers by {model} agree",
        "The bars are {level} intervals of the rank correlation without noise (Spearman); the grey marks say how well "
        "each model agrees with itself between two halves of the documents.",
    ),
    FigureKind(
        "depth",
        ("depth",),
        "Values and drops of the sublayers of {model} against their relative depth, mean over tasks",
        "The bands are {level} intervals over documents, of each sublayer by itself.",
    ),
)
"""All kinds of figures of two models that are compared."""


def figure(kind: str) -> FigureKind:
    """The figure of that name.

    Raises:
        CornerstoneError: there is none.
    """
    every = (*FIGURES, *COMPARISONS)
    for entry in every:
        if entry.kind == kind:
            return entry
    raise CornerstoneError(f"no figure is called {kind!r}; there are {', '.join(entry.kind for entry in every)}")


def kinds(names: Iterable[str], among: Iterable[FigureKind] = FIGURES) -> list[str]:
    """The figures that can be drawn of a model (or pair of models) that has estimates of these names."""
    there = set(names)
    return [entry.kind for entry in among if there.issuperset(entry.reads)]
