"""The players of a model in execution order. Imports no torch, so the workflow can name players while it is parsed.

A block of a transformer holds two sublayers, attention and feed-forward, each of which adds its contribution
to the residual stream. Removing a sublayer sets that contribution to zero. In the paper each sublayer is a
player. A player can also be a group of sublayers (a block, a run of blocks, any set of them), or one expert of a
mixture of experts: its part of that sublayer's sum is set to zero, and the weights of the others stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from cornerstone.errors import CoalitionError, ConfigError

Kind = Literal["attn", "ffn", "moe", "expert", "group"]

Part = tuple[int, int | None]
"""A sublayer by its place in execution order, and one of its experts (None: the whole sublayer)."""


@dataclass(frozen=True, order=True)
class Player:
    """One player.

    Attributes:
        position: its place among the players, counted from 0; bit `position` of a coalition's mask.
        kind: what it is.
        block: the block of its first sublayer.
        name: such as `attn0`, `moe31`, `moe3e5` (expert 5 of moe3), `block7`, `blocks0to2`.
        parts: what it removes.
    """

    position: int
    kind: Kind
    block: int
    name: str
    parts: tuple[Part, ...]


def players_of(blocks: int, feed_forward: Literal["ffn", "moe"]) -> tuple[Player, ...]:
    """All sublayers of a model of `blocks` blocks as players: attn0, ffn0, attn1, ... (2 x blocks of them)."""
    kinds: tuple[Kind, Kind] = ("attn", feed_forward)
    return tuple(
        Player(2 * block + i, kind, block, f"{kind}{block}", ((2 * block + i, None),))
        for block in range(blocks)
        for i, kind in enumerate(kinds)
    )


def experts_of(blocks: int, experts: int) -> tuple[Player, ...]:
    """Each attention and each expert as a player: attn0, moe0e0, moe0e1, ..., attn1, ..."""
    players: list[Player] = []
    for block in range(blocks):
        players.append(Player(len(players), "attn", block, f"attn{block}", ((2 * block, None),)))
        players += [
            Player(len(players) + e, "expert", block, f"moe{block}e{e}", ((2 * block + 1, e),)) for e in range(experts)
        ]
    return tuple(players)


def runs_of(blocks: int, length: int) -> tuple[Player, ...]:
    """Each run of `length` blocks as a player (the last may be shorter): block0, ... or blocks0to2, ..."""
    players = []
    for position, first in enumerate(range(0, blocks, length)):
        last = min(first + length, blocks) - 1
        name = f"block{first}" if first == last else f"blocks{first}to{last}"
        parts = tuple((sublayer, None) for sublayer in range(2 * first, 2 * last + 2))
        players.append(Player(position, "group", first, name, parts))
    return tuple(players)


def groups_of(
    blocks: int, feed_forward: Literal["ffn", "moe"], groups: Mapping[str, Sequence[str]]
) -> tuple[Player, ...]:
    """Each named group of sublayers as a player, in the order of their first sublayers.

    Args:
        blocks: of the model.
        feed_forward: kind of its feed-forward sublayers.
        groups: name -> members, each a sublayer (`attn3`), a block (`block3`) or a run (`blocks3to7`). Sublayers
            in no group are never removed.

    Raises:
        ConfigError: a name that can't be a player's, a member that the model lacks, a sublayer in two groups.
    """
    sublayers = {player.name: (player.position,) for player in players_of(blocks, feed_forward)}
    owners: dict[int, str] = {}
    members: dict[str, list[int]] = {}
    for name, parts in groups.items():
        if not re.fullmatch(r"[a-z][a-z0-9]*", name) or name in ("full", "drop", "mask"):
            raise ConfigError(f"`groups`: '{name}' can't name a player; use lower-case letters and digits")
        members[name] = []
        for part in parts:
            run = re.fullmatch(r"block(\d+)|blocks(\d+)to(\d+)", part)
            first, last = (int(run[1] or run[2]), int(run[1] or run[3])) if run else (0, -1)
            positions = range(2 * first, 2 * last + 2) if run else sublayers.get(part, ())
            if not positions or (run and last >= blocks):
                raise ConfigError(
                    f"`groups`: '{part}' in group '{name}' is not a part of this model; write a sublayer (attn0, "
                    f"{feed_forward}0, ...), block0 to block{blocks - 1}, or a run such as blocks0to{blocks - 1}"
                )
            for position in positions:
                if position in owners:
                    raise ConfigError(f"`groups`: '{part}' in group '{name}' is also in group '{owners[position]}'")
                owners[position] = name
                members[name].append(position)
        if not members[name]:
            raise ConfigError(f"`groups`: group '{name}' is empty")
    in_order = sorted(members.items(), key=lambda item: min(item[1]))
    return tuple(
        Player(i, "group", min(positions) // 2, name, tuple((p, None) for p in sorted(positions)))
        for i, (name, positions) in enumerate(in_order)
    )


def player_named(name: str, players: tuple[Player, ...]) -> Player:
    """The player called `name`.

    Raises:
        CoalitionError: when the model has no such player.
    """
    for player in players:
        if player.name == name:
            return player
    shown = [player.name for player in players]
    listed = ", ".join(shown if len(shown) <= 4 else [*shown[:2], "...", *shown[-2:]])
    raise CoalitionError(
        f"there is no player '{name}' in this model: its players are {listed}. {_hint(name, players[-1])}"
    )


def _hint(name: str, last: Player) -> str:
    match = re.fullmatch(r"(ffn|moe)(\d+)", name)
    if match and last.kind in ("ffn", "moe") and match[1] != last.kind:
        return f"Its feed-forward sublayers are called {last.kind}, so write {last.kind}{match[2]}."
    return "Use one of these names."


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
    """The stages of a model of `blocks` blocks in execution order; `parallel`: both sublayers of a block are one."""
    owners: dict[int, dict[int | None, int]] = {}
    for player in players:
        for sublayer, expert in player.parts:
            owners.setdefault(sublayer, {})[expert] = player.position
    switches = []
    for sublayer in range(2 * blocks):
        owner = dict(owners.get(sublayer, {}))
        whole = owner.pop(None, None)
        experts = tuple(position for expert, position in sorted((e, p) for e, p in owner.items() if e is not None))
        switches.append(Switch(sublayer, whole, experts))
    each = 2 if parallel else 1
    return [Stage(tuple(switches[i : i + each])) for i in range(0, len(switches), each)]
