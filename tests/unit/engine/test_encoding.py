"""That tokens are lm-eval's is the business of tests/parity; here is what can't be encoded, and greedy choices."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cornerstone.engine import sweep
from cornerstone.engine.batching import batches_for
from cornerstone.engine.encoding import encode
from cornerstone.errors import ModelError, TaskError
from tests import tiny


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny.make("llama")


def test_a_choice_that_is_no_token_is_named(model: Any) -> None:
    with pytest.raises(TaskError, match=r"document 17: choice 1 has no token in this model's vocabulary; 1 to 2048"):
        encode(model, tiny.tokenizer(), [[("q", " a"), ("q", "")]], [17])


def test_a_choice_longer_than_the_model_reads_is_named(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model.config, "max_position_embeddings", 12)
    with pytest.raises(TaskError, match=r"document 1: choice 0 has \d+ tokens .* 1 to 12 can be scored"):
        encode(model, tiny.tokenizer(), [[("q", " a"), ("q", " b")], [("q", " a" * 40), ("q", " b")]])
    (long, short) = encode(model, tiny.tokenizer(), [[("q " * 40, " a")], [("q", " a")]])
    assert (long.cut, short.cut) == (True, False)
    assert len(long) == 12


def test_a_text_without_a_token_is_named(model: Any) -> None:
    with pytest.raises(TaskError, match="document 0 has no token"):
        encode(model, tiny.tokenizer(), [[("", "")]], rolling=True)


def test_an_empty_context_needs_a_special_token(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.bos_token = tokenizer.eos_token = tokenizer.pad_token = None
    monkeypatch.setattr(model.config, "bos_token_id", None)
    with pytest.raises(ModelError, match="neither a token for the beginning"):
        encode(model, tokenizer, [[("", " a"), ("", " b")]])


@pytest.mark.parametrize("unfolded", [False, True])
def test_greedy_choices_are_what_the_model_writes(model: Any, monkeypatch: pytest.MonkeyPatch, unfolded: bool) -> None:
    """The continuation that `generate` makes is greedy, and one with another last token is not."""
    if unfolded:
        monkeypatch.setattr("cornerstone.engine.structure.unfolded", lambda _: True)
    start = torch.tensor([[0, 44, 61, 9, 120]])
    written = model.generate(start, do_sample=False, max_new_tokens=3, min_new_tokens=3)[0, 5:].tolist()
    other = [*written[:2], (written[2] + 1) % 300]
    from cornerstone.engine.tries import pack

    packed = [pack([(start[0].tolist(), written), (start[0].tolist(), other), ([5, 6], [7])], 100)] * 3
    network = tiny.network(model, "llama")
    kept = [(1 << len(network.players)) - 1, (1 << len(network.players)) - 2]
    greedy: list[list[torch.Tensor]] = []
    plain = sweep.choice_scores(network, batches_for(model, packed, 32), kept)
    found = sweep.choice_scores(network, batches_for(model, packed, 32), kept, greedy=greedy)
    assert [row.tolist()[:2] for row in greedy[0]] == [[True, False]] * 3
    assert [row.tolist() for row in greedy[1]] != [row.tolist() for row in greedy[0]]
    assert all(torch.equal(one, other) for one, other in zip(plain[0], found[0], strict=True))
