"""Letting stored results stay when code has changed: where a random sample, computed anew, gives the same numbers.

A change of the engine makes every result stale, as nobody can tell from code alone that no number has moved. Computing
a few coalitions again can.
"""

from __future__ import annotations

import datetime
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from cornerstone.config.config import Config
from cornerstone.config.models import Groups
from cornerstone.engine.blocks import Piece
from cornerstone.errors import CoalitionError, StoreError
from cornerstone.evaluate import result
from cornerstone.evaluate.job import Job
from cornerstone.evaluate.parts import Loaded, Target
from cornerstone.evaluate.wanted import Wanted, piece_of
from cornerstone.game.coalitions import in_sweep_order, name, parse
from cornerstone.log import log
from cornerstone.plan import fingerprint
from cornerstone.plan.fingerprint import settings
from cornerstone.plan.layout import Layout
from cornerstone.plan.snakemake import forget_notes

RELATIVE = 1e-4
"""Largest relative difference of log-likelihoods in float32."""
SMALL = 1e-2
"""Log-likelihoods nearer to 0 count as this large: they are rounded like their larger neighbours."""


@dataclass(frozen=True)
class Stored:
    """A result whose fingerprint is not today's.

    Attributes:
        path: its file.
        coalition: bitmask of the players kept.
        pieces: what it holds of today's documents, as far as the limit asks for them: each whole.
    """

    path: Path
    coalition: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Comparison:
    """Stored log-likelihoods against those of today's code.

    Attributes:
        names: the coalitions that were computed.
        differences: for each of them, the largest difference.
        allowed: the largest difference that counts as agreement.
        how: where `allowed` comes from, for people.
    """

    names: list[str]
    differences: list[float]
    allowed: float
    how: str

    @property
    def differing(self) -> list[str]:
        """Coalitions that do not agree, and by how much."""
        found = zip(self.names, self.differences, strict=True)
        return [f"{name} by {by:.2g}" for name, by in found if not by <= self.allowed]

    def __str__(self) -> str:
        return f"{self.allowed:.2g} is allowed ({self.how})"


def adopt(config: Config, sample: int, seed: int, dry_run: bool = False) -> bool:
    """Give today's fingerprint to stored results that today's code would make again.

    Args:
        config: the configuration.
        sample: coalitions of each model and task that are computed anew.
        seed: of the random sample.
        dry_run: compare only.

    Returns:
        Whether nothing is left that does not agree.

    Raises:
        CornerstoneError: assets are missing, or a stored result is damaged.
    """
    layout, agreed, adopted = Layout(config), True, 0
    for model in config.run:
        for task in config.scored_tasks:
            made_by = fingerprint.of_result(config, model, task)
            marker, documents = Path(layout.model_marker(model)), Path(layout.documents_for(model, task))
            job = Job(config, model, task, marker, documents, made_by)
            versions = stale_results(job)
            if not versions:
                log(f"{model} {task}: no stale results")
            for version, stale in versions.items():
                chosen = random.Random(f"{seed} {model} {task} {version}").sample(stale, min(sample, len(stale)))
                found = compare(job, chosen)
                label = f"{model} {task}: {len(found.differing)} of {len(chosen)} coalitions made by {version} differ"
                if found.differing:
                    agreed = False
                    log(f"{label}: {', '.join(found.differing)}; {found}. They stay as they are, and stale")
                    continue
                log(f"{label}; the largest difference is {max(found.differences):.2g}, {found}")
                adopted += 0 if dry_run else keep(stale, made_by, settings(config, model, task), found)
    log(f"{adopted} results have today's fingerprint now" if not dry_run else "nothing was changed (--dry-run)")
    return agreed


def stale_results(job: Job) -> dict[str, list[Stored]]:
    """The results of a model and task that fit the config but for the code: fingerprint -> results, in sweep order.

    Results of other documents or settings, and files that are damaged, are left out: they are made anew. So are those
    of versions that did not note their settings, where names do not tell what was removed: where players are groups.
    """
    layout, wanted = Layout(job.config), job.wanted()
    asked = settings(job.config, job.model, job.task)
    paths = [Path(layout.coalitions(job.model, job.task)), Path(layout.deletion_coalitions(job.model, job.task))]
    found: dict[str, dict[int, list[Stored]]] = {}
    for path in sorted(path for folder in paths for path in folder.glob("[!.]*.json")):
        try:
            sections = result.read(path)
            coalition, made_by = parse(sections["coalition"]["name"], job.players), sections["provenance"]
            noted = made_by["settings"] == asked if "settings" in made_by else not isinstance(job.entry.players, Groups)
            same = sections["coalition"]["players"] == len(job.players) and made_by["model"] == job.described
            asked_for = len(wanted.data.documents)
            pieces = [piece_of(block) for block in sections["blocks"] if wanted.fits(block)]
            pieces = [piece for piece in pieces if piece.first < asked_for]
            if noted and same and pieces and made_by["fingerprint"] != job.fingerprint:
                version = found.setdefault(str(made_by["fingerprint"]), {})
                version.setdefault(coalition, []).append(Stored(path, coalition, tuple(pieces)))
        except (StoreError, CoalitionError, KeyError, TypeError):
            continue
    return {
        name: [stored for coalition in in_sweep_order(version, job.players) for stored in version[coalition]]
        for name, version in found.items()
    }


def compare(job: Job, chosen: Sequence[Stored]) -> Comparison:
    """Compute some coalitions with today's code and compare.

    In float32 log-likelihoods agree within `RELATIVE`. In half precision the sum of the same numbers in another order
    gives others: each coalition is computed once more with the documents packed into smaller batches, and the largest
    difference that this makes on the sample is what is allowed.

    Raises:
        CornerstoneError: the model can't be loaded.
    """
    torch.set_num_threads(job.entry.threads)  # as the job that would make them
    wanted = job.wanted()
    before = [stored_scores(stored, wanted) for stored in chosen]
    parts = {stored.pieces: [each for each in chosen if each.pieces == stored.pieces] for stored in chosen}
    loaded = job.load(wanted, list(parts))
    after = computed(job, loaded, parts)
    names = [name(stored.coalition, job.players) for stored in chosen]
    away = [np.abs(after[stored.path] - then) for stored, then in zip(chosen, before, strict=True)]
    if job.entry.dtype == "float32":
        relative = [gap / np.maximum(np.abs(then), SMALL) for gap, then in zip(away, before, strict=True)]
        return Comparison(names, [float(gap.max()) for gap in relative], RELATIVE, "relative, in float32")
    again = computed(job, repacked(loaded, parts), parts)
    floor = max(float(np.abs(after[path] - other).max()) for path, other in again.items())
    how = f"in {job.entry.dtype}, what other batches alone change"
    return Comparison(names, [float(gap.max()) for gap in away], floor, how)


Parts = Mapping[tuple[Piece, ...], Sequence[Stored]]
"""Pieces -> the results that hold these."""


def stored_scores(stored: Stored, wanted: Wanted) -> np.ndarray:
    """The log-likelihoods of a result's pieces, all choices one after another.

    Raises:
        StoreError: it has fewer or more of them than the documents have choices.
    """
    sections = result.read(stored.path)
    rows, scores = wanted.rows(sections["blocks"]), sections["documents"]["loglikelihood"]
    places = [place for piece in stored.pieces for place in piece.places]
    try:
        found = flat([scores[rows[place]] for place in places])
    except (IndexError, TypeError, ValueError):
        found = np.zeros(0)
    count = sum(len(wanted.whole.documents[place].requests) for place in places)
    if len(found) != count:
        raise StoreError(f"{stored.path} has {len(found)} log-likelihoods, not {count}. Delete it and try again.")
    return found


def computed(job: Job, loaded: Loaded, parts: Parts) -> dict[Path, np.ndarray]:
    """For the file of each result, the log-likelihoods of its pieces by today's code, all choices one after another."""
    found: dict[Path, np.ndarray] = {}
    for pieces, results in parts.items():
        coalitions = in_sweep_order({stored.coalition for stored in results}, job.players)
        part = loaded.part(pieces, [Target(coalition, Path()) for coalition in coalitions])
        groups = [[target.coalition for target in group] for group in part.groups]
        scores = {c: flat(rows) for g in groups for c, rows in zip(g, job.scores(g, loaded, part), strict=True)}
        found |= {stored.path: scores[stored.coalition] for stored in results}
    return found


def repacked(loaded: Loaded, parts: Parts) -> Loaded:
    """The same documents in batches of about a third of the size."""
    largest = max(batch.tokens for pieces in parts for batch in loaded.batches(pieces))
    return replace(loaded, most_tokens=max(1, largest // 3))


def keep(stale: Sequence[Stored], made_by: str, asked: str, found: Comparison) -> int:
    """Write today's fingerprint into results, and how that came about; returns how many there are."""
    for stored in stale:
        sections = result.read(stored.path)
        provenance = sections["provenance"]
        adopted = {
            "from": provenance["fingerprint"],
            "on": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "compared": found.names,
            "largest_difference": max(found.differences),
            "allowed": found.allowed,
            "because": found.how,
        }
        history = [*provenance.get("adopted", []), adopted]
        sections["provenance"] = {**provenance, "fingerprint": made_by, "settings": asked, "adopted": history}
        result.save(stored.path, sections)
        forget_notes(stored.path)
    return len(stale)


def flat(rows: Sequence[Sequence[float]]) -> np.ndarray:
    """[document][choice] as one array."""
    return np.concatenate([np.asarray(row, np.float64) for row in rows])
