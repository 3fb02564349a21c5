"""What kind of sublayer a part of a block is, told by the classes of its modules.

attn        softmax attention: a token sees others through a mask, so it may see a token trie
ffn, moe    each token by itself; `moe`: a mixture of experts (shared experts are part of it)
linear      linear attention and its kin (gated delta rule, lightning attention): a state along the sequence
mamba       a state space model
conv        a convolution along the sequence
recurrent   a recurrent network (RG-LRU, LSTM)
ple         a gated embedding of the token itself (Gemma's per-layer embedding)
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping

from torch import nn

MIXERS = ("attn", "linear", "mamba", "conv", "recurrent")
"""Kinds that mix tokens."""

_BY_CLASS = (
    ("linear", r"delta|linear_?att|lightning|retention"),
    ("mamba", r"mamba|ssm|^mixer$"),
    ("recurrent", r"recurrent|rglru|lstm"),
    ("conv", r"shortconv|convolution"),
    ("attn", r"attention|attn"),
)
"""Kind and what the class of a mixer is called behind the model's own name; the first that fits."""
_PER_TOKEN = re.compile(r"mlp|feedforward|ffn|moe|expert|linear$|activation")


def is_norm(module: nn.Module) -> bool:
    """Whether a module normalises: nothing but vectors in it (or nothing at all), and called so."""
    return all(p.ndim <= 1 for p in module.parameters()) and "norm" in type(module).__name__.lower()


def experts_in(modules: Iterable[nn.Module]) -> list[nn.Module]:
    """The modules of a sublayer that hold the experts of a mixture."""
    return [
        child
        for module in modules
        for name, child in module.named_modules()
        if name.rpartition(".")[2] == "experts"
        and (isinstance(child, nn.ModuleList) or any(True for _ in child.parameters()))
    ]


EXPERT_ARGUMENTS = (("top_k_index", "router_indices"), ("top_k_weights", "routing_weights"))
"""What experts are called with beside the stream: which are chosen for each token, and with which weights."""


def not_single_experts(sublayer: nn.Module, experts: nn.Module) -> str | None:
    """Why single experts of a mixture can't be removed; None where they can."""
    arguments = list(inspect.signature(type(experts).forward).parameters)[2:4]
    if len(arguments) < 2 or any(name not in known for name, known in zip(arguments, EXPERT_ARGUMENTS, strict=True)):
        return "its experts are not called with the weights that the router gave them"
    if any("shared" in name for name, _ in sublayer.named_modules()):
        return "it has shared experts beside those that a router chooses"
    return None


def goes_along(modules: Iterable[nn.Module]) -> bool:
    """Whether a sublayer carries a state along the sequence (or convolves it), so that it can't see a token trie."""
    return any(
        isinstance(child, nn.Conv1d) or _mixer(child, "") in MIXERS[1:]
        for module in modules
        for child in module.modules()
    )


def of_modules(modules: Mapping[str, nn.Module], block: nn.Module) -> str:
    """The kind of a sublayer that calls these modules (name in the block -> module)."""
    working = {name: module for name, module in modules.items() if "norm" not in type(module).__name__.lower()}
    for name, module in working.items():
        if (kind := _mixer(module, type(block).__name__, name)) is not None:
            return kind
    if any("per_layer" in name for name in working):
        return "ple"
    return "moe" if experts_in(working.values()) else "ffn"


def mixes(module: nn.Module, block: str, name: str) -> bool:
    """Whether a module is one that mixes tokens; `block`: class of the block that calls it `name`."""
    return "norm" not in type(module).__name__.lower() and _mixer(module, block, name) is not None


def _mixer(module: nn.Module, block: str, name: str = "") -> str | None:
    """The kind of a mixer, by its class or else its name; None for what is none. The model's own name is no hint."""
    words = re.findall(r"[A-Z]?[^A-Z]*", type(module).__name__)
    own = re.findall(r"[A-Z]?[^A-Z]*", block)
    while len(words) > 2 and own and words[0] == own[0]:  # the last item is empty
        words, own = words[1:], own[1:]
    text = "".join(words).lower()
    if _PER_TOKEN.search(text) and not re.search("attention|attn", text):
        return None
    return next(
        (kind for text in (text, name) for kind, pattern in _BY_CLASS if text and re.search(pattern, text)), None
    )
