"""Peers get the documents that the sweep gets, and their factors are computed as the page says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import llama, peers, report, rivals, to_gguf
from cornerstone.assets.documents import Document
from cornerstone.engine.tries import pack
from cornerstone.game.players import alike, players_of
from tests import tiny


def test_llama_reads_the_tries_of_the_sweep() -> None:
    packed = [pack([([1, 2], [3, 4]), ([1, 2], [3, 5]), ([1, 2], [6])], 8), pack([([7], [8])], 8)]
    first, second = json.loads(json.dumps(rivals.tries_of(packed)))
    assert first["tokens"] == [1, 2, 3]
    assert llama.sequences(first) == [[0, 1, 2], [0, 1, 2], [0, 1]]
    assert llama.sequences(second) == [[0]]
    assert llama.filled([second, first, second], 4) == [[1, 0], [2]]
    assert llama.filled([first] * 90, 10**6) == [list(range(85)), list(range(85, 90))]  # 256 sequences


def test_log_probabilities_are_those_of_a_softmax() -> None:
    logits = np.random.default_rng(0).normal(0, 9, (3, 50)).astype(np.float32)
    rows, tokens = np.array([0, 2, 2]), np.array([4, 0, 49])
    expected = torch.from_numpy(logits.copy()).log_softmax(1)[rows, tokens]
    assert llama.log_probabilities(logits, rows, tokens) == pytest.approx(expected.numpy(), abs=1e-5)


def test_rows_of_queries_are_beside_the_ones_that_they_turn_with() -> None:
    weight = torch.arange(8.0)[:, None]  # two heads of four rows: 0 turns with 2, 1 with 3
    assert to_gguf.interleaved(weight, 2).flatten().tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_a_file_for_llama_has_all_weights(tmp_path: Path) -> None:
    import gguf

    model = tiny.make("llama")
    to_gguf.write(model, tmp_path / "model.gguf")
    found = gguf.GGUFReader(tmp_path / "model.gguf")
    assert sum(int(tensor.n_elements) for tensor in found.tensors) == sum(p.numel() for p in model.parameters())
    (key,) = (tensor for tensor in found.tensors if tensor.name == "blk.2.attn_k.weight")
    weight = torch.from_numpy(key.data.copy()).view(torch.bfloat16)
    assert torch.equal(weight, to_gguf.interleaved(model.model.layers[2].self_attn.k_proj.weight, 2).bfloat16())


def test_a_model_without_sublayers_scores_as_with_zeros_and_is_whole_again() -> None:
    model, players = tiny.make("llama"), players_of(alike(tiny.BLOCKS))
    requests = [("Question: Which", " of"), ("Question: Which", " sources")]
    documents = [Document(0, "", "", requests, [3, 8], 0)]
    loop = peers.Peers(model, tiny.tokenizer(), {"task": documents})
    whole = loop.p2("task", [], 2)
    removed = [players[i] for i in (0, 2, 3, 7)]
    assert loop.p3("task", removed, 2) == pytest.approx(loop.p2("task", removed, 2), rel=1e-5)
    assert loop.p3("task", removed, 2) != pytest.approx(whole, rel=1e-2)
    assert loop.p2("task", [], 2) == whole


def rows(*seconds: tuple[int, str, int, float]) -> pd.DataFrame:
    frame = pd.DataFrame(seconds, columns=["round", "what", "coalitions", "cpu_s"])
    return frame.assign(apart=[0.1 if what in rivals.GOALS else np.nan for what in frame["what"]], setting="any")


def test_factors_are_ratios_of_seconds_a_coalition() -> None:
    frame = rows(
        (0, rivals.PLAN, 10, 20.0),
        (0, rivals.PLAN_EAGER, 10, 40.0),
        (0, rivals.LLAMA, 1, 6.0),
        (0, rivals.LM_EVAL, 1, 10.0),
        (1, rivals.PLAN, 30, 20.0),
        (1, rivals.LLAMA, 1, 2.0),
        (1, rivals.LM_EVAL, 1, 4.0),
    )
    shown = rivals.table(frame).set_index("what")
    assert shown["CPU seconds a coalition"].to_dict() == {
        rivals.PLAN: 1, rivals.PLAN_EAGER: 4, rivals.LLAMA: 4, rivals.LM_EVAL: 7
    }  # fmt: skip
    assert shown.loc[rivals.LLAMA, "times the compiled sweep"] == 4
    assert shown.loc[rivals.LM_EVAL, "times the eager sweep"] == 7 / 4
    llama_says, lm_eval_says, over_six = rivals.verdicts(frame)
    assert "4.0 times" in llama_says
    assert "(3.0 to 3.0 in 2 rounds). 3 times, the goal, is reached on this task" in llama_says
    assert "6 times, the goal, is reached on this task" in lm_eval_says
    six = pd.read_csv(rivals.SIX)
    assert f"takes {six['p2_s'].sum() / six['sweep_s'].sum():.1f} times the sweep's seconds" in over_six


def test_a_peer_that_scores_another_model_is_noticed() -> None:
    assert rivals.agree([0.0, 0.0], [0.1, 0.1], [0.2, 0.2])[rivals.LLAMA] == pytest.approx(0.2)
    with pytest.raises(SystemExit, match="something else"):
        rivals.agree([0.0, 0.0], [0.1, 0.1], [2.0, -2.0])


def test_the_page_has_what_was_measured() -> None:
    path = report.RESULTS / "rivals.csv"
    if path.exists():
        text = rivals.PAGE.read_text(encoding="utf-8")
        assert rivals.page(text, rivals.words(pd.read_csv(path))) == text, "run: python -m benchmarks.rivals"
