"""A model that does not fit into memory: its blocks' weights pass through a few buffers as the walk needs them.

Embedding, final norm and head stay in memory; they are needed for every batch. Of the blocks only as many units are
there as there are slots, a unit being what a stage of the walk uses: a sublayer, or a block whose sublayers run in
parallel. While the walk computes with one unit, a thread reads the next from the safetensors files:

    reads      unit 0 │ unit 1 │ unit 2      │ unit 3 │
    computes          │ unit 0    │ unit 1   │ unit 2     │ unit 3

Each weight is read once a walk, and only if a coalition of the walk keeps its sublayer. The parameters of the model
are the same numbers as if it had been loaded as a whole, so the scores are, too.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cornerstone.engine.loading import shapes_only
from cornerstone.engine.matching import complain_of_absent
from cornerstone.engine.streaming import checkpoint
from cornerstone.engine.streaming.blank import put, real_buffers
from cornerstone.engine.streaming.checkpoint import Parameter, Reader
from cornerstone.engine.streaming.slots import CudaSlots, HostSlots, Slots, Source, pinned
from cornerstone.engine.weights import Traffic, aligned, footprint, units_of
from cornerstone.errors import CornerstoneError, ModelError, first_line

SLOTS = 2
"""Units in memory at once: one that is computed with, one that is read."""


def load(folder: Path, dtype: str, device: torch.device, host_bytes: int = 0) -> tuple[Any, Any, Streamed]:
    """A model whose blocks are streamed from the safetensors files of a folder, its tokenizer, and its weights.

    Args:
        folder: config.json, safetensors weights, tokenizer.
        dtype: `float32`, `bfloat16` or `float16`; weights in another format are converted as they are read.
        device: where it computes.
        host_bytes: host memory in which weights of a GPU's walk are kept between walks.

    Raises:
        ModelError: unknown architecture, or files that do not fit it or can't be streamed.
    """
    model, tokenizer = shapes_only(folder, dtype)
    return model, tokenizer, Streamed(model, folder, device, host_bytes=host_bytes)


class Streamed:
    """Weights that are read as a walk needs them. Gives `model` real parameters on `device`.

    Args:
        model: one whose parameters have no values yet (`loading.shapes_only`).
        folder: the safetensors files.
        device: where it computes.
        slots: units in memory at once, at least two for reading ahead.
        host_bytes: host memory for copies of weights between walks; only of use where `device` is a GPU.
        cuda: in place of `torch.cuda`, where a test pretends that the CPU is a GPU.

    Attributes:
        traffic: what streaming has cost so far.
        held: bytes on `device` that it holds: embedding, final norm, head and slots.
        kept: bytes of copies in host memory.

    Raises:
        ModelError: see `load`.
    """

    def __init__(
        self,
        model: Any,
        folder: Path,
        device: torch.device,
        *,
        slots: int = SLOTS,
        host_bytes: int = 0,
        cuda: Any = None,
    ) -> None:
        if device.type not in ("cpu", "cuda"):
            raise ModelError(
                f"weights can't be streamed to the device {device}. Set device_map to cpu, auto or cuda:0."
            )
        self.traffic = Traffic()
        self.kept = 0
        self._cuda = torch.cuda if device.type == "cuda" else cuda
        self._host_bytes = host_bytes if self._cuda else 0
        self._copies: dict[int, torch.Tensor] = {}
        # Beside a GPU several threads read, because one copies no more than 2 to 3 GB/s out of the page cache. On a
        # CPU the cores have something better to do.
        self._readers = [Reader() for _ in range(4 if self._cuda else 1)]
        self._pool = ThreadPoolExecutor(len(self._readers)) if len(self._readers) > 1 else None
        found = checkpoint.parameters(model, folder)
        units = units_of(model)
        names = [own for unit in units for own in unit]
        self._unit_of = [i for i, unit in enumerate(units) for _ in unit]
        self._sublayers = [[found[name] for name in own if name in found] for own in names]
        streamed = {name for own in names for name in own}
        complain_of_absent([name for name in streamed if name not in found], folder)
        real_buffers(model, device)
        fixed = self._load_fixed(model, found, streamed, device, folder)
        size, slots = max(footprint(model).units), max(slots, footprint(model).of_a_block)
        self._slots: Slots
        self._slots = CudaSlots(slots, size, device, self._cuda) if self._cuda else HostSlots(slots, size)
        self.held = sum(tensor.nbytes for tensor in fixed) + slots * size
        self._views = [
            [self._views_of(model, sublayer, buffer) for buffer in self._slots.buffers]
            for sublayer in range(len(self._sublayers))
        ]
        for views in self._views:  # parameters are on their device from the start
            for owner, key, parameter in views[0]:
                owner[key] = parameter
        self._walk: _Prefetch | None = None

    def _load_fixed(
        self, model: Any, found: dict[str, Parameter], streamed: set[str], device: torch.device, folder: Path
    ) -> list[nn.Parameter]:
        """Read everything outside the blocks; tie what transformers would tie."""
        values: dict[str, torch.Tensor] = {}
        for name in model.state_dict():
            if name in found and name not in streamed:
                host = torch.empty(found[name].shape, dtype=found[name].dtype)
                self._readers[0].read(found[name], host)
                values[name] = host
        for target, source in model.all_tied_weights_keys.items():
            if target in values and source in values and not torch.equal(values[target], values[source]):
                continue  # both are there and differ: then transformers does not tie them
            there = values.get(source, values.get(target))
            if there is not None:
                values[source] = values[target] = there
        wanted = [name for name in model.state_dict() if name not in streamed]
        complain_of_absent([name for name in wanted if name not in values], folder)
        moved: dict[int, nn.Parameter] = {}
        for name in wanted:
            value = values[name]
            if id(value) not in moved:
                moved[id(value)] = nn.Parameter(value.to(device), requires_grad=False)
            put(model, name, moved[id(value)])
        return list(moved.values())

    def _layout(self, sublayer: int) -> Iterator[tuple[Parameter, int]]:
        """The parameters of a sublayer, and at which byte of a slot each starts."""
        start = self._start(sublayer)
        for parameter in self._sublayers[sublayer]:
            yield parameter, start
            start += aligned(parameter.bytes)

    def _start(self, sublayer: int) -> int:
        """Behind those that run in parallel with it and come before it."""
        unit = self._unit_of[sublayer]
        return sum(self._size(other) for other in range(sublayer) if self._unit_of[other] == unit)

    def _size(self, sublayer: int) -> int:
        return sum(aligned(parameter.bytes) for parameter in self._sublayers[sublayer])

    def _views_of(
        self, model: Any, sublayer: int, buffer: torch.Tensor
    ) -> list[tuple[dict[str, nn.Parameter | None], str, nn.Parameter]]:
        """The sublayer's parameters in one slot, and the dictionary and key under which its modules look for them."""
        views = []
        for parameter, start in self._layout(sublayer):
            path, _, key = parameter.name.rpartition(".")
            view = buffer[start : start + parameter.bytes].view(parameter.dtype).view(parameter.shape)
            views.append((model.get_submodule(path)._parameters, key, nn.Parameter(view, requires_grad=False)))
        return views

    @contextmanager
    def walk(self, sublayers: Sequence[int]) -> Iterator[None]:
        """See `Weights`: starts to read."""
        if self._walk is not None:
            raise RuntimeError("a walk has begun before the one before it has ended")
        units = [tuple(unit) for _, unit in itertools.groupby(sublayers, self._unit_of.__getitem__)]
        before, begun = self._bytes(), time.perf_counter()
        self._walk = _Prefetch(units, self._slots, self._fill)
        try:
            yield
        finally:
            self._walk.close()
            self._walk = None
            self.traffic.waited += self._slots.waited()
            self.traffic.walks += 1
            self.traffic.bytes += self._bytes() - before
            self.traffic.seconds += time.perf_counter() - begun

    def use(self, sublayer: int) -> None:
        """See `Weights`: waits, if need be.

        Raises:
            ModelError: the weights could not be read.
        """
        if self._walk is None:
            raise RuntimeError("weights are used outside a walk")
        slot = self._walk.advance(sublayer)
        if slot is not None:
            for used in self._walk.unit:
                for owner, key, parameter in self._views[used][slot]:
                    owner[key] = parameter

    def _bytes(self) -> int:
        return sum(reader.bytes for reader in self._readers)

    def _fill(self, unit: Sequence[int], slot: int, stopped: Callable[[], bool]) -> None:
        """Bring the sublayers of a unit into a slot, from copies in host memory or from the files."""
        parts: list[tuple[int, int, Source]] = []
        for sublayer in unit:
            size = self._size(sublayer)
            if sublayer not in self._copies and self.kept + size <= self._host_bytes:
                copy = pinned(size, self._cuda)
                self._read(sublayer, stopped, copy)
                if stopped():
                    return
                self._copies[sublayer] = copy
                self.kept += size
            elif sublayer in self._copies:
                self.traffic.copied += size
            read: Source = partial(self._read, sublayer, stopped)
            source = self._copies.get(sublayer, read)
            parts.append((self._start(sublayer), size, source))
        self._slots.fill(slot, parts)

    def _read(self, sublayer: int, stopped: Callable[[], bool], into: torch.Tensor) -> None:
        """Read a sublayer's parameters into host memory laid out like a slot."""
        base = self._start(sublayer)
        tasks = [
            (parameter, into[start - base :][: parameter.bytes].view(parameter.dtype).view(parameter.shape))
            for parameter, start in self._layout(sublayer)
        ]
        if self._pool is None:
            for parameter, target in tasks:
                self._readers[0].read(parameter, target, stopped)
            return
        shares = [tasks[i :: len(self._readers)] for i in range(len(self._readers))]

        def read(reader: Reader, share: list[tuple[Parameter, torch.Tensor]]) -> None:
            for parameter, target in share:
                reader.read(parameter, target, stopped)

        list(self._pool.map(read, self._readers, shares))


class _Unannounced(RuntimeError):
    """The walk does other than it said: an error of this package."""


class _Prefetch:
    """One walk's reading ahead: a thread that fills slots in the order in which the walk will use them.

    Attributes:
        unit: the sublayers whose weights are there.
    """

    def __init__(
        self,
        units: list[tuple[int, ...]],
        slots: Slots,
        fill: Callable[[Sequence[int], int, Callable[[], bool]], None],
    ) -> None:
        self.unit: tuple[int, ...] = ()
        self._slots = slots
        self._slot: int | None = None
        self._free: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._filled: queue.SimpleQueue[tuple[tuple[int, ...], int] | BaseException] = queue.SimpleQueue()
        self._stopped = threading.Event()
        for slot in range(len(slots.buffers)):
            self._free.put(slot)

        def work() -> None:
            try:
                for unit in units:
                    slot = self._free.get()
                    if slot is None or self._stopped.is_set():
                        return
                    fill(unit, slot, self._stopped.is_set)
                    self._filled.put((unit, slot))
                self._filled.put(_Unannounced("the walk uses a sublayer that it did not announce"))
            except BaseException as error:  # whatever it is, the walk must not wait for ever
                self._filled.put(error)

        self._thread = threading.Thread(target=work, name="weights", daemon=True)
        self._thread.start()

    def advance(self, sublayer: int) -> int | None:
        """Go on to the unit of this sublayer. Returns its slot, or None where it is the unit that is there already."""
        if sublayer in self.unit:
            return None
        if self._slot is not None:
            self._slots.release(self._slot)
            self._free.put(self._slot)
            self._slot = None
        with self._slots.waiting():
            got = self._filled.get()
            if isinstance(got, BaseException):
                self._filled.put(got)  # for whoever asks again: the thread has ended
                if isinstance(got, CornerstoneError | _Unannounced):
                    raise got
                raise ModelError(
                    f"weights could not be brought into memory: {first_line(got)}. Give the job more memory, or lower "
                    "memory.budget_gb and memory.host_gb of the model."
                ) from got
            self.unit, self._slot = got
            self._slots.acquire(self._slot)
        if sublayer not in self.unit:
            raise _Unannounced(f"the walk uses sublayer {sublayer}, but announced {self.unit} next")
        return self._slot

    def close(self) -> None:
        """End the thread, whatever it is doing."""
        self._stopped.set()
        self._free.put(None)
        self._thread.join()
