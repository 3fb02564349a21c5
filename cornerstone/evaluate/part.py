"""What an evaluate job makes: coalitions, and those of them that are walked together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cornerstone.engine.blocks import Piece
from cornerstone.engine.tries import Batch
from cornerstone.schedule.groups import Grouping


@dataclass(frozen=True)
class Target:
    """A coalition and the file that its result goes to.

    Attributes:
        coalition: bitmask of the players kept.
        path: of the file.
        again: whatever the file holds, it is computed.
        only: on the documents of these samples (see `Wanted`); None: on all that are asked for.
    """

    coalition: int
    path: Path
    again: bool = False
    only: frozenset[int] | None = None


@dataclass(frozen=True)
class Part:
    """Targets that lack the same documents, and how they are walked together.

    Attributes:
        pieces: what they lack.
        batches: of the documents of the pieces; a batch's `documents` count these, one piece after another.
        grouping: of the targets.
        targets: in sweep order.
    """

    pieces: tuple[Piece, ...]
    batches: list[Batch]
    grouping: Grouping
    targets: list[Target]

    @property
    def tokens(self) -> int:
        """Tokens of all batches, padding included."""
        return sum(batch.tokens for batch in self.batches)

    @property
    def groups(self) -> list[list[Target]]:
        """The targets, group by group."""
        return self.grouping.groups(self.targets)
