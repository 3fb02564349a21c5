"""How fast an evaluate job will be, for the forecast: told by the config, or measured on this machine."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import torch

from cornerstone.config.models import Model

EFFICIENCY = 0.6
"""Share of the rate of large matrix products that a sweep reaches.

Measured on SmolLM2-135M (bfloat16, one thread of an AMD EPYC, 235 to 2385 tokens): 0.53 to 0.71 in eight runs, CPU time
against CPU time. For GPUs and other models it is an assumption.
"""
MUCH = 1.5
"""How many times as fast another number format has to be, for the forecast to say so."""


@dataclass(frozen=True)
class Speed:
    """How fast a model's evaluate jobs are taken to be.

    Attributes:
        tflops: TFLOP/s of one job; None when it can't be said.
        source: `config`, `measured here`, or empty.
        note: how it came about, for people.
    """

    tflops: float | None
    source: str
    note: str


def speed_of(name: str, entry: Model, shape: tuple[int, int]) -> Speed:
    """The speed from the config, else `EFFICIENCY` times the rate of this machine's matrix products.

    Args:
        name: of the model.
        entry: its section of the config.
        shape: (rows, columns) of its largest matrix.
    """
    if entry.tflops is not None:
        return Speed(entry.tflops, "config", f"{name}: {entry.tflops:g} TFLOP/s a job, from its `tflops`.")
    device = entry.device_map
    if device == "auto":
        device = "cuda" if entry.resources.gpus else "cpu"
    if device != "cpu" and not torch.cuda.is_available():
        wanted = f"{entry.resources.gpus} GPU(s)" if entry.resources.gpus else f"the device {device}"
        return Speed(
            None,
            "",
            f"{name}: no hours, because its jobs ask for {wanted}, torch sees none here, and the speed of this "
            f"machine's CPU would mislead. Set `models.{name}.tflops` in config.yaml.",
        )
    rate = product_rate(shape, entry.batch_tokens, entry.dtype, device, entry.threads) / 1e12
    other = ""
    if device == "cpu" and entry.dtype != "float32":
        faster = product_rate(shape, entry.batch_tokens, "float32", device, entry.threads) / 1e12 / rate
        if faster > MUCH:
            other = f" In float32 they are {faster:.1f} times as fast here: set `models.{name}.dtype: float32`."
    where = f"{entry.threads} of this machine's cores" if device == "cpu" else torch.cuda.get_device_name(device)
    return Speed(
        EFFICIENCY * rate,
        "measured here",
        f"{name}: {EFFICIENCY * rate:.3g} TFLOP/s a job, {EFFICIENCY:.0%} of what its matrix products reach on "
        f"{where} ({rate:.3g}) while nothing else runs there. For jobs elsewhere set `models.{name}.tflops`.{other}",
    )


def product_rate(
    shape: tuple[int, int], rows: int, dtype: str, device: str, threads: int, seconds: float = 1.0
) -> float:
    """FLOP per second of the product of [rows, in] and [out, in]: the median of as many as fit in `seconds`.

    On a CPU the time is CPU time, so that a busy machine gives the same answer as an idle one.
    """
    before = torch.get_num_threads()
    cores = min(threads, os.cpu_count() or 1)

    def clock() -> float:
        if device == "cpu":
            return time.process_time() / cores
        torch.cuda.synchronize(device)
        return time.perf_counter()

    torch.set_num_threads(cores)
    try:
        x = torch.randn(rows, shape[1], dtype=getattr(torch, dtype), device=device)
        weight = torch.randn(*shape, dtype=x.dtype, device=device)
        times: list[float] = []
        started = time.monotonic()
        while len(times) < 4 or time.monotonic() - started < seconds:
            begun = clock()
            torch.nn.functional.linear(x, weight)
            times.append(clock() - begun)
    finally:
        torch.set_num_threads(before)
    return 2 * rows * shape[0] * shape[1] / sorted(times[1:])[len(times[1:]) // 2]  # the first one warms up
