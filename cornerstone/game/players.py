"""The players of a model in execution order.

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

PER_BLOCK = 2
"""Sublayers of a block: its attention, then its feed-forward."""


def block_of(sublayer: int) -> int:
    """The block of a sublayer, by its place in execution order."""
    return sublayer // PER_BLOCK


def is_attention(sublayer: int) -> bool:
    """Whether a sublayer is its block's attention."""
    return sublayer % PER_BLOCK == 0


def sublayers_of(first: int, last: int) -> range:
    """The sublayers of a run of blocks, the last one included."""
    return range(PER_BLOCK * first, PER_BLOCK * (last + 1))


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
    """All sublayers of a model of `blocks` blocks as players: attn0, ffn0, attn1, ... (2 x blocks of them).

    >>> [player.name for player in players_of(2, "moe")]
    ['attn0', 'moe0', 'attn1', 'moe1']
    """
    kinds: tuple[Kind, Kind] = ("attn", feed_forward)
    return tuple(
        Player(sublayer, kind, block, f"{kind}{block}", ((sublayer, None),))
        for block in range(blocks)
        for sublayer, kind in zip(sublayers_of(block, block), kinds, strict=True)
    )


def experts_of(blocks: int, experts: int) -> tuple[Player, ...]:
    """Each attention and each expert as a player: attn0, moe0e0, moe0e1, ..., attn1, ..."""
    players: list[Player] = []
    for block in range(blocks):
        attention, mixture = sublayers_of(block, block)
        players.append(Player(len(players), "attn", block, f"attn{block}", ((attention, None),)))
        players += [
            Player(len(players) + e, "expert", block, f"moe{block}e{e}", ((mixture, e),)) for e in range(experts)
        ]
    return tuple(players)


def runs_of(blocks: int, length: int) -> tuple[Player, ...]:
    """Each run of `length` blocks as a player (the last may be shorter): block0, ... or blocks0to2, ..."""
    players = []
    for position, first in enumerate(range(0, blocks, length)):
        last = min(first + length, blocks) - 1
        name = f"block{first}" if first == last else f"blocks{first}to{last}"
        parts = tuple((sublayer, None) for sublayer in sublayers_of(first, last))
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
            positions = sublayers_of(first, last) if run else sublayers.get(part, ())
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
        Player(i, "group", block_of(min(positions)), name, tuple((p, None) for p in sorted(positions)))
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
