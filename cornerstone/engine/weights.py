"""Where a walk gets its weights from: what the walk tells, and the simple case in which all of them are there.

A walk announces the sublayers that it will use, in order, and says each time that it goes on to the next. That is
all that a model needs to know whose weights do not fit into memory and pass through it one sublayer at a time
(`engine/streaming`). Where all weights are in memory, nothing has to be done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from cornerstone.engine.architectures import architecture_of, is_parallel
from cornerstone.errors import ModelError


class Weights(Protocol):
    """What the walk tells whoever keeps the weights."""

    def walk(self, sublayers: Sequence[int]) -> AbstractContextManager[None]:
        """The time of one walk, which will use these sublayers (places in execution order) in this order."""
        ...

    def use(self, sublayer: int) -> None:
        """Return when this sublayer's parameters, norms included, are where it computes.

        Those of sublayers used before, other than the one that runs in parallel with it, may be overwritten from now
        on.
        """
        ...


class Resident:
    """All weights are in memory."""

    @contextmanager
    def walk(self, sublayers: Sequence[int]) -> Iterator[None]:
        """Nothing to prepare."""
        yield

    def use(self, sublayer: int) -> None:
        """Nothing to wait for."""


@dataclass
class Traffic:
    """What streaming has cost so far.

    Attributes:
        walks: how many were made.
        bytes: read from the files.
        copied: bytes that came from host memory instead, where copies of them were kept.
        waited: seconds in which walks stood still because weights were not there yet.
        seconds: seconds of the walks.
    """

    walks: int = 0
    bytes: int = 0
    copied: int = 0
    waited: float = 0.0
    seconds: float = 0.0

    @property
    def share_waited(self) -> float:
        """Share of the walks' time in which they waited for weights, 0 to 1."""
        return self.waited / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        plural = "s" * (self.walks != 1)
        return (
            f"{self.walks} walk{plural} in {self.seconds:.0f} s, {self.share_waited:.0%} of it waiting for weights; "
            f"{self.bytes / 1e9:.2f} GB read, {self.copied / 1e9:.2f} GB from host memory"
        )


ALIGNMENT = 64
"""Parameters start at multiples of this many bytes, as tensors of torch's own allocator do on a CPU: kernels may round
differently on other addresses."""


def aligned(count: int) -> int:
    """The next multiple of `ALIGNMENT`, in bytes."""
    return -(-count // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class Footprint:
    """How much memory a model's weights take.

    Attributes:
        fixed: bytes of what every walk needs all the time: embedding, final norm, head.
        units: bytes of each unit that is loaded as one: a sublayer, or a block whose sublayers run in parallel.
    """

    fixed: int
    units: tuple[int, ...]

    @property
    def resident(self) -> int:
        """Bytes of all weights."""
        return self.fixed + sum(self.units)

    def streamed(self, slots: int) -> int:
        """Bytes when the blocks' weights pass through `slots` buffers of the size of the largest unit."""
        return self.fixed + slots * max(self.units)


def names_by_sublayer(model: Any) -> list[list[str]]:
    """Names of the parameters of each sublayer, norms included, in execution order.

    Raises:
        ModelError: a block has parameters that belong to no sublayer, or to two.
    """
    architecture = architecture_of(str(model.config.model_type))
    blocks = model.get_submodule(architecture.blocks)
    found: list[list[str]] = []
    for i, block in enumerate(blocks):
        names = [name for name, _ in block.named_parameters()]
        seen: list[str] = []
        for layout in (architecture.attention, architecture.feed_forward):
            paths = (*layout.modules, layout.pre_norm, layout.post_norm)
            own = [name for name in names if any(path and name.startswith(f"{path}.") for path in paths)]
            found.append([f"{architecture.blocks}.{i}.{name}" for name in own])
            seen += own
        if sorted(seen) != sorted(names):
            strange = sorted({name for name in names if seen.count(name) != 1})
            raise ModelError(
                f"block {i} has parameters that are not those of exactly one sublayer, such as {strange[0]}: it can't "
                "be streamed. Correct its architecture's entry in cornerstone/engine/architectures.py, or set "
                "memory.weights: resident."
            )
    return found


def footprint(model: Any) -> Footprint:
    """The memory that a model's weights take; its parameters need no values."""
    parameters = dict(model.named_parameters())
    sizes = [
        sum(aligned(parameters.pop(name).nbytes) for name in names if name in parameters)
        for names in names_by_sublayer(model)
    ]
    if is_parallel(architecture_of(str(model.config.model_type)), model.config):
        sizes = [attention + feed_forward for attention, feed_forward in zip(sizes[::2], sizes[1::2], strict=True)]
    return Footprint(sum(p.nbytes for p in parameters.values()), tuple(sizes))
