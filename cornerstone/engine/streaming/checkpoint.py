"""Safetensors files as a place from which single parameters are read into memory that is there already.

Which tensor of the files belongs where in which parameter is decided by transformers' own rules, those that its loader
follows: names that changed, prefixes, and experts that the files keep one by one and the model as one stack. From the
rules comes a list of pieces for each parameter, each of them contiguous in the file and in the parameter, so that a
piece is read straight to its place. Files are read with `preadv`, not mapped: what was read does not count as this
process's memory, and other threads compute meanwhile.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cornerstone.errors import ModelError

_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_AT_ONCE = 32 * 2**20
"""Bytes of one read call; between calls a reader can be stopped."""
_CONVERTED_AT_ONCE = 4 * 2**20
"""Bytes that are read into a buffer of their own where the file's number format is another one."""


@dataclass(frozen=True)
class Stored:
    """A tensor in a file: where its bytes start and how many there are."""

    name: str
    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    bytes: int


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


def stored_tensors(folder: Path) -> dict[str, Stored]:
    """Every tensor of a model's safetensors files, by name: those of the files that transformers would load.

    Raises:
        ModelError: no files, a file that is missing or damaged, or shorter than its header says.
    """
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    paths = [single] if single.is_file() else []
    if not paths and index.is_file():
        try:
            names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            paths = sorted(folder / name for name in names)
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ModelError(f"{index} is damaged. Fetch the model again.") from error
    if not paths:
        raise ModelError(
            f"{folder} holds neither {single.name} nor {index.name}. Fetch the model again, or correct its entry."
        )
    found: dict[str, Stored] = {}
    for path in paths:
        found.update((stored.name, stored) for stored in _header(path))
    return found


def _header(path: Path) -> Iterator[Stored]:
    """The tensors of one file. Format: 8 bytes with the length of the header, the header (JSON), the data."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > size:
                raise ValueError("the header is longer than the file")
            header: dict[str, Any] = json.loads(file.read(length))
        header.pop("__metadata__", None)
        tensors = [
            Stored(name, path, facts["dtype"], tuple(facts["shape"]), 8 + length + begin, end - begin)
            for name, facts in header.items()
            for begin, end in [facts["data_offsets"]]
        ]
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing. Fetch the model again.") from error
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise ModelError(f"{path} is no whole safetensors file ({error}). Fetch the model again.") from error
    end = max((tensor.start + tensor.bytes for tensor in tensors), default=0)
    if end > size:
        raise ModelError(f"{path} is cut off: its header promises {end} bytes, it has {size}. Fetch the model again.")
    yield from tensors


def parameters(model: Any, folder: Path) -> dict[str, Parameter]:
    """Where each parameter of a model is in the files of a folder, by the parameter's name.

    Parameters that the files lack are left out: whether that is an error depends on what is tied to what.

    Args:
        model: a model of transformers; its parameters need shapes and no values.
        folder: holds the safetensors files.

    Raises:
        ModelError: damaged files, shapes that differ, or tensors that would have to be computed with before use.
    """
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, WeightRenaming, dot_natural_key, rename_source_key

    wanted: dict[str, torch.Tensor] = model.state_dict()
    if getattr(model.config, "quantization_config", None) is not None:
        raise ModelError(
            f"the weights in {folder} are quantised; such weights can't be streamed. Set memory.weights: resident, or "
            "take a model that is not quantised."
        )
    rules = get_model_conversion_mapping(model)
    renamings = [rule for rule in rules if isinstance(rule, WeightRenaming)]
    converters = [rule for rule in rules if isinstance(rule, WeightConverter)]
    converter_of = {pattern: rule for rule in converters for pattern in rule.source_patterns}
    prefix = model.base_model_prefix
    plain: dict[str, Stored] = {}
    converted: dict[str, dict[str, list[Stored]]] = {}
    tensors = stored_tensors(folder)
    for name in sorted(tensors, key=dot_natural_key):  # the order in which experts are stacked
        target, pattern = rename_source_key(name, renamings, converters, prefix, wanted)
        if target not in wanted and name in wanted:
            target, pattern = rename_source_key(name, [], [], prefix, wanted)
        if target not in wanted:
            continue  # transformers ignores it, too
        if pattern is None:
            plain[target] = tensors[name]
        else:
            converted.setdefault(target, {}).setdefault(pattern, []).append(tensors[name])
    found = {}
    for target, stored in plain.items():
        _same_shape(stored.shape, tuple(wanted[target].shape), target, folder)
        found[target] = _parameter(target, wanted[target], [Piece(stored, 0)], folder)
    for target, sources in converted.items():
        pieces = _stacked(target, wanted[target], sources, converter_of[next(iter(sources))], folder)
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
            _same_shape(tuple(stacked), tuple(expected), target, folder)
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
        if stored.dtype not in _DTYPES:
            raise ModelError(
                f"{stored.name} in {stored.path.name} has the number format {stored.dtype}; only "
                f"{', '.join(_DTYPES)} can be streamed. Set memory.weights: resident, or take other weights."
            )
        if stored.bytes != torch.Size(stored.shape).numel() * _DTYPES[stored.dtype].itemsize:
            raise ModelError(f"{stored.path}: {stored.name} has the wrong number of bytes. Fetch the model again.")
    count = sum(torch.Size(piece.stored.shape).numel() for piece in pieces)
    if count != wanted.numel():
        raise ModelError(
            f"the weights in {folder} fill {count} of {wanted.numel()} entries of {name}. Fetch them again."
        )
    return Parameter(name, tuple(wanted.shape), wanted.dtype, tuple(pieces))


def _same_shape(found: tuple[int, ...], expected: tuple[int, ...], name: str, folder: Path) -> None:
    if found != expected:
        raise ModelError(
            f"{name} has shape {list(found)} in the weights in {folder}, but config.json asks for {list(expected)}. "
            "Fetch the model again, or choose a revision that is whole."
        )


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
            dtype = _DTYPES[stored.dtype]
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
