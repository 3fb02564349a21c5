"""Cut parts out of the graph of a block: functions of the residual stream that call the block's own modules."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import fx, nn

from cornerstone.engine import kinds
from cornerstone.engine.layouts import Part


class Cutter:
    """Cuts parts out of a graph.

    Args:
        block: whose forward the graph is.
        graph: of `tracing`.
        states: which nodes are the residual stream at which place.
        memo: code that was made before; blocks of one kind share it.
    """

    def __init__(self, block: nn.Module, graph: fx.Graph, states: dict[fx.Node, int], memo: dict[str, Any]) -> None:
        self.block, self.graph, self.states, self.memo = block, graph, states, memo

    def players(self, contributions: list[fx.Node], state: int) -> Iterable[Part]:
        """Contributions to one sum as sublayers: each mixer by itself, what works on single tokens together."""
        mixers: dict[str, list[fx.Node]] = {}
        others: list[fx.Node] = []
        for contribution in contributions:
            part = self.part("", [contribution], state)
            if part.kind in kinds.MIXERS:  # two results of one module (its output and its bias) are one mixer
                mixers.setdefault(next(name for name in part.modules if self._mixes(name)), []).append(contribution)
            else:
                others.append(contribution)
        for together in (*mixers.values(), others):
            if together:
                yield self.part("", together, state)

    def _mixes(self, name: str) -> bool:
        return kinds.of_modules({name: self.block.get_submodule(name)}, self.block) in kinds.MIXERS

    def part(self, kind: str, wanted: list[fx.Node], state: int) -> Part:
        """Cut the sum of some nodes out of the graph, as a function of a state and arguments."""
        graph = fx.Graph()
        copies: dict[fx.Node, fx.Node] = {}
        x = graph.placeholder("x")
        needed = self._needed(wanted, state)
        for node in self.graph.nodes:
            if self.states.get(node) == state and node not in wanted:
                copies[node] = x
            elif node in needed and node.op == "placeholder":
                copies[node] = graph.placeholder(node.name)
        for node in self.graph.nodes:
            if node in needed and node not in copies:
                copies[node] = graph.node_copy(node, lambda n: copies[n])
        result = copies[wanted[0]]
        for other in wanted[1:]:
            result = graph.call_function(operator.add, (result, copies[other]))
        graph.output(result)
        graph.lint()
        arguments = tuple(node.name for node in graph.nodes if node.op == "placeholder" and node.name != "x")
        modules = tuple(dict.fromkeys(str(n.target) for n in graph.nodes if n.op == "call_module"))
        parameters = tuple(dict.fromkeys(str(n.target) for n in graph.nodes if n.op == "get_attr"))
        return Part(
            kind or kinds.of_modules({name: self.block.get_submodule(name) for name in modules}, self.block),
            self._code(graph), arguments, modules, parameters,
        )  # fmt: skip

    def _needed(self, wanted: list[fx.Node], state: int) -> set[fx.Node]:
        needed: set[fx.Node] = set()
        waiting = list(wanted)
        while waiting:
            node = waiting.pop()
            if node in needed or (self.states.get(node) == state and node not in wanted):
                continue
            needed.add(node)
            waiting += node.all_input_nodes
        return needed

    def _code(self, graph: fx.Graph) -> Callable[..., torch.Tensor]:
        text = graph.python_code("self").src
        if text not in self.memo:
            self.memo[text] = type(fx.GraphModule(self.block, graph)).forward
        code: Callable[..., torch.Tensor] = self.memo[text]
        return code
