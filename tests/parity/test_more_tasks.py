"""Other tasks than the six on real weights: HellaSwag, SciQ, MMLU with five examples, texts, a task file."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lm_eval.evaluator import simple_evaluate
from lm_eval.tasks import TaskManager

from cornerstone.assets import fetch, harness, tasks
from cornerstone.assets.recipe import Recipe
from cornerstone.config.config import load_files
from cornerstone.engine import loading, sweep
from cornerstone.engine.batching import batches_for
from cornerstone.engine.encoding import encode
from cornerstone.engine.network import Network
from cornerstone.evaluate.scoring import Scores
from cornerstone.game import coalitions
from tests import task_files
from tests.helpers import ROOT
from tests.parity import stock

pytestmark = pytest.mark.models
NAME, REMOVED, DOCUMENTS = "smollm2-135m", 3, 3
FIVE = {"num_fewshot": 5}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("hellaswag", {}),
    ("sciq", {}),
    ("lambada_openai", {}),
    ("boolq_passages", {}),
    ("mmlu_anatomy", FIVE),
    ("mmlu_world_religions", FIVE),
    ("own", {"num_fewshot": 2}),
]


@pytest.fixture(scope="module")
def real(real_assets: Path) -> tuple[Any, Any, Network]:
    entry = load_files([ROOT / "config.yaml"]).models[NAME]
    folder = fetch.model_folder(real_assets / "models" / f"{NAME}.json", entry)
    model, tokenizer = loading.load(ROOT / folder, "float32")
    return model, tokenizer, Network(model, entry.all_players(), entry.kinds())


@pytest.mark.parametrize(("task", "settings"), CASES, ids=[task for task, _ in CASES])
def test_as_simple_evaluate(
    real: tuple[Any, Any, Network], real_assets: Path, tmp_path: Path, task: str, settings: dict[str, Any]
) -> None:
    model, tokenizer, network = real
    recipe = Recipe(task, **settings)
    if task == "own":
        folder = task_files.write(tmp_path, {"own": task_files.TASKS["choose"]})
        recipe = replace(recipe, source="hub", include_path=(str(folder),))
    whole = tasks.build(recipe, real_assets / "wheels")
    # lm-eval's `samples` draws other examples than a run of all documents, where they are drawn at random
    chosen = [d for d in whole.documents if task != "own" or d.doc_id < DOCUMENTS][:DOCUMENTS]
    data = replace(whole, documents=chosen)
    (tmp_path / "data").mkdir()
    theirs_task = harness.load(recipe, None, real_assets / "wheels", tmp_path / "data")
    lm = stock.harness(model, tokenizer)
    asked: dict[str, Any] = {"limit": DOCUMENTS} if task == "own" else {"samples": {task: data.ids}}
    with warnings.catch_warnings(), stock.zeroed(model, [f"model.layers.{REMOVED // 2}.mlp"]):
        warnings.simplefilter("ignore")  # lm-eval's own
        manager = TaskManager(include_defaults=False)  # it is an object: none is looked up
        theirs = simple_evaluate(
            model=lm,
            tasks=[theirs_task],
            bootstrap_iters=0,
            log_samples=True,
            task_manager=manager,
            **asked,
            **settings,
        )
    assert theirs is not None
    packed = encode(model, tokenizer, [d.requests for d in data.documents], data.ids, data.rolling)
    greedy: list[list[Any]] = []
    kept = [coalitions.without([REMOVED], network.players)]
    (rows,) = sweep.choice_scores(network, batches_for(model, packed, 1024), kept, greedy=greedy)
    scores = [[float(row.sum())] if data.rolling else row.tolist() for row in rows]
    found = Scores.of(data, scores, None, [row.tolist() for row in greedy[0]] if data.greedy else [])
    samples = {sample["doc_hash"]: sample for sample in theirs["samples"][task]}
    for document, mine in zip(data.documents, scores, strict=True):
        sample = samples[document.doc_hash]
        wanted = [(text,) for _, text in document.requests] if data.rolling else document.requests
        assert [tuple(given) for given in sample["arguments"]] == wanted
        stock_scores = [
            float(answer[0][0] if isinstance(answer[0], tuple | list) else answer[0]) for answer in sample["resps"]
        ]
        assert mine == pytest.approx(stock_scores, rel=1e-4)
    for metric in data.metrics:
        assert found.said(metric) == pytest.approx(theirs["results"][task][f"{metric},none"], rel=1e-4)
    assert data.num_fewshot == settings.get("num_fewshot", 0)
