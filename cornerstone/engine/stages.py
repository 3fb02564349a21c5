"""What of a model runs in a coalition: its sublayers in execution order, and which player switches each.

A stage holds the sublayers that read the same residual stream: one, or several of a block where they run in parallel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cornerstone.game.players import Player


@dataclass(frozen=True)
class Switch:
    """Who decides whether a sublayer runs.

    Attributes:
        sublayer: its place in execution order.
        owner: position of the player that it belongs to; None when it always runs, or when experts decide.
        experts: position of each expert's player; empty where the sublayer is switched as a whole.
    """

    sublayer: int
    owner: int | None
    experts: tuple[int, ...] = ()


Step = tuple[int, tuple[int, ...] | None]
"""A sublayer that runs, and which of its experts do (None: all of it)."""


@dataclass(frozen=True)
class Stage:
    """Sublayers that read the same residual stream, and what is done to the stream in any case.

    Attributes:
        switches: the sublayers: one, several that run in parallel, or none.
        fixed: (block, step of its layout) of a function that is applied to the stream before contributions are added;
            None where the stream stays as it is.
    """

    switches: tuple[Switch, ...]
    fixed: tuple[int, int] | None = None

    def kept(self, coalition: int) -> tuple[Step, ...]:
        """What of this stage runs in a coalition (bitmask over the players)."""
        steps: list[Step] = []
        for switch in self.switches:
            if switch.experts:
                experts = tuple(e for e, owner in enumerate(switch.experts) if coalition >> owner & 1)
                if experts:
                    steps.append((switch.sublayer, None if len(experts) == len(switch.experts) else experts))
            elif switch.owner is None or coalition >> switch.owner & 1:
                steps.append((switch.sublayer, None))
        return tuple(steps)


def stages_of(players: tuple[Player, ...], blocks: Sequence[Sequence[tuple[int, bool]]]) -> list[Stage]:
    """The stages of a model in execution order.

    Args:
        players: what coalitions remove.
        blocks: the steps of each block: how many sublayers read the same stream, and whether something is done to the
            stream in any case.

    >>> from cornerstone.game.players import alike, players_of
    >>> first, second = stages_of(players_of(alike(1)), [[(1, False), (1, False)]])
    >>> first.kept(0b10), second.kept(0b10)  # without attn0
    ((), ((1, None),))
    """
    owners: dict[int, dict[int | None, int]] = {}
    for player in players:
        for sublayer, expert in player.parts:
            owners.setdefault(sublayer, {})[expert] = player.position
    stages, sublayer = [], 0
    for block, steps in enumerate(blocks):
        for place, (count, fixed) in enumerate(steps):
            switches = []
            for _ in range(count):
                owner = dict(owners.get(sublayer, {}))
                whole = owner.pop(None, None)
                experts = tuple(p for expert, p in sorted((e, p) for e, p in owner.items() if e is not None))
                switches.append(Switch(sublayer, whole, experts))
                sublayer += 1
            stages.append(Stage(tuple(switches), (block, place) if fixed else None))
    return stages
