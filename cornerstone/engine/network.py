"""A causal language model seen as: embed, then sublayers that add to the residual stream, then the head.

It calls the architecture's own modules of transformers (embedding, norms, attention, feed-forward, head) and
re-implements none of them. What a block hands to its attention (rotary embeddings, for instance) is recorded
from the model's own forward pass, in which the blocks are made to return their input.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from cornerstone.engine.architectures import SublayerLayout, architecture_of, is_parallel
from cornerstone.engine.attention import use_products
from cornerstone.engine.stages import Step, stages_of
from cornerstone.engine.tries import Batch
from cornerstone.engine.weights import Resident, Weights
from cornerstone.errors import ModelError
from cornerstone.game.players import Player, block_of, is_attention

_CACHE_ARGUMENTS = {"past_key_values", "layer_past", "use_cache", "cache_position", "position_ids"}
_HEAD_ROWS = 256
"""Rows of the vocabulary-wide logits that are alive at once, on a CPU; a GPU takes `_HEAD_ROWS_GPU`."""
_HEAD_ROWS_GPU = 2048
_COMPILATIONS = 64
"""Of a function at most, before torch.compile gives up: a few are needed for each kind of sublayer, on each GPU."""
_SOFTMAX_ROWS = 8
"""Rows whose logits are normalised at once on a CPU: few enough to stay in its cache as float32."""


@dataclass(frozen=True)
class Context:
    """What the sublayers of a batch share: the arguments of each block's attention, masks included."""

    attention: tuple[dict[str, Any], ...]


class Network:
    """A model's sublayers as functions of the residual stream.

    Args:
        model: a causal LM of transformers, in eval mode.
        players: what coalitions remove.
        blocks: how many blocks the config says the model has.
        feed_forward: what the config says its feed-forward sublayers are.
        weights: who keeps them; None where all are in memory.
        compiled: have torch.compile fuse what is between the matrix products of a sublayer: faster, after some seconds
            of compiling; scores differ by rounding.

    Attributes:
        stages: the sublayers in execution order, grouped by what they read, and which players switch them.

    Raises:
        ModelError: when the architecture is unknown, or the weights do not fit the config.
    """

    def __init__(
        self,
        model: Any,
        players: tuple[Player, ...],
        blocks: int,
        feed_forward: Literal["ffn", "moe"],
        weights: Weights | None = None,
        compiled: bool = False,
    ) -> None:
        self.model = model
        self.weights: Weights = weights or Resident()
        self.players = players
        self.config = model.config
        self.architecture = architecture_of(str(self.config.model_type))
        self.blocks = model.get_submodule(self.architecture.blocks)
        self.final_norm = model.get_submodule(self.architecture.final_norm)
        self.head: nn.Module = model.get_output_embeddings()
        self._check(blocks, feed_forward)
        self.stages = stages_of(players, blocks, is_parallel(self.architecture, self.config))
        layouts = (self.architecture.attention, self.architecture.feed_forward)
        self._sublayers = [_Sublayer(block, layout) for block in self.blocks for layout in layouts]
        self._attention_arguments = [
            inspect.signature(attention.parts[0].forward).parameters for attention in self._sublayers[::2]
        ]
        self._check_experts()
        use_products(model)
        if compiled:
            from accelerate.hooks import remove_hook_from_submodules

            for block in self.blocks:
                # of several GPUs: accelerate's hooks would cut the graph; `contribution` moves what a sublayer is given
                remove_hook_from_submodules(block)
            for sublayer in self._sublayers:  # all of a kind share one compilation, for any number of documents
                sublayer.compile(dynamic=True, recompile_limit=_COMPILATIONS)

    def _check(self, blocks: int, feed_forward: Literal["ffn", "moe"]) -> None:
        model_type = self.config.model_type
        for key, expected in self.architecture.requires:
            found = getattr(self.config, key, expected)
            if found != expected:
                raise ModelError(
                    f"this {model_type} model has {key} = {found}, for which removing a sublayer is not "
                    f"defined here; only {key} = {expected} is supported. Choose another model."
                )
        if len(self.blocks) != blocks:
            raise ModelError(
                f"config.yaml says blocks: {blocks}, but the weights have {len(self.blocks)}. "
                f"Set blocks: {len(self.blocks)} in this model's entry."
            )
        for i, block in enumerate(self.blocks):
            module = block.get_submodule(self.architecture.feed_forward.modules[0])
            found = "moe" if hasattr(module, "experts") else "ffn"
            if found != feed_forward:
                raise ModelError(
                    f"config.yaml says feed_forward: {feed_forward}, but block {i} of the weights is "
                    f"'{found}'. Set feed_forward: {found} in this model's entry (models that mix both "
                    "are not supported)."
                )

    def _check_experts(self) -> None:
        switched = {len(switch.experts) for stage in self.stages for switch in stage.switches if switch.experts}
        found = getattr(self._sublayers[1].parts[0], "experts", None)
        if switched and switched != {found.num_experts if found is not None else 0}:
            raise ModelError(
                f"config.yaml says experts: {switched.pop()}, but the mixtures of the weights have "
                f"{found.num_experts if found is not None else 'no'} experts. Correct it in this model's entry."
            )

    @property
    def hidden_size(self) -> int:
        """Width of the residual stream."""
        return self.config.hidden_size

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the residual stream."""
        return self.model.dtype

    @property
    def device(self) -> torch.device:
        """Where the embedding is."""
        return self.model.get_input_embeddings().weight.device

    def embed(self, batch: Batch) -> tuple[torch.Tensor, Context]:
        """The residual stream before the first sublayer, [B, T, H], and what the blocks' attention needs."""
        with _recorded(self.blocks) as calls:
            self.model.base_model(
                input_ids=batch.input_ids.to(self.device),
                position_ids=batch.positions.to(self.device),
                use_cache=False,
            )
        masks = self._masks(batch)
        attention = []
        for block, (_, arguments) in enumerate(calls):
            known = self._attention_arguments[block]
            kept = {k: v for k, v in arguments.items() if k in known and k not in _CACHE_ARGUMENTS}
            kept["attention_mask"] = masks[self._window(block)]
            attention.append(kept)
        return calls[0][0], Context(tuple(attention))

    def contribution(self, step: Step, x: torch.Tensor, context: Context) -> torch.Tensor:
        """What a sublayer adds to the residual stream x, [B, T, H] to [B, T, H].

        Args:
            step: the sublayer, and which of its experts take part (None: all of it). An expert that does not
                is given weight 0 after routing; the weights of the others stay as the router set them.
            x: the residual stream.
            context: what `embed` returned beside it.
        """
        position, experts = step
        sublayer = self._sublayers[position]
        arguments = context.attention[block_of(position)] if is_attention(position) else {}
        device = sublayer.device
        arguments = {k: _to(v, device) for k, v in arguments.items()}
        if experts is None:
            return sublayer(x.to(device), arguments)
        with _only(sublayer.parts[0].get_submodule("experts"), experts):  # a hook, which compiled code would not see
            return sublayer.forward(x.to(device), arguments)

    def head_rows(self, x: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The residual stream where a target is predicted, [B, T, H] to [1, R, H]: from the last attention on, the
        other tokens are read by nobody."""
        rows = batch.rows.to(x.device)
        return x[rows[:, 0], rows[:, 1]][None]

    def log_probabilities(self, x: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Natural log-probability of each target of the batch, [M] float32 on the CPU.

        Args:
            x: the residual stream at the head rows, [1, R, H], as `head_rows` picks them.
            batch: the documents.
        """
        hidden = self.final_norm(x.to(_device_of(self.final_norm, x.device)))
        hidden = hidden.to(_device_of(self.head, x.device))
        on_cpu = hidden.device.type == "cpu"
        rows = _HEAD_ROWS if on_cpu else _HEAD_ROWS_GPU
        cap = getattr(self.config, "final_logit_softcapping", None)
        target_rows, target_tokens = batch.target_rows.to(hidden.device), batch.target_tokens.to(hidden.device)
        found = torch.empty(len(target_rows), device=hidden.device)
        for first in range(0, hidden.shape[1], rows):
            logits = self.head(hidden[:, first : first + rows])[0]
            if cap is not None:
                logits = torch.tanh(logits.float() / cap) * cap
            for start, part in _parts(logits, _SOFTMAX_ROWS if on_cpu else rows):
                start += first
                bounds = torch.tensor([start, start + len(part)])
                low, high = torch.searchsorted(batch.target_rows, bounds).tolist()
                normalised = part.log_softmax(-1, dtype=torch.float32)
                found[low:high] = normalised[target_rows[low:high] - start, target_tokens[low:high]]
        return found.cpu()

    def _window(self, block: int) -> int | None:
        """The sliding window of a block's attention; None when it sees everything before."""
        window = getattr(self.config, "sliding_window", None)
        kinds = getattr(self.config, "layer_types", None)
        if window is None or (kinds and kinds[block] != "sliding_attention"):
            return None
        return window

    def _masks(self, batch: Batch) -> dict[int | None, torch.Tensor]:
        """Additive attention masks [B, 1, T, T] in the model's dtype, one for each window in use."""
        masks = {}
        for window in {self._window(block) for block in range(len(self.blocks))}:
            visible = batch.visible
            if window is not None:
                distance = batch.positions[:, :, None] - batch.positions[:, None, :]
                visible = visible & (distance < window)
            mask = torch.zeros(visible.shape, dtype=self.dtype)
            mask.masked_fill_(~visible, torch.finfo(self.dtype).min)
            masks[window] = mask[:, None].to(self.device)
        return masks


class _Sublayer(nn.Module):
    """One player's modules, in the order in which they are applied."""

    def __init__(self, block: nn.Module, layout: SublayerLayout) -> None:
        super().__init__()
        self.parts = nn.ModuleList(block.get_submodule(path) for path in layout.modules)
        self.pre_norm = block.get_submodule(layout.pre_norm) if layout.pre_norm else None
        self.post_norm = block.get_submodule(layout.post_norm) if layout.post_norm else None
        self.device = next(block.parameters()).device

    def forward(self, x: torch.Tensor, arguments: dict[str, Any]) -> torch.Tensor:
        """The contribution to the residual stream x."""
        if self.pre_norm is not None:
            x = self.pre_norm(x)
        for part in self.parts:
            x = part(x, **arguments)
            if isinstance(x, tuple):  # attention also returns its weights
                x = x[0]
        return x if self.post_norm is None else self.post_norm(x)


def _parts(rows: torch.Tensor, size: int) -> Iterator[tuple[int, torch.Tensor]]:
    """Cut [R, ...] into parts of `size` rows, with where each starts."""
    return ((i * size, part) for i, part in enumerate(rows.split(size)))


@contextmanager
def _recorded(blocks: Any) -> Iterator[list[tuple[torch.Tensor, dict[str, Any]]]]:
    """Make each block return its input, and record its (input, arguments by name)."""
    calls: list[tuple[torch.Tensor, dict[str, Any]]] = []
    originals = [block.forward for block in blocks]
    own = [vars(block).get("forward") for block in blocks]  # where accelerate has put its own in front

    def recorder(signature: inspect.Signature) -> Any:
        def forward(*args: Any, **kwargs: Any) -> torch.Tensor:
            bound = dict(signature.bind(*args, **kwargs).arguments)
            extra = bound.pop("kwargs", {})
            hidden = bound.pop("hidden_states")
            calls.append((hidden, {**bound, **extra}))
            return hidden

        return forward

    try:
        for block, original in zip(blocks, originals, strict=True):
            block.forward = recorder(inspect.signature(original))
        yield calls
    finally:
        for block, before in zip(blocks, own, strict=True):
            del block.forward
            if before is not None:
                block.forward = before


@contextmanager
def _only(module: nn.Module, experts: tuple[int, ...]) -> Iterator[None]:
    """Give the other experts of a mixture weight 0. `module` is called with (x, chosen experts, their weights)."""

    def hook(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        x, chosen, weights = inputs
        kept = torch.isin(chosen, torch.tensor(experts, device=chosen.device))
        return x, chosen, weights * kept.to(weights.dtype)

    handle = module.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _to(value: Any, device: torch.device) -> Any:
    """Move a tensor, or the tensors of a tuple, to a device; leave the rest."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, tuple):
        return tuple(_to(item, device) for item in value)
    return value


def _device_of(module: nn.Module, default: torch.device) -> torch.device:
    parameter = next(module.parameters(), None)
    return default if parameter is None else parameter.device
