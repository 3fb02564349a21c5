"""A coalition's result: one JSON file, in lm-eval's words.

`results`, `versions`, `n-shot`, `n-samples`, `higher_is_better` and `configs` are what lm-eval writes, so tools
that read its files read these. Beside them stand the coalition, the arrays per document, and what made the file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cornerstone.assets.documents import TaskDocuments
from cornerstone.errors import CoalitionError, StoreError
from cornerstone.evaluate.scoring import Scores
from cornerstone.files import write_text
from cornerstone.game.coalitions import name, parse, removed_from
from cornerstone.game.players import Player


@dataclass(frozen=True)
class Origin:
    """What made a result, for its `provenance`: see `plan.fingerprint` and `TaskDocuments.digest`."""

    fingerprint: str
    documents: str
    settings: str
    model: dict[str, Any]
    versions: dict[str, str]
    device: str
    weights: str


def write(
    path: Path,
    coalition: int,
    players: tuple[Player, ...],
    data: TaskDocuments,
    loglikelihoods: Sequence[Sequence[float]],
    origin: Origin,
    seconds: float,
) -> None:
    """Write one coalition's result, atomically.

    Args:
        path: where.
        coalition: bitmask of the players kept.
        players: all players of the model.
        data: the documents that were scored.
        loglikelihoods: [document][choice], natural logarithms, summed over the choice's tokens.
        origin: what made it.
        seconds: the coalition's share of the time of the walk that scored it.

    Raises:
        StoreError: when a log-likelihood is not a finite number.
    """
    if not all(math.isfinite(value) for row in loglikelihoods for value in row):
        raise StoreError(
            f"{name(coalition, players)} of {data.task} got a log-likelihood that is no finite number. Half "
            "precision may have overflowed: set dtype: bfloat16 or float32 in the model's entry."
        )
    scored = Scores(loglikelihoods, [d.lengths for d in data.documents], [d.gold for d in data.documents])
    metrics = {metric: scored.correct(metric) for metric in data.metrics}
    scores: dict[str, Any] = {"alias": data.task}
    for metric, right in metrics.items():
        scores[f"{metric},none"] = float(right.mean())
        scores[f"{metric}_stderr,none"] = float(right.std(ddof=1) / np.sqrt(len(right)))
    sections: dict[str, Any] = {
        "results": {data.task: scores},
        "versions": {data.task: data.version},
        "n-shot": {data.task: 0},
        "n-samples": {data.task: {"original": data.total, "effective": len(data.documents)}},
        "higher_is_better": {data.task: dict.fromkeys(metrics, True)},
        "configs": {data.task: {"task": data.task, "source": data.source, "split": data.split, "num_fewshot": 0}},
        "coalition": {
            "name": name(coalition, players),
            "kept_mask": f"{coalition:#x}",
            "players": len(players),
            "removed": [player.name for player in removed_from(coalition, players)],
        },
        "provenance": {**vars(origin), "seconds": round(seconds, 3)},
        "documents": {
            "doc_id": [document.doc_id for document in data.documents],
            "doc_hash": [document.doc_hash for document in data.documents],
            "gold": [document.gold for document in data.documents],
            "length": [document.lengths for document in data.documents],
            "loglikelihood": [[float(value) for value in row] for row in loglikelihoods],
            **{metric: [int(value) for value in right] for metric, right in metrics.items()},
        },
    }
    save(path, sections)


def save(path: Path, sections: Mapping[str, Any]) -> None:
    """Write the sections of a result, atomically: a line each, and a line for each array of `documents`."""
    lines = []
    for key, value in sections.items():
        if key == "documents":  # an array a line: readable, and small
            rows = [f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()]
            lines.append(f'"{key}": {{\n' + ",\n".join(rows) + "\n}")
        else:
            lines.append(f'"{key}": {json.dumps(value)}')
    write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def read(path: Path) -> dict[str, Any]:
    """Read one result.

    Raises:
        StoreError: when it is missing, truncated, or no result.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        if {"results", "coalition", "documents", "provenance"} <= result.keys():
            return result
        problem = "it lacks sections of a coalition's result"
    except FileNotFoundError:
        raise StoreError(f"{path} is missing. Run `snakemake {path}` to make it.") from None
    except (OSError, ValueError, AttributeError) as error:
        problem = f"it is truncated or is not JSON ({error})"
    raise StoreError(f"{path}: {problem}. Delete it and run `snakemake {path}` to make it again.")


def is_current(path: Path, wanted: str, data: TaskDocuments, coalition: int, players: tuple[Player, ...]) -> bool:
    """Whether a file holds this coalition's result on these documents, made by what the fingerprint `wanted` means."""
    try:
        result = read(path)
        made_by = result["provenance"]
        if made_by["fingerprint"] != wanted or made_by["documents"] != data.digest:
            return False
        return parse(result["coalition"]["name"], players) == coalition
    except (StoreError, CoalitionError, KeyError, TypeError):
        return False
