"""What of a model runs in a coalition: its sublayers in execution order, and which player switches each.

A stage holds the sublayers that read the same residual stream: one, or both of a block where they run in parallel.
"""

from __future__ import annotations

from dataclasses import dataclass

from cornerstone.game.players import PER_BLOCK, Player


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
    """Sublayers that read the same residual stream: one, or both of a block where they run in parallel."""

    switches: tuple[Switch, ...]

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


def stages_of(players: tuple[Player, ...], blocks: int, parallel: bool) -> list[Stage]:
    """The stages of a model of `blocks` blocks in execution order; `parallel`: both sublayers of a block are one.

    >>> from cornerstone.game.players import players_of
    >>> first, second = stages_of(players_of(1, "ffn"), blocks=1, parallel=False)
    >>> first.kept(0b10), second.kept(0b10)  # without attn0
    ((), ((1, None),))
    """
    owners: dict[int, dict[int | None, int]] = {}
    for player in players:
        for sublayer, expert in player.parts:
            owners.setdefault(sublayer, {})[expert] = player.position
    switches = []
    for sublayer in range(PER_BLOCK * blocks):
        owner = dict(owners.get(sublayer, {}))
        whole = owner.pop(None, None)
        experts = tuple(position for expert, position in sorted((e, p) for e, p in owner.items() if e is not None))
        switches.append(Switch(sublayer, whole, experts))
    each = PER_BLOCK if parallel else 1
    return [Stage(tuple(switches[i : i + each])) for i in range(0, len(switches), each)]
