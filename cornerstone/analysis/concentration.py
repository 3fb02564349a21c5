"""How much of a model's value its top players hold, with an interval that holds the bias of the paper's recipe.

The paper's share (Table 1) is biased: setting negative values to 0 keeps the positive half of the noise, and the
highest of many noisy values are too high. So the share is enclosed between two that err to either side, and the
difference of two models between the ends of theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import special

from cornerstone.analysis import paper
from cornerstone.analysis.ranks import CHOSEN, Sample
from cornerstone.analysis.resampling import Draw, Sums, can_be_halved

SPLITS = 50
"""Random halves of the documents."""
SPLITS_AGAIN = 3
"""Random halves of each bootstrap sample."""


def shares(values: np.ndarray, columns: Sequence[int] | None) -> np.ndarray:
    """The paper's share; values: [T, ..., N] of T tasks. [...], NaN where a task has no positive value.

    Args:
        values: of the players.
        columns: the top players; None: the `CHOSEN` highest by mean over tasks, in each row anew.
    """
    positive = np.clip(values, 0, None)
    total = positive.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: np.ndarray = (_of_top(positive, values, columns) / total).mean(axis=0)
    return found


def _of_top(amounts: np.ndarray, ranked: np.ndarray, columns: Sequence[int] | None) -> np.ndarray:
    """The sum of amounts [T, ..., N] over the top players: `columns`, or the highest by `ranked`'s mean over tasks."""
    if columns is not None:
        found: np.ndarray = amounts[..., list(columns)].sum(axis=-1)
        return found
    top = highest(ranked.mean(axis=0))
    return np.stack([np.take_along_axis(task, top, axis=-1).sum(axis=-1) for task in amounts])


def highest(values: np.ndarray) -> np.ndarray:
    """The `CHOSEN` highest of values [..., N]: their positions, the highest first, the earlier of equals."""
    found: np.ndarray = np.argsort(-values, axis=-1, kind="stable")[..., :CHOSEN]
    return found


def enclosed(
    samples: Mapping[str, Sample],
    columns: Sequence[int] | None,
    draw: Draw,
    splits: int,
    rng: np.random.Generator,
    most: float = np.inf,
) -> np.ndarray:
    """The share of one model by the paper's recipe, two that err to either side, and one without selection.

    [4, B] of B repetitions: the plain share, the lower end, the upper end, the cross-fitted share.

    With T the true sum of the top players' values, and P the true sum of all positive ones:

    - plain sums are too high: E max(phi, 0) >= max(E phi, 0), and the highest of noisy values are selected;
    - sums in which one half of the documents says who is on top and who is positive, and the other half gives the
      values, are too low: a wrong choice loses value, and noise of the other half cancels.

    So the lower end divides the low sum of the top by the high sum of all, and the upper end the other way round. The
    cross-fitted share divides the low sum by the low sum. All but the plain one are NaN where the documents can't be
    halved.

    Args:
        samples: what an estimator says on each task.
        columns: the top players, known beforehand; None: the highest on the same documents.
        draw: which documents count in each repetition.
        splits: random halves of the documents in each.
        rng: of the halves.
        most: where the upper end of each task is cut; how far it varies is only known for a share that is at most 1.
    """
    sums = {task: Sums.of(sample) for task, sample in samples.items()}
    whole = np.stack(list(draw.means(sums).values()))  # [T, B, N]
    plain = shares(whole, columns)
    if not can_be_halved(samples):
        return np.stack([plain, *np.full((3, *plain.shape), np.nan)])
    sums_of_top, sums_of_all = [], []
    for _ in range(splits):
        one, other = (np.stack(list(half.means(sums).values())) for half in draw.halves(rng))
        for chooses, measures in ((one, other), (other, one)):
            kept = np.where(chooses > 0, measures, 0.0 * chooses)  # not a number where a half has no document
            sums_of_top.append(_of_top(kept, chooses, columns))
            sums_of_all.append(kept.sum(axis=-1))
    low, least = _mean(sums_of_top), _mean(sums_of_all)
    positive = np.clip(whole, 0, None)
    high, total = _of_top(positive, whole, columns), positive.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        lower = (low / total).mean(axis=0)
        upper = np.minimum(most, np.where(least <= 0, np.inf, high / least)).mean(axis=0)
        crossed = np.where(least > 0, low / least, np.nan).mean(axis=0)
    return np.stack([plain, np.fmin(lower, plain), np.fmax(upper, plain), crossed])


def interval(observed: np.ndarray, drawn: np.ndarray, level: float) -> tuple[float, float]:
    """The ends of `observed` [4], each moved outwards by its own standard error over `drawn` [4, B]: fractions.

    Not numbers where there is no share, or where more than 5 % of the repetitions have none.
    """
    if not np.isfinite(observed[0]):
        return np.nan, np.nan
    z = float(special.ndtri((1 + level) / 2))
    low, high = observed[1] - z * _spread(drawn[1]), observed[2] + z * _spread(drawn[2])
    if np.isnan([low, high]).any():
        return np.nan, np.nan
    return float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1))


def concentration(
    models: tuple[str, str],
    players: tuple[Sequence[str], Sequence[str]],
    samples: tuple[Mapping[str, Sample], Mapping[str, Sample]],
    *,
    level: float,
    seed: int,
    repetitions: int,
) -> pd.DataFrame:
    """Table 1's share of two models that answered the same documents, and its difference.

    Documents are drawn again for both models together, so standard errors of the difference are paired. The intervals
    hold the bias, too: that of the difference goes from (lower end of the second) - (upper end of the first) - z se to
    (upper end of the second) - (lower end of the first) + z se, each with the bootstrap's standard error of itself.

    Args:
        models: their names.
        players: names of each model's players, in execution order.
        samples: what the headline estimator says of each model, by task.
        level: of the intervals.
        seed: of the bootstrap and the halves.
        repetitions: of the bootstrap.

    Returns:
        One row: `first`, `second` (models); for each of them `_top` (players), `_share_percent` (the share by the
        paper's recipe), `_low`, `_high`, `_equal_percent` (the share if all values were equal); `difference_percent`
        (second less first), `low`, `high` of the difference, and `verdict` (whether the second's is `larger`,
        `smaller`, or that is `open`). Intervals are missing where documents are too few to be halved.
    """
    z = float(special.ndtri((1 + level) / 2))
    observed, drawn, tops = [], [], []
    for model, names, part in zip(models, players, samples, strict=True):
        columns = paper.published_positions(model, names)
        sums = {task: Sums.of(sample) for task, sample in part.items()}
        everything = Draw.everything(sums, 1)
        values = np.stack(list(everything.means(sums).values()))
        tops.append([names[i] for i in (columns or highest(values.mean(axis=0)[0]))])
        # the same seed, so the same documents and halves for both models
        rng = np.random.default_rng([seed, 3])
        observed.append(enclosed(part, columns, everything, SPLITS, rng)[:, 0])
        drawn.append(enclosed(part, columns, Draw.again(sums, repetitions, rng), SPLITS_AGAIN, rng, most=1))
    row: dict[str, object] = {"first": models[0], "second": models[1]}
    for which, found, again, top, names in zip(("first", "second"), observed, drawn, tops, players, strict=True):
        ends = interval(found, again, level)
        row |= {
            f"{which}_top": " ".join(top),
            f"{which}_share_percent": 100 * found[0],
            f"{which}_low": 100 * ends[0],
            f"{which}_high": 100 * ends[1],
            f"{which}_equal_percent": 100 * len(top) / len(names),
        }
    (first, second), (first_again, second_again) = observed, drawn
    low = np.clip(second[1] - first[2] - z * _spread(second_again[1] - first_again[2]), -1, 1)
    high = np.clip(second[2] - first[1] + z * _spread(second_again[2] - first_again[1]), -1, 1)
    row |= {"difference_percent": 100 * (second[0] - first[0]), "low": 100 * low, "high": 100 * high}
    return pd.DataFrame([{**row, "verdict": "larger" if low > 0 else "smaller" if high < 0 else "open"}])


def _mean(parts: Sequence[np.ndarray]) -> np.ndarray:
    """The mean over parts, each [T, B], without those that are not numbers; not a number where none is."""
    known = np.isfinite(parts)
    with np.errstate(invalid="ignore"):
        found: np.ndarray = np.where(known, parts, 0.0).sum(axis=0) / known.sum(axis=0)
    return found


def _spread(values: np.ndarray) -> float:
    """The standard deviation of what could be drawn; NaN where more than 5 % could not."""
    known = values[np.isfinite(values)]
    return float(known.std(ddof=1)) if len(known) >= max(2, 0.95 * len(values)) else float("nan")
