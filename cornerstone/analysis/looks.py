"""What one look at the documents says, where `until` is set: is the result settled, and if not, what would it take?

`settled: topK` asks what makes a layer a cornerstone (`ranks.among_top`) of K layers at once, at the error rate that
`config.looks.Look.spent` gives to the look. Wrongly settled at any look is then a result in 1 - `intervals.level` of
all runs at most: at each look the test keeps its own rate, whatever the looks before, and the rates sum to less.

`half_width` asks for intervals that are narrow, and rejects nothing, so no error rate is spent: these are the printed
intervals. Where a run stops when its intervals are narrow enough, their coverage stays what it is, up to terms that
vanish with the half-width (Chow and Robbins 1965, "On the asymptotic theory of fixed-width sequential confidence
intervals for the mean"): the spread over documents decides when to stop, and says nothing of where the mean is.
benchmarks/results/looks.md has measurements of both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cornerstone.analysis import games, power, ranks, shapley
from cornerstone.analysis.ranks import Sample
from cornerstone.config.config import Config
from cornerstone.config.looks import Look, Until
from cornerstone.game.game import MEAN
from cornerstone.plan import fingerprint


def verdict(config: Config, model: str, values: Sequence[Path], documents: Mapping[str, Any]) -> dict[str, Any]:
    """What the present look says of a model, by the headline estimator: see looks/<documents>.json in docs/outputs.md.

    Args:
        config: the configuration, with `until`.
        model: its name.
        values: the Parquet file of each task, in the config's order.
        documents: all that each task has, by scored task.

    Raises:
        StoreError: see `games.read_all`.
    """
    until, look, level = config.until, config.look(model), config.intervals.level
    assert until is not None
    scored = {task: whole.first(config.limit(model, task)) for task, whole in documents.items()}
    digests = {task: part.digest for task, part in scored.items()}
    by_function = {function: games.read_all(config, model, values, function, digests) for function in config.functions}
    found = shapley.samples(config, config.headline, by_function)
    names = [player.name for player in config.models[model].all_players()]
    parts = [
        {"value_function": function, "decides": function == until.by}
        | of_samples(found[function], names, until, look, level, config.seed)
        for function in config.functions
    ]
    more = any(len(scored[task].documents) < len(whole.documents) for task, whole in documents.items())
    end = (
        "all that the tasks have" if not more else "" if look.documents < until.at_most else "the most that is allowed"
    )
    return {
        "model": model,
        "settled": next(part["settled"] for part in parts if part["decides"]),
        "text": f"{model}: {_text(until, look, level, parts, end)}",
        "last": bool(end),
        "look": look.number,
        "documents": look.documents,
        "documents_by_task": {task: len(part.documents) for task, part in scored.items()},
        "until": until.model_dump(exclude_none=True),
        "level": level,
        "estimator": config.headline.name,
        "value_functions": parts,
        "made_from": {"settings": config.made_for(model), "fingerprint": fingerprint.of_estimates(config, model)},
    }


def of_samples(
    found: Mapping[str, Sample], names: Sequence[str], until: Until, look: Look, level: float, seed: int = 0
) -> dict[str, Any]:
    """Whether the mean over tasks is settled by one value function.

    Args:
        found: task -> what the estimator says.
        names: of the N players.
        until: what is asked for.
        look: at which this is.
        level: over all looks; of the intervals.
        seed: of the forecast of what it would take.

    Returns:
        `settled`; `alpha` (of this look's tests, or of the intervals); `layers` (those that are confirmed, or whose
        intervals are narrow enough); `half_width` (the largest); `needed` (documents of the task that has most:
        lowest and highest guess, None where no number is enough); `players`, by value.
    """
    return _top(found, names, until.top, look, level, seed) if until.top else _width(found, names, until, level)


def _top(
    found: Mapping[str, Sample], names: Sequence[str], k: int, look: Look, level: float, seed: int
) -> dict[str, Any]:
    alpha = look.spent(level)
    above = ranks.pairwise(found, level)[MEAN]
    intervals, p = ranks.rank_intervals(above, 1 - alpha), ranks.among_top(above, k)
    confirmed = p <= alpha
    settled = bool(confirmed.sum() == k)
    pilot = power.Pilot.of(found)
    guesses = [] if settled else [pilot.documents_for_top(pilot.values, k, 1 - alpha)]
    if guesses:
        guesses.append(float(np.median([pilot.documents_for_top(each, k, 1 - alpha) for each in pilot.draws(seed)])))
    columns = {"rank_low": intervals[:, 0], "rank_high": intervals[:, 1], "p_top": p, "confirmed": confirmed}
    return _said(found, names, settled, alpha, confirmed, guesses, level, columns)


def _width(found: Mapping[str, Sample], names: Sequence[str], until: Until, level: float) -> dict[str, Any]:
    estimate = ranks.estimates(found, level)[MEAN]
    narrow = (estimate.high - estimate.low) / 2 <= (until.half_width or 0)
    settled = bool(narrow.all())
    pilot = power.Pilot.of(found)
    needed = [] if settled else [float(pilot.documents_within(until.half_width or 0, level).max())]
    return _said(found, names, settled, 1 - level, narrow, needed, level, {"narrow": narrow})


def _said(
    found: Mapping[str, Sample],
    names: Sequence[str],
    settled: bool,
    alpha: float,
    chosen: np.ndarray,
    needed: Sequence[float],
    level: float,
    columns: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """What `of_samples` returns; `chosen`: [N] which layers are as they should be."""
    estimate = ranks.estimates(found, level)[MEAN]
    order = np.argsort(-estimate.value, kind="stable")
    half = (estimate.high - estimate.low) / 2
    columns = {"value": estimate.value, "low": estimate.low, "high": estimate.high, "half_width": half, **columns}
    return {
        "settled": settled,
        "alpha": alpha,
        "layers": [names[i] for i in order if chosen[i]],
        "half_width": _finite(half.max()),
        "needed": [_finite(np.ceil(each)) for each in sorted(needed)],
        "players": [
            {"player": names[i], "rank": rank} | {column: _finite(each[i]) for column, each in columns.items()}
            for rank, i in enumerate(order, 1)
        ],
    }


def _finite(value: Any) -> Any:
    """As JSON has it."""
    value = value.item() if hasattr(value, "item") else value
    return value if not isinstance(value, float) or math.isfinite(value) else None


def _text(until: Until, look: Look, level: float, parts: Sequence[Mapping[str, Any]], end: str) -> str:
    """The verdict in words."""
    said = next(part for part in parts if part["decides"])
    at = f"settled at {look.documents:,} documents a task (look {look.number})"
    others = [part["value_function"] for part in parts if part["settled"] and not part["decides"]]
    also = f". Settled by {' and '.join(others)}" if others else ""
    names = ", ".join(said["layers"])
    if until.top is not None:
        rate = f"error rate {100 * said['alpha']:.2g} % at this look, {100 * (1 - level):.2g} % over all"
        if said["settled"]:
            return f"{at}: by {until.by}, the top {until.top} are {names} ({rate}){also}"
        there = f"by {until.by}, {len(said['layers'])} of the top {until.top} confirmed{f' ({names})' if names else ''}"
    else:
        there = f"by {until.by}, the largest half-width is {said['half_width']:.3g}; asked for: {until.half_width:g}"
        if said["settled"]:
            return f"{at}: {there}{also}"
    never = "layers at the border are equal so far" if until.top else "the sampled coalitions alone are too uncertain"
    return f"not {at}{end and f', {end}'}: {there}; {_needed(said['needed'], never)}{also}"


def _needed(guesses: Sequence[float | None], never: str) -> str:
    """What it would take, in words."""
    known = [guess for guess in guesses if guess is not None]
    if not known:
        return f"how many it would take can't be said: {never}"
    if len(known) < len(guesses):
        return f"it would take about {known[0]:,.0f} or many more"
    return f"it would take about {known[0]:,.0f}{f' to {known[-1]:,.0f}' if known[-1] > known[0] else ''}"
