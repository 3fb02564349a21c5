"""What a job has to do: files of coalitions, the documents that they lack, and how these are walked together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

from cornerstone.engine import sweep
from cornerstone.engine.batching import batches_by_piece
from cornerstone.engine.blocks import Piece
from cornerstone.engine.network import Network
from cornerstone.engine.tries import Batch, PackedDocument
from cornerstone.schedule import memory
from cornerstone.schedule.groups import Division, Grouping


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

    @cached_property
    def owners(self) -> list[Piece]:
        """The piece that each batch's documents belong to."""
        of_document = [piece for piece in self.pieces for _ in piece.places]
        return [of_document[batch.documents[0]] for batch in self.batches]

    def steps(self) -> list[list[list[int]]]:
        """The walks, each a list of batches by index, cut into steps: each finishes a piece, or several."""
        left = Counter(self.owners)
        found: list[list[list[int]]] = [[]]
        for run in self.grouping.runs([batch.tokens for batch in self.batches]):
            found[-1].append(run)
            left.subtract(self.owners[i] for i in run)
            if any(not left[self.owners[i]] for i in run):
                found.append([])
        return [step for step in found if step]

    def finished(self, walked: Collection[int]) -> set[Piece]:
        """The pieces all of whose batches are among those that were walked, by index."""
        return set(self.pieces) - {owner for i, owner in enumerate(self.owners) if i not in walked}

    @property
    def groups(self) -> list[list[Target]]:
        """The targets, group by group."""
        return self.grouping.groups(self.targets)


class Walked:
    """What the walks of a group have found so far: it stays where an error or a signal ends them.

    Args:
        coalitions: of the group.
        documents: of the part.
        asks: whether it is asked which choices the model by itself would write.

    Attributes:
        batches: those that are scored, by index.
        scores: [coalition][document] -> float64 tensor [choices]; empty before the document is scored.
        greedy: the same as bool; None where it is not asked.
    """

    def __init__(self, coalitions: int, documents: int, asks: bool) -> None:
        self.batches: set[int] = set()
        self.scores = [[torch.empty(0, dtype=torch.float64)] * documents for _ in range(coalitions)]
        self.greedy = [[torch.empty(0, dtype=torch.bool)] * documents for _ in range(coalitions)] if asks else None

    def walk(self, network: Network, part: Part, group: Sequence[int], advance: Callable[[int], None]) -> None:
        """Walk a group step by step, and keep what each finds."""
        for step in part.steps():
            indices = [i for run in step for i in run]
            places = sorted({place for i in indices for place in part.batches[i].documents})
            row, order = {place: n for n, place in enumerate(places)}, {i: n for n, i in enumerate(indices)}
            chosen = [part.batches[i] for i in indices]
            batches = [replace(batch, documents=tuple(row[place] for place in batch.documents)) for batch in chosen]
            greedy: list[list[torch.Tensor]] | None = None if self.greedy is None else []
            runs = [[order[i] for i in run] for run in step]
            scores = sweep.choice_scores(network, batches, group, advance, runs, greedy)
            for batch in batches:
                for document, first, count in zip(
                    batch.documents, batch.first_choices, batch.choice_counts, strict=True
                ):
                    taken = slice(first, first + count)
                    _take(self.scores, scores, places[document], document, taken)
                    if self.greedy is not None and greedy is not None:
                        _take(self.greedy, greedy, places[document], document, taken)
            self.batches.update(indices)


def _take(
    into: list[list[torch.Tensor]], found: list[list[torch.Tensor]], place: int, row: int, choices: slice
) -> None:
    """Take some choices of a document over, for each coalition."""
    for known, new in zip(into, found, strict=True):
        if len(known[place]):  # other choices of it came in an earlier step
            whole = new[row].new_empty(max(len(known[place]), choices.stop))
            whole[: len(known[place])] = known[place]
            whole[choices] = new[row][choices]
            known[place] = whole
        else:
            known[place] = new[row]


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

    def nothing(self, part: Part, group: Sequence[int]) -> Walked:
        """What is known of a group before it is walked."""
        return Walked(len(group), sum(piece.count for piece in part.pieces), self.greedy)

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
