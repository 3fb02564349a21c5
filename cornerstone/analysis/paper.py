"""Numbers published by the paper, to be shown beside ours; nothing here enters a computation.

Source of all: Y. Zhang, Y. Dong, K. Kawaguchi, "Investigating Layer Importance in Large Language Models",
BlackboxNLP 2024, arXiv 2409.14381. Models are keyed by this project's configuration names. Players count from
zero in execution order: `attn0, ffn0, attn1, ...`, and `moeN` for a mixture-of-experts feed-forward.
"""

from collections.abc import Sequence
from typing import Final, Literal

import pandas as pd

Layers = Literal["top three", "other"]
"""The paper's two groups of sublayers, C and NC. C is "top three" here, where a cornerstone is what was confirmed."""

CORNERSTONES: Final[dict[str, tuple[str, ...]]] = {
    "llama3-8b": ("attn0", "ffn0", "ffn1"),
    "llama3-70b": ("attn0", "ffn0", "ffn3"),
    "mixtral-8x7b": ("attn0", "moe0", "moe1"),
}
"""Table 2: the cornerstone layers of each model (one fixed list for all tasks)."""

SHARE_PERCENT: Final[dict[str, float]] = {
    "llama3-8b": 29.1,
    "llama3-70b": 37.0,
    "mixtral-8x7b": 37.5,
}
"""Table 1: share of the three cornerstones in the sum of the (non-negative) Shapley values, in percent."""

DROP_PERCENT: Final[dict[str, dict[Layers, float]]] = {
    "llama3-8b": {"top three": 29.3, "other": 1.6},
    "llama3-70b": {"top three": 36.7, "other": 0.9},
    "mixtral-8x7b": {"top three": 23.5, "other": 1.3},
}
"""Table 3: mean drop of the accuracy when one layer of the group is removed, in percentage points (C, NC)."""

OTHER_DROP_PERCENT: Final[dict[str, dict[str, float]]] = {
    "llama3-8b": {
        "boolq": 2.8,
        "piqa": 1.5,
        "winogrande": 0.4,
        "arc_easy": 1.6,
        "arc_challenge": 2.6,
        "openbookqa": 0.9,
    },
    "llama3-70b": {
        "boolq": 1.1,
        "piqa": 0.8,
        "winogrande": 0.6,
        "arc_easy": 1.1,
        "arc_challenge": 1.6,
        "openbookqa": 0.6,
    },
    "mixtral-8x7b": {
        "boolq": 2.1,
        "piqa": 1.0,
        "winogrande": 1.4,
        "arc_easy": 1.2,
        "arc_challenge": 2.1,
        "openbookqa": 0.4,
    },
}
"""Table 4: mean drop of the accuracy per task when one other (NC) layer is removed, in percentage points."""


def top_players(table: pd.DataFrame, model: str) -> list[str]:
    """The cornerstones that the paper's tables are about: its own list for its models, else the top three."""
    published = CORNERSTONES.get(model)
    known = set(table["player"])
    if published and known.issuperset(published):
        return list(published)
    return table.loc[table["top_three"], "player"].tolist()


def published_positions(model: str, players: Sequence[str]) -> list[int] | None:
    """Where the paper's cornerstones of a model are among its players; None for a model that is not the paper's."""
    published = CORNERSTONES.get(model)
    if not published or not set(players).issuperset(published):
        return None
    return [players.index(name) for name in published]
