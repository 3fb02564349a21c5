from __future__ import annotations

from typing import Any

import pytest
import torch

from cornerstone.engine import structure, sweep
from cornerstone.engine.batching import batches_for, deepest
from cornerstone.engine.network import Network
from cornerstone.engine.tries import PackedDocument, pack
from cornerstone.errors import ModelError
from cornerstone.game.players import players_of
from tests import tiny, types

LONG, SHORT = list(range(5, 100)), list(range(7, 30))
REQUESTS = [[(LONG, [40, 41]), (LONG, [50])], [(SHORT, [40]), (SHORT, [50, 51, 52])], [(SHORT[:5], [9]), (LONG, [8])]]
DOCUMENTS = [pack(choices, 1000) for choices in REQUESTS]


def model(model_type: str, **settings: Any) -> Any:
    config = types.config(model_type)
    for key, value in settings.items():
        setattr(config, key, value)
    torch.manual_seed(0)
    return tiny.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def alone(made: Any, context: list[int], continuation: list[int]) -> float:
    tokens = torch.tensor([context + continuation])
    with torch.inference_mode():
        logits = made(input_ids=tokens[:, :-1], use_cache=False).logits[0].log_softmax(-1)
    return sum(logits[len(context) - 1 + i, token].item() for i, token in enumerate(continuation))


def test_the_deepest_node_of_a_trie() -> None:
    assert [deepest(document) for document in DOCUMENTS] == [96, 25, 95]
    assert deepest(PackedDocument((1, 2, 3, 4), (-1, 0, 0, 2), ((3, 5, 0),), 1)) == 3


@pytest.mark.parametrize("most_tokens", [64, 4096])
def test_long_rotary_embeddings_are_those_of_each_document_alone(most_tokens: int) -> None:
    rope = {
        "rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0] * 4, "long_factor": [8.0] * 4,
        "original_max_position_embeddings": 64,
    }  # fmt: skip
    made = model("phi3", rope_parameters=rope, original_max_position_embeddings=64, sliding_window=None)
    kinds = structure.kinds_of(made)
    network = Network(made, players_of(kinds))
    batches = batches_for(made, DOCUMENTS, most_tokens)
    assert sorted(d for batch in batches for d in batch.documents) == [0, 1, 2, 2]  # one choice is short, one is long
    (scores,) = sweep.choice_scores(network, batches, [(1 << len(network.players)) - 1])
    for choices, found in zip(REQUESTS, scores, strict=True):
        assert found.tolist() == pytest.approx([alone(made, *request) for request in choices], rel=1e-4, abs=1e-4)


def test_sparse_attention_that_would_depend_on_padding_is_refused() -> None:
    made = model("deepseek_v32", index_topk=95)
    with pytest.raises(ModelError, match=r"a document has 96 tokens.* from 95 tokens on \(index_topk\)"):
        batches_for(made, DOCUMENTS, 4096)
    assert batches_for(made, DOCUMENTS[1:], 4096)


@pytest.mark.parametrize(("model_type", "rows"), [("llama", 1), ("mamba", 6), ("qwen3_next", 6), ("bloom", 6)])
def test_choices_are_rows_where_a_trie_cannot_be_seen(model_type: str, rows: int) -> None:
    made = types.make(model_type)
    batches = batches_for(made, DOCUMENTS, 100_000)
    assert sum(len(batch.input_ids) for batch in batches) == rows
    kinds = structure.kinds_of(made)
    network = Network(made, players_of(kinds))
    (scores,) = sweep.choice_scores(network, batches, [(1 << len(network.players)) - 1])
    for choices, found in zip(REQUESTS, scores, strict=True):
        assert found.tolist() == pytest.approx([alone(made, *request) for request in choices], rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(("model_type", "why"), [("llama4_text", "not called with"), ("deepseek_v3", "shared experts")])
def test_experts_that_can_not_be_players_are_refused(model_type: str, why: str) -> None:
    from cornerstone.game.players import experts_of

    made = types.make(model_type)
    kinds = structure.kinds_of(made)
    with pytest.raises(ModelError, match=rf"players: experts is not possible for .* {model_type}: .*{why}"):
        Network(made, experts_of(kinds, 4), kinds)
