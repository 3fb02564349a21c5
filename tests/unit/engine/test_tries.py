from __future__ import annotations

import pytest
import torch

from cornerstone.engine.tries import MULTIPLE, PackedDocument, _fill, _rounded, batches, pack
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
    (batch,) = batches([short, long], 1000)
    assert batch.documents == (1, 0)  # longest first, both in one row
    assert batch.choice_counts == (2, 2)
    assert batch.tokens == MULTIPLE
    assert batch.input_ids[0].tolist() == [1, 2, 3, 5, 7, *[0] * (MULTIPLE - 5)]
    assert batch.positions[0, :5].tolist() == [0, 1, 2, 2, 0]
    seen = torch.eye(MULTIPLE, dtype=torch.bool)
    seen[1, 0] = seen[2, :2] = seen[3, :2] = True
    assert torch.equal(batch.visible[0], seen)
    found = {
        (*batch.rows[row].tolist(), token, choice)
        for row, token, choice in zip(
            batch.target_rows.tolist(), batch.target_tokens.tolist(), batch.target_choices.tolist(), strict=True
        )
    }
    assert found == {(0, 1, 3, 0), (0, 2, 4, 0), (0, 1, 5, 1), (0, 3, 6, 1), (0, 4, 8, 2), (0, 4, 9, 3)}


def test_a_document_that_is_too_long_is_a_row_of_its_own() -> None:
    made = batches(alike([3, 50, 60]), 20)
    assert [batch.documents for batch in made] == [(2, 0), (1,)]  # the short one fits in beside the longest
    assert [tuple(batch.input_ids.shape) for batch in made] == [(1, 64), (1, 64)]


def test_documents_fill_the_rows_of_a_batch() -> None:
    (batch,) = batches(alike([8] * 16), 10_000)
    assert batch.input_ids.shape == (8, 16)
    assert [len(batch.documents) for batch in batches(alike([8] * 20), 32)] == [4] * 5


def test_batches_are_of_about_equal_size() -> None:
    assert [batch.input_ids.shape[0] for batch in batches(alike([16] * 9), 16 * 8)] == [4, 5]


def test_each_document_goes_into_the_fullest_row_with_room() -> None:
    lengths = [10, 9, 8, 7, 4, 4, 3, 2]
    # 10 + 4 + 2, 9 + 7, 8 + 4 + 3
    assert _fill(lengths, 0, 8, 16) == [[0, 4, 7], [1, 3], [2, 5, 6]]


def test_wide_rows_only_where_they_pay() -> None:
    """Documents of 33 tokens leave 15 of 48 empty, and 1 of 100 tokens at three to a row."""
    (batch,) = batches(alike([33] * 60), 100_000)
    width = batch.input_ids.shape[1]
    assert width > 48

    def cost(width: int) -> float:
        return -(-60 // (width // 33)) * width * (1 + width / 1024)

    assert cost(width) == min(cost(w) for w in range(48, 257, 16))


def test_little_is_padding() -> None:
    for seed in range(5):
        documents = packed(seed=seed, count=200, longest=120)
        padded = sum(batch.tokens for batch in batches(documents, 4096))
        assert 1 <= padded / sum(len(document) for document in documents) < 1.1


def test_long_rows_are_rounded_coarsely() -> None:
    assert [_rounded(n) for n in (1, 16, 17, 256, 257, 500, 513, 5000)] == [16, 16, 32, 256, 288, 512, 576, 5120]


def test_no_documents_make_no_batch() -> None:
    assert batches([], 100) == []
