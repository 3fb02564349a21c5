from __future__ import annotations

from itertools import combinations, pairwise

import pytest
import torch

from cornerstone.packing import PackedDocument, batches, pack
from tests.helpers import packed


def alike(lengths: list[int]) -> list[PackedDocument]:
    """A document of one choice for each length."""
    return [pack([(list(range(length)), [7])], 10_000) for length in lengths]


def test_a_trie_by_hand() -> None:
    document = pack([([1, 2], [3, 4]), ([1, 2], [3, 5]), ([1, 2], [6])], 100)
    assert document.tokens == (1, 2, 3)
    assert document.parents == (-1, 0, 1)
    assert document.targets == ((1, 3, 0), (2, 4, 0), (1, 3, 1), (2, 5, 1), (1, 6, 2))
    assert document.choices == 3


def test_a_different_context_is_a_branch_of_its_own() -> None:
    document = pack([([1, 2], [9, 8]), ([1, 3], [9, 8])], 100)
    assert document.tokens == (1, 2, 9, 3, 9)
    assert document.parents == (-1, 0, 1, 0, 3)
    assert document.targets == ((1, 9, 0), (2, 8, 0), (3, 9, 1), (4, 8, 1))


def test_the_same_token_at_another_depth_is_another_node() -> None:
    assert pack([([1, 1, 1], [1])], 100).parents == (-1, 0, 1)


def test_choices_of_one_token_need_one_row() -> None:
    document = pack([([1, 2, 3], [token]) for token in (10, 11, 12, 13)], 100)
    (batch,) = batches([document], 100)
    assert batch.rows.tolist() == [[0, 2]]
    assert batch.target_rows.tolist() == [0, 0, 0, 0]
    assert batch.target_tokens.tolist() == [10, 11, 12, 13]
    assert batch.target_choices.tolist() == [0, 1, 2, 3]


def test_sequences_are_cut_from_the_left_as_lm_eval_does() -> None:
    context, continuation, longest = [1, 2, 3, 4, 5], [6, 7], 4
    document = pack([(context, continuation)], longest)
    # lm-eval: inp = (context + continuation)[-(max_length + 1):][:-1], scored at its last len(continuation) places
    inputs = (context + continuation)[-(longest + 1) :][:-1]
    assert list(document.tokens) == inputs == [3, 4, 5, 6]
    assert document.targets == ((2, 6, 0), (3, 7, 0))


def test_nothing_is_cut_at_the_limit() -> None:
    assert pack([([1, 2, 3], [4, 5])], 4).tokens == (1, 2, 3, 4)
    assert pack([([1, 2, 3], [4, 5])], 3).tokens == (2, 3, 4)


@pytest.mark.parametrize("continuation", [[], [1, 2, 3, 4]])
def test_continuations_that_cannot_be_scored_are_refused(continuation: list[int]) -> None:
    with pytest.raises(ValueError, match=rf"of {len(continuation)} tokens; 1\.\.3"):
        pack([([9], [1]), ([9], continuation)], 3)


def test_a_batch_by_hand() -> None:
    long, short = pack([([1, 2], [3, 4]), ([1, 2], [5, 6])], 100), pack([([7], [8]), ([7], [9])], 100)
    (batch,) = batches([long, short], 1000)
    assert batch.documents == (1, 0)  # by length
    assert batch.choice_counts == (2, 2)
    assert batch.input_ids.tolist() == [[7, 0, 0, 0], [1, 2, 3, 5]]
    assert batch.positions[1].tolist() == [0, 1, 2, 2]
    assert batch.positions[0, 0] == 0
    assert batch.visible[1].int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 0, 1]]
    assert torch.equal(batch.visible[0], torch.eye(4, dtype=torch.bool))
    assert batch.tokens == 8
    found = {
        (*batch.rows[row].tolist(), token, choice)
        for row, token, choice in zip(
            batch.target_rows.tolist(), batch.target_tokens.tolist(), batch.target_choices.tolist(), strict=True
        )
    }
    assert found == {(0, 0, 8, 0), (0, 0, 9, 1), (1, 1, 3, 2), (1, 2, 4, 2), (1, 1, 5, 3), (1, 3, 6, 3)}


def test_a_document_that_is_too_long_is_a_batch_of_its_own() -> None:
    made = batches(alike([3, 50, 4]), 20)
    assert [batch.documents for batch in made] == [(0, 2), (1,)]


def test_documents_of_one_length_share_a_batch() -> None:
    assert [len(batch.documents) for batch in batches(alike([8] * 10), 40)] == [5, 5]


def test_batches_save_padding() -> None:
    documents = packed(seed=1, count=40)
    padded = sum(batch.tokens for batch in batches(documents, 128))
    whole = len(documents) * max(len(document) for document in documents)
    assert sum(len(document) for document in documents) <= padded < 0.75 * whole


def test_the_grouping_is_the_cheapest_of_all() -> None:
    for seed in range(8):
        documents = packed(seed=seed, count=7)
        lengths, most = sorted(map(len, documents)), 96

        def cost(cuts: tuple[int, ...], lengths: list[int] = lengths, most: int = most) -> float:
            bounds = [0, *cuts, len(lengths)]
            total = 0.0
            for start, stop in pairwise(bounds):
                tokens = (stop - start) * lengths[stop - 1]
                if tokens > most and stop - start > 1:
                    return float("inf")
                total += tokens + most / 16
            return total

        best = min(cost(cuts) for n in range(len(lengths)) for cuts in combinations(range(1, len(lengths)), n))
        made = batches(documents, most)
        assert sum(batch.tokens + most / 16 for batch in made) == pytest.approx(best)


def test_no_documents_make_no_batch() -> None:
    assert batches([], 100) == []
