"""Small task files of lm-eval with their documents, written where a test wants them, and stock lm-eval run on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

CHOICES: list[dict[str, Any]] = [
    {"q": "Which is renewable?", "options": ["the wind", "coal and oil", "gas"], "gold": 0, "many": [0]},
    {"q": "How do you boil an egg?", "options": ["in hot water", "in a hat", "cold"], "gold": 2, "many": [0, 2]},
    {"q": "Who was the surgeon?", "options": ["Maria", "Sarah", "nobody é"], "gold": 1, "many": [1]},
    {"q": "Is the sun hot?", "options": ["yes", "no"], "gold": 1, "many": [1]},
    {"q": "Is water wet?", "options": ["no, never", "yes it is"], "gold": 0, "many": [0]},
]
EXAMPLES: list[dict[str, Any]] = [
    {"q": f"What is {i} and {i}?", "options": [str(2 * i), "none", "all"], "gold": i % 3, "many": [i % 3]}
    for i in range(6)
]
TEXTS = [
    {"text": "Sarah was a much better surgeon than Maria so the hard cases went to her."},
    {"text": "the wind and the sun, yes and no, " * 6 + "é"},
    {"text": "Put it into hot water for some minutes.\n\nThen into cold water."},
]
SHARES = [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")]

TASKS: dict[str, dict[str, Any]] = {
    "choose": {"metric_list": [*SHARES, {"metric": "acc_bytes", "aggregation": "mean", "higher_is_better": True}]},
    "many": {"doc_to_target": "many", "metric_list": SHARES},
    "described": {
        "description": "About {{q}}\n\n",
        "gen_prefix": "So:",
        "fewshot_split": "train",
        "metric_list": SHARES,
    },
    "first": {"fewshot_split": "train", "fewshot_config": {"sampler": "first_n"}, "metric_list": SHARES},
    "whole": {"metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}]},
    "fill": {"doc_to_text": "gold", "doc_to_target": "laughed at it.", "metric_list": SHARES},
    "greedy": {
        "output_type": "loglikelihood",
        "doc_to_text": "{{text.split(' ')[:-1]|join(' ')}}",
        "doc_to_target": "{{' '+text.split(' ')[-1]}}",
        "doc_to_choice": None,
        "metric_list": [
            {"metric": "perplexity", "aggregation": "perplexity", "higher_is_better": False},
            {"metric": "acc", "aggregation": "mean", "higher_is_better": True},
        ],
    },
    "read": {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{text}}",
        "doc_to_choice": None,
        "metric_list": [{"metric": name} for name in ("word_perplexity", "byte_perplexity", "bits_per_byte")],
    },
}


def write(folder: Path, tasks: dict[str, dict[str, Any]] | None = None, **files: list[dict[str, Any]]) -> Path:
    """Write task files and their documents; `files`: rows of the splits `test` and `train` in place of the usual."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = {"test": CHOICES, "train": EXAMPLES, "texts": TEXTS, **files}
    for name, given in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))
    for name, changes in (TASKS if tasks is None else tasks).items():
        text = str(changes.get("output_type", "")).startswith("loglikelihood")
        data = {"test": str(folder / ("texts.jsonl" if text else "test.jsonl"))}
        settings: dict[str, Any] = {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": data if text else data | {"train": str(folder / "train.jsonl")}},
            "test_split": "test",
            **({} if text else {"training_split": "train"}),
            "output_type": "multiple_choice",
            "doc_to_text": "Q: {{q}}\nA:",
            "doc_to_choice": "options",
            "doc_to_target": "gold",
            "metadata": {"version": 2.0},
            **changes,
        }
        settings = {key: value for key, value in settings.items() if value is not None}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(settings))
    return folder
