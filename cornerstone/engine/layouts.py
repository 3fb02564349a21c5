"""A block of a transformer as this package sees it: steps over the residual stream, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch


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
