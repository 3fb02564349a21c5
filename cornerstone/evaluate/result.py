"""A coalition's result: one JSON file, in lm-eval's words.

`results`, `versions`, `n-shot`, `n-samples`, `higher_is_better` and `configs` are what lm-eval writes, so tools
that read its files read these. Beside them stand the coalition, the arrays per document, and what made the file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cornerstone.assets.documents import METRICS, TaskDocuments, correct
from cornerstone.errors import CoalitionError, StoreError
from cornerstone.files import write_atomically, write_text
from cornerstone.game.coalitions import name, parse, removed_from
from cornerstone.game.players import Player

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Origin:
    """What made a result, for its `provenance`: see `workflow.fingerprint` and `TaskDocuments.digest`."""

    fingerprint: str
    documents: str
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
    metrics = {metric: correct(loglikelihoods, data.documents, metric) for metric in data.metrics}
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


def table(paths: Iterable[Path], players: tuple[Player, ...], expected: str, data: TaskDocuments) -> pd.DataFrame:
    """Read many results into one table.

    Args:
        paths: result files of one model and task.
        players: the model's players.
        expected: fingerprint that each must carry.
        data: the documents that were scored.

    Returns:
        A row per coalition and document: coalition, doc_id, cluster, a column per metric (0 or 1), and `margin` and
        `log-probability` (see `value_functions`).

    Raises:
        StoreError: a damaged file, a foreign one (other fingerprint, other name), or other documents.
    """
    import pandas as pd  # not above: jobs that only write results do without

    labels, counts = [], []
    columns: dict[str, list[np.ndarray]] = {}
    digest = data.digest
    for path in paths:
        result = read(path)
        found = result["provenance"]["fingerprint"]
        if found != expected:
            raise StoreError(
                f"{path} was made by other settings or code (fingerprint {found}, now {expected}). Delete it "
                "and run the workflow again."
            )
        documents = result["documents"]
        if result["provenance"].get("documents") != digest:
            raise StoreError(f"{path} holds other documents than {data.source} has now. Delete it and run again.")
        label = result["coalition"]["name"]
        parse(label, players)
        if label != path.stem:
            raise StoreError(f"{path} holds the result of {label}. Delete it and run the workflow again.")
        found_here = {"doc_id": np.asarray(documents["doc_id"], np.int64)}
        found_here |= {metric: np.asarray(documents[metric], np.int8) for metric in METRICS if metric in documents}
        found_here |= value_functions(documents["loglikelihood"], documents["length"], documents["gold"])
        for column, values in found_here.items():
            columns.setdefault(column, []).append(values)
        labels.append(label)
        counts.append(len(found_here["doc_id"]))
    if not labels:
        raise StoreError("there is no result to read. Run the workflow's evaluate step first.")
    joined = pd.DataFrame({column: np.concatenate(parts) for column, parts in columns.items()})
    joined.insert(0, "coalition", pd.Series(labels).repeat(counts).to_numpy())
    joined.insert(2, "cluster", joined["doc_id"].map({d.doc_id: d.cluster for d in data.documents}))
    return joined


def value_functions(
    loglikelihoods: Sequence[Sequence[float]], lengths: Sequence[Sequence[int]], gold: Sequence[int]
) -> dict[str, np.ndarray]:
    """What a coalition may be worth on a document beside being right or wrong.

    Args:
        loglikelihoods: [document][choice], natural logarithms, summed over the choice's tokens.
        lengths: [document][choice], characters (as in acc_norm; where the choices stand in the context, all are equal).
        gold: [document] index of the right choice.

    Returns:
        `margin`: log-likelihood per character of the gold choice less that of the best other; `log-probability`:
        log-likelihood of the gold choice. Each float64 [document].

    Raises:
        ValueError: lists that do not fit each other, or a document with less than two choices.
    """
    counts = [len(scores) for scores in loglikelihoods]
    if counts != [len(sizes) for sizes in lengths] or len(counts) != len(gold) or min(counts, default=2) < 2:
        raise ValueError("each document needs a gold choice, and a log-likelihood and a length for two choices or more")
    # one array of all documents, padded with -inf: a loop over documents takes ten times as long
    there = np.arange(max(counts, default=0)) < np.array(counts, int)[:, None]
    scores = np.full(there.shape, -np.inf)
    scores[there] = list(chain.from_iterable(loglikelihoods))
    each, rows, right = scores.copy(), np.arange(len(counts)), np.array(gold, int)
    each[there] /= np.maximum(1, list(chain.from_iterable(lengths)))
    golden = each[rows, right]
    each[rows, right] = -np.inf
    return {"margin": golden - each.max(axis=1, initial=-np.inf), "log-probability": scores[rows, right]}


def write_table(
    paths: Iterable[Path], players: tuple[Player, ...], expected: str, data: TaskDocuments, target: Path
) -> None:
    """Write what `table` returns as a Parquet file, atomically."""
    frame = table(paths, players, expected, data)
    write_atomically(target, lambda temporary: frame.to_parquet(temporary, index=False))
