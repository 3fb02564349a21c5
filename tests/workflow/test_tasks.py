"""Whole runs on a task file of the user's, on subjects of MMLU as one task, and on texts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tests import task_files
from tests.workflow.runner import Workflow, configuration

SUBJECTS = ["mmlu_anatomy", "mmlu_astronomy"]


@pytest.fixture
def created(real_assets: Path, tmp_path: Path) -> Workflow:
    """A folder with a task file of the user's, examples, and a file of documents beside it."""
    config = configuration(2, 1, 6)
    config |= {
        "run_tasks": ["mine", "mmlu"],
        "include_path": ["tasks"],
        "deletion": {"orders": []},
        "value_functions": ["soft-accuracy", "log-probability-per-byte"],
    }
    config["tasks"]["mine"] = {"metric": "acc_norm", "documents": "mine.jsonl", "fewshot_documents": "shots.jsonl"}
    config["tasks"]["mine"] |= {"num_fewshot": 2, "apply_chat_template": True, "system_instruction": "Be brief."}
    config["tasks"]["mmlu"] = {"metric": "acc", "subtasks": SUBJECTS, "num_fewshot": 5, "limit": 4}
    workflow = Workflow.create(tmp_path / "work", real_assets, config)
    (workflow.folder / "resources" / "wheels").symlink_to((real_assets / "wheels").resolve())
    folder = task_files.write(workflow.folder / "tasks", {"mine": {"metric_list": task_files.SHARES}})
    (folder / "test.jsonl").rename(workflow.folder / "mine.jsonl")
    (folder / "train.jsonl").rename(workflow.folder / "shots.jsonl")
    settings = workflow.folder / "model" / "tokenizer_config.json"
    said = json.loads(settings.read_text())
    said["chat_template"] = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
    settings.write_text(json.dumps(said))
    return workflow


def test_a_task_file_and_a_group(created: Workflow) -> None:
    targets = [f"results/tiny/{name}.csv" for name in ("baselines", "shapley_window-k1_soft-accuracy")]
    created.succeed(*targets)
    results = created.folder / "results"
    found = pd.read_csv(results / "tiny" / "baselines.csv").set_index("task")
    assert found["documents"].to_dict() == {"mine": 5, "mmlu": 8}
    assert set(found["split"]) == {"test"}
    of_subjects = [
        json.loads((results / "tiny" / task / "coalitions" / "full.json").read_text())["results"][task]["acc,none"]
        for task in SUBJECTS
    ]
    assert found["original"]["mmlu"] == pytest.approx(sum(of_subjects) / 2)
    assert (results / "tiny" / "shapley_window-k1_soft-accuracy.csv").is_file()
    (documents,) = (created.folder / "resources" / "documents" / "file").glob("mine-*.json")
    first = json.loads(documents.read_text())["documents"][0]["contexts"][0]
    assert first.startswith("[system] Be brief.\n[user] Q: What is")
    assert created.planned_jobs(*targets) == {}
    # other documents, and nothing else, are made again
    rows = (created.folder / "mine.jsonl").read_text().splitlines(keepends=True)
    (created.folder / "mine.jsonl").write_text("".join(rows[1:]))
    again = created.planned_jobs(*targets)
    assert again["fetch_documents_file_tiny"] == 1
    assert "fetch_documents_embedded" not in again
    (created.folder / "mine.jsonl").unlink()
    assert "tasks.mine.documents: mine.jsonl is missing. Correct the path." in created.run("--dry-run").stdout


def test_texts_are_worth_the_logarithm_of_their_perplexity(created: Workflow) -> None:
    config = created.config() | {"run_tasks": ["read"], "value_functions": ["log-probability-per-word"]}
    config["tasks"]["read"] = {"metric": "word_perplexity", "documents": "texts.jsonl"}
    created.write_config(config)
    rows = created.folder / "tasks" / "texts.jsonl"
    (created.folder / "texts.jsonl").write_text(rows.read_text())
    (created.folder / "tasks" / "read.yaml").write_text(yaml.safe_dump({"task": "read", **task_files.TASKS["read"]}))
    created.succeed("results/tiny/baselines.csv")
    found = pd.read_csv(created.folder / "results" / "tiny" / "baselines.csv")
    full = json.loads((created.folder / "results" / "tiny" / "read" / "coalitions" / "full.json").read_text())
    assert found["original"][0] == pytest.approx(-np.log(full["results"]["read"]["word_perplexity,none"]))
