"""What a reader sees of two models side by side: tables, and sentences for the summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from cornerstone.game.game import MEAN
from cornerstone.present.tables import Table, as_it_is

LISTED = 5
"""Layers of each quantity that are listed where fewer differ significantly."""
QUANTITIES: Final = {"value": "value", "drop": "drop when removed"}
"""Quantity -> its name for readers."""


def layers(frame: pd.DataFrame) -> pd.DataFrame:
    """The layers that differ most between two models, mean over tasks, in percentage points.

    Args:
        frame: differences.csv of one pair or several.

    Returns:
        For each pair and quantity all layers that differ significantly, at least `LISTED`, the surest first.
    """
    rows = frame[frame["task"] == MEAN]
    parts = []
    for _, group in rows.groupby(["first", "second", "quantity"], sort=False):
        sorted_ = group.sort_values(["p_holm", "p"], kind="stable")
        parts.append(sorted_.head(max(LISTED, int(sorted_["differs"].astype(bool).sum()))))
    chosen = pd.concat(parts)
    shown = chosen[["first", "second"]].copy()
    shown["quantity"] = chosen["quantity"].map(QUANTITIES)
    shown["layer"] = chosen["player"]
    for column in ("first_value", "second_value", "difference"):
        shown[f"{column}_percent"] = 100 * chosen[column]
    for column in ("low", "high"):
        shown[column] = 100 * chosen[column]
    shown["p"] = chosen["p_holm"].map(probability)
    return shown.reset_index(drop=True)


def agreements(frame: pd.DataFrame) -> pd.DataFrame:
    """How far two rankings agree; correlations with two decimals.

    Args:
        frame: agreement.csv of one pair or several.
    """
    shown = frame[["first", "second", "task"]].copy()
    shown.insert(2, "quantity", frame["quantity"].map(QUANTITIES))
    for column in ("rank_correlation", "corrected", "low", "high", "within_first", "within_second"):
        shown[column] = frame[column].map(two_decimals)
    return shown


def bands(frame: pd.DataFrame) -> pd.DataFrame:
    """What lies in each quarter of the depth, mean over tasks, in percentage points.

    Args:
        frame: bands.csv of one pair or several.
    """
    rows = frame[frame["task"] == MEAN]
    shown = rows[["first", "second"]].copy()
    shown["quantity"] = rows["quantity"].map({"value": "sum of values", "drop": "mean drop"})
    shown["layers"] = rows["role"]
    ends = zip(rows["from_depth"], rows["to_depth"], strict=True)
    shown["depth"] = [f"{100 * low:.0f} to {100 * high:.0f} %" for low, high in ends]
    for column in ("first_value", "second_value", "difference"):
        shown[f"{column}_percent"] = 100 * rows[column]
    for column in ("low", "high"):
        shown[column] = 100 * rows[column]
    shown["p"] = rows["p_holm"].map(probability)
    return shown.reset_index(drop=True)


def probability(p: float) -> str:
    """A p-value for readers.

    >>> probability(0.00002), probability(0.0312)
    ('< 0.001', '0.031')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def two_decimals(value: float) -> str:
    """A correlation for readers; empty where there is none."""
    return "" if pd.isna(value) else f"{value:z.2f}"


TABLES: Final = (
    Table(
        "compare_layers",
        "differences",
        layers,
        "Two models side by side: the layers whose value, or whose drop when they alone are removed, differs most; "
        "second less first, in points, mean over tasks, on the same documents. p is adjusted for testing every layer "
        "(Holm).",
    ),
    Table(
        "compare_agreement",
        "agreement",
        agreements,
        "How far the rankings of the layers by two models agree: Spearman's rank correlation on all documents; the "
        "same corrected for noise, with its interval; and how well each model agrees with itself between two halves of "
        "the documents, which limits what can be seen.",
    ),
    Table(
        "compare_depth",
        "bands",
        bands,
        "Two models by relative depth: sum of the values and mean of the drops of the layers in each quarter of the "
        "depth; second less first, in points, mean over tasks, on the same documents. p is adjusted for the rows of a "
        "quantity (Holm).",
    ),
    Table(
        "compare_shares",
        "concentration",
        as_it_is,
        "Table 1's share of two models, mean over tasks. The intervals enclose the bias of the share as well as the "
        "choice of documents; `equal` is the share that as many layers would have if all were worth the same. The "
        "verdict says whether the second model's share is larger.",
    ),
)
"""All tables of comparisons; a new one is an entry here."""


def there(names: Mapping[str, object] | Sequence[str]) -> list[Table]:
    """The tables whose estimates are there: models of different players have no differences."""
    return [table for table in TABLES if table.reads in names]


def findings(share: pd.DataFrame, agreement: pd.DataFrame | None, level: float) -> str:
    """Say in words what a comparison found.

    Args:
        share: concentration.csv of a pair.
        agreement: its agreement.csv; None where the models have different players.
        level: coverage of the intervals.
    """
    row = share.iloc[0]
    first, second = row["first"], row["second"]
    sides = "; ".join(
        f"{row[which]} {row[f'{which}_share_percent']:.1f} % ({_range(row[f'{which}_low'], row[f'{which}_high'], 1)}), "
        f"where {row[f'{which}_equal_percent']:.1f} % would be an equal part"
        for which in ("first", "second")
    )
    words = {
        "larger": f"{second} concentrates more",
        "smaller": f"{second} concentrates less",
        "open": "which of the two concentrates more is open",
    }
    lines = [
        f"Share of the three highest layers in all positive values: {sides}. Difference, {second} less {first}: "
        f"{row['difference_percent']:.1f} points ({_range(row['low'], row['high'], 1)}): {words[row['verdict']]}.\n"
    ]
    if agreement is not None:
        for _, agreed in agreement[agreement["task"] == MEAN].iterrows():
            lines.append(
                f"Rankings of the layers by {QUANTITIES[agreed['quantity']]}: rank correlation "
                f"{two_decimals(agreed['rank_correlation']) or 'unknown'} on the same documents; without noise "
                f"{two_decimals(agreed['corrected']) or 'unknown'} ({_range(agreed['low'], agreed['high'], 2)}). "
                f"Between two halves of the documents each model agrees with itself by "
                f"{two_decimals(agreed['within_first']) or 'unknown'} and "
                f"{two_decimals(agreed['within_second']) or 'unknown'}.\n"
            )
    lines.append(f"Brackets hold {level:.0%} intervals.\n")
    return "\n".join(lines)


def _range(low: float, high: float, digits: int) -> str:
    if not np.isfinite([low, high]).all():
        return "no interval: too few documents"
    return f"{low:z.{digits}f} to {high:z.{digits}f}"
