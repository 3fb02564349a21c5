from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cornerstone.engine.batching import batches_by_piece
from cornerstone.engine.blocks import Piece, edges, pieces
from tests import tiny
from tests.helpers import packed

SIZES = st.lists(st.integers(1, 40), max_size=60)


def clusters(sizes: list[int]) -> list[str]:
    return [str(i) for i, size in enumerate(sizes) for _ in range(size)]


def test_blocks_of_documents_that_do_not_depend_on_each_other() -> None:
    assert edges(clusters([1] * 300)) == [0, 8, 24, 64, 128, 192, 256, 300]
    assert edges(clusters([1] * 8)) == [0, 8]
    assert edges([]) == [0]


@given(SIZES, st.integers(0, 500))
def test_blocks_are_those_of_the_whole_task_and_cut_no_cluster(sizes: list[int], limit: int) -> None:
    whole = clusters(sizes)
    first = whole[:limit]
    assert edges(first) == sorted({edge for edge in edges(whole) if edge < len(first)} | {len(first)})
    assert all(whole[edge] != whole[edge - 1] for edge in edges(whole)[1:-1])
    if whole:
        longest = max(stop - start for start, stop in pairwise(edges(whole)))
        assert longest <= 64 + max(sizes)


@given(SIZES, st.sets(st.integers(0, 500)), st.integers(0, 500))
def test_pieces_are_what_is_missing_and_none_is_in_two_blocks(sizes: list[int], there: set[int], limit: int) -> None:
    asked_for = clusters(sizes)[:limit]
    found = pieces(asked_for, there)
    places = [place for piece in found for place in piece.places]
    assert places == [place for place in range(len(asked_for)) if place not in there]
    inner = edges(asked_for)[1:-1]
    assert not any(piece.first < edge < piece.first + piece.count for piece in found for edge in inner)
    assert all(one.first + one.count < two.first or two.first in inner for one, two in pairwise(found))


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_batch_is_of_one_piece_and_is_that_of_the_piece_alone(kind: str) -> None:
    model, documents = tiny.make(kind), packed(seed=1, count=30)
    chosen = [Piece(0, 8), Piece(8, 16), Piece(40, 6)]
    made = batches_by_piece(model, documents, chosen, 96)
    assert sorted({i for batch in made for i in batch.documents}) == list(range(30))
    alone = batches_by_piece(model, documents[8:24], [Piece(8, 16)], 96)
    second = [batch for batch in made if 8 <= batch.documents[0] < 24]
    assert len(alone) == len(second) > 1
    for one, other in zip(alone, second, strict=True):
        assert one.input_ids.equal(other.input_ids)
        assert [8 + i for i in one.documents] == list(other.documents)
