"""Block influence: compared with what transformers itself says of its hidden states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from cornerstone.engine import encoding, tries
from cornerstone.engine.network import Network
from cornerstone.errors import StoreError
from cornerstone.evaluate import influence
from cornerstone.game.players import Player, alike, experts_of, groups_of, players_of, runs_of
from tests import tiny
from tests.unit.evaluate.test_growing import Site

TEXTS = ["The wind and the sun are renewable.", "How do you boil an egg? Put it into hot water.", "yes no"]


def turned(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    return 1 - torch.nn.functional.cosine_similarity(before.double(), after.double(), dim=-1)


def measured(model: Any, name: str, players: tuple[Player, ...]) -> list[float]:
    """By this package, on one-choice documents whose last token is predicted and so not read."""
    network = tiny.network(model, name, players)
    packed = encoding.encode(model, tiny.tokenizer(), [[(text, " x")] for text in TEXTS])
    batches = tries.batches(packed, 40)
    assert len(batches) > 1
    return influence.influences(network, batches, [[0], list(range(1, len(batches)))]).tolist()


def texts(model: Any) -> list[torch.Tensor]:
    packed = encoding.encode(model, tiny.tokenizer(), [[(text, " x")] for text in TEXTS])
    return [torch.tensor([list(document.tokens)]) for document in packed]


@pytest.mark.parity
@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt_neox", "gpt2", "mixtral"])
def test_of_blocks_it_is_that_of_the_hidden_states_of_transformers(name: str) -> None:
    model = tiny.make(name)
    kinds = alike(tiny.BLOCKS, tiny.TINY[name].kind)
    streams: list[list[torch.Tensor]] = []
    blocks = tiny.network(model, name).blocks
    for block in blocks:
        block.register_forward_hook(
            lambda module, args, kwargs, output: streams[-1].extend(
                [args[0] if args else kwargs["hidden_states"], output if torch.is_tensor(output) else output[0]]
            ),
            with_kwargs=True,
        )
    per_token: list[list[torch.Tensor]] = [[] for _ in blocks]
    with torch.inference_mode():
        for tokens in texts(model):
            streams.append([])
            model(tokens)
            for place in range(len(blocks)):
                per_token[place].append(turned(streams[-1][2 * place], streams[-1][2 * place + 1])[0])
    wanted = [float(torch.cat(parts).mean()) for parts in per_token]
    for block in blocks:
        block._forward_hooks.clear()
    assert measured(model, name, runs_of(kinds, 1)) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parity
def test_of_sublayers_it_is_that_of_what_their_modules_add() -> None:
    model = tiny.make("llama")
    added: list[torch.Tensor] = []
    streams: list[torch.Tensor] = []
    for layer in model.model.layers:
        layer.register_forward_pre_hook(lambda module, args, kwargs: streams.append(args[0]), with_kwargs=True)
        for module in (layer.self_attn, layer.mlp):
            module.register_forward_hook(
                lambda module, args, output: added.append(output if torch.is_tensor(output) else output[0])
            )
    per_token: list[list[torch.Tensor]] = [[] for _ in range(2 * tiny.BLOCKS)]
    with torch.inference_mode():
        for tokens in texts(model):
            added.clear()
            streams.clear()
            model(tokens)
            for block, x in enumerate(streams):
                attention, feed_forward = added[2 * block : 2 * block + 2]
                per_token[2 * block].append(turned(x, x + attention)[0])
                per_token[2 * block + 1].append(turned(x + attention, x + attention + feed_forward)[0])
    wanted = [float(torch.cat(parts).mean()) for parts in per_token]
    found = measured(tiny.make("llama"), "llama", players_of(alike(tiny.BLOCKS)))
    assert found == pytest.approx(wanted, rel=1e-4)
    assert len({round(value, 4) for value in found}) == len(found)


@pytest.mark.parametrize(
    "players",
    [
        groups_of(alike(tiny.BLOCKS), {"mixed": ["attn0", "ffn1"], "rest": ["blocks2to3"]}),
        groups_of(alike(tiny.BLOCKS), {"apart": ["block0", "block3"]}),
    ],
)
def test_a_player_without_a_stream_in_front_and_behind_is_refused(players: tuple[Player, ...]) -> None:
    with pytest.raises(StoreError, match=r"influence has no meaning for the player (mixed|apart)"):
        influence.spans_of(Network(tiny.make("llama"), players))


def test_an_expert_has_none() -> None:
    with pytest.raises(StoreError, match="no meaning for the player moe0e0"):
        influence.spans_of(tiny.network(tiny.make("mixtral"), "mixtral", experts_of(alike(tiny.BLOCKS, "moe"), 4)))


def test_the_table_of_a_job_has_a_row_for_each_player_whatever_the_batches(tmp_path: Path) -> None:
    site = Site(tiny.save("llama", tmp_path / "model"), tmp_path)
    tables = []
    for tokens in (32, 4096):
        job = site.job(5, changes={"models.tiny.batch_tokens": tokens})
        influence.write(job, tmp_path / "influence.csv")
        tables.append(pd.read_csv(tmp_path / "influence.csv"))
    assert list(tables[0]) == ["model", "task", "player", "position", "influence", "documents"]
    assert tables[0]["player"].tolist() == [player.name for player in job.players]
    assert tables[0]["documents"].tolist() == [5] * len(job.players)
    pd.testing.assert_frame_equal(tables[0], tables[1], rtol=1e-5)
