"""Every kind of task, with examples, templates and instructions: requests, scores and metrics of `simple_evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lm_eval
import numpy as np
import pytest
import yaml
from lm_eval.tasks import TaskManager

from cornerstone.analysis.games import pooled
from cornerstone.assets import groups, tasks
from cornerstone.assets.documents import TaskDocuments
from cornerstone.assets.recipe import Recipe
from cornerstone.engine import sweep
from cornerstone.engine.batching import batches_for
from cornerstone.engine.encoding import encode
from cornerstone.evaluate.scoring import Scores
from cornerstone.game.functions import LOGARITHMS
from cornerstone.game.game import Game
from tests import task_files, tiny
from tests.helpers import configured
from tests.parity.stock import harness as stock_model
from tests.parity.stock import zeroed

TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


pytestmark = pytest.mark.usefixtures("no_stock_tasks")


class Both:
    """A tiny model, and what stock lm-eval says of it on a task."""

    def __init__(self, folder: Path) -> None:
        self.folder = task_files.write(folder)
        self.model, self.tokenizer = tiny.make("llama"), tiny.tokenizer()
        self.tokenizer.chat_template = TEMPLATE

    def ours(self, recipe: Recipe, removed: str | None = None) -> tuple[TaskDocuments, Scores]:
        chat = self.tokenizer if recipe.template_of else None
        data = tasks.build(recipe, Path("/nowhere"), tokenizer=chat)
        rolling = data.kind == "loglikelihood_rolling"
        packed = encode(self.model, self.tokenizer, [d.requests for d in data.documents], rolling=rolling)
        network = tiny.network(self.model, "llama")
        kept = (1 << len(network.players)) - 1
        if removed:
            kept -= 1 << [player.name for player in network.players].index(removed)
        greedy: list[list[Any]] = []
        ((*rows,),) = sweep.choice_scores(network, batches_for(self.model, packed, 256), [kept], greedy=greedy)
        found = [[float(row.sum())] if rolling else row.tolist() for row in rows]
        best = [] if rolling else [row.tolist() for row in greedy[0]]
        return data, Scores.of(data, found, [d.predicted for d in packed] if not rolling else None, best)

    def theirs(self, task: str, removed: str | None = None, **settings: Any) -> dict[str, Any]:
        paths = {"ffn1": ["model.layers.1.mlp"], None: []}[removed]
        with zeroed(self.model, paths):
            found: dict[str, Any] = lm_eval.simple_evaluate(
                model=stock_model(self.model, self.tokenizer),
                tasks=[task],
                task_manager=TaskManager(include_path=[str(self.folder)], include_defaults=False),
                bootstrap_iters=0,
                verbosity="ERROR",
                **settings,
            )
        return found


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    return Both(tmp_path_factory.mktemp("tasks"))


def recipe(both: Both, task: str, **settings: Any) -> Recipe:
    return Recipe(task, "hub", include_path=(str(both.folder),), **settings)


CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    *((task, {}, {}) for task in task_files.TASKS if task != "described"),
    ("choose", {"num_fewshot": 3}, {"num_fewshot": 3}),
    ("choose", {"num_fewshot": 2, "fewshot_seed": 7}, {"num_fewshot": 2, "fewshot_random_seed": 7}),
    ("first", {"num_fewshot": 2}, {"num_fewshot": 2}),
    ("fill", {"num_fewshot": 2}, {"num_fewshot": 2}),
    ("described", {"num_fewshot": 1}, {"num_fewshot": 1}),
    ("choose", {"system_instruction": "Be brief."}, {"system_instruction": "Be brief."}),
    (
        "described",
        {"num_fewshot": 2, "system_instruction": "Be brief.", "template_of": "tiny"},
        {"num_fewshot": 2, "system_instruction": "Be brief.", "apply_chat_template": True},
    ),
    ("fill", {"template_of": "tiny"}, {"apply_chat_template": True}),
    ("greedy", {"template_of": "tiny"}, {"apply_chat_template": True}),
]


@pytest.mark.parametrize(("task", "said", "asked"), CASES)
def test_as_simple_evaluate(both: Both, task: str, said: dict[str, Any], asked: dict[str, Any]) -> None:
    compare(both, task, said, asked)


def test_longer_than_the_model_reads(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts are cut into windows, and prompts lose their beginning, where lm-eval does it."""
    monkeypatch.setattr(both.model.config, "max_position_embeddings", 40)
    data, _ = compare(both, "read", {}, {})
    packed = encode(both.model, both.tokenizer, [d.requests for d in data.documents], rolling=True)
    assert max(document.choices for document in packed) > 2
    data, _ = compare(both, "choose", {"num_fewshot": 3}, {"num_fewshot": 3})
    assert all(d.cut for d in encode(both.model, both.tokenizer, [d.requests for d in data.documents]))


def test_a_text_task_with_scoring_of_its_own(both: Both, tmp_path: Path) -> None:
    """WikiText counts the words of the page as it was before it was made readable."""
    (tmp_path / "own.py").write_text(
        "def score(doc, results):\n"
        "    (found,) = results\n"
        "    words, size = 2 * len(doc['text'].split()), len(doc['text'])\n"
        "    return {'word_perplexity': (found, words), 'byte_perplexity': (found, size)}\n"
    )
    page = {**task_files.TASKS["read"], "metric_list": [{"metric": "word_perplexity"}, {"metric": "byte_perplexity"}]}
    own = Both.__new__(Both)
    own.__dict__.update(vars(both), folder=task_files.write(tmp_path, {"page": page}))
    file = tmp_path / "page.yaml"
    file.write_text(file.read_text() + "process_results: !function own.score\n")
    data, _ = compare(own, "page", {}, {})
    assert all(d.words == [2 * len(d.requests[0][1].split())] for d in data.documents)


def test_a_group_counts_its_documents_as_lm_eval_does(both: Both, tmp_path: Path) -> None:
    for by_size in (True, False):
        tasks_of = {"small": {"metric_list": task_files.SHARES}, "large": {"metric_list": task_files.SHARES}}
        folder = task_files.write(tmp_path / str(by_size), tasks_of)
        group: dict[str, Any] = {"group": "all", "task": ["small", "large"]}
        group["aggregate_metric_list"] = [{"metric": "acc_norm", "weight_by_size": by_size}]
        (folder / "all.yaml").write_text(yaml.safe_dump(group))
        more = folder / "large.yaml"
        more.write_text(more.read_text().replace("test.jsonl", "train.jsonl"))
        own = Both.__new__(Both)
        own.__dict__.update(vars(both), folder=folder)
        games = {}
        for task in ("small", "large"):
            data, scores = own.ours(recipe(own, task), "ffn1")
            clusters, ids = np.array([d.cluster for d in data.documents]), np.arange(len(data.documents))
            games[task] = Game((), {0: scores.metric("acc_norm")}, clusters, ids)
        config = configured(
            {
                "run_tasks": ["all"],
                "tasks.all": {"metric": "acc_norm", "subtasks": ["small", "large"], "by_size": by_size},
            }
        )
        found = own.theirs("all", "ffn1")["groups"]["all"]["acc_norm,none"]
        assert pooled(config, "all", games)(0).mean() == pytest.approx(found)
        assert groups.group("all", (str(folder),)) == (["small", "large"], by_size)


def compare(both: Both, task: str, said: dict[str, Any], asked: dict[str, Any]) -> tuple[TaskDocuments, Scores]:
    """Requests, scores of each document and metrics, ours and lm-eval's, without the second feed-forward sublayer."""
    theirs = both.theirs(task, "ffn1", **asked)
    data, scores = both.ours(recipe(both, task, **said), "ffn1")
    samples = {sample["doc_id"]: sample for sample in theirs["samples"][task]}
    assert len(samples) == data.total == len(data.documents)
    for i, document in enumerate(data.documents):
        sample = samples[document.doc_id]
        arguments = [tuple(given) for given in sample["arguments"]]
        wanted = [(text,) for _, text in document.requests] if data.kind.endswith("rolling") else document.requests
        assert arguments == wanted
        assert sample["doc_hash"] == document.doc_hash
        said_by_model = [_answer(answer)[0] for answer in sample["resps"]]
        assert scores.loglikelihoods[i] == pytest.approx(said_by_model, abs=2e-4)
        if not data.kind.endswith("rolling"):
            assert [bool(g) for g in scores.greedy[i]] == [_answer(answer)[1] for answer in sample["resps"]]
        for metric in data.metrics:
            if metric not in LOGARITHMS:
                assert scores.metric(metric)[i] == sample[metric]
    results = theirs["results"][task]
    assert {key.split(",")[0] for key in results} - {"alias", "name", "sample_len", "sample_count"} >= set(data.metrics)
    for metric in data.metrics:
        assert scores.said(metric) == pytest.approx(results[f"{metric},none"], rel=1e-5)
    assert theirs["n-shot"][task] == data.num_fewshot == said.get("num_fewshot", 0)
    return data, scores


def _answer(response: Any) -> tuple[float, bool]:
    """(log-likelihood, whether greedy) of a request, as samples hold it."""
    (first,) = response
    return (float(first[0]), bool(first[1])) if isinstance(first, tuple | list) else (float(first), False)
