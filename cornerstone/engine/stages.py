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
        owner: position of the player that it belongs to; None when it always runs, or when its members decide.
        members: position of the player of each of its experts or heads; empty where it is switched as a whole.
        heads: whether the members are heads.
    """

    sublayer: int
    owner: int | None
    members: tuple[int, ...] = ()
    heads: bool = False


Step = tuple[int, tuple[int, ...] | None]
"""A sublayer that runs, and which of its experts or heads do (None: all of it)."""


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
            if switch.members:
                kept = tuple(i for i, owner in enumerate(switch.members) if coalition >> owner & 1)
                if kept:
                    steps.append((switch.sublayer, None if len(kept) == len(switch.members) else kept))
            elif switch.owner is None or coalition >> switch.owner & 1:
                steps.append((switch.sublayer, None))
        return tuple(steps)

    def removed(self, kept: Sequence[Step]) -> tuple[int, ...]:
        """The sublayers of this stage of which nothing runs, where `kept` is what runs."""
        running = {sublayer for sublayer, _ in kept}
        return tuple(switch.sublayer for switch in self.switches if switch.sublayer not in running)


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
        for sublayer, member in player.parts:
            owners.setdefault(sublayer, {})[member] = player.position
    stages, sublayer = [], 0
    for block, steps in enumerate(blocks):
        for place, (count, fixed) in enumerate(steps):
            switches = []
            for _ in range(count):
                owner = dict(owners.get(sublayer, {}))
                whole = owner.pop(None, None)
                members = tuple(p for member, p in sorted((m, p) for m, p in owner.items() if m is not None))
                heads = any(players[member].kind == "head" for member in members)
                switches.append(Switch(sublayer, whole, members, heads))
                sublayer += 1
            stages.append(Stage(tuple(switches), (block, place) if fixed else None))
    return stages
