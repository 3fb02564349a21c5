"""Real weights on the embedded documents: the sweep against stock lm-eval, all six tasks, float32."""

from __future__ import annotations

import random
import subprocess
import sys
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lm_eval.evaluator import simple_evaluate
from lm_eval.tasks import TaskManager

from cornerstone.assets import documents, fetch, harness
from cornerstone.assets.documents import Document
from cornerstone.assets.recipe import Recipe
from cornerstone.config.config import load_files
from cornerstone.config.models import Model
from cornerstone.engine import encoding, loading, sweep, tries
from cornerstone.engine.network import Network
from cornerstone.engine.proof import prove
from cornerstone.evaluate.scoring import Scores
from cornerstone.game import coalitions
from tests.device import NAME
from tests.helpers import ROOT
from tests.parity import stock

TASKS = ("boolq", "piqa", "winogrande", "arc_easy", "arc_challenge", "openbookqa")
DOCUMENTS = 2
MODELS = {"smollm2-135m": [], "gemma3-270m": [], "qwen2.5-coder-0.5b": [ROOT / "studies" / "models.yaml"]}
"""Each with the config files that it is in, beside config.yaml."""
REMOVED = ("full", "one attention", "one feed-forward", "a window of four", "a scattered ten")

ALWAYS = ("full", "a scattered ten")
"""What `make test` removes; the others are for `make test-rare`: each takes half a minute of stock lm-eval."""


def removed(what: str, count: int) -> tuple[int, ...]:
    """Places of `count` sublayers that are removed."""
    scattered = tuple(sorted(random.Random(0).sample(range(count), 10)))
    return dict(zip(REMOVED, ((), (2,), (1,), (21, 22, 23, 24), scattered), strict=True))[what]


def characters(document: Document) -> int:
    """How long a document is: short ones are as good a test, and most of the time goes into stock runs of long ones."""
    return sum(len(context) + len(choice) for context, choice in document.requests)


@dataclass(frozen=True)
class Real:
    """A model with its weights, and what this package makes of it."""

    entry: Model
    model: Any
    tokenizer: Any
    network: Network


@pytest.fixture(
    scope="module",
    params=[
        "smollm2-135m",
        *(pytest.param(name, marks=pytest.mark.models) for name in ("gemma3-270m", "qwen2.5-coder-0.5b")),
    ],
)
def real(request: pytest.FixtureRequest, real_assets: Path) -> Real:
    name, files = request.param, MODELS[request.param]
    entry = load_files([ROOT / "config.yaml", *files]).models[name]
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "all"]
    command += [part for file in files for part in ("--configfile", str(file))]
    done = subprocess.run(
        [*command, "--config", f"run=[{name}]", "compare=[]", "--", "fetch"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    folder = fetch.model_folder(real_assets / "models" / f"{name}.json", entry)
    model, tokenizer = loading.load(ROOT / folder, "float32", NAME)
    return Real(entry, model, tokenizer, Network(model, entry.all_players(), entry.kinds()))


@pytest.fixture(scope="module")
def ours(real_assets: Path, real: Real) -> dict[str, Any]:
    """task -> (documents, [coalition][document] -> log-likelihoods of the choices)."""
    players = real.network.players
    wanted = [coalitions.without(removed(what, len(players)), players) for what in REMOVED]
    scores: dict[str, Any] = {}
    for task in TASKS:
        whole = documents.read(real_assets / "documents" / "embedded" / f"{task}.json")
        shortest = sorted(whole.documents, key=characters)[:DOCUMENTS]
        data = replace(whole, documents=sorted(shortest, key=lambda document: document.doc_id))  # as lm-eval takes them
        packed = encoding.encode(real.model, real.tokenizer, [document.requests for document in data.documents])
        if not scores:
            prove(real.network, packed)
        scores[task] = (data, sweep.choice_scores(real.network, tries.batches(packed, 512), wanted))
    return scores


@pytest.fixture(scope="module")
def task_objects(real_assets: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """lm-eval's own task objects, reading the embedded documents."""
    return [harness.load(Recipe(task), None, real_assets / "wheels", tmp_path_factory.mktemp(task)) for task in TASKS]


@pytest.mark.parity
@pytest.mark.parametrize(
    "index",
    [pytest.param(i, id=what, marks=[] if what in ALWAYS else pytest.mark.rare) for i, what in enumerate(REMOVED)],
)
def test_equals_stock_lm_eval(index: int, ours: dict[str, Any], real: Real, task_objects: list[Any]) -> None:
    lm = stock.harness(real.model, real.tokenizer)
    places = removed(REMOVED[index], len(real.network.players))
    paths = [f"model.layers.{i // 2}.{'self_attn' if i % 2 == 0 else 'mlp'}" for i in places]
    samples = {task: [d.doc_id for d in data.documents] for task, (data, _) in ours.items()}
    with warnings.catch_warnings(), stock.zeroed(real.model, paths):
        warnings.simplefilter("ignore")  # lm-eval's own
        theirs = simple_evaluate(
            model=lm,
            tasks=task_objects,
            samples=samples,
            bootstrap_iters=0,
            log_samples=True,
            task_manager=TaskManager(include_defaults=False),  # they are objects: none is looked up
        )
    assert theirs is not None
    for task in TASKS:
        data, scores = ours[task]
        found = sorted(theirs["samples"][task], key=lambda sample: sample["doc_id"])
        assert [s["doc_hash"] for s in found] == [d.doc_hash for d in data.documents]
        for sample, mine in zip(found, scores[index], strict=True):
            stock_scores = [float(response[0][0]) for response in sample["resps"]]
            np.testing.assert_allclose(mine.numpy(), stock_scores, rtol=1e-4)
        lists = [row.tolist() for row in scores[index]]
        scored = Scores.of(data, lists)
        for metric in data.metrics:
            accuracy = scored.said(metric)
            assert accuracy == theirs["results"][task][f"{metric},none"]
