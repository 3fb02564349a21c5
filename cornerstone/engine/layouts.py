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

import inspect
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from cornerstone.engine import kinds
from cornerstone.errors import ModelError

_SUMS = {operator.add, operator.iadd, torch.add, torch.Tensor.add, "add", "add_"}
_PRODUCTS = {operator.mul, operator.imul, torch.mul, "mul", "mul_"}
_SAME = {"reshape", "view", "contiguous", "to", "float", "type", "type_as", "clone"}
"""Methods that leave a residual stream what it is, or give it another shape or number format for a while."""
ALWAYS_GIVEN = {"attention_mask"}
"""Arguments that may be None for one batch and a tensor for another."""


@dataclass(frozen=True)
class Part:
    """A function that is cut out of a block's forward.

    Attributes:
        kind: of the player that it is, such as `attn` (`kinds.of_modules`); `fixed` for what always runs.
        code: called as code(block, x, **arguments); blocks of one kind share it.
        arguments: names of the block's arguments that it uses.
        modules: the block's children that it calls, as attribute paths.
        parameters: parameters of the block itself that it uses.
    """

    kind: str
    code: Callable[..., torch.Tensor]
    arguments: tuple[str, ...]
    modules: tuple[str, ...]
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """x becomes fixed(x) + what the sublayers make of x: a sum, or (without sublayers) a fixed function of x.

    Attributes:
        sublayers: those that read the same residual stream: one, or several that run in parallel.
        fixed: what is done to x in any case; None where it stays as it is.
    """

    sublayers: tuple[Part, ...] = ()
    fixed: Part | None = None


@dataclass(frozen=True)
class BlockLayout:
    """A block as steps over the residual stream, in execution order.

    Attributes:
        steps: the steps.
        outputs: how many values the block returns, the stream first; None where it returns the stream alone.
        input: the name of the argument that is the stream.
    """

    steps: tuple[Step, ...]
    outputs: int | None
    input: str

    @property
    def sublayers(self) -> tuple[Part, ...]:
        """All sublayers in execution order."""
        return tuple(part for step in self.steps for part in step.sublayers)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of the sublayers, such as ("attn", "ffn")."""
        return tuple(part.kind for part in self.sublayers)


class Unrecognised(ValueError):
    """The forward of a block is no sum of contributions, as far as can be seen; the text says why."""


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
        tracer = _Tracer(block, arguments)
        graph = tracer.trace(block)
        return _Reader(block, graph, tracer.stream, memo if memo is not None else {}).layout()
    except Unrecognised as error:
        reason = str(error)
    except Exception as error:  # whatever a foreign forward does with what is no tensor
        reason = f"its forward can't be followed ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})"
    children = ", ".join(name for name, _ in block.named_children())
    raise ModelError(
        f"the layout of the blocks of this model ({type(block).__name__}) is not recognised: {reason}. What was looked for: "
        "sums of the residual stream x with what sublayers make of it (x + attention(norm(x)), and so on). "
        f"The block has the children {children}. Choose another model; docs/architectures.md lists those that are known to work."
    )


class _Tracer(fx.Tracer):
    """Follows a block's forward with its children as black boxes, and with arguments as they are, tensors apart."""

    def __init__(self, block: nn.Module, arguments: Mapping[str, Any] | None) -> None:
        super().__init__()
        parameters = [p for p in inspect.signature(type(block).forward).parameters.values() if p.name != "self"]
        self.stream = parameters[0].name
        required = [p.name for p in parameters[1:] if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
        self._given: dict[str, Any] = dict.fromkeys(required, ...) if arguments is None else dict(arguments)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True

    def to_bool(self, obj: fx.Proxy) -> bool:
        return False  # questions to values: is anything infinite (and the like); never of a layout

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> Any:
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


class _Reader:
    """Reads a layout off a graph, backwards from what the block returns."""

    def __init__(self, block: nn.Module, graph: fx.Graph, stream: str, memo: dict[str, Any]) -> None:
        self.block, self.graph, self.memo = block, graph, memo
        self.x = next(node for node in graph.nodes if node.op == "placeholder")
        self.stream = stream
        self._drop_what_training_does()
        self.states: dict[fx.Node, int] = {self.x: 0}
        self.steps: list[tuple[list[fx.Node], fx.Node | None]] = []
        """What leads from one state to the next: contributions, or the node that a fixed step makes."""
        self.roots: list[fx.Node] = [self.x]

    def layout(self) -> BlockLayout:
        (returned,) = next(node for node in self.graph.nodes if node.op == "output").args
        if isinstance(returned, fx.Node) and _is_concatenation(returned):  # [h] + what else attention returns
            returned = returned.args[0]
        outputs = len(returned) if isinstance(returned, tuple | list) else None
        first = returned[0] if isinstance(returned, tuple | list) else returned
        if not isinstance(first, fx.Node):
            raise Unrecognised("it returns no tensor")
        self._resolve(first)
        return BlockLayout(tuple(self._made_steps()), outputs, self.stream)

    def _drop_what_training_does(self) -> None:
        for node in list(self.graph.nodes):
            dropout = node.op == "call_function" and getattr(node.target, "__name__", "") in ("dropout", "dropout_")
            if dropout or (
                node.op == "call_module" and isinstance(self.block.get_submodule(node.target), nn.Dropout | nn.Identity)
            ):
                node.replace_all_uses_with(node.args[0] if node.args else node.kwargs["input"])
                self.graph.erase_node(node)

    # Which values are the stream

    def _resolve(self, node: fx.Node) -> int:
        """The state that a node is, found (and noted) with all states before it."""
        if node in self.states:
            return self.states[node]
        if node.op == "call_method" and node.target in _SAME:
            state = self._resolve(node.args[0])
        elif _is_sum(node):
            terms = list(_terms(node))
            streams = [term for term in terms if self._is_stream(term)]
            if len(streams) > 1:  # x itself, or the least that was done to it
                streams = (
                    [term for term in streams if term in self.states]
                    or [t for t in streams if self._is_exact(t)]
                    or streams
                )
            if len(streams) != 1:
                return self._given_the_stream(node) if not streams else self._fail_two(streams)
            self._resolve(streams[0])
            state = self._next([term for term in terms if term is not streams[0]], None, node)
        elif (inner := self._fixed_input(node)) is not None:
            self._resolve(inner)
            state = self._next([], node, node)
        else:
            return self._given_the_stream(node)
        self.states[node] = state
        return state

    def _next(self, contributions: list[fx.Node], fixed: fx.Node | None, node: fx.Node) -> int:
        self.steps.append((contributions, fixed))
        self.roots.append(node)
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
        """The call of a module that is given the stream beside its input, what is taken of its result, and the stream."""
        chain = [node]
        while (
            chain[0].op == "call_function"
            and chain[0].target is operator.getitem
            and isinstance(chain[0].args[0], fx.Node)
        ):
            chain.insert(0, chain[0].args[0])
        if chain[0].op != "call_module" or len(chain[0].all_input_nodes) < 2:
            return None
        streams = [n for n in chain[0].all_input_nodes if self._is_exact(n)]
        return (chain, streams[0]) if len(streams) == 1 else None

    @staticmethod
    def _fail_two(streams: list[fx.Node]) -> int:
        raise Unrecognised(f"'{streams[0].name}' and '{streams[1].name}' could both be the residual stream")

    def _is_stream(self, node: fx.Node) -> bool:
        """Whether a term of a sum is the stream: x, a sum with it, or a norm or a scalar multiple of such."""
        if node in self.states:
            return True
        if node.op == "call_method" and node.target in _SAME:
            return isinstance(node.args[0], fx.Node) and self._is_stream(node.args[0])
        if _is_sum(node):
            return any(self._is_stream(term) for term in _terms(node))
        inner = self._fixed_input(node)
        return self._is_stream(inner) if inner is not None else self._beside(node) is not None

    def _is_exact(self, node: fx.Node) -> bool:
        """Whether a value is the stream with nothing done to it, no norm, no scale."""
        if node in self.states:
            return True
        if node.op == "call_method" and node.target in _SAME:
            return isinstance(node.args[0], fx.Node) and self._is_exact(node.args[0])
        if _is_sum(node):
            return any(self._is_stream(term) for term in _terms(node))
        return self._fixed_input(node) is None and self._beside(node) is not None

    def _fixed_input(self, node: fx.Node) -> fx.Node | None:
        """What a norm, or a product with a number or a parameter of the block, is applied to; None if it is neither."""
        if (
            node.op == "call_module"
            and len(node.all_input_nodes) == 1
            and kinds.is_norm(self.block.get_submodule(node.target))
        ):
            return node.all_input_nodes[0]
        if node.op in ("call_function", "call_method") and node.target in _PRODUCTS:
            values = [arg for arg in node.args if isinstance(arg, fx.Node) and arg.op != "get_attr"]
            return values[0] if len(values) == 1 else None
        return None

    # What leads from state to state

    def _made_steps(self) -> Iterable[Step]:
        place = 0
        while place < len(self.steps):
            fixed, first = [], place
            while place < len(self.steps) and self.steps[place][1] is not None:
                fixed.append(self.steps[place][1])
                place += 1
            if place == len(self.steps):
                yield Step(fixed=self._part("fixed", fixed[-1:], first))
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
                yield Step(fixed=self._part("fixed", [fixed[source - first - 1]], first))
            kept = fixed[source - first :]
            yield Step(
                tuple(self._players(contributions, source)), self._part("fixed", kept[-1:], source) if kept else None
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

    def _players(self, contributions: list[fx.Node], state: int) -> Iterable[Part]:
        """Contributions to one sum as sublayers: each mixer by itself, what works on single tokens together."""
        mixers: dict[str, list[fx.Node]] = {}
        others: list[fx.Node] = []
        for contribution in contributions:
            part = self._part("", [contribution], state)
            if part.kind in kinds.MIXERS:  # two results of one module (its output and its bias) are one mixer
                mixers.setdefault(next(name for name in part.modules if self._mixes(name)), []).append(contribution)
            else:
                others.append(contribution)
        for together in (*mixers.values(), others):
            if together:
                yield self._part("", together, state)

    def _mixes(self, name: str) -> bool:
        return kinds.of_modules({name: self.block.get_submodule(name)}, self.block) in kinds.MIXERS

    def _part(self, kind: str, wanted: list[fx.Node], state: int) -> Part:
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


def _is_concatenation(node: fx.Node) -> bool:
    return node.op == "call_function" and node.target is operator.add and isinstance(node.args[0], tuple | list)


def _is_sum(node: fx.Node) -> bool:
    return (
        node.op in ("call_function", "call_method") and node.target in _SUMS
        and all(isinstance(arg, fx.Node) for arg in node.args[:2]) and len(node.args) == 2
    )  # fmt: skip


def _terms(node: fx.Node) -> Iterable[fx.Node]:
    """The terms of a sum of sums, left to right; a sum that is used elsewhere too is a term of its own."""
    for arg in node.args:
        if isinstance(arg, fx.Node) and _is_sum(arg) and len(arg.users) == 1:
            yield from _terms(arg)
        elif isinstance(arg, fx.Node):
            yield arg
