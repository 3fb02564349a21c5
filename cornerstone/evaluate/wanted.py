"""Which documents of a task are asked for, and which of them a result holds.

A result's `blocks` say which documents were scored together, by their places in the task's file of documents and by a
digest of their content. A block whose documents are no longer what they were counts for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from cornerstone.assets.documents import TaskDocuments
from cornerstone.engine.blocks import Piece, pieces

Block = Mapping[str, Any]
"""What a result says of a piece: `first`, `count`, `digest`, and more that this module passes over."""


@dataclass(frozen=True)
class Wanted:
    """The first `limit` documents of a task (None: all).

    Attributes:
        whole: the task.
        limit: how many documents are asked for.
    """

    whole: TaskDocuments
    limit: int | None = None
    _digests: dict[Piece, str] = field(default_factory=dict, compare=False)

    @cached_property
    def data(self) -> TaskDocuments:
        """The documents that are asked for."""
        return self.whole.first(self.limit)

    @cached_property
    def clusters(self) -> list[str]:
        """Of each document that is asked for."""
        return [document.cluster for document in self.data.documents]

    def part(self, piece: Piece) -> TaskDocuments:
        """The task with the documents of a piece only."""
        return replace(self.whole, documents=self.whole.documents[piece.first : piece.first + piece.count])

    def digest(self, piece: Piece) -> str:
        """Of the content of a piece's documents (`TaskDocuments.digest`); empty where the task has fewer documents."""
        if piece not in self._digests:
            part = self.part(piece)
            fits = piece.first >= 0 and piece.count > 0 and len(part.documents) == piece.count
            self._digests[piece] = part.digest if fits else ""
        return self._digests[piece]

    def fits(self, block: Block) -> bool:
        """Whether a block's documents are today's.

        Raises:
            KeyError, TypeError: it is no block.
        """
        digest = self.digest(piece_of(block))
        return digest != "" and block["digest"] == digest

    def rows(self, blocks: Sequence[Block]) -> dict[int, int]:
        """Place of each document that a result holds as it is today -> its row in the result's arrays.

        Raises:
            KeyError, TypeError: these are no blocks.
        """
        found: dict[int, int] = {}
        row = 0
        for block in blocks:
            piece = piece_of(block)
            if self.fits(block):
                found |= {place: row + i for i, place in enumerate(piece.places)}
            row += piece.count
        return found

    def missing(self, blocks: Sequence[Block]) -> tuple[Piece, ...]:
        """What must be scored of what is asked for, besides some blocks."""
        return tuple(pieces(self.clusters, self.rows(blocks)))


def piece_of(block: Block) -> Piece:
    """Where a block's documents stand.

    Raises:
        KeyError, TypeError: it is no block.
    """
    first, count = block["first"], block["count"]
    if type(first) is not int or type(count) is not int:
        raise TypeError("a block's `first` and `count` are whole numbers")
    return Piece(first, count)
