"""A coalition's result: one JSON file, in lm-eval's words.

`results`, `versions`, `n-shot`, `n-samples`, `higher_is_better` and `configs` are what lm-eval writes, so tools
that read its files read these. Beside them stand the coalition, the arrays per document, and what made the file.

A file holds the documents that the coalition has been scored on, block by block, whatever limit asked for them. Writing
adds blocks and leaves those that are there as they are.
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
from cornerstone.engine.blocks import Piece
from cornerstone.errors import CoalitionError, StoreError
from cornerstone.evaluate.scoring import Scores
from cornerstone.evaluate.wanted import Wanted, piece_of
from cornerstone.files import write_text
from cornerstone.game.coalitions import name, parse, removed_from
from cornerstone.game.players import Player

SECTIONS = {"results", "coalition", "documents", "blocks", "provenance"}
"""What a result must have, beside what only lm-eval's tools read."""


@dataclass(frozen=True)
class Origin:
    """What made a result: see `plan.fingerprint`; the last three are those of the job that scored some documents."""

    fingerprint: str
    settings: str
    model: dict[str, Any]
    versions: dict[str, str]
    device: str
    weights: str


@dataclass(frozen=True)
class Scored:
    """The log-likelihoods of a piece's documents under a coalition: [document][choice], natural logarithms, summed over
    the choice's tokens."""

    piece: Piece
    loglikelihoods: Sequence[Sequence[float]]


def write(
    path: Path,
    coalition: int,
    players: tuple[Player, ...],
    wanted: Wanted,
    scored: Sequence[Scored],
    origin: Origin,
    seconds: float,
    again: bool = False,
) -> None:
    """Write what one coalition scored on some documents, atomically, beside what its file holds of others.

    What is there stays where it is whole, made by the same settings and code, and of today's documents: also a piece
    that another job has scored in the meantime.

    Args:
        path: where.
        coalition: bitmask of the players kept.
        players: all players of the model.
        wanted: the task, and which of its documents are asked for.
        scored: pieces that do not overlap.
        origin: what made it.
        seconds: the coalition's share of the time in which they were scored.
        again: these pieces take the place of what is there.

    Raises:
        StoreError: when a log-likelihood is not a finite number.
    """
    if not all(math.isfinite(value) for each in scored for row in each.loglikelihoods for value in row):
        raise StoreError(
            f"{name(coalition, players)} of {wanted.whole.task} got a log-likelihood that is no finite number. Half "
            "precision may have overflowed: set dtype: bfloat16 or float32 in the model's entry."
        )
    held = _held(path, origin.fingerprint, wanted, coalition, players)
    there = {place for piece in held for place in piece.places}
    new = [each for each in scored if again or not there.issuperset(each.piece.places)]
    taken = {place for each in new for place in each.piece.places}
    parts = {piece: part for piece, part in held.items() if taken.isdisjoint(piece.places)}
    job = {"seconds": round(seconds, 3), **{key: getattr(origin, key) for key in ("device", "weights", "versions")}}
    for each in new:
        parts[each.piece] = _Part(wanted.digest(each.piece), job, _arrays(wanted.part(each.piece), each))
    save(path, _sections(coalition, players, wanted.whole, dict(sorted(parts.items())), origin))


@dataclass(frozen=True)
class _Part:
    """What a file holds of a piece: the digest of its documents, what the job that scored it says, arrays over them."""

    digest: str
    job: Mapping[str, Any]
    arrays: Mapping[str, list[Any]]


def _held(
    path: Path, fingerprint: str, wanted: Wanted, coalition: int, players: tuple[Player, ...]
) -> dict[Piece, _Part]:
    """What a file holds that may stay, by piece."""
    blocks, found = current(path, fingerprint, wanted, coalition, players), {}
    if not blocks:
        return {}
    result = read(path)
    row = 0
    for block in blocks:
        piece = piece_of(block)
        if wanted.fits(block):
            arrays = {key: result["documents"][key][row : row + piece.count] for key in ARRAYS}
            found[piece] = _Part(block["digest"], result["provenance"]["jobs"][block["job"]], arrays)
        row += piece.count
    return found


ARRAYS = ("doc_id", "doc_hash", "gold", "length", "loglikelihood")
"""What `documents` holds of each document, beside its metrics, which follow from these."""


def _arrays(data: TaskDocuments, scored: Scored) -> dict[str, list[Any]]:
    return {
        "doc_id": [document.doc_id for document in data.documents],
        "doc_hash": [document.doc_hash for document in data.documents],
        "gold": [document.gold for document in data.documents],
        "length": [document.lengths for document in data.documents],
        "loglikelihood": [[float(value) for value in row] for row in scored.loglikelihoods],
    }


def _sections(
    coalition: int, players: tuple[Player, ...], task: TaskDocuments, parts: Mapping[Piece, _Part], origin: Origin
) -> dict[str, Any]:
    """All that a file says."""
    arrays = {key: [value for part in parts.values() for value in part.arrays[key]] for key in ARRAYS}
    jobs: list[Mapping[str, Any]] = []
    for part in parts.values():
        if part.job not in jobs:
            jobs.append(part.job)
    blocks = [
        {"first": piece.first, "count": piece.count, "digest": part.digest, "job": jobs.index(part.job)}
        for piece, part in parts.items()
    ]
    scores = Scores(arrays["loglikelihood"], arrays["length"], arrays["gold"])
    metrics = {metric: scores.correct(metric) for metric in task.metrics}
    summary: dict[str, Any] = {"alias": task.task}
    for metric, right in metrics.items():
        summary[f"{metric},none"] = float(right.mean())
        summary[f"{metric}_stderr,none"] = float(right.std(ddof=1) / np.sqrt(len(right)))
    return {
        "results": {task.task: summary},
        "versions": {task.task: task.version},
        "n-shot": {task.task: 0},
        "n-samples": {task.task: {"original": task.total, "effective": len(scores.gold)}},
        "higher_is_better": {task.task: dict.fromkeys(metrics, True)},
        "configs": {task.task: {"task": task.task, "source": task.source, "split": task.split, "num_fewshot": 0}},
        "coalition": {
            "name": name(coalition, players),
            "kept_mask": f"{coalition:#x}",
            "players": len(players),
            "removed": [player.name for player in removed_from(coalition, players)],
        },
        "provenance": {
            "fingerprint": origin.fingerprint,
            "settings": origin.settings,
            "model": origin.model,
            "jobs": jobs,
        },
        "blocks": blocks,
        "documents": {**arrays, **{metric: [int(value) for value in right] for metric, right in metrics.items()}},
    }


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
        if result.keys() >= SECTIONS:
            return result
        problem = "it lacks sections of a coalition's result"
    except FileNotFoundError:
        raise StoreError(f"{path} is missing. Run `snakemake {path}` to make it.") from None
    except (OSError, ValueError, AttributeError) as error:
        problem = f"it is truncated or is not JSON ({error})"
    raise StoreError(f"{path}: {problem}. Delete it and run `snakemake {path}` to make it again.")


def current(
    path: Path, fingerprint: str, wanted: Wanted, coalition: int, players: tuple[Player, ...]
) -> list[dict[str, Any]]:
    """The blocks of a file that holds this coalition's result, made by what the fingerprint means; else none.

    A block is among them whatever documents it is of: see `Wanted.missing`. A file that is missing or damaged has none.
    """
    try:
        result = read(path)
        blocks, provenance = result["blocks"], result["provenance"]
        if provenance["fingerprint"] != fingerprint or parse(result["coalition"]["name"], players) != coalition:
            return []
        wanted.rows(blocks)  # raises where these are no blocks
        counted = sum(block["count"] for block in blocks)
        whole = all(len(result["documents"][key]) == counted for key in ARRAYS)
        known = all(0 <= block["job"] < len(provenance["jobs"]) for block in blocks)
        return list(blocks) if whole and known else []
    except (StoreError, CoalitionError, KeyError, TypeError):
        return []


def missing(
    path: Path, fingerprint: str, wanted: Wanted, coalition: int, players: tuple[Player, ...]
) -> tuple[Piece, ...]:
    """What must be scored so that a file holds this coalition's result on the documents that are asked for."""
    return wanted.missing(current(path, fingerprint, wanted, coalition, players))
