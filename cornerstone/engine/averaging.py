"""Mean contributions, measured: one pass of the whole model over reference documents (`engine/means`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch

from cornerstone.engine.means import Means
from cornerstone.engine.network import Network
from cornerstone.engine.tries import Batch

T = TypeVar("T")


def reference(documents: Sequence[T], count: int) -> list[T]:
    """The documents over which contributions are averaged: the last ones, as scoring takes the first."""
    return list(documents[-count:])


def text_of(requests: Sequence[tuple[str, str]], gold: int | Sequence[int]) -> list[tuple[str, str]]:
    """What of a reference document the model reads: the context with the right choice (the first of several)."""
    return [requests[gold if isinstance(gold, int) else gold[0]]]


@torch.inference_mode()
def mean_contributions(network: Network, batches: Sequence[Batch], runs: Sequence[Sequence[int]]) -> Means:
    """Take the whole model over documents, and average.

    Args:
        network: the model.
        batches: the documents, one choice each.
        runs: which batches are walked together, by index.
    """
    places = [switch.sublayer for stage in network.stages for switch in stage.switches]
    sums = torch.zeros(len(places), network.hidden_size, dtype=torch.float64)
    of_heads: dict[int, torch.Tensor] = {}
    tokens = 0
    for run in runs:
        walked = [batches[i] for i in run]
        real = [_read(batch) for batch in walked]
        tokens += sum(len(rows) for rows in real)
        with network.weights.walk(places):
            states = [network.embed(batch) for batch in walked]
            for stage in network.stages:
                for switch in stage.switches:
                    network.weights.use(switch.sublayer)
                for i, (x, context) in enumerate(states):
                    added = []
                    for place in (switch.sublayer for switch in stage.switches):
                        if (heads := network.heads(place)) is not None:
                            mixed = heads.mix(x.to(heads.sublayer.device), network.arguments(place, context))
                            added.append(mixed.whole)
                            flat = mixed.heads.reshape(x.shape[0] * x.shape[1], -1)
                            of_heads[place] = of_heads.get(place, 0) + _sum(flat, real[i])
                        else:
                            added.append(network.contribution((place, None), x, context))
                        sums[place] += _sum(added[-1].flatten(0, 1), real[i])
                    out = network.passed(stage, x, context)
                    for contribution in added:
                        out = out.to(contribution.device) + contribution
                    states[i] = (out, context)
    return Means(
        (sums / tokens).float(), {place: (total / tokens).float() for place, total in sorted(of_heads.items())}
    )


def _sum(values: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """The sum of some rows of [N, ...], float64 on the CPU."""
    return values[rows.to(values.device)].sum(0, dtype=torch.float64).cpu()


def _read(batch: Batch) -> torch.Tensor:
    """Which tokens of a batch are of its documents and not padding: indices into [B x T]."""
    first, second = batch.rows[:, 0], batch.rows[:, 1]
    real = torch.zeros(batch.input_ids.shape, dtype=torch.bool)
    if batch.visible.numel():
        for row, token in zip(first.tolist(), second.tolist(), strict=True):
            real[row] |= batch.visible[row, token]
    else:  # each row is one choice, read up to the last token that predicts one of its
        for row, token in zip(first.tolist(), second.tolist(), strict=True):
            real[row, : token + 1] = True
    return real.flatten().nonzero().flatten()
