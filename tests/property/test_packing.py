from __future__ import annotations

from collections.abc import Iterator

import torch
from hypothesis import given
from hypothesis import strategies as st

from cornerstone.engine.tries import MULTIPLE, Batch, PackedDocument, batches, pack

Request = tuple[list[int], list[int]]

TOKEN = st.integers(1, 3)  # few, so that prefixes are shared
REQUESTS = st.lists(
    st.tuples(st.lists(TOKEN, min_size=1, max_size=8), st.lists(TOKEN, min_size=1, max_size=4)), min_size=1, max_size=4
)
DOCUMENTS = st.lists(REQUESTS, min_size=1, max_size=9)


def cut(request: Request, longest: int) -> list[int]:
    """What lm-eval scores: the last `longest` + 1 tokens."""
    return [*request[0], *request[1]][-(longest + 1) :]


def ancestors(document: PackedDocument, node: int) -> list[int]:
    path = []
    while node >= 0:
        path.append(node)
        node = document.parents[node]
    return path[::-1]


@given(REQUESTS, st.integers(4, 14))
def test_each_choice_sees_its_own_sequence(requests: list[Request], longest: int) -> None:
    document = pack(requests, longest)
    for choice, request in enumerate(requests):
        sequence = cut(request, longest)
        targets = [(node, token) for node, token, c in document.targets if c == choice]
        assert [token for _, token in targets] == request[1]
        for i, (node, _) in enumerate(targets):
            seen = [document.tokens[a] for a in ancestors(document, node)]
            assert seen == sequence[: len(sequence) - len(targets) + i]


@given(REQUESTS, st.integers(4, 14))
def test_each_prefix_is_stored_once(requests: list[Request], longest: int) -> None:
    document = pack(requests, longest)
    sequences = [cut(request, longest) for request in requests]
    prefixes = {tuple(s[:n]) for s in sequences for n in range(1, len(s))}
    paths = [tuple(document.tokens[a] for a in ancestors(document, node)) for node in range(len(document))]
    assert len(paths) == len(set(paths))
    assert set(paths) == prefixes
    assert all(parent < node for node, parent in enumerate(document.parents))


def places(batch: Batch, documents: list[PackedDocument]) -> Iterator[tuple[int, int, PackedDocument]]:
    """Row and first token of each document of a batch: rows are filled from the left, in order."""
    row, first = 0, 0
    for i in batch.documents:
        if batch.input_ids.shape[1] - first < len(documents[i]) or row_is_full(batch, row, first, documents[i]):
            row, first = row + 1, 0
        yield row, first, documents[i]
        first += len(documents[i])


def row_is_full(batch: Batch, row: int, first: int, document: PackedDocument) -> bool:
    """Whether what stands at a place of a batch is something else than the document."""
    there = batch.input_ids[row, first : first + len(document)].tolist()
    return tuple(there) != document.tokens


@given(DOCUMENTS, st.integers(1, 60))
def test_batches_cover_every_document_once_and_stay_small(requests: list[list[Request]], most: int) -> None:
    documents = [pack(choices, 100) for choices in requests]
    made = batches(documents, most)
    assert sorted(i for batch in made for i in batch.documents) == list(range(len(documents)))
    for batch in made:
        size, width = batch.input_ids.shape
        assert width % MULTIPLE == 0
        assert batch.tokens <= most or size == 1
        assert sum(len(documents[i]) for i in batch.documents) == int((batch.input_ids != 0).sum())  # no token is 0
        assert batch.choice_counts == tuple(documents[i].choices for i in batch.documents)


@given(DOCUMENTS, st.integers(1, 60))
def test_masks_positions_and_padding(requests: list[list[Request]], most: int) -> None:
    documents = [pack(choices, 100) for choices in requests]
    for batch in batches(documents, most):
        expected = torch.eye(batch.input_ids.shape[1], dtype=torch.bool).repeat(len(batch.input_ids), 1, 1)
        for row, first, document in places(batch, documents):
            assert tuple(batch.input_ids[row, first : first + len(document)].tolist()) == document.tokens
            for node in range(len(document)):
                path = ancestors(document, node)
                expected[row, first + node, [first + a for a in path]] = True
                assert batch.positions[row, first + node] == len(path) - 1
        assert torch.equal(batch.visible, expected)


@given(DOCUMENTS, st.integers(1, 60))
def test_targets_survive_batching(requests: list[list[Request]], most: int) -> None:
    documents = [pack(choices, 100) for choices in requests]
    for batch in batches(documents, most):
        wanted, first_choice = [], 0
        for row, first, document in places(batch, documents):
            wanted += [(row, first + node, token, first_choice + choice) for node, token, choice in document.targets]
            first_choice += document.choices
        rows = [tuple(row) for row in batch.rows.tolist()]
        target_rows = batch.target_rows.tolist()
        found = [
            (*rows[row], token, choice)
            for row, token, choice in zip(
                target_rows, batch.target_tokens.tolist(), batch.target_choices.tolist(), strict=True
            )
        ]
        assert sorted(found) == sorted(wanted)
        assert target_rows == sorted(target_rows)
        assert len(set(rows)) == len(rows) == max(target_rows) + 1
