"""Every architecture: the sweep against stock lm-eval, on tiny random models and real text."""

from __future__ import annotations

import numpy as np
import pytest

from cornerstone import coalitions, models, packing, sweep
from cornerstone.network import Network
from cornerstone.players import ARCHITECTURES, players_of
from cornerstone.tasks import Document
from tests import tiny
from tests.parity import stock

REQUESTS = [
    [("Question: Which one is a source of energy?\nAnswer:", f" {c}") for c in ("wind", "coal gas", "oil")],
    [("Sarah was a better surgeon than Maria so Sarah", " got the easy cases."),
     ("Sarah was a better surgeon than Maria so Maria", " got the easy cases.")],
    [("Wind turns the wheel. " * 6 + "Question: does it?\nAnswer:", f" {c}") for c in ("no", "yes")],
    [("How do you boil an egg? ", "Put it into hot water."), ("How do you boil an egg? ", "Put it into a tree.")],
    [("", "yes no yes"), ("", "no")],
]  # fmt: skip
REMOVED = [(), (0,), (1,), (6,), (7,), (2, 3, 4, 5), (0, 3, 5, 6), (0, 1, 2, 3, 4, 5, 6, 7)]


def documents() -> list[Document]:
    return [Document(i, "", str(i), r, [len(c) for _, c in r], 0) for i, r in enumerate(REQUESTS)]


@pytest.mark.parity
@pytest.mark.parametrize("name", tiny.TINY)
def test_equals_stock_lm_eval(name: str) -> None:
    tokenizer, model = tiny.tokenizer(), tiny.make(name)
    players = players_of(tiny.BLOCKS, tiny.TINY[name].kind)
    network = Network(model, players)
    packed = models.encode(model, tokenizer, documents())
    wanted = [coalitions.without(removed, players) for removed in REMOVED]
    ours = sweep.choice_scores(network, packing.batches(packed, 100), wanted)
    lm = stock.harness(model, tokenizer, batch_size=3)
    flat = [request for choices in REQUESTS for request in choices]
    distinct = set()
    for c, removed in enumerate(REMOVED):
        paths = [
            (tiny.TINY[name].attention if position % 2 == 0 else tiny.TINY[name].feed_forward).format(position // 2)
            for position in removed
        ]
        theirs = stock.loglikelihoods(lm, flat, paths)
        mine = np.concatenate([scores.numpy() for scores in ours[c]])
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4)
        distinct.add(tuple(np.round(mine, 3)))
    assert len(distinct) == len(REMOVED)  # each removal changes something, so the comparison can fail


def test_every_architecture_is_tested() -> None:
    assert {t.model_type for t in tiny.TINY.values()} == set(ARCHITECTURES)
