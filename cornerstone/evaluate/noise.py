"""The noise floor: a few stored coalitions, computed again with other batches, other threads, and in float32.

The same sum in another order gives another number. How far apart such numbers are says how many digits of a
log-likelihood mean anything, and how many answers hang on the last of them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from cornerstone.config.sections import LOG_LIKELIHOOD
from cornerstone.engine.blocks import Piece
from cornerstone.errors import StoreError
from cornerstone.evaluate import result, tokens
from cornerstone.evaluate.adopt import Stored
from cornerstone.evaluate.job import Job
from cornerstone.evaluate.parts import Loaded, Target
from cornerstone.evaluate.scoring import Scores
from cornerstone.evaluate.wanted import Wanted, piece_of
from cornerstone.files import write_csv
from cornerstone.game.coalitions import in_sweep_order, name, parse
from cornerstone.game.functions import SHARES
from cornerstone.log import log
from cornerstone.plan.layout import Layout
from cornerstone.plan.plan import Plan
from cornerstone.schedule.limits import on_gpus

FUNCTIONS = ("margin", "log-probability")
"""Value functions that are looked at beside the task's metrics, whatever the config asks for: what is shown later is
chosen from what is measured."""
BLOCKS = 2
"""Blocks of documents, of those that a coalition was scored on, on which it is computed again."""


def write(jobs: Sequence[Job], target: Path) -> None:
    """Measure the noise floor of a model: rows for each task, change, and value function.

    Args:
        jobs: one for each task that is looked at, of one model; their results are there.
        target: noise.csv.

    Raises:
        CornerstoneError: see `Job.run`; numbers that are not finite; a stored result that is damaged.
    """
    made = [Sample.of(job) for job in jobs]
    samples = [sample for sample in made if sample.parts]
    rows = [row for sample, again in _other_ways(samples) for row in sample.compared(*again)]
    if jobs[0].entry.dtype != "float32" and jobs[0].config.noise.float32:
        rows += [row for sample, again in _in_float32(samples) for row in sample.compared(*again)]
    write_csv(pd.DataFrame(rows, columns=COLUMNS), target)


COLUMNS = [
    *("model", "task", "change", "how", "function", "coalitions", "documents"),
    *("largest", "rms", "document_rms", "flipped"),
]

Again = tuple[str, str, Mapping[Path, Scores]]
"""What was changed, how, and what came of it, for the file of each result."""


@dataclass(frozen=True)
class Sample:
    """Stored results of a model and a task that are computed again.

    Attributes:
        job: as it would make them.
        wanted: the documents.
        parts: pieces of documents -> the results that hold these.
    """

    job: Job
    wanted: Wanted
    parts: Mapping[tuple[Piece, ...], Sequence[Stored]]

    @classmethod
    def of(cls, job: Job) -> Sample:
        """A random sample of the plan's coalitions, the same each time, whatever the seed of the config."""
        config, wanted, layout = job.config, job.wanted(), Layout(job.config)
        names, dice = Plan(config, job.model, job.task).names, random.Random(f"noise {job.task}")
        chosen = dice.sample(names, min(config.noise.coalitions, len(names)))
        parts: dict[tuple[Piece, ...], list[Stored]] = {}
        for each in chosen:
            path = Path(layout.coalition(job.model, job.task, each))
            blocks = [block for block in result.read(path)["blocks"] if wanted.fits(block)]
            if pieces := tuple(piece_of(block) for block in blocks[:BLOCKS]):
                parts.setdefault(pieces, []).append(Stored(path, parse(each, job.players), pieces))
        return cls(job, wanted, parts)

    @cached_property
    def stored(self) -> dict[Path, Scores]:
        """What the results hold of their pieces.

        Raises:
            StoreError: one is damaged.
        """
        found = {}
        for each in chain.from_iterable(self.parts.values()):
            sections = result.read(each.path)
            rows, places = self.wanted.rows(sections["blocks"]), places_of(each.pieces)
            held = {key: [sections["documents"][key][rows[place]] for place in places] for key in result.ARRAYS}
            found[each.path] = result.scores_of(self.documents(places), held)
        return found

    def documents(self, places: Sequence[int]) -> Any:
        """The task with the documents of some places only."""
        return replace(self.wanted.whole, documents=[self.wanted.whole.documents[place] for place in places])

    def computed(self, loaded: Loaded, alone: bool = False) -> dict[Path, Scores]:
        """The same, computed now; `alone`: each document is a batch of its own.

        Raises:
            StoreError: a log-likelihood is no finite number.
        """
        found: dict[Path, Scores] = {}
        for pieces, results in self.parts.items():
            documents = self.documents(places_of(pieces))
            order = in_sweep_order({each.coalition for each in results}, self.job.players)
            own = [Piece(place, 1) for place in places_of(pieces)] if alone else pieces
            part = loaded.part(own, [Target(coalition, Path()) for coalition in order])
            scores: dict[int, Scores] = {}
            for group in ([target.coalition for target in targets] for targets in part.groups):
                walked = loaded.nothing(part, group)
                rows = self.job.scores(group, loaded, part, walked=walked)
                for i, coalition in enumerate(group):
                    greedy = walked.greedy[i] if walked.greedy else ()
                    told = tokens.scored(own, rows[i], greedy, loaded.packed, loaded.rolling)
                    if not np.isfinite(list(chain.from_iterable(rows[i]))).all():
                        raise StoreError(
                            f"{name(coalition, self.job.players)} of {self.job.task} got a log-likelihood that is no "
                            "finite number. Half precision may have overflowed: set dtype: bfloat16 or float32 in the "
                            "model's entry."
                        )
                    best = [row for each in told for row in each.greedy]
                    counts = [row for each in told for row in each.tokens]
                    scores[coalition] = Scores.of(documents, rows[i], counts, best)
            found |= {each.path: scores[each.coalition] for each in results}
        return found

    def compared(self, change: str, how: str, again: Mapping[Path, Scores]) -> list[dict[str, Any]]:
        """A row for the scores of choices, and one for each value function."""
        gaps: dict[str, list[np.ndarray]] = {}
        for path, then in self.stored.items():
            now = again[path]
            flat = [np.array(list(chain.from_iterable(scores.loglikelihoods))) for scores in (then, now)]
            gaps.setdefault(LOG_LIKELIHOOD, []).append(np.abs(flat[1] - flat[0]))
            before, after = (self._values(scores) for scores in (then, now))
            for function, values in before.items():
                gaps.setdefault(function, []).append(after[function] - values)
        shared: dict[str, Any] = {"model": self.job.model, "task": self.job.task, "change": change, "how": how}
        most = max(len(scores.gold) for scores in self.stored.values())
        shared |= {"coalitions": len(self.stored), "documents": most}
        found = [{**shared, "function": function, **_sizes(function, each)} for function, each in gaps.items()]
        for row in found:
            if row["function"] in SHARES:
                row["flipped"] = float(np.mean(np.concatenate(gaps[row["function"]]) != 0))
        log(f"{self.job.model} {self.job.task}: {how}: log-likelihoods differ by up to {found[0]['largest']:.2g}")
        return found

    def _values(self, scores: Scores) -> dict[str, np.ndarray]:
        """What the documents are worth: by each metric of the task, and by the value functions that it has."""
        worth = {metric: scores.metric(metric) for metric in self.wanted.whole.metrics}
        others = scores.functions(FUNCTIONS, 1.0)  # the temperature is that of a function that is none of these
        return worth | {function: values for function, values in others.items() if np.isfinite(values).all()}


def _sizes(function: str, gaps: Sequence[np.ndarray]) -> dict[str, float]:
    """How large differences are.

    Args:
        function: of the values.
        gaps: for each coalition, over its documents (of scores: over the choices of all of them).
    """
    every = np.concatenate(gaps)
    if function == LOG_LIKELIHOOD:
        return {"largest": float(every.max()), "rms": _rms(every)}
    means = np.array([gap.mean() for gap in gaps])
    return {"largest": float(np.abs(means).max()), "rms": _rms(means), "document_rms": _rms(every)}


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def places_of(pieces: Sequence[Piece]) -> list[int]:
    """Where the documents of some pieces stand in the task."""
    return [place for piece in pieces for place in piece.places]


def _other_ways(samples: Sequence[Sample]) -> Iterator[tuple[Sample, Again]]:
    """Each sample document by document, and (on a CPU) with another number of threads."""
    loaded = None
    for sample in samples:
        entry = sample.job.entry
        torch.set_num_threads(entry.threads)
        loaded = sample.job.load(sample.wanted, list(sample.parts), loaded)
        yield sample, ("batches", "each document by itself", sample.computed(loaded, alone=True))
        if not on_gpus(entry):
            threads = entry.threads // 2 or 2
            torch.set_num_threads(threads)
            yield sample, ("threads", f"{threads} thread{'s' * (threads > 1)}", sample.computed(loaded))


def _in_float32(samples: Sequence[Sample]) -> Iterator[tuple[Sample, Again]]:
    """Each sample in the number format of full precision."""
    loaded = None
    for sample in samples:
        job = sample.job
        torch.set_num_threads(job.entry.threads)
        entries = {**job.config.models, job.model: job.entry.model_copy(update={"dtype": "float32"})}
        full = replace(job, config=job.config.model_copy(update={"models": entries}))
        loaded = full.load(sample.wanted, list(sample.parts), loaded)
        yield sample, ("dtype", "float32", replace(sample, job=full).computed(loaded))
