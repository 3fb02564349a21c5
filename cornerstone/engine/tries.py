"""The choices of a document as one packed sequence, a token trie, and documents packed into batches.

lm-eval scores each choice as a sequence of its own, though the choices of a document share most of their
tokens. Here a document becomes a trie: one node per distinct token prefix. A node's token attends to its
ancestors and itself, and its position is its depth, so each choice sees exactly what it would see alone, and
shared prefixes are computed once. Only the nodes from which a continuation token is predicted need the head.

A row of a batch holds several documents one after another, each of which sees itself alone, so that little of
it is padding.

Where a model can't see a trie (it carries a state along the sequence), each choice is a row of its own, as in lm-eval:
the tokens that choices share are computed once for each of them.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class PackedDocument:
    """A document's token trie.

    `tokens[i]` and `parents[i]` describe node i (parents come first; -1 is no parent). `targets` are
    (node, token, choice): the token that the node predicts, for which choice. `cut`: whether a choice was longer than
    the model reads, so that it lost its beginning.
    """

    tokens: tuple[int, ...]
    parents: tuple[int, ...]
    targets: tuple[tuple[int, int, int], ...]
    choices: int
    cut: bool = False

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def predicted(self) -> list[int]:
        """How many tokens of each choice are predicted."""
        counts = Counter(choice for _, _, choice in self.targets)
        return [counts[choice] for choice in range(self.choices)]


def pack(requests: Sequence[tuple[Sequence[int], Sequence[int]]], longest: int) -> PackedDocument:
    """Pack the (context tokens, continuation tokens) of a document's choices.

    Sequences above `longest` tokens are cut from the left, as lm-eval does.

    Raises:
        ValueError: when a continuation is empty or longer than `longest`.
    """
    tokens: list[int] = []
    parents: list[int] = []
    children: dict[tuple[int, int], int] = {}
    targets: list[tuple[int, int, int]] = []
    cut = False
    for choice, (context, continuation) in enumerate(requests):
        if not 0 < len(continuation) <= longest:
            raise ValueError(f"a continuation of {len(continuation)} tokens; 1..{longest} can be scored")
        sequence = [*context, *continuation][-(longest + 1) :]
        cut |= len(sequence) < len(context) + len(continuation)
        first_target = len(sequence) - len(continuation)
        node = -1
        for place, token in enumerate(sequence):
            if place >= first_target:
                targets.append((node, token, choice))
            if place == len(sequence) - 1:
                break  # the last token is predicted, never read
            key = (node, token)
            if key not in children:
                children[key] = len(tokens)
                tokens.append(token)
                parents.append(node)
            node = children[key]
    return PackedDocument(tuple(tokens), tuple(parents), tuple(targets), len(requests), cut)


@dataclass(frozen=True)
class Batch:
    """Packed documents, several to a row, each row padded to the same width.

    Shapes, for B rows, T tokens, R head rows and M targets:
        input_ids, positions: [B, T] int64
        visible: [B, T, T] bool; visible[b, i, j] when token i attends to token j; empty where each row is one choice
        rows: [R, 2] int64, (row of the batch, token) at which the head is needed
        target_rows, target_tokens: [M] int64, sorted by head row
        target_choices: [M] int64, index of the target's choice in the batch's flat list of choices
        documents: indices of the documents in the order given to `batches`
        first_choices: which choice of its document each begins with: 0 but where choices are rows of their own
        choice_counts: number of choices of each document that are here
    """

    input_ids: torch.Tensor
    positions: torch.Tensor
    visible: torch.Tensor
    rows: torch.Tensor
    target_rows: torch.Tensor
    target_tokens: torch.Tensor
    target_choices: torch.Tensor
    documents: tuple[int, ...]
    first_choices: tuple[int, ...]
    choice_counts: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """Tokens that go through each sublayer, padding included."""
        return self.input_ids.numel()


MULTIPLE = 16
"""Rows are a multiple of this many tokens wide: what kernels of attention want, on CPUs and GPUs."""
_WIDEST = 256
"""Rows are not made wider than this for the sake of less padding."""
_ATTENTION = 1024
"""The width of a row at which attention itself is taken to cost as much as all matrix products with weights."""


def batches(documents: Sequence[PackedDocument], most_tokens: int, unfolded: bool = False) -> list[Batch]:
    """Pack documents into batches of at most `most_tokens` tokens, padding included; `unfolded`: a row for each choice.

    Documents are cut by length into classes, each of which has rows of one width; wide rows leave less padding,
    but each token attends to the whole row. Of all ways to cut them it takes the cheapest, where a token costs
    1 + width / `_ATTENTION`, and a batch `most_tokens` / 64 tokens more, about what a call of a sublayer costs
    besides its arithmetic. The packing depends on the documents alone, so that every coalition meets the same
    shapes, whatever the chunking, the order and the memory budget. A row longer than `most_tokens` is a batch
    of its own.
    """
    origins = [(i, 0) for i in range(len(documents))]
    if unfolded:
        origins = [(i, choice) for i, document in enumerate(documents) for choice in range(document.choices)]
        documents = [choice_of(documents[i], choice) for i, choice in origins]
    by_length = sorted(range(len(documents)), key=lambda i: (-len(documents[i]), i))
    lengths = [len(documents[i]) for i in by_length]
    edges = [_rounded(length) for length in lengths]
    cuts = [0, *(i for i in range(1, len(edges)) if edges[i] != edges[i - 1]), len(edges)]
    cheapest: dict[int, float] = {0: 0.0}  # of the first (longest) n documents
    last_class: dict[int, tuple[int, list[list[int]], int]] = {}  # where their last class starts, its rows and width
    for stop in cuts[1:] if lengths else []:
        for start in reversed([cut for cut in cuts if cut < stop]):
            for width in range(
                edges[start], edges[start] + 1 if unfolded else max(edges[start], _WIDEST) + 1, MULTIPLE
            ):
                token_cost = 1 + width / _ATTENTION
                least = cheapest[start] + sum(lengths[start:stop]) * token_cost
                if least >= cheapest.get(stop, float("inf")):
                    break  # not even without any padding; wider rows cost more
                rows = [[i] for i in range(start, stop)] if unfolded else _fill(lengths, start, stop, width)
                count = -(-len(rows) // max(1, most_tokens // width))
                cost = cheapest[start] + len(rows) * width * token_cost + count * most_tokens / 64
                if cost < cheapest.get(stop, float("inf")):
                    cheapest[stop], last_class[stop] = cost, (start, rows, width)
    made: list[Batch] = []
    stop = len(lengths)
    while stop:
        stop, rows, width = last_class[stop]
        count = -(-len(rows) // max(1, most_tokens // width))
        for part in range(count):  # of about equal size
            chosen = rows[part * len(rows) // count : (part + 1) * len(rows) // count]
            made.append(_batch([[by_length[i] for i in row] for row in chosen], documents, width, origins, unfolded))
    return made


def choice_of(document: PackedDocument, choice: int) -> PackedDocument:
    """One choice of a document: the path through its trie to the last node that predicts a token of it."""
    targets = [(node, token) for node, token, of in document.targets if of == choice]
    path = [targets[-1][0]]
    while document.parents[path[-1]] >= 0:
        path.append(document.parents[path[-1]])
    path.reverse()
    place = {node: i for i, node in enumerate(path)}
    return PackedDocument(
        tokens=tuple(document.tokens[node] for node in path),
        parents=tuple(range(-1, len(path) - 1)),
        targets=tuple((place[node], token, 0) for node, token in targets),
        choices=1,
    )


def _rounded(length: int) -> int:
    """The width of a row for a document of this length: up to a multiple, coarser for the long ones."""
    step = MULTIPLE
    while length > 16 * step:
        step *= 2
    return -(-length // step) * step


def _fill(lengths: Sequence[int], start: int, stop: int, width: int) -> list[list[int]]:
    """Put the documents start..stop (longest first) into rows: each into the fullest one that has room for it."""
    rows: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (tokens left, row), sorted
    for i in range(start, stop):
        place = bisect_left(room, (lengths[i], -1))
        if place == len(room):
            rows.append([i])
            left, row = width, len(rows) - 1
        else:
            left, row = room.pop(place)
            rows[row].append(i)
        insort(room, (left - lengths[i], row))
    return rows


def _batch(
    rows: Sequence[Sequence[int]],
    documents: Sequence[PackedDocument],
    width: int,
    origins: Sequence[tuple[int, int]],
    unfolded: bool,
) -> Batch:
    shape = (len(rows), width)
    input_ids, positions = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    visible = np.zeros((0, 0, 0) if unfolded else (*shape, width), bool)  # a row of its own needs no mask
    if not unfolded:
        visible[:, np.arange(width), np.arange(width)] = True  # padding attends to itself: no empty softmax
    head_rows: dict[tuple[int, int], int] = {}
    targets: list[tuple[int, int, int]] = []
    first_choice = 0
    for b, row in enumerate(rows):
        first = 0  # where the document starts in the row
        for document in (documents[i] for i in row):
            input_ids[b, first : first + len(document)] = document.tokens
            for node, parent in enumerate(document.parents, start=first):
                if parent >= 0:
                    positions[b, node] = positions[b, first + parent] + 1
                    if not unfolded:
                        visible[b, node] |= visible[b, first + parent]
            for node, token, choice in document.targets:
                head_row = head_rows.setdefault((b, first + node), len(head_rows))
                targets.append((head_row, token, first_choice + choice))
            first += len(document)
            first_choice += document.choices
    targets.sort()
    target_rows, target_tokens, target_choices = torch.tensor(targets).T.contiguous()
    order = [i for row in rows for i in row]
    return Batch(
        input_ids=torch.from_numpy(input_ids),
        positions=torch.from_numpy(positions),
        visible=torch.from_numpy(visible),
        rows=torch.tensor(list(head_rows)),
        target_rows=target_rows,
        target_tokens=target_tokens,
        target_choices=target_choices,
        documents=tuple(origins[i][0] for i in order),
        first_choices=tuple(origins[i][1] for i in order),
        choice_counts=tuple(documents[i].choices for i in order),
    )
