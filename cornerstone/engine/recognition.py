"""Where a block's sublayers are, read off the block's own forward.

A block of a transformer adds contributions to the residual stream. Which ones, what each reads and what is done to it
(norms before and after, scales) is in the block's own `forward`. torch.fx follows that code once, with the block's
children as black boxes, and leaves a graph: x goes in, some children are called, sums are made, the stream comes out.
Read backwards from there, each sum that holds the stream tells a contribution, whatever the names of the modules are:

    x ──┬─ input_layernorm ─ self_attn ─┐ * 0.22
        └───────────────────────────── (+) ──┬─ post_attention_layernorm ─ mlp ─┐
                                             └──────────────────────────────── (+) ── out

What the code does to the stream besides (a norm after the sum, a scalar) is a *fixed* step: it always runs. A sublayer
is cut out of the graph as code of its own, in which nothing is written anew.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import fx, nn

from cornerstone.engine import kinds
from cornerstone.engine.cutting import Cutter
from cornerstone.engine.layouts import BlockLayout, Step, Unrecognised
from cornerstone.engine.tracing import PRODUCTS, SAME, Tracer, is_concatenation, is_sum, terms, without_dropout
from cornerstone.errors import ModelError, first_line


def block_layout(
    block: nn.Module, arguments: Mapping[str, Any] | None = None, memo: dict[str, Any] | None = None
) -> BlockLayout:
    """Recognise a block.

    Args:
        block: of a model of transformers; its parameters need no values.
        arguments: what the model hands to it beside the stream, by name. None: only what it can't do without, which is
            enough to know the sublayers and their modules, but not to run them.
        memo: code that was made before, so that blocks of one kind share it.

    Raises:
        ModelError: its forward can't be followed, or is no sum of contributions.
    """
    try:
        tracer = Tracer(block, arguments)
        graph = tracer.trace(block)
        return _Reader(block, graph, tracer.stream, memo if memo is not None else {}).layout()
    except Unrecognised as error:
        reason = str(error)
    except Exception as error:  # whatever a foreign forward does with what is no tensor
        reason = f"its forward can't be followed ({type(error).__name__}: {first_line(error)})"
    children = ", ".join(name for name, _ in block.named_children())
    raise ModelError(
        f"the layout of the blocks of this model ({type(block).__name__}) is not recognised: {reason}. What was looked "
        "for: sums of the residual stream x with what sublayers make of it (x + attention(norm(x)), and so on). What "
        f"was found: a block with the children {children}. Choose another model: docs/architectures.md lists those "
        "that are known to work."
    )


class _Reader:
    """Reads a layout off a graph, backwards from what the block returns."""

    def __init__(self, block: nn.Module, graph: fx.Graph, stream: str, memo: dict[str, Any]) -> None:
        self.block, self.graph = block, graph
        self.x = next(node for node in graph.nodes if node.op == "placeholder")
        self.stream = stream
        without_dropout(block, graph)
        self.states: dict[fx.Node, int] = {self.x: 0}
        self.cutter = Cutter(block, graph, self.states, memo)
        self.steps: list[tuple[list[fx.Node], fx.Node | None]] = []
        """What leads from one state to the next: contributions, or the node that a fixed step makes."""

    def layout(self) -> BlockLayout:
        (returned,) = next(node for node in self.graph.nodes if node.op == "output").args
        if isinstance(returned, fx.Node) and is_concatenation(returned):  # [h] + what else attention returns
            returned = returned.args[0]
        outputs = len(returned) if isinstance(returned, tuple | list) else None
        first = returned[0] if isinstance(returned, tuple | list) else returned
        if not isinstance(first, fx.Node):
            raise Unrecognised("it returns no tensor")
        self._resolve(first)
        return BlockLayout(tuple(self._made_steps()), outputs, self.stream)

    # Which values are the stream

    def _resolve(self, node: fx.Node) -> int:
        """The state that a node is, found (and noted) with all states before it."""
        if node in self.states:
            return self.states[node]
        if node.op == "call_method" and node.target in SAME:
            state = self._resolve(node.all_input_nodes[0])
        elif is_sum(node):
            addends = list(terms(node))
            streams = [term for term in addends if self._is_stream(term)]
            if len(streams) > 1:  # x itself, or the least that was done to it
                streams = (
                    [term for term in streams if term in self.states]
                    or [t for t in streams if self._is_stream(t, exact=True)]
                    or streams
                )
            if len(streams) != 1:
                return self._given_the_stream(node) if not streams else self._fail_two(streams)
            self._resolve(streams[0])
            state = self._next([term for term in addends if term is not streams[0]], None, node)
        elif (inner := self._fixed_input(node)) is not None:
            self._resolve(inner)
            state = self._next([], node, node)
        else:
            return self._given_the_stream(node)
        self.states[node] = state
        return state

    def _next(self, contributions: list[fx.Node], fixed: fx.Node | None, node: fx.Node) -> int:
        self.steps.append((contributions, fixed))
        return len(self.steps)

    def _given_the_stream(self, node: fx.Node) -> int:
        """A module that is given the stream beside its input and adds to it: it is called with zeros in its place."""
        beside = self._beside(node)
        if beside is None:
            raise Unrecognised(f"'{node.name}' is no sum that holds the residual stream")
        (call, *items), stream = beside
        self._resolve(stream)
        with self.graph.inserting_before(call):
            zeros = self.graph.call_function(torch.zeros_like, (stream,))
            contribution = self.graph.node_copy(call, lambda n: zeros if n is stream else n)
            for item in items:
                contribution = self.graph.call_function(operator.getitem, (contribution, item.args[1]))
        self.states[node] = self._next([contribution], None, node)
        return self.states[node]

    def _beside(self, node: fx.Node) -> tuple[list[fx.Node], fx.Node] | None:
        """The call of a module that is given the stream beside its input, what is taken of its result; the stream."""
        chain = [node]
        while (
            chain[0].op == "call_function"
            and chain[0].target is operator.getitem
            and isinstance(chain[0].args[0], fx.Node)
        ):
            chain.insert(0, chain[0].args[0])
        if chain[0].op != "call_module" or len(chain[0].all_input_nodes) < 2:
            return None
        streams = [n for n in chain[0].all_input_nodes if self._is_stream(n, exact=True)]
        return (chain, streams[0]) if len(streams) == 1 else None

    @staticmethod
    def _fail_two(streams: list[fx.Node]) -> int:
        raise Unrecognised(f"'{streams[0].name}' and '{streams[1].name}' could both be the residual stream")

    def _is_stream(self, node: fx.Node, exact: bool = False) -> bool:
        """Whether a value is the stream: x or a sum with it; unless `exact`, also a norm or scalar multiple of it."""
        if node in self.states:
            return True
        if node.op == "call_method" and node.target in SAME:
            return isinstance(node.args[0], fx.Node) and self._is_stream(node.args[0], exact)
        if is_sum(node):
            return any(self._is_stream(term) for term in terms(node))
        if (inner := self._fixed_input(node)) is not None:
            return not exact and self._is_stream(inner)
        return self._beside(node) is not None

    def _fixed_input(self, node: fx.Node) -> fx.Node | None:
        """What a norm, or a product with a number or a parameter of the block, is applied to; None if it is neither."""
        if (
            node.op == "call_module"
            and len(node.all_input_nodes) == 1
            and kinds.is_norm(self.block.get_submodule(str(node.target)))
        ):
            return node.all_input_nodes[0]
        if node.op in ("call_function", "call_method") and node.target in PRODUCTS:
            values = [arg for arg in node.args if isinstance(arg, fx.Node) and arg.op != "get_attr"]
            return values[0] if len(values) == 1 else None
        return None

    # What leads from state to state

    def _made_steps(self) -> Iterable[Step]:
        place = 0
        while place < len(self.steps):
            fixed, first = list[fx.Node](), place
            while place < len(self.steps) and (node := self.steps[place][1]) is not None:
                fixed.append(node)
                place += 1
            if place == len(self.steps):
                yield Step(fixed=self.cutter.part("fixed", fixed[-1:], first))
                return
            contributions = list(self.steps[place][0])
            source = self._read_by(contributions[0])
            place += 1
            while place < len(self.steps) and self.steps[place][0] and self._all_read(self.steps[place][0], source):
                contributions += self.steps[place][0]
                place += 1
            if not first <= source <= first + len(fixed) or not self._all_read(contributions, source):
                raise Unrecognised("what a sublayer makes is added later than where it was read")
            if source > first:  # norms before the sublayer reads
                yield Step(fixed=self.cutter.part("fixed", [fixed[source - first - 1]], first))
            kept = fixed[source - first :]
            yield Step(
                tuple(self.cutter.players(contributions, source)),
                self.cutter.part("fixed", kept[-1:], source) if kept else None,
            )

    def _all_read(self, contributions: list[fx.Node], state: int) -> bool:
        return all(self._read_by(contribution) == state for contribution in contributions)

    def _read_by(self, contribution: fx.Node) -> int:
        """The state that a contribution is made of."""
        found: set[int] = set()
        seen: set[fx.Node] = set()
        waiting = [contribution]
        while waiting:
            node = waiting.pop()
            if node in self.states:
                found.add(self.states[node])
            elif node not in seen:
                seen.add(node)
                waiting += node.all_input_nodes
        if len(found) != 1:
            where = "nothing of" if not found else "several places of"
            raise Unrecognised(f"'{contribution.name}' is made of {where} the residual stream")
        return found.pop()
