"""Two models on the same documents: differences of the values of equal players, and of what lies in bands of the depth.

Both models answer each document, so everything is subtracted on each document first, and its error is that of the mean
of the differences: what a document does to both models cancels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cornerstone.analysis import ranks
from cornerstone.analysis.agreement import ROUNDED
from cornerstone.analysis.intervals import Estimate
from cornerstone.analysis.ranks import Sample, holm
from cornerstone.estimators.values import Values
from cornerstone.game.game import MEAN
from cornerstone.game.players import Player

BANDS = 4
"""Parts of the depth, of equal length."""
FEED_FORWARD = ("ffn", "moe", "expert", "ple")
"""Kinds of players that look at each token by itself."""


@dataclass(frozen=True)
class Side:
    """One of two models.

    Attributes:
        model: its name.
        players: in execution order.
        sublayers: how many it has.
        samples: quantity (`value`, `drop`) -> task -> what is said of its players.
    """

    model: str
    players: tuple[Player, ...]
    sublayers: int
    samples: Mapping[str, Mapping[str, Sample]]

    @property
    def depths(self) -> np.ndarray:
        """[N] where each player is, from 0 (the first sublayer) to 1 (the last): the mean over its sublayers."""
        places = [np.mean([place for place, _ in player.parts]) for player in self.players]
        return np.array(places) / max(1, self.sublayers - 1)

    @property
    def roles(self) -> list[str]:
        """[N] see `role`."""
        return [role(player.kind) for player in self.players]


def role(kind: str) -> str:
    """What a player of some kind is: `feed-forward`, `group`, or `mixer`: attention, or what stands in its place."""
    return kind if kind == "group" else "feed-forward" if kind in FEED_FORWARD else "mixer"


def less(second: Sample, first: Sample) -> Sample:
    """The second less the first, on each document.

    Both must be of the same documents. Where coalitions were sampled and both have the same players, both were scored
    on the same coalitions, so the replicates are paired, too; with other players their errors are independent.
    """
    a, b = first.values, second.values
    replicates = None if a.replicates is None or b.replicates is None else b.replicates - a.replicates
    resampled = None if a.resampled is None or b.resampled is None else b.resampled - a.resampled
    bound = None if first.bound is None or second.bound is None else first.bound + second.bound
    values = Values(b.documents - a.documents, replicates, resampled, a.shared and b.shared, a.clusters)
    return replace(first, values=values, bound=bound)


def on_one_scale(first: Side, second: Side) -> tuple[Side, Side]:
    """Both sides with the same scale on each task, so that their means over tasks can be subtracted.

    It is the root of the mean of the squares of both.
    """
    sides: tuple[dict[str, dict[str, Sample]], dict[str, dict[str, Sample]]] = ({}, {})
    for quantity, samples in first.samples.items():
        for task, sample in samples.items():
            other = second.samples[quantity][task]
            scale = sample.scale if sample.scale == other.scale else float(np.hypot(sample.scale, other.scale) / 2**0.5)
            for made, each in zip(sides, (sample, other), strict=True):
                made.setdefault(quantity, {})[task] = replace(each, scale=scale)
    return replace(first, samples=sides[0]), replace(second, samples=sides[1])


def two_sided(estimate: Estimate) -> np.ndarray:
    """p-values [N] of "0"."""
    above = estimate.p_above()
    return np.minimum(1, 2 * np.minimum(above, 1 - above))


def differences(first: Side, second: Side, level: float) -> pd.DataFrame:
    """Models with equal players: the second's value and drop of each player less the first's.

    Returns:
        A row per quantity, task (and the mean) and player: `first`, `second` (models), `quantity`, `task`, `player`,
        `position`, `kind`, `block`; `first_value`, `second_value`, `first_rank`, `second_rank` (equals
        share their mean rank); `difference`, `se`, `low`, `high`; `p` (two-sided, of no difference) and `p_holm`,
        adjusted over the players; `differs`, whether that is at most 1 - level; `documents`.
    """
    frames = []
    for quantity, samples in first.samples.items():
        others = second.samples[quantity]
        own = [ranks.estimates(side, level) for side in (samples, others)]
        found = ranks.estimates({task: less(others[task], sample) for task, sample in samples.items()}, level)
        for task, estimate in found.items():
            values = [side[task].value for side in own]
            p = two_sided(estimate)
            adjusted = holm(p)
            frames.append(
                pd.DataFrame(
                    {
                        "first": first.model,
                        "second": second.model,
                        "quantity": quantity,
                        "task": task,
                        "player": [player.name for player in first.players],
                        "position": [player.position for player in first.players],
                        "kind": [player.kind for player in first.players],
                        "block": [player.block for player in first.players],
                        "first_value": values[0],
                        "second_value": values[1],
                        "first_rank": _ranked(values[0]),
                        "second_rank": _ranked(values[1]),
                        "difference": estimate.value,
                        "se": estimate.se,
                        "low": estimate.low,
                        "high": estimate.high,
                        "p": p,
                        "p_holm": adjusted,
                        "differs": adjusted <= 1 - level,
                        "documents": _documents(samples, task),
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


def by_depth(sides: Sequence[Side], level: float) -> pd.DataFrame:
    """The values and drops of both models against the relative depth.

    Returns:
        A row per model, quantity, task (and the mean) and player: `model`, `quantity`, `task`, `player`, `position`,
        `kind`, `role`, `block`, `depth` (0 to 1), `value`, `se`, `low`, `high`, `documents`.
    """
    frames = []
    for side in sides:
        for quantity, samples in side.samples.items():
            for task, estimate in ranks.estimates(samples, level).items():
                frames.append(
                    pd.DataFrame(
                        {
                            "model": side.model,
                            "quantity": quantity,
                            "task": task,
                            "player": [player.name for player in side.players],
                            "position": [player.position for player in side.players],
                            "kind": [player.kind for player in side.players],
                            "role": side.roles,
                            "block": [player.block for player in side.players],
                            "depth": side.depths,
                            "value": estimate.value,
                            "se": estimate.se,
                            "low": estimate.low,
                            "high": estimate.high,
                            "documents": _documents(samples, task),
                        }
                    )
                )
    return pd.concat(frames, ignore_index=True)


def by_band(first: Side, second: Side, level: float) -> pd.DataFrame:
    """What lies in each band of the relative depth: the sum of the values, the mean of the drops, and differences.

    Unlike Table 1's share these are linear in the values, so their intervals are those of any contrast.

    Returns:
        A row per quantity, task (and the mean), role (and `all`) and band in which both models have players: `first`,
        `second` (models), `quantity`, `task`, `role`, `band` (from 1), `from_depth`, `to_depth`, `first_players`,
        `second_players`, `first_value`, `second_value`, `difference` (second less first), `se`, `low`, `high`, `p`
        (two-sided), `p_holm` (over the bands and roles of a quantity and task), `differs`, `documents`.
    """
    rows = []
    for quantity, samples in first.samples.items():
        for name in ("all", "mixer", "feed-forward"):
            for band in range(BANDS):
                weights = [_weights(side, name, band, quantity) for side in (first, second)]
                if not all(each.any() for each in weights):
                    continue
                sides = [
                    {task: sample.contrasts(w) for task, sample in side.samples[quantity].items()}
                    for side, w in zip((first, second), weights, strict=True)
                ]
                values = [ranks.estimates(side, level) for side in sides]
                found = ranks.estimates({task: less(sides[1][task], sides[0][task]) for task in samples}, level)
                for task, estimate in found.items():
                    rows.append(
                        {
                            "first": first.model,
                            "second": second.model,
                            "quantity": quantity,
                            "task": task,
                            "role": name,
                            "band": band + 1,
                            "from_depth": band / BANDS,
                            "to_depth": (band + 1) / BANDS,
                            "first_players": int((weights[0] != 0).sum()),
                            "second_players": int((weights[1] != 0).sum()),
                            "first_value": values[0][task].value[0],
                            "second_value": values[1][task].value[0],
                            "difference": estimate.value[0],
                            "se": estimate.se[0],
                            "low": estimate.low[0],
                            "high": estimate.high[0],
                            "p": two_sided(estimate)[0],
                            "documents": _documents(samples, task),
                        }
                    )
    frame = pd.DataFrame(rows)
    frame.insert(17, "p_holm", frame.groupby(["quantity", "task"])["p"].transform(lambda p: holm(p.to_numpy())))
    frame.insert(18, "differs", frame["p_holm"] <= 1 - level)
    return frame


def _weights(side: Side, name: str, band: int, quantity: str) -> np.ndarray:
    """[N, 1] of the sum (of values) or the mean (of drops) over the players of a role in a band."""
    bands = np.minimum((side.depths * BANDS).astype(int), BANDS - 1)
    chosen = (bands == band) & (np.array([name in ("all", each) for each in side.roles]))
    weights = chosen.astype(np.float64)
    return (weights / max(1, chosen.sum()) if quantity == "drop" else weights)[:, None]


def _ranked(values: np.ndarray) -> np.ndarray:
    """[N] ranks from 1, the highest first; equals share their mean rank."""
    found: np.ndarray = pd.Series(np.round(values, ROUNDED)).rank(ascending=False).to_numpy()
    return found


def _documents(samples: Mapping[str, Sample], task: str) -> int:
    """The number of documents of a task, or of all for their mean."""
    counts = {name: len(sample.clusters) for name, sample in samples.items()}
    return sum(counts.values()) if task == MEAN else counts[task]
