"""What a job has to do: files of coalitions, the documents that they lack, and how these are walked together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from cornerstone.engine.batching import batches_by_piece
from cornerstone.engine.blocks import Piece
from cornerstone.engine.network import Network
from cornerstone.engine.tries import Batch, PackedDocument
from cornerstone.schedule import memory
from cornerstone.schedule.groups import Division, Grouping


@dataclass(frozen=True)
class Target:
    """A coalition and the file that its result goes to; `again`: whatever the file holds, it is computed."""

    coalition: int
    path: Path
    again: bool = False


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

    def finished(self, walked: Collection[int]) -> set[Piece]:
        """The pieces all of whose batches are among those that were walked, by index."""
        owners = [piece for piece in self.pieces for _ in piece.places]
        left = {owners[batch.documents[0]] for i, batch in enumerate(self.batches) if i not in walked}
        return set(self.pieces) - left

    @property
    def groups(self) -> list[list[Target]]:
        """The targets, group by group."""
        return self.grouping.groups(self.targets)


@dataclass(frozen=True)
class Loaded:
    """A model and some documents in its tokens, by place in the task, and what memory is there.

    `rolling`: each document is one text, whose choices are its windows. `greedy`: whether a metric asks what the model
    by itself would write.
    """

    network: Network
    packed: Mapping[int, PackedDocument]
    most_tokens: int
    room: memory.Room
    rolling: bool = False
    greedy: bool = False

    def rows(self, scores: Sequence[Sequence[torch.Tensor]]) -> list[list[list[float]]]:
        """The log-likelihoods [coalition][document][choice] of what `sweep.choice_scores` returns."""
        return [[[float(row.sum())] if self.rolling else row.tolist() for row in rows] for rows in scores]

    def batches(self, pieces: Sequence[Piece]) -> list[Batch]:
        """The documents of some pieces, each piece packed by itself."""
        documents = [self.packed[place] for piece in pieces for place in piece.places]
        return batches_by_piece(self.network.model, documents, pieces, self.most_tokens)

    def part(self, pieces: Sequence[Piece], targets: Sequence[Target]) -> Part:
        """How targets, in sweep order, are walked over the documents of some pieces.

        Raises:
            ConfigError: not even one state of the largest batch fits into memory.
        """
        batches = self.batches(pieces)
        token_bytes = self.network.hidden_size * self.network.dtype.itemsize
        division = Division(tuple(batch.tokens for batch in batches), token_bytes, self.room)
        grouping = division.grouping([target.coalition for target in targets], self.network.stages)
        return Part(tuple(pieces), batches, grouping, list(targets))
