"""The choices of a document as one packed sequence: a token trie.

lm-eval scores each choice as a sequence of its own, though the choices of a document share most of their
tokens. Here a document becomes a trie: one node per distinct token prefix. A node's token attends to its
ancestors and itself, and its position is its depth, so each choice sees exactly what it would see alone, and
shared prefixes are computed once. Only the nodes from which a continuation token is predicted need the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class PackedDocument:
    """A document's token trie.

    `tokens[i]` and `parents[i]` describe node i (parents come first; -1 is no parent). `targets` are
    (node, token, choice): the token that the node predicts, for which choice.
    """

    tokens: tuple[int, ...]
    parents: tuple[int, ...]
    targets: tuple[tuple[int, int, int], ...]
    choices: int

    def __len__(self) -> int:
        return len(self.tokens)


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
    for choice, (context, continuation) in enumerate(requests):
        if not 0 < len(continuation) <= longest:
            raise ValueError(f"a continuation of {len(continuation)} tokens; 1..{longest} can be scored")
        sequence = [*context, *continuation][-(longest + 1) :]
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
    return PackedDocument(tuple(tokens), tuple(parents), tuple(targets), len(requests))


@dataclass(frozen=True)
class Batch:
    """Packed documents of similar length, padded to the longest.

    Shapes, for B documents, T tokens, R head rows and M targets:
        input_ids, positions: [B, T] int64
        visible: [B, T, T] bool; visible[b, i, j] when token i attends to token j
        rows: [R, 2] int64, (document, token) at which the head is needed
        target_rows, target_tokens: [M] int64, sorted by row
        target_choices: [M] int64, index of the target's choice in the batch's flat list of choices
        documents: indices of the documents in the order given to `batches`
        choice_counts: number of choices of each document
    """

    input_ids: torch.Tensor
    positions: torch.Tensor
    visible: torch.Tensor
    rows: torch.Tensor
    target_rows: torch.Tensor
    target_tokens: torch.Tensor
    target_choices: torch.Tensor
    documents: tuple[int, ...]
    choice_counts: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """Tokens that go through each sublayer, padding included."""
        return self.input_ids.numel()


def batches(documents: Sequence[PackedDocument], most_tokens: int) -> list[Batch]:
    """Group documents by length into batches of at most `most_tokens` tokens, padding included.

    Of all ways to cut the documents, sorted by length, it takes the one with the fewest tokens, where each
    batch counts `most_tokens` / 16 tokens extra, about what a call of a sublayer costs besides its arithmetic.
    The grouping depends on the documents alone, so that every coalition meets the same shapes, whatever the
    chunking, the order and the memory budget. A document longer than `most_tokens` is a batch of its own.
    """
    by_length = sorted(range(len(documents)), key=lambda i: (len(documents[i]), i))
    lengths = [len(documents[i]) for i in by_length]
    cheapest, start_of = [0.0], [0]  # of the first n documents; where their last batch starts
    for stop in range(1, len(lengths) + 1):
        width = lengths[stop - 1]
        starts = range(max(0, stop - max(1, most_tokens // width)), stop)
        cost, start = min((cheapest[start] + (stop - start) * width, start) for start in starts)
        cheapest.append(cost + most_tokens / 16)
        start_of.append(start)
    groups, stop = [], len(lengths)
    while stop:
        groups.append(by_length[start_of[stop] : stop])
        stop = start_of[stop]
    return [_batch(group, [documents[i] for i in group]) for group in reversed(groups)]


def _batch(indices: Sequence[int], documents: Sequence[PackedDocument]) -> Batch:
    width = max(len(document) for document in documents)
    shape = (len(documents), width)
    input_ids, positions = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    visible = np.zeros((*shape, width), bool)
    visible[:, np.arange(width), np.arange(width)] = True  # padding attends to itself: no empty softmax
    rows: dict[tuple[int, int], int] = {}
    targets: list[tuple[int, int, int]] = []
    first_choice = 0
    for b, document in enumerate(documents):
        input_ids[b, : len(document)] = document.tokens
        for node, parent in enumerate(document.parents):
            if parent >= 0:
                positions[b, node] = positions[b, parent] + 1
                visible[b, node] |= visible[b, parent]
        for node, token, choice in document.targets:
            row = rows.setdefault((b, node), len(rows))
            targets.append((row, token, first_choice + choice))
        first_choice += document.choices
    targets.sort()
    target_rows, target_tokens, target_choices = torch.tensor(targets).T.contiguous()
    return Batch(
        input_ids=torch.from_numpy(input_ids),
        positions=torch.from_numpy(positions),
        visible=torch.from_numpy(visible),
        rows=torch.tensor(list(rows)),
        target_rows=target_rows,
        target_tokens=target_tokens,
        target_choices=target_choices,
        documents=tuple(indices),
        choice_counts=tuple(document.choices for document in documents),
    )
