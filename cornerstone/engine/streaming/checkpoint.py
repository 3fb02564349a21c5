"""Safetensors files as a place from which single parameters are read into memory that is there already.

Which tensor of the files belongs where in which parameter is decided by transformers' own rules, those that its loader
follows: names that changed, prefixes, and experts that the files keep one by one and the model as one stack. From the
rules comes a list of pieces for each parameter, each of them contiguous in the file and in the parameter, so that a
piece is read straight to its place. Files are read with `preadv`, not mapped: what was read does not count as this
process's memory, and other threads compute meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cornerstone.engine.matching import match, same_shape
from cornerstone.engine.stored import DTYPES, Stored, stored_tensors
from cornerstone.errors import ModelError

_AT_ONCE = 32 * 2**20
"""Bytes of one read call; between calls a reader can be stopped."""
_CONVERTED_AT_ONCE = 4 * 2**20
"""Bytes that are read into a buffer of their own where the file's number format is another one."""


@dataclass(frozen=True)
class Piece:
    """A stored tensor and its place: the element of the (flat) parameter at which it starts."""

    stored: Stored
    offset: int


@dataclass(frozen=True)
class Parameter:
    """A parameter of the model and the pieces that fill it."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    pieces: tuple[Piece, ...]

    @property
    def bytes(self) -> int:
        """Its size in memory."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize


def parameters(model: Any, folder: Path) -> dict[str, Parameter]:
    """Where each parameter of a model is in the files of a folder, by the parameter's name.

    Parameters that the files lack are left out: whether that is an error depends on what is tied to what.

    Args:
        model: a model of transformers; its parameters need shapes and no values.
        folder: holds the safetensors files.

    Raises:
        ModelError: damaged files, shapes that differ, or tensors that would have to be computed with before use.
    """
    if getattr(model.config, "quantization_config", None) is not None:
        raise ModelError(
            f"the weights in {folder} are quantised; such weights can't be streamed. Set memory.weights: resident, or "
            "take a model that is not quantised."
        )
    wanted: dict[str, torch.Tensor] = model.state_dict()
    matched = match(model, stored_tensors(folder))
    matched.refuse_unused(folder)
    found = {}
    for target, stored in matched.plain.items():
        same_shape(stored.shape, tuple(wanted[target].shape), target, folder)
        found[target] = _parameter(target, wanted[target], [Piece(stored, 0)], folder)
    for target, sources in matched.converted.items():
        pieces = _stacked(target, wanted[target], sources, matched.rules[next(iter(sources))], folder)
        found[target] = _parameter(target, wanted[target], pieces, folder)
    return found


def _stacked(
    target: str, whole: torch.Tensor, sources: dict[str, list[Stored]], rule: Any, folder: Path
) -> list[Piece]:
    """The pieces of a parameter that transformers makes by stacking tensors, and joining stacks along a dimension."""
    from transformers.core_model_loading import Concatenate, MergeModulelist

    operations = rule.operations
    stack, join = operations[0], operations[1] if len(operations) > 1 else None
    if len(operations) > 2 or type(stack) is not MergeModulelist or not isinstance(join, Concatenate | None):
        steps = ", ".join(type(operation).__name__ for operation in operations)
        raise ModelError(
            f"{target} is made from the tensors in {folder} by {steps}, which can't be done while streaming. Set "
            "memory.weights: resident in this model's entry."
        )
    absent = [pattern for pattern in rule.source_patterns if pattern not in sources]
    if absent:
        raise ModelError(f"the weights in {folder} lack tensors for {target}: {absent[0]}. Fetch the model again.")
    place = torch.empty(whole.shape, device="meta")  # offsets are read off its views
    pieces, begin = [], 0
    for pattern in rule.source_patterns:
        stored = sources[pattern]
        stacked = list(stored[0].shape)
        stacked.insert(stack.dim, len(stored))
        length = stacked[join.dim] if join else whole.shape[0]
        expected = list(whole.shape)
        if join:
            expected[join.dim] = length
        if stacked != expected or any(each.shape != stored[0].shape for each in stored):
            same_shape(tuple(stacked), tuple(expected), target, folder)
            raise ModelError(f"the tensors in {folder} that make up {target} differ in shape. Fetch the model again.")
        if begin + length > whole.shape[join.dim if join else 0]:
            raise ModelError(f"the tensors in {folder} for {target} are larger than it. Fetch the model again.")
        part = place.narrow(join.dim, begin, length) if join else place
        for i, each in enumerate(stored):
            view = part.select(stack.dim, i)
            if not view.is_contiguous():
                raise ModelError(
                    f"{target} interleaves the tensors in {folder}, which can't be done while streaming. Set "
                    "memory.weights: resident in this model's entry."
                )
            pieces.append(Piece(each, int(view.storage_offset())))
        begin += length
    return pieces


def _parameter(name: str, wanted: torch.Tensor, pieces: Sequence[Piece], folder: Path) -> Parameter:
    for piece in pieces:
        stored = piece.stored
        if stored.dtype not in DTYPES:
            raise ModelError(
                f"{stored.name} in {stored.path.name} has the number format {stored.dtype}; only "
                f"{', '.join(DTYPES)} can be read. Take weights in one of these."
            )
        if stored.bytes != torch.Size(stored.shape).numel() * DTYPES[stored.dtype].itemsize:
            raise ModelError(f"{stored.path}: {stored.name} has the wrong number of bytes. Fetch the model again.")
    count = sum(torch.Size(piece.stored.shape).numel() for piece in pieces)
    if count != wanted.numel():
        raise ModelError(
            f"the weights in {folder} fill {count} of {wanted.numel()} entries of {name}. Fetch them again."
        )
    return Parameter(name, tuple(wanted.shape), wanted.dtype, tuple(pieces))


class Reader:
    """Reads parameters from files that it keeps open. One reader serves one thread at a time.

    Attributes:
        bytes: read so far.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._files: dict[Path, int] = {}
        self._scratch = torch.empty(0, dtype=torch.uint8)

    def read(self, parameter: Parameter, into: torch.Tensor, stopped: Callable[[], bool] = lambda: False) -> None:
        """Fill a tensor in host memory, contiguous and of the parameter's shape and dtype.

        Args:
            parameter: what to read.
            into: where to.
            stopped: asked between reads; once it says yes, the rest is left as it is.

        Raises:
            ModelError: a file that can't be read, or has become shorter.
        """
        flat = into.view(-1)
        for piece in parameter.pieces:
            stored = piece.stored
            count = torch.Size(stored.shape).numel()
            target = flat[piece.offset : piece.offset + count]
            dtype = DTYPES[stored.dtype]
            if dtype == into.dtype:
                self._fill(stored, stored.start, target.view(torch.uint8), stopped)
                continue
            if not self._scratch.numel():
                self._scratch = torch.empty(_CONVERTED_AT_ONCE, dtype=torch.uint8)
            step = _CONVERTED_AT_ONCE // dtype.itemsize
            for first in range(0, count, step):
                part = target[first : first + step]
                raw = self._scratch[: part.numel() * dtype.itemsize]
                self._fill(stored, stored.start + first * dtype.itemsize, raw, stopped)
                part.copy_(raw.view(dtype))

    def _fill(self, stored: Stored, start: int, into: torch.Tensor, stopped: Callable[[], bool]) -> None:
        buffer, done = into.numpy().data, 0
        while done < len(buffer) and not stopped():
            try:
                got = os.preadv(self._open(stored.path), [buffer[done : done + _AT_ONCE]], start + done)
            except OSError as error:
                raise ModelError(f"{stored.path} can't be read: {error}. Fetch the model again.") from error
            if not got:
                raise ModelError(f"{stored.path} ends inside {stored.name}. Fetch the model again.")
            done += got
            self.bytes += got

    def _open(self, path: Path) -> int:
        if path not in self._files:
            self._files[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return self._files[path]

    def close(self) -> None:
        """Close the files."""
        while self._files:
            os.close(self._files.popitem()[1])
