"""Counting and rating what a sweep computes: useful FLOP, FLOP done, and how fast a machine does such products.

`benchmarks/performance.py` says what each figure means.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from cornerstone.engine import sweep
from cornerstone.engine.network import Network
from cornerstone.engine.tries import Batch


@dataclass(frozen=True)
class Task:
    """A task's documents as the sweep sees them.

    Attributes:
        name: in lm-eval.
        batches: of packed documents.
        tokens: unique tokens, without padding.
    """

    name: str
    batches: list[Batch]
    tokens: int

    @property
    def head_rows(self) -> int:
        """Tokens that predict another."""
        return sum(len(batch.rows) for batch in self.batches)


@dataclass(frozen=True)
class Product:
    """A product of tokens with a weight, [rows, into] x [into, out].

    Attributes:
        out, into: the weight's shape.
        share: of the tokens that take part; those that a router sends to one of the experts, on average.
        copies: how many weights of this shape there are, each with its share of the tokens.
    """

    out: int
    into: int
    share: float = 1.0
    copies: int = 1

    @property
    def flop(self) -> float:
        """FLOP of a token."""
        return 2.0 * self.out * self.into * self.share * self.copies


@dataclass(frozen=True)
class Shapes:
    """The products of a block's two sublayers, and of the head."""

    attention: tuple[Product, ...]
    feed_forward: tuple[Product, ...]
    head: Product

    @classmethod
    def of(cls, network: Network) -> Shapes:
        """Read off a model's first block: matrices, and stacks of matrices [experts, out, into]."""
        block, (attention, feed_forward) = network.blocks[0], network.layouts[0].sublayers
        chosen = getattr(network.config, "num_experts_per_tok", 1)
        found = []
        for sublayer in (attention, feed_forward):
            shapes = [tuple(p.shape) for name in sublayer.modules for p in block.get_submodule(name).parameters()]
            single = [Product(*shape) for shape in shapes if len(shape) == 2]
            stacked = [Product(*shape[1:], chosen / shape[0], shape[0]) for shape in shapes if len(shape) == 3]
            found.append((*single, *stacked))
        (head,) = (Product(*p.shape) for p in network.head.parameters() if p.ndim == 2)
        return cls(found[0], found[1], head)

    def products(self, position: int) -> tuple[Product, ...]:
        """Of a sublayer: attention at even places, feed-forward at odd ones."""
        return self.feed_forward if position % 2 else self.attention

    def sublayer(self, position: int) -> float:
        """FLOP of one token in a sublayer."""
        return sum(product.flop for product in self.products(position))


def useful(shapes: Shapes, network: Network, task: Task, coalitions: Sequence[int]) -> float:
    """FLOP that any method must do at least once."""
    return _counted(shapes, network, task, coalitions, task.tokens)


def done(shapes: Shapes, network: Network, task: Task, groups: Sequence[Sequence[int]]) -> float:
    """FLOP that the sweep does."""
    tokens = sum(batch.tokens for batch in task.batches)
    return sum(_counted(shapes, network, task, group, tokens) for group in groups)


def _counted(shapes: Shapes, network: Network, task: Task, coalitions: Sequence[int], tokens: int) -> float:
    """FLOP of a walk in which that many tokens pass; behind the last attention, only those that predict."""
    last = network.stages[-1].switches[-1].sublayer if len(network.stages[-1].switches) == 1 else None
    total = len(coalitions) * task.head_rows * shapes.head.flop
    for position, count in sweep.work_by_sublayer(coalitions, network.stages).items():
        total += count * shapes.sublayer(position) * (task.head_rows if position == last else tokens)
    return total


def product_rate(shapes: Shapes, network: Network, task: Task, coalitions: Sequence[int], rows: int) -> float:
    """FLOP/s of torch's products at the model's shapes, in the shares in which the sweep needs them."""
    evaluations = sweep.work_by_sublayer(coalitions, network.stages)
    wanted: dict[Product, float] = {}
    for position, count in evaluations.items():
        for product in shapes.products(position):
            wanted[product] = wanted.get(product, 0.0) + count * task.tokens * product.flop
    wanted[shapes.head] = len(coalitions) * task.head_rows * shapes.head.flop
    # on a CPU, logits of more rows do not stay in the caches
    head_rows = min(rows, 256) if network.device.type == "cpu" else rows
    calls = 1 if network.device.type == "cpu" else 10  # the sweep does not wait for the device after each product
    like: dict[str, Any] = {"dtype": network.dtype, "device": network.device}
    seconds = 0.0
    for product, flop in wanted.items():
        used = max(1, round(product.share * (head_rows if product == shapes.head else rows)))
        x, weight = torch.randn(used, product.into, **like), torch.randn(product.out, product.into, **like)
        once = timed(partial(torch.nn.functional.linear, x, weight), network.device, times=9, calls=calls)
        seconds += flop / (2.0 * used * product.out * product.into) * once
    return sum(wanted.values()) / seconds


def timed(run: Callable[[], object], device: torch.device, times: int = 1, calls: int = 1) -> float:
    """Seconds of a call, to the end of what it starts on the device: the median of `times` measurements.

    In each, `calls` calls are made one after another without waiting for the device in between.
    """
    found = []
    for _ in range(times):
        _finish(device)
        started = time.perf_counter()
        for _ in range(calls):
            run()
        _finish(device)
        found.append((time.perf_counter() - started) / calls)
    return statistics.median(found)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
