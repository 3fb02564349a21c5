"""What the coalitions of one task will cost, before they are evaluated: tokens, floating-point operations, hours.

Counted, not measured: the coalitions are those of the plan, the sublayer evaluations those that the sweep makes for
them (same chunks, same groups), the tokens those of the packed documents. Floating-point operations are those of
matrix products, two for a multiplication and an addition. For n evaluations of a sublayer, T tokens in batches of
padded width S, and R rows at which a token is scored:

    attention      n * sum over batches (2 * W * T  +  4 * h * d * T * S)
    feed-forward   n * sum over batches  2 * W * T   (the last one, where it runs by itself: R in place of T)
    head           coalitions * 2 * hidden * vocabulary * R

W: entries of the sublayer's weight matrices; of a mixture's experts, those of the experts that a token is sent to.
h * d: query heads x width of a head; scores and weighted values are 2 * d operations each for every pair of positions,
masked ones included, because masks are dense. Norms, activations and the softmax are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import torch

from cornerstone.config.config import Config
from cornerstone.engine import sweep
from cornerstone.engine.loading import footprint, is_parallel
from cornerstone.engine.network import Network
from cornerstone.engine.tries import Batch
from cornerstone.forecast.walk_time import walk_time
from cornerstone.game import coalitions
from cornerstone.game.players import Player, Stage
from cornerstone.plan import plan
from cornerstone.plan.layout import Layout
from cornerstone.schedule import memory
from cornerstone.schedule.groups import Division

ALWAYS = "ablation"
"""The row of what every plan has: the whole model, the empty one, and each player removed."""
DELETION = "deletion"
ALL = "all"


@dataclass(frozen=True)
class Documents:
    """The packed documents of a task.

    Attributes:
        count: documents.
        tokens: tokens that go through each sublayer, padding included.
        pairs: (token, position) pairs of attention, padding included.
        rows: rows of the head.
        batches: tokens of each batch.
        width: padded length of the longest batch.
    """

    count: int
    tokens: int
    pairs: int
    rows: int
    batches: tuple[int, ...]
    width: int

    @classmethod
    def of(cls, batches: Sequence[Batch]) -> Documents:
        """Measure what `packing.batches` made."""
        return cls(
            count=sum(len(batch.documents) for batch in batches),
            tokens=sum(batch.tokens for batch in batches),
            pairs=sum(batch.tokens * batch.input_ids.shape[1] for batch in batches),
            rows=sum(len(batch.rows) for batch in batches),
            batches=tuple(batch.tokens for batch in batches),
            width=max(batch.input_ids.shape[1] for batch in batches),
        )


@dataclass(frozen=True)
class Arithmetic:
    """What decides a model's floating-point operations.

    Attributes:
        weights: of each sublayer, in execution order: entries of the matrices that a token is multiplied with.
        attention: query heads x width of a head.
        head: entries of the head's matrix.
        largest: (rows, columns) of the largest matrix of the feed-forward sublayers.
        parallel: whether both sublayers of a block run in parallel.
    """

    weights: tuple[float, ...]
    attention: int
    head: int
    largest: tuple[int, int]
    parallel: bool = False

    @classmethod
    def of(cls, network: Network) -> Arithmetic:
        """Read the shapes off a model; its parameters need no values."""
        config, layout = network.config, network.architecture
        weights, shapes = [], []
        for block in network.blocks:
            for part in (layout.attention, layout.feed_forward):
                found = [p.shape for path in part.modules for p in block.get_submodule(path).parameters() if p.ndim > 1]
                weights.append(sum(_used(shape, config) for shape in found))
                shapes += [tuple(shape[-2:]) for shape in found] if part is layout.feed_forward else []
        heads = config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // heads
        head = sum(p.numel() for p in network.head.parameters() if p.ndim > 1)
        largest = max(shapes, key=lambda shape: shape[0] * shape[1])
        return cls(tuple(weights), heads * width, head, largest, is_parallel(layout, config))

    def flops(self, evaluations: Mapping[int, int], coalitions: int, documents: Documents) -> float:
        """Floating-point operations of a walk: how often each sublayer is evaluated, for how many coalitions."""
        total = 2.0 * self.head * documents.rows * coalitions
        for sublayer, count in evaluations.items():
            alone_and_last = sublayer == len(self.weights) - 1 and not self.parallel
            tokens = documents.rows if alone_and_last else documents.tokens
            total += count * 2 * self.weights[sublayer] * tokens
            if sublayer % 2 == 0:
                total += count * 4 * self.attention * documents.pairs
        return total


def _used(shape: torch.Size, config: Any) -> float:
    """Entries of a weight that one token meets: all of [out, in]; of [experts, out, in] those of its chosen experts."""
    share = config.num_experts_per_tok / shape[0] if len(shape) == 3 else 1
    return shape.numel() * share


@dataclass(frozen=True)
class Effort:
    """What evaluating some coalitions on a task takes.

    Attributes:
        evaluations: how often each sublayer is evaluated, for one batch: place -> count.
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


def deletion_coalitions(config: Config, players: tuple[Player, ...]) -> set[int]:
    """Coalitions of deletion curves. A random order stands in for each that only the estimates will tell."""
    draw = Random(config.seed)
    found: set[int] = set()
    for order in config.deletion.orders:
        positions = list(range(len(players)))
        if order != "depth":
            draw.shuffle(positions)
        for count in plan.deletion_steps(len(players), config.deletion.share, config.deletion.points):
            for removed in (positions[:count], positions[::-1][:count]):
                found.add(coalitions.without(removed, players))
    return found


def task_rows(
    config: Config, model: str, task: str, network: Network, documents: Documents, tflops: float | None = None
) -> Iterator[dict[str, Any]]:
    """What each estimator adds to the cost of a model on a task, in the config's order; deletion curves last.

    The cost of a row is that of all coalitions so far less that of the rows before it, so that rows add up.

    Args:
        config: the configuration.
        model: its name.
        task: its name.
        network: the model; its parameters need no values.
        documents: the task's.
        tflops: speed of a job, where it is known.

    Raises:
        ConfigError: a memory budget that is too small.
    """
    entry, layout, players = config.models[model], Layout(config), network.players
    arithmetic, stages = Arithmetic.of(network), tuple(network.stages)
    gpus = entry.resources.gpus
    room = memory.room(entry.memory, network.model, documents.batches, documents.width, gpus)
    division = Division(documents.batches, network.hidden_size * network.dtype.itemsize, room)
    units = footprint(network.model).units

    def wait_hours(needed: Effort) -> float:
        """Hours in which walks wait for weights; NaN where the config does not say how fast these come."""
        if not needed.walks:
            return 0.0
        if tflops is None or entry.memory.read_gb_per_s is None:
            return float("nan")
        step = len(stages[0].switches)
        of_unit = [{s: needed.evaluations[s] for s in range(step * u, step * u + step)} for u in range(len(units))]
        computes = [arithmetic.flops(work, 0, documents) / needed.walks / tflops / 1e12 for work in of_unit]
        reads = [unit / entry.memory.read_gb_per_s / 1e9 for unit in units]
        return needed.walks * walk_time(reads, computes).waited / 3600

    folder = Path(layout.coalition(model, task, "x")).parent
    there = {path.stem for path in folder.glob("[!.]*.json")}
    union: set[int] = set()
    before = Effort(Counter(), 0)

    def row(name: str, wanted: set[int], after: Effort, before: Effort, done: int) -> dict[str, Any]:
        work = Counter(
            {sublayer: after.evaluations[sublayer] - before.evaluations[sublayer] for sublayer in after.evaluations}
        )
        walks = after.walks - before.walks
        new = wanted - union
        return {
            "model": model,
            "task": task,
            "estimator": name,
            "documents": documents.count,
            "coalitions": len(wanted),
            "shared": len(wanted) - len(new),
            "new": len(new),
            "done": done,
            "tokens": len(new) * documents.tokens,
            "evaluations": work.total(),
            "flops": arithmetic.flops(work, len(new), documents),
            "weights": room.weights,
            "walks": walks,
            "read_bytes": walks * sum(units),
            "wait_hours": wait_hours(after) - wait_hours(before),
        }

    for name, needed in [(ALWAYS, plan.plan(players, [])), *layout.wanted(model)]:
        wanted = set(needed)
        both = tuple(plan.in_sweep_order(union | wanted, players))
        after = effort(both, players, stages, entry.chunks, division)
        done = sum(coalitions.name(c, players) in there for c in wanted - union)
        yield row(name, wanted, after, before, done)
        union, before = union | wanted, after
    if config.deletion.orders:
        wanted = deletion_coalitions(config, players)
        missing = tuple(plan.in_sweep_order(wanted - union, players))
        finished = (folder.parent / "deletion.parquet").is_file()
        after = effort(missing, players, stages, 1, division)
        yield row(DELETION, wanted, after, Effort(Counter(), 0), len(missing) if finished else 0)
