"""Buffers through which weights pass on their way to where they are computed with.

A slot holds one unit of a model: a sublayer, or a block whose sublayers run in parallel. Slots are allocated once. A
thread fills them, the walk computes with them. On a GPU a slot has a second half in pinned host memory, from which it
is copied on a stream of its own while the GPU computes; events keep the two in order, so that neither the thread nor
the walk waits for the GPU without need.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch

from cornerstone.errors import ModelError

Source = Callable[[torch.Tensor], None] | torch.Tensor
"""Where a part's bytes come from: a function that writes them into host memory, or host memory that has them."""


class Slots(Protocol):
    """What streaming asks of the buffers.

    Attributes:
        buffers: the slots' bytes, uint8, on the device that computes.
    """

    buffers: list[torch.Tensor]

    def fill(self, slot: int, parts: Sequence[tuple[int, int, Source]]) -> None:
        """Bring parts of a unit into a slot; called by the thread.

        Args:
            slot: which.
            parts: (first byte, bytes, where from).
        """
        ...

    def waiting(self) -> Any:
        """A context in which the walk waits for a slot to be filled; its time counts."""
        ...

    def acquire(self, slot: int) -> None:
        """From here on the walk computes with a slot that was filled; called by the walk inside `waiting`."""
        ...

    def release(self, slot: int) -> None:
        """What the walk has asked to be computed so far is the last that needs the slot; called by the walk."""
        ...

    def waited(self) -> float:
        """Seconds waited since this was last asked; on a GPU, those in which it stood still. Synchronises."""
        ...


class HostSlots:
    """Slots in host memory, for a walk that computes on the CPU: the thread writes straight into them."""

    def __init__(self, count: int, size: int) -> None:
        self.buffers = [torch.empty(size, dtype=torch.uint8) for _ in range(count)]
        self._waited = 0.0

    def fill(self, slot: int, parts: Sequence[tuple[int, int, Source]]) -> None:
        """See `Slots`."""
        for start, size, source in parts:
            target = self.buffers[slot][start : start + size]
            if isinstance(source, torch.Tensor):
                target.copy_(source)
            else:
                source(target)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """See `Slots`."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._waited += time.perf_counter() - begun

    def acquire(self, slot: int) -> None:
        """The CPU computes when it is told to: nothing to order."""

    def release(self, slot: int) -> None:
        """Likewise."""

    def waited(self) -> float:
        """See `Slots`."""
        waited, self._waited = self._waited, 0.0
        return waited


class CudaSlots:
    """Slots in GPU memory, each with pinned host memory of the same size.

    Order of events for one slot: the thread waits until the copy before has left the pinned half, fills that half,
    lets the copy stream wait until the GPU no longer needs the slot, copies, and notes an event. The compute
    stream waits for that event.

    Args:
        count: of slots.
        size: bytes of each.
        device: the GPU.
        cuda: `torch.cuda`; tests hand over one that only keeps a record.
    """

    def __init__(self, count: int, size: int, device: torch.device, cuda: Any = torch.cuda) -> None:
        self._cuda = cuda
        self._device = device
        self.buffers = [torch.empty(size, dtype=torch.uint8, device=device) for _ in range(count)]
        self._pinned: list[torch.Tensor | None] = [None] * count
        self._size = size
        self._stream = cuda.Stream(device=device)
        self._copied = [cuda.Event() for _ in range(count)]
        self._freed = [cuda.Event() for _ in range(count)]
        self._waits: list[tuple[Any, Any]] = []

    def fill(self, slot: int, parts: Sequence[tuple[int, int, Source]]) -> None:
        """See `Slots`."""
        self._copied[slot].synchronize()
        copies = []
        for start, size, source in parts:
            if isinstance(source, torch.Tensor):
                copies.append((start, size, source))
                continue
            staging = self._pinned[slot]
            if staging is None:  # not needed where all weights are kept in host memory
                staging = self._pinned[slot] = pinned(self._size, self._cuda)
            source(staging[start : start + size])
            copies.append((start, size, staging[start : start + size]))
        with self._cuda.stream(self._stream):
            self._stream.wait_event(self._freed[slot])
            for start, size, host in copies:
                self.buffers[slot][start : start + size].copy_(host, non_blocking=True)
            self._copied[slot].record(self._stream)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """See `Slots`: events on the compute stream, between which it has nothing to do but wait."""
        begun, ended = self._cuda.Event(enable_timing=True), self._cuda.Event(enable_timing=True)
        stream = self._cuda.current_stream(self._device)
        begun.record(stream)
        yield
        ended.record(stream)
        self._waits.append((begun, ended))

    def acquire(self, slot: int) -> None:
        """See `Slots`."""
        self._cuda.current_stream(self._device).wait_event(self._copied[slot])

    def release(self, slot: int) -> None:
        """See `Slots`."""
        self._freed[slot].record(self._cuda.current_stream(self._device))

    def waited(self) -> float:
        """See `Slots`."""
        self._cuda.synchronize(self._device)
        total = sum(begun.elapsed_time(ended) for begun, ended in self._waits) / 1000
        self._waits.clear()
        return total


def pinned(size: int, cuda: Any = torch.cuda) -> torch.Tensor:
    """Page-locked host memory, uint8, from which a GPU copies while the host goes on.

    Registered instead of taken from torch's pinned allocator, which rounds up to powers of two.

    Raises:
        ModelError: the system does not let this process lock that much memory.
    """
    memory = torch.empty(size, dtype=torch.uint8)
    code = cuda.cudart().cudaHostRegister(memory.data_ptr(), size, 0)
    if int(code) != 0:
        raise ModelError(
            f"could not pin {size / 2**30:.1f} GiB of host memory for streaming (CUDA error {int(code)}). Ask for more "
            "resources.memory_gb, lower memory.host_gb, or raise the limit of locked memory (ulimit -l)."
        )
    # memory that is freed while it is registered could not be registered again at the same address
    release = weakref.finalize(memory.untyped_storage(), cuda.cudart().cudaHostUnregister, memory.data_ptr())
    release.atexit = False
    return memory
