"""Proof that a model is taken apart rightly, before anything is scored.

The model runs by itself on one document. What each of its blocks made of the residual stream is compared with what
this package makes of it (x + contributions), and the document's scores with those of a sweep. A layout that was read
wrongly, whatever the reason, is seen here. Where heads are players, the contribution of all heads of an attention must
be that of the attention.

A sum in another order differs by rounding. In float32 a token's stream may deviate by `FLOAT32` of its length. In half
precision, where one addition rounds by up to half of `eps`, the typical (median) component may deviate by `HALF` x eps
of its size: a contribution that is missing, doubled or scaled moves nearly all components by much more. Where the model
itself makes no finite numbers there is nothing to compare; such scores are refused later.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from cornerstone.engine import structure, sweep, tries
from cornerstone.engine.network import Context, Network
from cornerstone.engine.stages import Stage
from cornerstone.errors import CornerstoneError, ModelError, first_line

FLOAT32 = 1e-5
"""Of the length of a token's stream."""
HALF = 2.0
"""Times `eps` (2^-7 in bfloat16, 2^-10 in float16) of the size of a component."""
SCORES = 1e-4
"""Of a log-likelihood in float32; in half precision `SCORES_HALF` x eps."""
SCORES_HALF = 16.0

Call = tuple[torch.Tensor, dict[str, Any], torch.Tensor]
"""A call of a block: stream, arguments by name, the stream that it returned."""


def prove(network: Network, documents: Sequence[tries.PackedDocument]) -> None:
    """Compare a model with itself, on the shortest of some documents.

    All weights must be in memory (`prove_streamed` is for those that are not); it costs two passes over one document.

    Raises:
        ModelError: something does not agree; the message names block, sublayer and deviation.
    """
    with _one_message(network):
        _prove(network, documents)


def _prove(network: Network, documents: Sequence[tries.PackedDocument]) -> None:
    document = min(documents, key=lambda d: (len(d) * d.choices, d.tokens))
    sequences = [tries.choice_of(document, choice) for choice in range(document.choices)]
    with torch.inference_mode():
        theirs = []
        for number, sequence in enumerate(sequences):
            with _observed(network) as calls:
                logits = _logits(network, sequence)
            theirs.append(_score(logits, sequence))
            if number == 0:
                _compare_blocks(network, calls)
        _compare_scores(network, document, theirs)


@contextmanager
def _one_message(network: Network) -> Iterator[None]:
    """What the model's own code has to say of being run sublayer by sublayer, as one message."""
    try:
        yield
    except (CornerstoneError, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        raise ModelError(
            f"a model of type {network.config.model_type} does not run sublayer by sublayer ({type(error).__name__}: "
            f"{first_line(error)}): its blocks need more than what one of them is given. Choose another model "
            "(docs/architectures.md)."
        ) from error


def _logits(network: Network, sequence: tries.PackedDocument) -> torch.Tensor:
    given = structure.accepted(network.model, use_cache=False)
    tokens = torch.tensor([sequence.tokens], device=network.device)
    logits: torch.Tensor = network.model(input_ids=tokens, **given).logits
    return logits[0]


def _score(logits: torch.Tensor, sequence: tries.PackedDocument) -> float:
    nodes = torch.tensor([node for node, _, _ in sequence.targets], device=logits.device)
    tokens = torch.tensor([token for _, token, _ in sequence.targets], device=logits.device)
    return float(logits[nodes].log_softmax(-1, dtype=torch.float32).gather(-1, tokens[:, None]).double().sum())


@contextmanager
def _observed(network: Network) -> Iterator[list[Call]]:
    """Note what the model calls its blocks with, and what they return."""
    calls: list[Call] = []
    handles = []
    for block, layout in zip(network.blocks, network.layouts, strict=True):

        def note(module: Any, args: Any, kwargs: Any, output: Any, layout: Any = layout) -> None:
            stream, arguments = structure.by_name(module, layout.input, args, kwargs)
            calls.append((stream, arguments, output if layout.outputs is None else output[0]))

        handles.append(block.register_forward_hook(note, with_kwargs=True))
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def prove_streamed(network: Network, documents: Sequence[tries.PackedDocument]) -> None:
    """Compare one block of each kind with itself, on the embedding of the shortest of some documents.

    For weights that pass through memory: the model can't run as a whole, so scores are not compared.

    Raises:
        ModelError: see `prove`.
    """
    with _one_message(network):
        _prove_streamed(network, documents)


def _prove_streamed(network: Network, documents: Sequence[tries.PackedDocument]) -> None:
    document = min(documents, key=lambda d: (len(d) * d.choices, d.tokens))
    sequence = tries.choice_of(document, 0)
    known: set[tuple[Any, ...]] = set()
    first = 0
    with torch.inference_mode():
        calls = network.calls(torch.tensor([sequence.tokens]))
        context = Context(tuple(arguments for _, arguments in calls))
        for block, layout in enumerate(network.layouts):
            places = range(first, first + len(layout.sublayers))
            first = places.stop
            parts = [part for step in layout.steps for part in (*step.sublayers, step.fixed) if part]
            modules = [type(network.blocks[block].get_submodule(name)) for part in parts for name in part.modules]
            kind = (*(part.code for part in parts), *modules)
            if kind in known:
                continue
            known.add(kind)
            with network.weights.walk(places):
                for place in places:
                    network.weights.use(place)
                x, arguments = calls[block]
                returned = network.blocks[block](**{layout.input: x}, **arguments)
                theirs = returned if layout.outputs is None else returned[0]
                _compare_block(network, block, x, context, theirs)


def _compare_blocks(network: Network, calls: Sequence[Call]) -> None:
    context = Context(tuple(arguments for _, arguments, _ in calls))
    for block, (x, _, theirs) in enumerate(calls):
        _compare_block(network, block, x, context, theirs)


def _compare_block(network: Network, block: int, x: torch.Tensor, context: Context, theirs: torch.Tensor) -> None:
    before = sum(len(layout.steps) for layout in network.layouts[:block])
    ours = x
    contributions: dict[int, torch.Tensor] = {}
    for stage in network.stages[before : before + len(network.layouts[block].steps)]:
        for place in (switch.sublayer for switch in stage.switches):
            if (heads := network.heads(place)) is not None:
                heads.prove(ours.to(heads.sublayer.device), network.arguments(place, context))
        ours, added = _whole(network, stage, ours, context)
        contributions |= added
    off, limit = _deviation(ours, theirs.to(ours.device))
    if theirs.isfinite().all() and not off <= limit:
        player = _suspect(network, contributions, theirs.to(ours.device) - ours)
        raise ModelError(
            f"block {block} of this {network.config.model_type} model is not understood: the sum of its sublayers' "
            f"contributions deviates by {off:.2g} from what the block itself returns, where {limit:.2g} would be "
            f"rounding; it is {player} that fits worst. No number can be trusted, so nothing is scored. Choose "
            "another model (docs/architectures.md), and please report this one."
        )


def _whole(
    network: Network, stage: Stage, x: torch.Tensor, context: Context
) -> tuple[torch.Tensor, dict[int, torch.Tensor]]:
    """The stream behind a stage of which all runs, and the contributions (sublayer -> tensor)."""
    added = {s.sublayer: network.contribution((s.sublayer, None), x, context) for s in stage.switches}
    out = network.passed(stage, x, context)
    for contribution in added.values():
        out = out.to(contribution.device) + contribution
    return out, added


def _deviation(ours: torch.Tensor, theirs: torch.Tensor) -> tuple[float, float]:
    """How far two streams [1, T, H] are apart, and how far they may be."""
    difference = (ours - theirs).float()
    if theirs.dtype == torch.float32:
        return float((difference.norm(dim=-1) / theirs.norm(dim=-1).clamp_min(1e-12)).max()), FLOAT32
    size = torch.maximum(ours.abs(), theirs.abs()).float().clamp_min(1e-12)
    return float((difference.abs() / size).median()), HALF * torch.finfo(theirs.dtype).eps


def _suspect(network: Network, contributions: dict[int, torch.Tensor], missing: torch.Tensor) -> str:
    """The sublayer of whose contribution a multiple explains best what is missing."""
    names = {part[0]: player.name for player in network.players for part in player.parts}
    missing = missing.double().flatten()

    def unexplained(sublayer: int) -> float:
        c = contributions[sublayer].double().flatten().to(missing.device)
        if not c.any():
            return -1.0  # nothing at all: that must be it
        return float((missing - c * (missing @ c) / (c @ c).clamp_min(1e-300)).norm())

    if not contributions:
        return "what the block does besides its sublayers"
    worst = min(contributions, key=unexplained)
    return names.get(worst, f"sublayer {worst}")


def _compare_scores(network: Network, document: tries.PackedDocument, theirs: Sequence[float]) -> None:
    batches = tries.batches([document], len(document), network.unfolded)
    everyone = (1 << len(network.players)) - 1
    scores = [0.0] * document.choices
    for batch, found in zip(batches, sweep.sweep(network, batches, [everyone]), strict=True):
        firsts = [f + c for f, n in zip(batch.first_choices, batch.choice_counts, strict=True) for c in range(n)]
        for choice, score in zip(batch.target_choices.tolist(), found[0].double().tolist(), strict=True):
            scores[firsts[choice]] += score
    exact = network.dtype == torch.float32
    limit = SCORES if exact else SCORES_HALF * torch.finfo(network.dtype).eps
    for ours, wanted in zip(scores, theirs, strict=True):
        if math.isfinite(wanted) and not abs(ours - wanted) <= limit * max(1.0, abs(wanted)):
            raise ModelError(
                f"the scores of this {network.config.model_type} model are not those of transformers: log-likelihood "
                f"{ours:.6g} in place of {wanted:.6g} with nothing removed. No number can be trusted, so nothing is "
                "scored. Choose another model (docs/architectures.md), and please report this one."
            )
