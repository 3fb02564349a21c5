"""Documents in blocks: each is packed by itself, so its scores do not depend on how many others are asked for.

The documents of a task stand in one order, and a limit takes a beginning of it. Blocks cut that order at places that
depend on the documents alone. A batch never holds documents of two blocks. So when the limit grows, only the new blocks
are scored, and the numbers of the old ones are, to the bit, those of a run that asked for all of them at once.

A limit may stop inside a block. Then the part of the block that is asked for is scored, and the rest later, as a piece
of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

FIRST = (8, 24, 64)
"""Where the first blocks stop: small ones, as small limits are common."""
SIZE = 64
"""Documents of each block after these. Smaller ones leave more padding (benchmarks/results/blocks.md)."""


@dataclass(frozen=True, order=True)
class Piece:
    """A block, or a part of one: `count` documents from the place `first` (0 is the task's first) on."""

    first: int
    count: int

    @property
    def places(self) -> range:
        """Where its documents stand among those of the task."""
        return range(self.first, self.first + self.count)


def edges(clusters: Sequence[str]) -> list[int]:
    """Where blocks begin, and where the last one stops.

    A block stops at the first of its places (`FIRST`, then every `SIZE` documents) at which no cluster is cut. So those
    of the first n documents of a task are those of all of them, up to n.

    Args:
        clusters: of each document, in the task's order; those of a cluster are neighbours.

    >>> edges(["a"] * 7 + ["b", "b"] + ["c"] * 11)
    [0, 9, 20]
    """
    count, found, aims = len(clusters), [0], [*FIRST, *range(FIRST[-1] + SIZE, len(clusters), SIZE)]
    for aim in aims:
        stop = max(aim, found[-1])
        while 0 < stop < count and clusters[stop] == clusters[stop - 1]:
            stop += 1
        if found[-1] < stop < count:
            found.append(stop)
    return [*found, count] if count else found


def pieces(clusters: Sequence[str], there: Collection[int] = ()) -> list[Piece]:
    """What has to be scored of some documents: block by block, without what is there.

    Args:
        clusters: of each document that is asked for, in the task's order.
        there: places of documents that are scored already.
    """
    found: list[Piece] = []
    for start, stop in pairwise(edges(clusters)):
        last = None
        for place in range(start, stop):
            if place in there:
                continue
            if last == place - 1:
                found[-1] = Piece(found[-1].first, found[-1].count + 1)
            else:
                found.append(Piece(place, 1))
            last = place
    return found
