"""What the coalitions of one task will cost, before they are evaluated: tokens, floating-point operations, hours.

Counted, not measured: the coalitions are those of the plan, the sublayer evaluations those that the sweep makes for
them (same chunks, same groups), the tokens those of the packed documents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from random import Random
from typing import Any

from cornerstone.analysis.deletion import DEPTH, FOLDS, deletion_steps
from cornerstone.config.config import Config
from cornerstone.config.models import Model
from cornerstone.engine import sweep
from cornerstone.engine.network import Network
from cornerstone.engine.stages import Stage
from cornerstone.engine.streaming.streamed import SLOTS
from cornerstone.engine.weights import Footprint, footprint
from cornerstone.forecast.flop import Arithmetic, Documents
from cornerstone.forecast.walk_time import walk_time
from cornerstone.game import coalitions
from cornerstone.game.coalitions import in_sweep_order
from cornerstone.game.players import Player
from cornerstone.plan import plan
from cornerstone.plan.layout import Layout
from cornerstone.plan.plan import Plan
from cornerstone.schedule import limits, memory
from cornerstone.schedule.groups import Division
from cornerstone.schedule.limits import Limit

ALWAYS = "ablation"
"""The row of what every plan has: the whole model, the empty one, and each player removed."""
DELETION = "deletion"
ALL = "all"


@dataclass(frozen=True)
class Effort:
    """What evaluating some coalitions on a task takes.

    Attributes:
        evaluations: how often each sublayer is evaluated, for one batch: see `sweep.work_by_sublayer`.
        walks: how often all weights are read; 0 where they stay in memory.
    """

    evaluations: Counter[int]
    walks: int


@lru_cache(maxsize=64)
def effort(
    wanted: tuple[int, ...], players: tuple[Player, ...], stages: tuple[Stage, ...], chunks: int, division: Division
) -> Effort:
    """What a job takes: coalitions cut into chunks, and these into groups.

    Args:
        wanted: distinct coalitions in sweep order.
        players: of the model.
        stages: of the model.
        chunks: evaluate jobs.
        division: how each of them cuts its coalitions.
    """
    total: Counter[int] = Counter()
    walks = 0
    for part in plan.chunks(list(wanted), chunks, players) if wanted else []:
        grouping = division.grouping(part, stages)
        walks += grouping.count(len(part)) if division.room.streamed else 0
        for group in grouping.groups(part):
            total.update(sweep.work_by_sublayer(group, stages))
    return Effort(total, walks)


NONE = Effort(Counter(), 0)


def deletion_coalitions(config: Config, players: tuple[Player, ...]) -> set[int]:
    """Coalitions of deletion curves. A random order stands in for each that only the estimates will tell."""
    draw = Random(config.seed)
    found: set[int] = set()
    steps = deletion_steps(len(players), config.deletion.share, config.deletion.points)
    for order in config.deletion.orders:
        for _ in [ALL] if order == DEPTH else FOLDS:  # each half of the documents has an order of its own
            positions = list(range(len(players)))
            if order != DEPTH:
                draw.shuffle(positions)
            for count in steps:
                for removed in (positions[:count], positions[::-1][:count]):
                    found.add(coalitions.without(removed, players))
    return found


@dataclass(frozen=True)
class TaskCost:
    """The cost of a model on a task.

    Attributes:
        config: the configuration.
        model: its name.
        task: its name.
        network: the model; its parameters need no values.
        documents: the task's.
        tflops: speed of a job, where it is known.
    """

    config: Config
    model: str
    task: str
    network: Network
    documents: Documents
    tflops: float | None = None

    @property
    def entry(self) -> Model:
        """The model's section of the config."""
        return self.config.models[self.model]

    @cached_property
    def arithmetic(self) -> Arithmetic:
        """What decides its floating-point operations."""
        return Arithmetic.of(self.network)

    @cached_property
    def weights(self) -> Footprint:
        """The memory that its weights take."""
        return footprint(self.network.model)

    @cached_property
    def limit(self) -> Limit | None:
        """The memory that each of its jobs will have; None where nobody knows yet."""
        return limits.foreseen(self.model, self.entry, self.weights.resident)

    @cached_property
    def units(self) -> tuple[int, ...]:
        """Bytes of each unit of weights that is streamed as one."""
        return self.weights.units

    @cached_property
    def division(self) -> Division:
        """How jobs cut their coalitions.

        Raises:
            ConfigError: too little memory.
        """
        documents = self.documents
        room = memory.room(self.model, self.entry, self.limit, self.network.model, documents.batches, documents.width)
        return Division(documents.batches, self.network.hidden_size * self.network.dtype.itemsize, room)

    def effort(self, wanted: set[int], chunks: int) -> Effort:
        """What that many jobs take for these coalitions."""
        players = self.network.players
        ordered = tuple(in_sweep_order(wanted, players))
        return effort(ordered, players, tuple(self.network.stages), chunks, self.division)

    def _on_parts(self, parts: Sequence[Sequence[int]], so_far: set[int]) -> Effort:
        """What samples of coalitions take that have documents of their own: evaluations are means over documents."""
        each = [self.effort(set(part) - so_far, self.entry.chunks) for part in parts]
        total: Counter[int] = sum((effort.evaluations for effort in each), Counter())
        return Effort(
            Counter({place: round(count / len(each)) for place, count in total.items()}), sum(e.walks for e in each)
        )

    def wait_hours(self, needed: Effort) -> float:
        """Hours in which walks wait for weights; NaN where the config does not say how fast these come."""
        if not needed.walks:
            return 0.0
        rate = self.entry.memory.read_gb_per_s
        if self.tflops is None or rate is None:
            return float("nan")
        step = len(self.network.stages[0].switches)
        reads = [unit / rate / 1e9 for unit in self.units]
        computes = []
        for first in range(0, step * len(self.units), step):
            unit = range(first, first + step)
            work = {place: needed.evaluations[place] for place in (*unit, *(~place for place in unit))}
            work = {place: count for place, count in work.items() if count}
            flops = self.arithmetic.flops(work, 0, self.documents)
            computes.append(flops / needed.walks / self.tflops / 1e12)
        return needed.walks * walk_time(reads, computes, SLOTS).waited / 3600

    def row(
        self, name: str, wanted: set[int], shared: set[int], before: Effort, after: Effort, done: int, samples: int = 1
    ) -> dict[str, Any]:
        """What coalitions add to the cost.

        Args:
            name: of who asks for them.
            wanted: the coalitions.
            shared: those that others have asked for.
            before: effort of those others.
            after: effort of all.
            done: how many of the new ones are there already.
            samples: in how many parts the documents are, of which each new coalition is evaluated on one.
        """
        work = Counter(
            {sublayer: count - before.evaluations[sublayer] for sublayer, count in after.evaluations.items()}
        )
        new, walks = len(wanted - shared), after.walks - before.walks
        return {
            "model": self.model,
            "task": self.task,
            "estimator": name,
            "documents": self.documents.count,
            "coalitions": len(wanted),
            "shared": len(wanted) - new,
            "new": new,
            "done": done,
            "tokens": new * self.documents.tokens // samples,
            "evaluations": work.total(),
            "flops": self.arithmetic.flops(work, new // samples, self.documents),
            "weights": self.division.room.weights,
            "walks": walks,
            "read_bytes": walks * sum(self.units),
            "wait_hours": self.wait_hours(after) - self.wait_hours(before),
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        """What each estimator adds, in the config's order; deletion curves last.

        The cost of a row is that of all coalitions so far less that of the rows before it, so that rows add up.

        Raises:
            ConfigError: too little memory.
        """
        players, layout = self.network.players, Layout(self.config)
        there = {path.stem for path in Path(layout.coalitions(self.model, self.task)).glob("[!.]*.json")}
        so_far: set[int] = set()
        before = NONE
        for name, parts in [
            (ALWAYS, [plan.union(players, [])]),
            *Plan(self.config, self.model, self.task).samples.items(),
        ]:
            wanted = {coalition for part in parts for coalition in part}
            done = sum(coalitions.name(c, players) in there for c in wanted - so_far)
            if len(parts) > 1:  # each sample on documents of its own, walked by itself
                yield self.row(name, wanted, so_far, NONE, self._on_parts(parts, so_far), done, len(parts))
                continue
            after = self.effort(so_far | wanted, self.entry.chunks)
            yield self.row(name, wanted, so_far, before, after, done)
            so_far, before = so_far | wanted, after
        if self.config.deletion.orders:
            wanted = deletion_coalitions(self.config, players)
            missing = wanted - so_far
            finished = Path(layout.deletion_values(self.model, self.task)).is_file()
            yield self.row(DELETION, wanted, so_far, NONE, self.effort(missing, 1), len(missing) if finished else 0)
