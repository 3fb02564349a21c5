"""Which coalitions are evaluated, and in which chunks. Imports no torch.

Each estimator asks for a list of coalitions; the plan of a model is their union, each coalition once. Chunks
are runs of that plan in sweep order (coalitions that agree on their first players stand together), because
the sweep computes what they share only once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cornerstone.game.coalitions import full, without
from cornerstone.game.players import Player


def windows(count: int, largest: int) -> Iterator[range]:
    """All contiguous windows of 1..largest positions among `count`, by start, then by length."""
    for start in range(count):
        for length in range(1, min(largest, count - start) + 1):
            yield range(start, start + length)


def window_coalitions(players: tuple[Player, ...], largest: int) -> list[int]:
    """The coalitions of the paper's estimator: full, and each window of at most `largest` removed.

    There are 1 + K*N - K(K-1)/2 of them for K = largest <= N players.
    """
    return [full(players), *(without(window, players) for window in windows(len(players), largest))]


def ablation_coalitions(players: tuple[Player, ...]) -> list[int]:
    """Full, and each single player removed: N + 1 coalitions."""
    return window_coalitions(players, 1)


def baseline_coalitions(players: tuple[Player, ...]) -> list[int]:
    """The model as it is, and the model with every sublayer removed (its measured floor)."""
    return [full(players), 0]


def in_sweep_order(coalitions: Iterable[int], players: tuple[Player, ...]) -> list[int]:
    """Distinct coalitions, sorted so that those which agree on the first players stand together."""

    def path(coalition: int) -> list[bool]:
        return [bool(coalition >> player.position & 1) for player in players]

    return sorted(set(coalitions), key=path)


def plan(players: tuple[Player, ...], wanted: Iterable[Iterable[int]]) -> list[int]:
    """The distinct coalitions of all estimators and of what is always evaluated, in sweep order.

    Args:
        players: of the model.
        wanted: the coalitions of each estimator.
    """
    distinct = set(baseline_coalitions(players)) | set(ablation_coalitions(players))
    for coalitions in wanted:
        distinct.update(coalitions)
    return in_sweep_order(distinct, players)


def chunks(coalitions: list[int], count: int, players: tuple[Player, ...]) -> list[list[int]]:
    """Split a plan (in sweep order) into at most `count` runs of about equal work; none is empty.

    A coalition's work is taken as the number of players from its first removed one on: what comes before, it
    shares with its neighbours.
    """
    count = max(1, min(count, len(coalitions)))
    missing = (full(players) & ~coalition for coalition in coalitions)
    work = [len(players) - (gap & -gap).bit_length() + 2 if gap else 1 for gap in missing]
    left, start = sum(work), 0
    runs = []
    for runs_left in range(count, 0, -1):
        last_stop = len(coalitions) - runs_left + 1  # leaves a coalition for each run to come
        stop, done = start + 1, work[start]
        while stop < last_stop and done + work[stop] / 2 <= left / runs_left:
            done += work[stop]
            stop += 1
        stop = last_stop if runs_left == 1 else stop
        runs.append(coalitions[start:stop])
        left, start = left - done, stop
    return runs


def deletion_steps(count: int, share: float, points: int) -> list[int]:
    """How many players are removed at each point of a deletion curve.

    Evenly spaced up to floor(share * count), rounded to whole players, at least 1, each number once.
    """
    most = max(1, int(share * count))
    return sorted({max(1, round(most * (i + 1) / points)) for i in range(points)})
