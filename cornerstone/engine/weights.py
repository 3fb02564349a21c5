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

from cornerstone.engine import structure


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
        units: bytes of each unit that is loaded as one: a sublayer, or several that run in parallel.
        of_a_block: units of one block, at most: so many are in memory at once when it is proven.
    """

    fixed: int
    units: tuple[int, ...]
    of_a_block: int = 2

    @property
    def resident(self) -> int:
        """Bytes of all weights."""
        return self.fixed + sum(self.units)

    def streamed(self, slots: int) -> int:
        """Bytes when the blocks' weights pass through `slots` buffers (or more) of the size of the largest unit."""
        return self.fixed + max(slots, self.of_a_block) * max(self.units)


def units_of(model: Any) -> list[list[list[str]]]:
    """Names of the parameters that are loaded together: for each stage with sublayers, those of each sublayer.

    What belongs to no sublayer or to several (a norm that two share, what always runs) is in none of them: it stays in
    memory. The parameters need no values.

    Raises:
        ModelError: the layout of the blocks is not recognised.
    """
    path, blocks = structure.blocks_of(model)
    units: list[list[list[str]]] = []
    for i, (block, layout) in enumerate(zip(blocks, structure.layouts_of(model), strict=True)):
        names = [name for name, _ in block.named_parameters()]
        owners: dict[str, list[int]] = {name: [] for name in names}
        for place, part in enumerate(layout.sublayers):
            for name in names:
                if any(name.startswith(f"{module}.") for module in part.modules):
                    owners[name].append(place)
        for module in (module for step in layout.steps if step.fixed for module in step.fixed.modules):
            for name in names:
                if name.startswith(f"{module}."):
                    owners[name].append(-1)
        place = 0
        for step in layout.steps:
            if step.sublayers:
                here = range(place, place + len(step.sublayers))
                units.append([[f"{path}.{i}.{name}" for name in names if owners[name] == [own]] for own in here])
                place += len(step.sublayers)
    return units


def names_by_sublayer(model: Any) -> list[list[str]]:
    """Names of the parameters of each sublayer, in execution order, as `units_of` gives them."""
    return [own for unit in units_of(model) for own in unit]


def footprint(model: Any) -> Footprint:
    """The memory that a model's weights take; its parameters need no values."""
    parameters = dict(model.named_parameters())
    sizes = [
        sum(aligned(parameters.pop(name).nbytes) for names in unit for name in names if name in parameters)
        for unit in units_of(model)
    ]
    most = max(sum(bool(step.sublayers) for step in layout.steps) for layout in structure.layouts_of(model))
    return Footprint(sum(p.nbytes for p in parameters.values()), tuple(sizes), most)


@dataclass(frozen=True)
class Matrix:
    """A weight matrix of a sublayer, or a stack of those of experts.

    Attributes:
        shape: as it is kept: [out, in], or [experts, out, in].
        met: entries that one token is multiplied with: all, or those of its chosen experts.
    """

    shape: tuple[int, ...]
    met: float


def matrices_of(model: Any) -> list[tuple[str, list[Matrix]]]:
    """(kind, matrices) of each sublayer in execution order; the parameters need no values."""
    config = model.config.get_text_config(decoder=True)
    found = []
    for block, layout in zip(structure.blocks_of(model)[1], structure.layouts_of(model), strict=True):
        for part in layout.sublayers:
            matrices = []
            for module in part.modules:
                for name, weight in block.get_submodule(module).named_parameters():
                    if weight.ndim > 1:
                        matrices.append(
                            Matrix(tuple(weight.shape), weight.numel() * _share(f"{module}.{name}", weight, config))
                        )
            found.append((part.kind, matrices))
    return found


_CHOSEN = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "top_k_experts", "moe_k", "moe_top_k")
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "num_routed_experts")


def _share(name: str, weight: Any, config: Any) -> float:
    """The share of a weight that one token is multiplied with."""
    if ".experts." not in f".{name}" or "shared" in name:
        return 1.0
    chosen = next((value for key in _CHOSEN if isinstance(value := getattr(config, key, None), int)), None)
    count = (
        weight.shape[0]
        if weight.ndim == 3
        else next((value for key in _EXPERTS if isinstance(value := getattr(config, key, None), int)), None)
    )
    return min(1.0, chosen / count) if chosen and count else 1.0
