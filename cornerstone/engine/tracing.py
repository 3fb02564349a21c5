"""The graph of a block's own forward, by torch.fx: children are black boxes, arguments are what it is called with."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import fx, nn

SUMS = {operator.add, operator.iadd, torch.add, torch.Tensor.add, "add", "add_"}
PRODUCTS = {operator.mul, operator.imul, torch.mul, "mul", "mul_"}
SAME = {"reshape", "view", "contiguous", "to", "float", "type", "type_as", "clone"}
"""Methods that leave a residual stream what it is, or give it another shape or number format for a while."""
ALWAYS_GIVEN = {"attention_mask"}
"""Arguments that may be None for one batch and a tensor for another."""


class Tracer(fx.Tracer):
    """Follows a block's forward with its children as black boxes, and with arguments as they are, tensors apart."""

    def __init__(self, block: nn.Module, arguments: Mapping[str, Any] | None) -> None:
        super().__init__()
        parameters = [p for p in inspect.signature(type(block).forward).parameters.values() if p.name != "self"]
        self.stream = parameters[0].name
        required = [p.name for p in parameters[1:] if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
        self._given: dict[str, Any] = dict.fromkeys(required, ...) if arguments is None else dict(arguments)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """See torch.fx: every child is a black box."""
        return True

    def to_bool(self, obj: fx.Proxy) -> bool:
        """See torch.fx: what is asked of values (is anything infinite?) has nothing to do with the layout."""
        return False

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> Any:
        """See torch.fx: the stream and tensors are placeholders, other arguments are what they are."""
        x = self.create_proxy("placeholder", self.stream, (), {})
        arguments = {
            name: value
            if _is_constant(value) and name not in ALWAYS_GIVEN
            else self.create_proxy("placeholder", name, (), {})
            for name, value in self._given.items()
        }
        root = self.root
        return (lambda: root_fn(root, x, **arguments)), []


def _is_constant(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def without_dropout(block: nn.Module, graph: fx.Graph) -> None:
    """Take out what does nothing outside of training."""
    for node in list(graph.nodes):
        dropout = node.op == "call_function" and getattr(node.target, "__name__", "") in ("dropout", "dropout_")
        idle = node.op == "call_module" and isinstance(block.get_submodule(node.target), nn.Dropout | nn.Identity)
        if dropout or idle:
            node.replace_all_uses_with(node.args[0] if node.args else node.kwargs["input"])
            graph.erase_node(node)


def is_concatenation(node: fx.Node) -> bool:
    """Whether a list is put before something: [stream] + what else the attention returns."""
    return node.op == "call_function" and node.target is operator.add and isinstance(node.args[0], tuple | list)


def is_sum(node: fx.Node) -> bool:
    """Whether a node adds two others."""
    return (
        node.op in ("call_function", "call_method") and node.target in SUMS
        and all(isinstance(arg, fx.Node) for arg in node.args[:2]) and len(node.args) == 2
    )  # fmt: skip


def terms(node: fx.Node) -> Iterable[fx.Node]:
    """The terms of a sum of sums, left to right; a sum that is used elsewhere too is a term of its own."""
    for arg in node.args:
        if isinstance(arg, fx.Node) and is_sum(arg) and len(arg.users) == 1:
            yield from terms(arg)
        elif isinstance(arg, fx.Node):
            yield arg
