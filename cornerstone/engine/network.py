"""A causal language model seen as: embed, then sublayers that add to the residual stream, then the head.

It calls the model's own modules of transformers (embedding, norms, attention, feed-forward, head) and re-implements
none of them. What is called in which order is read off the blocks' own forward (`engine/recognition`); what a block
hands to its attention (rotary embeddings, for instance) is recorded from the model's own forward pass, in which the
blocks are made to return their input (`engine/structure`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from cornerstone.engine import kinds, structure
from cornerstone.engine.attention import use_products
from cornerstone.engine.heads import Heads, Mixed
from cornerstone.engine.masks import Masks, written_out
from cornerstone.engine.means import Means
from cornerstone.engine.stages import Stage, Step, stages_of
from cornerstone.engine.sublayers import Sublayer
from cornerstone.engine.tries import Batch
from cornerstone.engine.weights import Resident, Weights
from cornerstone.errors import ModelError
from cornerstone.game.players import Kinds, Player, players_of, written_kinds

_HEAD_ROWS = 256
"""Rows of the vocabulary-wide logits that are alive at once, on a CPU; a GPU takes `_HEAD_ROWS_GPU`."""
_HEAD_ROWS_GPU = 2048
_COMPILATIONS = 64
"""Of a function at most, before torch.compile gives up: a few are needed for each kind of sublayer, on each GPU."""
_SOFTMAX_ROWS = 8
"""Rows whose logits are normalised at once on a CPU: few enough to stay in its cache as float32."""


@dataclass(frozen=True)
class Context:
    """What the sublayers of a batch share: the arguments of each block, masks included."""

    arguments: tuple[dict[str, Any], ...]


class Network:
    """A model's sublayers as functions of the residual stream.

    Args:
        model: a causal LM of transformers, in eval mode.
        players: what coalitions remove.
        sublayers: the kinds of each block's sublayers, as the config says; None: whatever the model has.
        weights: who keeps them; None where all are in memory.
        compiled: have torch.compile fuse what is between the matrix products of a sublayer: faster, after some seconds
            of compiling; scores differ by rounding.

    Attributes:
        stages: the sublayers in execution order, grouped by what they read, and which players switch them.
        means: what stands in the place of sublayers and heads that are removed; None: nothing.
        unfolded: whether each choice of a document must be a row of its own (`structure.unfolded`).

    Raises:
        ModelError: when the layout is not recognised, or the weights do not fit the config.
    """

    def __init__(
        self,
        model: Any,
        players: tuple[Player, ...],
        sublayers: Kinds | None = None,
        weights: Weights | None = None,
        compiled: bool = False,
    ) -> None:
        self.model = model
        self.weights: Weights = weights or Resident()
        self.means: Means | None = None
        self.players = players
        self.config = model.config.get_text_config(decoder=True)
        self.path, self.blocks = structure.blocks_of(model)
        self.layouts = structure.layouts_of(model)
        self.unfolded = structure.unfolded(model)
        if sublayers is not None:
            _check(sublayers, self.layouts)
        if self.device.type != "meta":
            calls = self.calls(torch.zeros(1, 2, dtype=torch.long))
            if not all(torch.equal(x.to(self.device), calls[0][0].to(self.device)) for x, _ in calls):
                raise ModelError(
                    f"a model of type {self.config.model_type} changes the residual stream between its blocks, so what "
                    "a sublayer adds is not all that happens. Choose another model (docs/architectures.md)."
                )
            self.layouts = structure.running_layouts(model, calls)
        self.stages = stages_of(
            players, [[(len(s.sublayers), s.fixed is not None) for s in lay.steps] for lay in self.layouts]
        )
        self.head: nn.Module = model.get_output_embeddings()
        self._sublayers = [
            Sublayer(block, part, place)
            for place, (block, layout) in enumerate(zip(self.blocks, self.layouts, strict=True))
            for part in layout.sublayers
        ]
        self._fixed = {
            (place, i): Sublayer(self.blocks[place], step.fixed, place)
            for place, layout in enumerate(self.layouts)
            for i, step in enumerate(layout.steps)
            if step.fixed
        }
        longest = getattr(self.config, "max_position_embeddings", None)
        self._masks = Masks(self._arguments_of_one, longest, self.dtype, self.device)
        self._heads = self._members()
        use_products(model)
        if compiled:
            from accelerate.hooks import remove_hook_from_submodules

            for block in self.blocks:
                # of several GPUs: accelerate's hooks would cut the graph; `contribution` moves what a sublayer is given
                remove_hook_from_submodules(block)
            for sublayer in self._sublayers:  # all of a kind share one compilation, for any number of documents
                sublayer.compile(dynamic=True, recompile_limit=_COMPILATIONS)

    def _members(self) -> dict[int, Heads]:
        """Check the sublayers of which parts are players; those whose heads are, by place in execution order."""
        found = {}
        for switch in (switch for stage in self.stages for switch in stage.switches if switch.members):
            sublayer = self._sublayers[switch.sublayer]
            if switch.heads:
                found[switch.sublayer] = Heads(sublayer, len(switch.members), self.config)
                continue
            held = sublayer.experts
            if held is not None and (why := kinds.not_single_experts(sublayer, held)):
                raise ModelError(
                    f"players: experts is not possible for a model of type {self.config.model_type}: {why}. "
                    "Choose other `players` in its entry."
                )
            count = getattr(held, "num_experts", 0)
            if len(switch.members) != count:
                raise ModelError(
                    f"config.yaml says experts: {len(switch.members)}, but the mixtures of the weights have "
                    f"{count or 'no'} experts. Correct it in this model's entry."
                )
        return found

    @property
    def hidden_size(self) -> int:
        """Width of the residual stream."""
        return int(self.config.hidden_size)

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the residual stream."""
        return self.model.dtype

    @property
    def device(self) -> torch.device:
        """Where the embedding is."""
        return self.model.get_input_embeddings().weight.device

    def calls(self, tokens: torch.Tensor, **arguments: Any) -> list[tuple[torch.Tensor, dict[str, Any]]]:
        """What the model calls its blocks with, for tokens [B, T]: (stream, arguments by name) of each."""
        base = self.model.base_model
        given = structure.accepted(base, use_cache=False, **arguments)
        with structure.blocks_replaced(self.blocks, self.layouts) as calls, torch.no_grad():
            base(input_ids=tokens.to(self.device), **given)
        if len(calls) != len(self.blocks) or any(x.shape != calls[0][0].shape for x, _ in calls):
            raise ModelError(
                f"a model of type {self.config.model_type} does not call its {len(self.blocks)} blocks one after "
                "another on one residual stream, so a sublayer can't be removed. Choose another model "
                "(docs/architectures.md)."
            )
        return calls

    def _arguments_of_one(self, length: int) -> list[dict[str, Any]]:
        """What the blocks are given beside the stream for one sequence, its masks written out."""
        with written_out(self.model):
            return [arguments for _, arguments in self.calls(torch.zeros(1, length, dtype=torch.long))]

    def embed(self, batch: Batch) -> tuple[torch.Tensor, Context]:
        """The residual stream before the first sublayer, [B, T, H], and the arguments of the blocks."""
        positions = {} if self.unfolded else {"position_ids": batch.positions.to(self.device)}
        calls = self.calls(batch.input_ids, **positions)
        masks = None if self.unfolded else self._masks.of(batch)
        arguments = []
        for block, (_, given) in enumerate(calls):
            kept = dict(given)
            if masks is not None and "attention_mask" in kept:
                kept["attention_mask"] = masks[block]
            arguments.append(kept)
        return calls[0][0], Context(tuple(arguments))

    def contribution(
        self, step: Step, x: torch.Tensor, context: Context, mixed: dict[int, Mixed] | None = None
    ) -> torch.Tensor:
        """What a sublayer adds to the residual stream x, [B, T, H] to [B, T, H].

        Args:
            step: the sublayer, and which of its experts or heads take part (None: all of it). An expert that does not
                is given weight 0 after routing; the weights of the others stay as the router set them. For a head that
                does not, zeros (or its mean, see `means`) go into the output projection.
            x: the residual stream.
            context: what `embed` returned beside it.
            mixed: sublayer -> what its heads made of this x, as far as it is known: attention is computed once for all
                sets of heads.
        """
        position, members = step
        sublayer = self._sublayers[position]
        arguments = sublayer.arguments(context.arguments)
        x = x.to(sublayer.device)
        if (heads := self._heads.get(position)) is not None:
            known = mixed if mixed is not None else {}
            if position not in known:
                known[position] = heads.mix(x, arguments)
            instead = None if self.means is None else self.means.of_heads(position)
            return heads.contribution(known[position], members, x, arguments, instead)
        if members is None:
            return sublayer(x, arguments)
        return sublayer.of_experts(members, x, arguments)

    def stand_in(self, removed: Sequence[int], x: torch.Tensor) -> torch.Tensor | None:
        """What is added to the stream x in the place of sublayers that are removed, [H]; None: nothing."""
        return None if self.means is None or not removed else self.means.of(removed, x)

    def heads(self, position: int) -> Heads | None:
        """The heads of a sublayer, where they are players."""
        return self._heads.get(position)

    def arguments(self, position: int, context: Context) -> dict[str, Any]:
        """What a sublayer is given beside the stream."""
        return self._sublayers[position].arguments(context.arguments)

    def passed(self, stage: Stage, x: torch.Tensor, context: Context) -> torch.Tensor:
        """The residual stream as it passes by a stage: x itself, or what the stage does to it in any case."""
        if stage.fixed is None:
            return x
        fixed = self._fixed[stage.fixed]
        return fixed(x.to(fixed.device), fixed.arguments(context.arguments))

    @property
    def last_by_token(self) -> bool:
        """Whether the last stage works on each token by itself, given nothing but the stream."""
        last = self.stages[-1]
        return len(last.switches) == 1 and last.fixed is None and self._sublayers[last.switches[0].sublayer].by_token

    def head_rows(self, x: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The residual stream where a target is predicted, [B, T, H] to [1, R, H]: from the last attention on, the
        other tokens are read by nobody."""
        rows = batch.rows.to(x.device)
        return x[rows[:, 0], rows[:, 1]][None]

    def log_probabilities(self, x: torch.Tensor, batch: Batch, likeliest: torch.Tensor | None = None) -> torch.Tensor:
        """Natural log-probability of each target of the batch, [M] float32 on the CPU.

        Args:
            x: the residual stream at the head rows, [1, R, H], as `head_rows` picks them.
            batch: the documents.
            likeliest: [M] bool, set to whether each target is the likeliest token of all (the first of equals is).
        """
        on_cpu = x.device.type == "cpu"
        rows = min(
            _HEAD_ROWS if on_cpu else _HEAD_ROWS_GPU, getattr(self.config, "max_position_embeddings", None) or 256
        )
        found = torch.empty(len(batch.target_rows))
        for first in range(0, x.shape[1], rows):
            logits = self._logits(x[:, first : first + rows])
            target_rows, target_tokens = batch.target_rows.to(logits.device), batch.target_tokens.to(logits.device)
            for start, part in _parts(logits, _SOFTMAX_ROWS if on_cpu else rows):
                start += first
                bounds = torch.tensor([start, start + len(part)])
                low, high = torch.searchsorted(batch.target_rows, bounds).tolist()
                normalised = part.log_softmax(-1, dtype=torch.float32)
                found[low:high] = normalised[target_rows[low:high] - start, target_tokens[low:high]].cpu()
                if likeliest is not None:
                    best = normalised.argmax(-1)[target_rows[low:high] - start]
                    likeliest[low:high] = (best == target_tokens[low:high]).cpu()
        return found

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        """The logits [R, V] that the model's own final norm and head make of the last block's output, [1, R, H]."""
        tokens = torch.zeros(1, x.shape[1], dtype=torch.long, device=self.device)
        given = structure.accepted(self.model, use_cache=False)
        with structure.blocks_replaced(self.blocks, self.layouts, last=x), torch.no_grad():
            logits: torch.Tensor = self.model(input_ids=tokens, **given).logits
        return logits[0]


def _check(said: Kinds, layouts: Any) -> None:
    """Compare what the config says of the sublayers with what there is."""
    found: Kinds = tuple(layout.kinds for layout in layouts)
    if len(found) != len(said):
        raise ModelError(
            f"config.yaml says blocks: {len(said)}, but the weights have {len(found)}. Set blocks: {len(found)} in "
            "this model's entry."
        )
    for block, (one, other) in enumerate(zip(said, found, strict=True)):
        if one == other:
            continue
        if all(kinds == ("attn", other[-1]) for kinds in found) and other[-1] in ("ffn", "moe"):
            raise ModelError(
                f"config.yaml says feed_forward: {one[-1]}, but block {block} of the weights is '{other[-1]}'. Set "
                f"feed_forward: {other[-1]} in this model's entry."
            )
        raise ModelError(
            f"config.yaml says that block {block} holds {'+'.join(one)}, but in the weights {'+'.join(other)}. "
            f"Set `sublayers: {written_kinds(found)}` in this model's entry, in place of feed_forward "
            f"({len(players_of(found))} sublayers)."
        )


def _parts(rows: torch.Tensor, size: int) -> Iterator[tuple[int, torch.Tensor]]:
    """Cut [R, ...] into parts of `size` rows, with where each starts."""
    return ((i * size, part) for i, part in enumerate(rows.split(size)))
