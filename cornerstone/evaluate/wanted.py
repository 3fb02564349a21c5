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
from cornerstone.config.config import Config
from cornerstone.engine.blocks import Piece, pieces
from cornerstone.estimators.nested import dealt

Block = Mapping[str, Any]
"""What a result says of a piece: `first`, `count`, `digest`, and more that this module passes over."""


@dataclass(frozen=True)
class Wanted:
    """The first `limit` documents of a task (None: all).

    Attributes:
        whole: the task.
        limit: how many documents are asked for.
        samples: to how many samples of coalitions they are dealt out (`design: nested`); 0: to none.
        first: number of the first block of documents, see `dealt`.
        only: the samples whose documents are asked for; None: all documents are.
    """

    whole: TaskDocuments
    limit: int | None = None
    samples: int = 0
    first: int = 0
    only: frozenset[int] | None = None
    _digests: dict[Piece, str] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, config: Config, model: str, task: str, whole: TaskDocuments) -> Wanted:
        """What a config asks for of a task's documents."""
        first = config.members(config.entry_of(task)).index(task)
        return cls(whole, config.limit(model, task), config.samples, first)

    def within(self, only: frozenset[int] | None) -> Wanted:
        """Those of some samples (None: all documents)."""
        return self if only is None else replace(self, only=only)

    @cached_property
    def sample(self) -> list[int]:
        """Of each document up to the limit, the sample that it belongs to; 0 where they are not dealt out."""
        clusters = [document.cluster for document in self.whole.first(self.limit).documents]
        return dealt(clusters, self.samples, self.first) if self.samples else [0] * len(clusters)

    @cached_property
    def places(self) -> list[int]:
        """Where the documents that are asked for stand among those of the task."""
        return [place for place, sample in enumerate(self.sample) if self.only is None or sample in self.only]

    @cached_property
    def data(self) -> TaskDocuments:
        """The documents that are asked for."""
        first = self.whole.first(self.limit)
        return first if self.only is None else replace(first, documents=[first.documents[i] for i in self.places])

    @cached_property
    def clusters(self) -> list[str]:
        """Of each document up to the limit."""
        return [document.cluster for document in self.whole.first(self.limit).documents]

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
        there = self.rows(blocks).keys() | (set(range(len(self.clusters))) - set(self.places))
        return tuple(pieces(self.clusters, there))


def piece_of(block: Block) -> Piece:
    """Where a block's documents stand.

    Raises:
        KeyError, TypeError: it is no block.
    """
    first, count = block["first"], block["count"]
    if type(first) is not int or type(count) is not int:
        raise TypeError("a block's `first` and `count` are whole numbers")
    return Piece(first, count)
