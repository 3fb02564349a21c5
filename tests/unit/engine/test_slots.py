"""Slots on a GPU, as far as a CPU can tell: a stand-in for torch.cuda notes what is asked of it, and in which order."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from cornerstone.engine.loading import shapes_only
from cornerstone.engine.streaming import slots
from cornerstone.engine.streaming.slots import CudaSlots, HostSlots
from cornerstone.engine.streaming.streamed import Streamed
from cornerstone.engine.weights import names_by_sublayer
from cornerstone.errors import ModelError
from tests import tiny

CPU = torch.device("cpu")


class Cuda:
    """A GPU whose memory is the host's and that computes at once; keeps a record of streams and events."""

    def __init__(self, refuse: bool = False) -> None:
        self.log: list[tuple[str, ...]] = []
        self.active = "compute"
        self.code = 1 if refuse else 0
        self.locked = 0
        self.registered: list[int] = []
        self.events = 0
        self.compute = self.Stream(name="compute")

    def Stream(self, device: Any = None, name: str = "copy") -> Any:
        cuda = self

        class Stream:
            def wait_event(self, event: Any) -> None:
                cuda.log.append((name, "waits for", event.name))

            def __str__(self) -> str:
                return name

        return Stream()

    def Event(self, enable_timing: bool = False) -> Any:
        cuda, self.events = self, self.events + 1

        class Event:
            name = f"event{cuda.events}"

            def record(self, stream: Any) -> None:
                cuda.log.append((str(stream), "records", self.name))

            def synchronize(self) -> None:
                cuda.log.append(("thread", "waits for", self.name))

            def elapsed_time(self, other: Any) -> float:
                return 250.0

        return Event()

    @contextmanager
    def stream(self, stream: Any) -> Any:
        self.active = str(stream)
        yield
        self.active = "compute"

    def current_stream(self, device: Any) -> Any:
        return self.compute

    def synchronize(self, device: Any) -> None:
        self.log.append(("host", "waits for", "everything"))

    def cudart(self) -> Any:
        cuda = self

        class Runtime:
            def cudaHostRegister(self, address: int, size: int, flags: int) -> int:
                cuda.locked += size
                cuda.registered.append(address)
                return cuda.code

            def cudaHostUnregister(self, address: int) -> int:
                cuda.registered.remove(address)
                return 0

        return Runtime()


def sevens(memory: torch.Tensor) -> None:
    memory.fill_(7)


def test_host_slots_are_written_in_place() -> None:
    host = HostSlots(2, 8)
    host.fill(1, [(0, 4, sevens), (4, 4, torch.arange(4, dtype=torch.uint8))])
    assert host.buffers[1].tolist() == [7, 7, 7, 7, 0, 1, 2, 3]
    with host.waiting():
        pass
    assert host.waited() > 0
    assert host.waited() == 0


def test_order_of_a_slot_on_a_gpu() -> None:
    cuda = Cuda()
    gpu = CudaSlots(1, 8, CPU, cuda)
    copied, freed = "event1", "event2"
    gpu.fill(0, [(0, 8, sevens)])
    assert cuda.log == [
        ("thread", "waits for", copied),  # the pinned half may be written
        ("copy", "waits for", freed),  # the slot may be written
        ("copy", "records", copied),
    ]
    assert gpu.buffers[0].tolist() == [7] * 8
    cuda.log.clear()
    with gpu.waiting():
        gpu.acquire(0)
    gpu.release(0)
    assert [(who, what) for who, what, _ in cuda.log] == [
        ("compute", "records"),
        ("compute", "waits for"),
        ("compute", "records"),
        ("compute", "records"),
    ]
    assert cuda.log[1][2] == copied
    assert cuda.log[3][2] == freed
    assert gpu.waited() == 0.25
    assert gpu.waited() == 0
    assert cuda.locked == 8


def test_what_is_in_host_memory_needs_no_pinned_half() -> None:
    cuda = Cuda()
    gpu = CudaSlots(2, 4, CPU, cuda)
    gpu.fill(0, [(0, 4, torch.arange(4, dtype=torch.uint8))])
    assert gpu.buffers[0].tolist() == [0, 1, 2, 3]
    assert cuda.locked == 0


def test_memory_is_registered_as_long_as_a_part_of_it_is_used() -> None:
    cuda = Cuda()
    memory = slots.pinned(16, cuda)
    part = memory[4:8]
    gc.collect()
    assert cuda.registered == [memory.data_ptr()]
    del memory
    gc.collect()
    assert len(cuda.registered) == 1
    del part
    gc.collect()
    assert cuda.registered == []


def test_memory_that_can_not_be_locked() -> None:
    with pytest.raises(ModelError, match=r"could not pin .* \(CUDA error 1\)\. Ask for more resources\.memory_gb"):
        slots.pinned(16, Cuda(refuse=True))


@pytest.mark.parametrize("host_bytes", [0, 40_000, 10**9])
@pytest.mark.parametrize("name", ["llama", "mixtral", "gpt_neox"])
def test_a_walk_through_a_gpu(name: str, host_bytes: int, tmp_path: Path) -> None:
    """Streaming as on a GPU: every parameter is right, and what is kept in host memory is read once."""
    cuda = Cuda()
    model, _ = shapes_only(tiny.save(name, tmp_path), "float32")
    weights = Streamed(model, tmp_path, CPU, host_bytes=host_bytes, cuda=cuda)
    original = dict(tiny.make(name).named_parameters())
    names = names_by_sublayer(model)
    total = sum(original[key].nbytes for own in names for key in own)
    for walk in range(3):
        before = weights.traffic.bytes
        with weights.walk(range(8)):
            for sublayer in range(8):
                weights.use(sublayer)
                found = dict(model.named_parameters())
                assert all(torch.equal(found[key], original[key]) for key in names[sublayer])
        read = weights.traffic.bytes - before
        if walk:
            assert total - weights.kept <= read <= total
            assert (read == 0) == (host_bytes == 10**9)
            assert (read == total) == (host_bytes == 0)
        else:
            assert read == total
    assert weights.kept <= host_bytes
