"""Block influence: how much a player turns the residual stream (Men et al. 2024, "ShortGPT", equation 1).

    BI = 1 - mean over tokens of cos(x_in, x_out)

x_in is the stream in front of a player, x_out behind it, in the whole model. Of a sublayer, x_out is x_in with its
contribution. It needs no removal: one pass of the whole model over the documents, all of their tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from cornerstone.engine.averaging import _read as tokens_of
from cornerstone.engine.network import Network
from cornerstone.engine.tries import Batch
from cornerstone.errors import StoreError
from cornerstone.evaluate.job import Job
from cornerstone.evaluate.parts import Target
from cornerstone.files import write_csv
from cornerstone.game.coalitions import full
from cornerstone.game.players import Player
from cornerstone.log import log


def write(job: Job, target: Path) -> None:
    """Measure a model on a task's scored documents: a row per player, with `influence`.

    Raises:
        CornerstoneError: see `Job.run`; influences that are not finite.
    """
    wanted = job.wanted()
    pieces = wanted.missing([])
    torch.set_num_threads(job.entry.threads)
    loaded = job.load(wanted, [pieces])
    part = loaded.part(pieces, [Target(full(job.players), target)])
    log(f"{job.model} {job.task}: block influence over {len(wanted.data.documents)} documents")
    runs = part.grouping.runs([batch.tokens for batch in part.batches])
    found = influences(loaded.network, part.batches, runs)
    if not torch.isfinite(found).all():
        raise StoreError(
            f"block influences of {job.model} are no finite numbers. Half precision may have overflowed: set dtype: "
            "bfloat16 or float32 in its entry."
        )
    rows = {
        "model": job.model,
        "task": job.task,
        "player": [player.name for player in job.players],
        "position": [player.position for player in job.players],
        "influence": found.tolist(),
        "documents": len(wanted.data.documents),
    }
    write_csv(pd.DataFrame(rows), target)


@torch.inference_mode()
def influences(network: Network, batches: Sequence[Batch], runs: Sequence[Sequence[int]]) -> torch.Tensor:
    """The block influence of each player, float64 [N].

    Args:
        network: the model; each of its players is a sublayer, or a run of whole stages (`spans`).
        batches: the documents.
        runs: which batches are walked together, by index.
    """
    spans = spans_of(network)
    sums, tokens = torch.zeros(len(network.players), dtype=torch.float64), 0
    places = [switch.sublayer for stage in network.stages for switch in stage.switches]
    single = {p.parts[0][0]: p for p in network.players if p.position not in spans}
    for run in runs:
        walked = [batches[i] for i in run]
        real = [tokens_of(batch) for batch in walked]
        tokens += sum(len(rows) for rows in real)
        with network.weights.walk(places):
            states = [network.embed(batch) for batch in walked]
            before: dict[tuple[int, int], torch.Tensor] = {}
            for number, stage in enumerate(network.stages):
                for switch in stage.switches:
                    network.weights.use(switch.sublayer)
                for i, (x, context) in enumerate(states):
                    for position, (first, _) in spans.items():
                        if first == number:
                            before[position, i] = x
                    out = kept = network.passed(stage, x, context)
                    for place in (switch.sublayer for switch in stage.switches):
                        added = network.contribution((place, None), x, context)
                        out = out.to(added.device) + added
                        if place in single:
                            sums[single[place].position] += _turned(kept, kept.to(added.device) + added, real[i])
                    states[i] = (out, context)
                    for position, (_, last) in spans.items():
                        if last == number:
                            sums[position] += _turned(before.pop((position, i)), out, real[i])
    return sums / tokens


def spans_of(network: Network) -> dict[int, tuple[int, int]]:
    """The players of more than one sublayer: position -> first and last stage.

    Raises:
        StoreError: one is no run of whole stages, so there is no stream in front of it and behind it.
    """
    stage_of = {s.sublayer: number for number, stage in enumerate(network.stages) for s in stage.switches}
    found = {}
    for player in network.players:
        places = {place for place, _ in player.parts}
        if any(member is not None for _, member in player.parts):
            raise _no_run(player)
        if len(places) == 1:
            continue
        stages = sorted({stage_of[place] for place in places})
        whole = {s.sublayer for n in range(stages[0], stages[-1] + 1) for s in network.stages[n].switches}
        if whole != places:
            raise _no_run(player)
        found[player.position] = (stages[0], stages[-1])
    return found


def _no_run(player: Player) -> StoreError:
    return StoreError(
        f"`deletion.orders`: influence has no meaning for the player {player.name}: it is no sublayer and no run of "
        "blocks. Take `influence` out of the orders, or choose other `players`."
    )


def _turned(before: torch.Tensor, after: torch.Tensor, rows: torch.Tensor) -> float:
    """The sum over tokens of 1 - cos of two streams [B, T, H]; `rows`: the tokens, indices into [B x T]."""
    one = before.to(after.device).flatten(0, 1)[rows.to(after.device)].double()
    other = after.flatten(0, 1)[rows.to(after.device)].double()
    return float((1 - torch.nn.functional.cosine_similarity(one, other, dim=-1)).sum())
