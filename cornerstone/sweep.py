"""THE ENGINE: every coalition of a group in one walk over the depth of the network.

A coalition is a path through the model's sublayers: at each one it either takes the sublayer's contribution
or passes by. Coalitions that have agreed so far share one *state*, the residual stream up to here. The walk
goes through the depth once and advances all states together:

                        attn0        ffn0         attn1
    full            ┌── keep ─────── keep ─────── keep ──►
    drop-attn1      │                     └────── drop ──►
    drop-ffn0       │        └────── drop ─────── keep ──►
    drop-attn0      └── drop ─────── keep ─────── keep ──►

so what two coalitions have in common before they differ is computed once, and each sublayer's weights are
used for all states before the next sublayer's are touched.

Each state goes through a sublayer by itself, as one [B, T, H] tensor whose shape depends on the documents
alone. So scores do not depend on which coalitions are walked together, in which order, or in what memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from cornerstone.network import Network
from cornerstone.packing import Batch
from cornerstone.players import Stage, Step


@dataclass
class State:
    """A residual stream, [B, T, H], and the indices of the coalitions that share it so far."""

    x: torch.Tensor
    members: list[int]


def split(members: list[int], coalitions: Sequence[int], stage: Stage) -> dict[tuple[Step, ...], list[int]]:
    """Group coalitions by what of a stage they keep: steps -> members."""
    groups: dict[tuple[Step, ...], list[int]] = {}
    for member in members:
        groups.setdefault(stage.kept(coalitions[member]), []).append(member)
    return groups


@torch.inference_mode()
def sweep(network: Network, batch: Batch, coalitions: Sequence[int]) -> torch.Tensor:
    """Score a batch of documents under each coalition.

    Args:
        network: the model.
        batch: packed documents.
        coalitions: distinct bitmasks (bit i set: player i is kept).

    Returns:
        [C, M] float32: for each coalition, the natural log-probability of each target of the batch.
    """
    used = sorted(work_by_sublayer(coalitions, network.stages))
    with network.weights.walk(used):
        x, context = network.embed(batch)
        states = [State(x, list(range(len(coalitions))))]
        for stage in network.stages:
            for switch in stage.switches:
                if switch.sublayer in used:
                    network.weights.use(switch.sublayer)
            advanced: list[State] = []
            while states:
                state = states.pop()  # popped, so that its memory goes as soon as its successors exist
                groups = split(state.members, coalitions, stage)
                steps = dict.fromkeys(step for kept in groups for step in kept)
                contributions = {step: network.contribution(step, state.x, context) for step in steps}
                for kept, members in groups.items():
                    x = state.x
                    for step in kept:
                        x = x.to(contributions[step].device) + contributions[step]
                    advanced.append(State(x, members))
            states = advanced
    scores = torch.empty(len(coalitions), len(batch.target_rows))
    while states:
        state = states.pop()
        for member in state.members:
            scores[member] = network.log_probabilities(state.x, batch)
    return scores


def work(coalitions: Sequence[int], stages: Sequence[Stage]) -> int:
    """How many sublayer evaluations a walk makes for these coalitions (for one batch)."""
    return sum(work_by_sublayer(coalitions, stages).values())


def work_by_sublayer(coalitions: Sequence[int], stages: Sequence[Stage]) -> dict[int, int]:
    """How often a walk evaluates each sublayer for these coalitions (for one batch): place -> count."""
    groups = [list(range(len(coalitions)))]
    total: dict[int, int] = {}
    for stage in stages:
        advanced: list[list[int]] = []
        for members in groups:
            parts = split(members, coalitions, stage)
            for sublayer, _ in {step for kept in parts for step in kept}:
                total[sublayer] = total.get(sublayer, 0) + 1
            advanced.extend(parts.values())
        groups = advanced
    return total


MOST_TOGETHER = 64
"""Coalitions walked together at most: files are written after each group, so this is what a kill can cost."""


def groups_within(coalitions: Sequence[int], state_bytes: int, budget_bytes: float) -> list[list[int]]:
    """Cut coalitions (in sweep order) into groups whose live states fit into a memory budget.

    At most two generations of states are alive, so a group of n coalitions needs up to 2n states; at least
    one coalition is walked at a time, whatever the budget.
    """
    most = max(1, min(MOST_TOGETHER, int(budget_bytes // (2 * state_bytes))))
    return [list(coalitions[i : i + most]) for i in range(0, len(coalitions), most)]


def choice_scores(
    network: Network,
    document_batches: Sequence[Batch],
    coalitions: Sequence[int],
    progress: Callable[[int], None] = lambda done: None,
) -> list[list[torch.Tensor]]:
    """Summed log-likelihood of each choice of each document, under each coalition.

    Args:
        network: the model.
        document_batches: the documents, as `packing.batches` made them.
        coalitions: the group to walk together.
        progress: called after each batch with the sublayer evaluations x tokens that it took.

    Returns:
        [coalition][document] -> float64 tensor [choices], documents in their original order.
    """
    count = sum(len(batch.documents) for batch in document_batches)
    summed: list[list[torch.Tensor]] = [[torch.empty(0)] * count for _ in coalitions]
    sublayers = work(coalitions, network.stages)
    for batch in document_batches:
        scores = sweep(network, batch, coalitions).double()
        flat = torch.zeros(len(coalitions), sum(batch.choice_counts), dtype=torch.float64)
        flat.index_add_(1, batch.target_choices, scores)
        for c, row in enumerate(flat):
            for document, choices in zip(batch.documents, row.split(batch.choice_counts), strict=True):
                summed[c][document] = choices
        progress(sublayers * batch.tokens)
    return summed
