"""How long a streamed walk takes: reading and computing side by side.

With s slots, the weights of unit i can be read once those of unit i - 1 have been read and unit i - s has been
computed with; unit i can be computed once its weights are there and unit i - 1 is done:

    read[i]    = max(read[i - 1], done[i - s]) + bytes[i] / read rate
    done[i]    = max(read[i], done[i - 1]) + FLOP[i] / speed

In the long run that is the sum of the larger of the two times of each unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class WalkTime:
    """How long a walk takes.

    Attributes:
        seconds: from its beginning to its end.
        waited: of these, seconds in which nothing is computed because weights are missing.
    """

    seconds: float
    waited: float

    @property
    def share_waited(self) -> float:
        """Share of the time in which it waits, 0 to 1."""
        return self.waited / self.seconds if self.seconds else 0.0


def walk_time(reads: Sequence[float], computes: Sequence[float], slots: int) -> WalkTime:
    """The time of a walk from the seconds that reading and computing each unit take, in the order of use."""
    read, done = 0.0, 0.0
    ends: list[float] = []
    for i, (reading, computing) in enumerate(zip(reads, computes, strict=True)):
        read = max(read, ends[i - slots] if i >= slots else 0.0) + reading
        done = max(read, done) + computing
        ends.append(done)
    return WalkTime(done, done - sum(computes))
