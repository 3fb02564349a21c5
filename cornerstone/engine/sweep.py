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
used for all states before the next sublayer's are touched. Passing by adds nothing, or a constant (the sublayer's
mean contribution): either way it is the stage's own, so sharing is the same.

Each state goes through a sublayer by itself, as one [B, T, H] tensor whose shape depends on the documents
alone. So scores do not depend on which coalitions are walked together, in which order, or in what memory.

From the last feed-forward sublayer on, only the tokens at which something is predicted go on. A walk can take several
batches along: where weights are streamed from disk, each is read once for all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from cornerstone.engine.heads import Mixed
from cornerstone.engine.network import Context, Network
from cornerstone.engine.stages import Stage, Step
from cornerstone.engine.tries import Batch


@dataclass
class State:
    """A residual stream, [B, T, H] ([1, R, H] in the end), and the coalitions that share it so far, by index."""

    x: torch.Tensor
    members: list[int]


def split(members: list[int], coalitions: Sequence[int], stage: Stage) -> dict[tuple[Step, ...], list[int]]:
    """Group coalitions by what of a stage they keep: steps -> members."""
    groups: dict[tuple[Step, ...], list[int]] = {}
    for member in members:
        groups.setdefault(stage.kept(coalitions[member]), []).append(member)
    return groups


@torch.inference_mode()
def sweep(
    network: Network,
    batches: Sequence[Batch],
    coalitions: Sequence[int],
    progress: Callable[[int], None] = lambda done: None,
    likeliest: list[torch.Tensor] | None = None,
) -> list[torch.Tensor]:
    """Score batches of documents under each coalition, in one walk.

    Args:
        network: the model.
        batches: packed documents.
        coalitions: distinct bitmasks (bit i set: player i is kept).
        progress: called now and then with the sublayer evaluations x tokens since the last call.
        likeliest: for each batch [C, M] bool is added, whether each target is the likeliest token; None: not asked.

    Returns:
        For each batch [C, M] float32: for each coalition, the natural log-probability of each target of the batch.
    """
    used = sorted(place for place in work_by_sublayer(coalitions, network.stages) if place >= 0)
    with network.weights.walk(used):
        contexts, states = [], []
        for batch in batches:
            x, context = network.embed(batch)
            contexts.append(context)
            states.append([State(x, list(range(len(coalitions))))])
        for stage in network.stages:
            for switch in stage.switches:
                if switch.sublayer in used:
                    network.weights.use(switch.sublayer)
            if stage is network.stages[-1] and network.last_by_token:
                for batch, live in zip(batches, states, strict=True):
                    for state in live:
                        state.x = network.head_rows(state.x, batch)
            for i, batch in enumerate(batches):
                states[i], evaluations = _advance(network, states[i], coalitions, stage, contexts[i])
                progress(evaluations * batch.tokens)
    scores = []
    for batch, live in zip(batches, states, strict=True):
        scores.append(torch.empty(len(coalitions), len(batch.target_rows)))
        best = None if likeliest is None else torch.empty(scores[-1].shape, dtype=torch.bool)
        while live:
            state = live.pop()
            at_head = state.x if network.last_by_token else network.head_rows(state.x, batch)
            for member in state.members:
                of_member = None if best is None else best[member]
                scores[-1][member] = network.log_probabilities(at_head, batch, of_member)
        if likeliest is not None and best is not None:
            likeliest.append(best)
    return scores


def _advance(
    network: Network, states: list[State], coalitions: Sequence[int], stage: Stage, context: Context
) -> tuple[list[State], int]:
    """Take all states of a batch through a stage; the evaluations that it took (`work`). Empties `states`."""
    advanced: list[State] = []
    evaluations = 0
    while states:
        state = states.pop()  # popped, so that its memory goes as soon as its successors exist
        groups = split(state.members, coalitions, stage)
        evaluations += evaluated(stage, groups).total()
        uses = Counter(step for kept in groups for step in kept)
        left, mixed = uses.copy(), dict[int, Mixed]()
        contributions: dict[Step, torch.Tensor] = {}
        passed = network.passed(stage, state.x, context)
        for kept, members in groups.items():
            x = passed
            for step in kept:
                if step not in contributions:
                    contributions[step] = network.contribution(step, state.x, context, mixed)
                left[step] -= 1
                contribution = contributions[step] if left[step] else contributions.pop(step)
                if uses[step] == len(kept) == 1 and contribution.is_contiguous():
                    # nobody else adds it: the sum may take its place in memory
                    x = torch.add(x.to(contribution.device), contribution, out=contribution)
                else:
                    x = x.to(contribution.device) + contribution
            instead = network.stand_in(stage.removed(kept), x)
            advanced.append(State(x if instead is None else x + instead, members))
    return advanced, evaluations


def work(coalitions: Sequence[int], stages: Sequence[Stage]) -> int:
    """How many evaluations a walk makes for these coalitions (for one batch): see `work_by_sublayer`."""
    return sum(work_by_sublayer(coalitions, stages).values())


def work_by_sublayer(coalitions: Sequence[int], stages: Sequence[Stage]) -> Counter[int]:
    """How often a walk evaluates each sublayer for these coalitions (for one batch): place -> count.

    Where heads are players, a sublayer is evaluated once for a state, and its output projection once more for each set
    of heads but the whole: these are counted under ~place (a negative number).
    """
    groups = [list(range(len(coalitions)))]
    total = Counter[int]()
    for stage in stages:
        advanced: list[list[int]] = []
        for members in groups:
            parts = split(members, coalitions, stage)
            total.update(evaluated(stage, parts))
            advanced.extend(parts.values())
        groups = advanced
    return total


def evaluated(stage: Stage, parts: Iterable[tuple[Step, ...]]) -> Counter[int]:
    """What a stage evaluates for one state, counted as `work_by_sublayer` does; `parts`: the distinct things kept."""
    heads = {switch.sublayer for switch in stage.switches if switch.heads}
    total = Counter[int]()
    for sublayer, members in {step for kept in parts for step in kept}:
        if sublayer not in heads:
            total[sublayer] += 1
        else:
            total[sublayer] = 1
            total[~sublayer] += members is not None
    return +total


def choice_scores(
    network: Network,
    document_batches: Sequence[Batch],
    coalitions: Sequence[int],
    progress: Callable[[int], None] = lambda done: None,
    runs: Sequence[Sequence[int]] | None = None,
    greedy: list[list[torch.Tensor]] | None = None,
) -> list[list[torch.Tensor]]:
    """Summed log-likelihood of each choice of each document, under each coalition.

    Args:
        network: the model.
        document_batches: the documents, as `tries.batches` made them.
        coalitions: the group to walk together.
        progress: called now and then with the sublayer evaluations x tokens since the last call.
        runs: which batches are walked together, by index; None: each by itself. A walk of one batch uses the
            processor's caches best, a walk of many reads streamed weights the fewest times.
        greedy: [coalition][document] -> bool tensor [choices] is added: whether the model by itself would write the
            choice, as each of its tokens is the likeliest there; None: not asked.

    Returns:
        [coalition][document] -> float64 tensor [choices], documents in their original order.
    """
    choices = Counter[int]()
    for batch in document_batches:
        for document, first, count in zip(batch.documents, batch.first_choices, batch.choice_counts, strict=True):
            choices[document] = max(choices[document], first + count)
    summed = [[torch.empty(choices[d], dtype=torch.float64) for d in range(len(choices))] for _ in coalitions]
    missed = [[torch.empty_like(row) for row in rows] for rows in summed] if greedy is not None else []
    for run in runs if runs is not None else [[i] for i in range(len(document_batches))]:
        walked = [document_batches[i] for i in run]
        likeliest: list[torch.Tensor] | None = None if greedy is None else []
        for i, scores in enumerate(sweep(network, walked, coalitions, progress, likeliest)):
            _spread(scores.double(), walked[i], summed)
            if likeliest is not None:
                _spread((~likeliest[i]).double(), walked[i], missed)
    if greedy is not None:
        greedy += [[row == 0 for row in rows] for rows in missed]
    return summed


def _spread(scores: torch.Tensor, batch: Batch, summed: list[list[torch.Tensor]]) -> None:
    """Add up what is known of the targets of a batch, [C, M], by choice, and put it where its document is."""
    flat = torch.zeros(len(scores), sum(batch.choice_counts), dtype=torch.float64)
    flat.index_add_(1, batch.target_choices, scores)
    for c, row in enumerate(flat):
        parts = row.split(batch.choice_counts)
        for document, first, part in zip(batch.documents, batch.first_choices, parts, strict=True):
            summed[c][document][first : first + len(part)] = part
