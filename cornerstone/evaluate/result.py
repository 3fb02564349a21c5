"""A coalition's result: one JSON file, in lm-eval's words.

`results`, `versions`, `n-shot`, `n-samples`, `higher_is_better` and `configs` are what lm-eval writes, so tools
that read its files read these. Beside them stand the coalition, the arrays per document, and what made the file.

`sha256` says what was written: see `evaluate.seal`.

A file holds the documents that the coalition has been scored on, block by block, whatever limit asked for them. Writing
adds blocks and leaves those that are there as they are.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cornerstone import reading
from cornerstone.assets.documents import TaskDocuments
from cornerstone.engine.blocks import Piece
from cornerstone.errors import CoalitionError, StoreError, UnreadableError, UnreadNowError
from cornerstone.evaluate import check, seal
from cornerstone.evaluate.scoring import Scores
from cornerstone.evaluate.wanted import Wanted, piece_of
from cornerstone.files import write_text
from cornerstone.game.coalitions import name, parse, removed_from
from cornerstone.game.functions import SHARES
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
    """What a coalition says of a piece's documents.

    Attributes:
        piece: the documents.
        loglikelihoods: [document][choice], natural logarithms, summed over the choice's tokens.
        tokens: [document][choice], how many tokens of the model's are predicted.
        cut: [document] whether it was longer than the model reads, and lost its beginning.
        greedy: [document][choice] whether the model by itself would write it; empty where no metric asks.
    """

    piece: Piece
    loglikelihoods: Sequence[Sequence[float]]
    tokens: Sequence[Sequence[int]]
    cut: Sequence[bool]
    greedy: Sequence[Sequence[bool]] = ()


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
    if where := _not_finite(wanted, scored):
        raise StoreError(
            f"{name(coalition, players)} of {wanted.whole.task} got a log-likelihood that is no finite number: {where}"
            ". Half precision may have overflowed: set dtype: bfloat16 or float32 in the model's entry."
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


def _not_finite(wanted: Wanted, scored: Sequence[Scored]) -> str:
    """The first log-likelihood that is no finite number, for people; empty where all are."""
    for each in scored:
        for document, row in zip(wanted.part(each.piece).documents, each.loglikelihoods, strict=True):
            for choice, value in enumerate(row):
                if not math.isfinite(value):
                    last = each.piece.first + each.piece.count - 1
                    block = f"the block of documents {each.piece.first} to {last}"
                    return f"{value} for choice {choice} of document {document.doc_id}, in {block}"
    return ""


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


ARRAYS = ("doc_id", "doc_hash", "gold", "length", "loglikelihood", "tokens", "cut", "greedy")
"""What `documents` holds of each document, beside its metrics, which follow from these."""


def _arrays(data: TaskDocuments, scored: Scored) -> dict[str, list[Any]]:
    return {
        "doc_id": [document.doc_id for document in data.documents],
        "doc_hash": [document.doc_hash for document in data.documents],
        "gold": [document.gold for document in data.documents],
        "length": [document.lengths for document in data.documents],
        "loglikelihood": [[float(value) for value in row] for row in scored.loglikelihoods],
        "tokens": [[int(count) for count in row] for row in scored.tokens],
        "cut": [int(cut) for cut in scored.cut],
        "greedy": [[int(best) for best in row] for row in scored.greedy] or [[] for _ in data.documents],
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
    held = replace(task, documents=[task.documents[place] for piece in parts for place in piece.places])
    scores = scores_of(held, arrays)
    metrics = {metric: scores.metric(metric) for metric in task.metrics if metric in SHARES}
    summary: dict[str, Any] = {"alias": task.task}
    for metric in task.metrics:
        summary[f"{metric},none"] = scores.said(metric)
        right = metrics.get(metric)
        summary[f"{metric}_stderr,none"] = "N/A" if right is None else float(right.std(ddof=1) / np.sqrt(len(right)))
    return {
        "results": {task.task: summary},
        "versions": {task.task: task.version},
        "n-shot": {task.task: task.num_fewshot},
        "n-samples": {task.task: {"original": task.total, "effective": len(scores.gold)}},
        "higher_is_better": {task.task: {metric: metric in SHARES for metric in task.metrics}},
        "configs": {
            task.task: {
                "task": task.task,
                "output_type": task.kind,
                "source": task.source,
                "split": task.split,
                "num_fewshot": task.num_fewshot,
                "made_from": task.made_from,
                "remarks": held.remarked(),
            }
        },
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


def scores_of(data: TaskDocuments, arrays: Mapping[str, list[Any]]) -> Scores:
    """The scores of documents from a result's `ARRAYS`, which are of these documents, in this order."""
    greedy = arrays["greedy"] if data.greedy else ()
    return Scores.of(data, arrays["loglikelihood"], arrays["tokens"], greedy)


def save(path: Path, sections: Mapping[str, Any]) -> None:
    """Write the sections of a result, atomically, with their checksums: see `seal.text`."""
    write_text(path, seal.text(sections))


def read(path: Path) -> dict[str, Any]:
    """Read one result, and check that it is what was written (`seal`).

    One of an older version has no checksums; of that the numbers are checked: see `check`.

    Raises:
        StoreError: when it is missing, truncated, was changed, or is no result.
    """
    try:
        content = reading.content(path)
        result = reading.of_json(path, content)
    except UnreadableError as error:
        if error.missing:
            raise StoreError(f"{path} is missing. Run `snakemake {path}` to make it.") from None
        kind = UnreadNowError if error.unknown else StoreError
        raise kind(error.then(again(path))) from error
    if not isinstance(result, dict) or not result.keys() >= SECTIONS or not isinstance(result["documents"], dict):
        raise StoreError(f"{path}: it lacks sections of a coalition's result. {again(path)}")
    problem = seal.problem(content, result) if seal.SEAL in result else check.problem(result)
    if problem:
        raise StoreError(UnreadableError(path, problem).then(again(path)))
    return result


def again(path: Path) -> str:
    """What to do about a result that is damaged."""
    return f"Delete it and run `snakemake {path}` to make it again."


def damage(path: Path) -> str:
    """Why a file that is there is no result; empty where it is one, or where there is none."""
    try:
        read(path)
    except StoreError as error:
        return str(error) if os.path.lexists(path) else ""
    return ""


def current(
    path: Path, fingerprint: str, wanted: Wanted, coalition: int, players: tuple[Player, ...]
) -> list[dict[str, Any]]:
    """The blocks of a file that holds this coalition's result, made by what the fingerprint means; else none.

    A block is among them whatever documents it is of: see `Wanted.missing`. A file that is missing or damaged has none.

    Raises:
        UnreadNowError: the disk did not let it be read, so that nobody knows.
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
    except UnreadNowError:
        raise
    except (StoreError, CoalitionError, KeyError, TypeError):
        return []


def missing(
    path: Path, fingerprint: str, wanted: Wanted, coalition: int, players: tuple[Player, ...]
) -> tuple[Piece, ...]:
    """What must be scored so that a file holds this coalition's result on the documents that are asked for."""
    return wanted.missing(current(path, fingerprint, wanted, coalition, players))
