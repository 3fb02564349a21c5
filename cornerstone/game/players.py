"""The players of a model in execution order.

A block of a transformer holds sublayers, most often attention and feed-forward, each of which adds its contribution to
the residual stream. Removing a sublayer sets that contribution to zero. In the paper each sublayer is a player. A
player can also be a group of sublayers (a block, a run of blocks, any set of them), one expert of a mixture of experts
(its part of that sublayer's sum is set to zero, and the weights of the others stay as they are), or one query head of
an attention (its part of what the output projection reads is set to zero).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cornerstone.errors import CoalitionError, ConfigError

MOST_BLOCKS = 10**4
"""Blocks of a model; the deepest known have some hundred."""
MOST_PLAYERS = 10**5
"""Players of a game: those of a mixture with 256 experts in 61 blocks are 15,677."""
KINDS = ("attn", "linear", "mamba", "conv", "recurrent", "ffn", "moe", "ple")
"""What a sublayer can be: softmax attention; linear attention; a state space model; a convolution; a recurrent network;
feed-forward; a mixture of experts; a gated embedding of the token itself (per-layer embedding)."""

Kinds = tuple[tuple[str, ...], ...]
"""The kinds of the sublayers of each block, in execution order."""

Part = tuple[int, int | None]
"""A sublayer by its place in execution order, and one of its experts or heads (None: the whole sublayer)."""


def alike(blocks: int, feed_forward: str = "ffn") -> Kinds:
    """The kinds of a model of which each block holds an attention and one feed-forward sublayer.

    >>> alike(2, "moe")
    (('attn', 'moe'), ('attn', 'moe'))
    """
    return (("attn", feed_forward),) * blocks


def read_kinds(runs: Sequence[str]) -> Kinds:
    """The kinds that a config writes as runs of blocks, such as `2 x attn+ffn` or `6 x linear+moe, attn+moe`.

    A run is `count x blocks`: blocks, separated by commas, that stand `count` times one after another; a block is the
    kinds of its sublayers, joined by `+`. A count of 1 can be left out.

    >>> read_kinds(["attn+ffn", "2 x attn+moe"])
    (('attn', 'ffn'), ('attn', 'moe'), ('attn', 'moe'))

    Raises:
        ConfigError: a run that is not written so.
    """
    found: list[tuple[str, ...]] = []
    for run in runs:
        match = re.fullmatch(r"(?:(\d{1,9}) x )?(.+)", run.strip())
        blocks = [tuple(kind.strip() for kind in block.split("+")) for block in match[2].split(",")] if match else []
        unknown = sorted({kind for block in blocks for kind in block} - set(KINDS))
        if not match or unknown or (match[1] and int(match[1]) < 1):
            raise ConfigError(
                f"`sublayers`: '{run}' is no run of blocks; write such as `12 x attn+ffn` or `3 x linear+moe, "
                f"attn+moe`, with kinds among {', '.join(KINDS)}"
            )
        if len(found) + len(blocks) * int(match[1] or 1) > MOST_BLOCKS:
            raise ConfigError(f"`sublayers`: with '{run}' there are more than {MOST_BLOCKS} blocks, which no model has")
        found += blocks * int(match[1] or 1)
    return tuple(found)


def written_kinds(kinds: Kinds) -> list[str]:
    """`read_kinds` the other way, as short as runs of one pattern allow."""
    runs: list[str] = []
    start = 0
    while start < len(kinds):
        best = (1, 1)
        for length in range(1, min(8, len(kinds) - start) + 1):
            pattern, count = kinds[start : start + length], 1
            while kinds[start + count * length : start + (count + 1) * length] == pattern:
                count += 1
            if (count > 1 or length == 1) and count * length > best[0] * best[1]:
                best = (length, count)
        length, count = best
        blocks = ", ".join("+".join(block) for block in kinds[start : start + length])
        runs.append(f"{count} x {blocks}" if count > 1 else blocks)
        start += length * count
    return runs


def _sublayers(kinds: Kinds) -> list[tuple[int, str]]:
    """(block, kind) of each sublayer in execution order."""
    return [(block, kind) for block, those in enumerate(kinds) for kind in those]


def _places(kinds: Kinds) -> list[tuple[int, ...]]:
    """The places of each block's sublayers."""
    ends = list(itertools.accumulate(len(block) for block in kinds))
    return [tuple(range(end - len(block), end)) for end, block in zip(ends, kinds, strict=True)]


def _names(kinds: Kinds) -> list[str]:
    """Names of the sublayers: kind and block; a second one of its kind in a block gets a letter (`ffn3b`)."""
    names = []
    for block, those in enumerate(kinds):
        for place, kind in enumerate(those):
            before = those[:place].count(kind)
            names.append(f"{kind}{block}{'bcdefgh'[before - 1] if before else ''}")
    return names


@dataclass(frozen=True, order=True)
class Player:
    """One player.

    Attributes:
        position: its place among the players, counted from 0; bit `position` of a coalition's mask.
        kind: one of `KINDS`, `expert`, `head`, or `group`.
        block: the block of its first sublayer.
        name: such as `attn0`, `moe31`, `moe3e5` (expert 5 of moe3), `attn3h5` (head 5), `block7`, `blocks0to2`.
        parts: what it removes.
    """

    position: int
    kind: str
    block: int
    name: str
    parts: tuple[Part, ...]


def players_of(kinds: Kinds) -> tuple[Player, ...]:
    """All sublayers as players, in execution order.

    >>> [player.name for player in players_of(alike(2, "moe"))]
    ['attn0', 'moe0', 'attn1', 'moe1']
    """
    sublayers = zip(_sublayers(kinds), _names(kinds), strict=True)
    return tuple(Player(i, kind, block, name, ((i, None),)) for i, ((block, kind), name) in enumerate(sublayers))


def experts_of(kinds: Kinds, experts: int) -> tuple[Player, ...]:
    """Each expert of a mixture as a player, and each other sublayer: attn0, moe0e0, moe0e1, ..., attn1, ..."""
    return _members_of(kinds, "moe", "expert", experts)


def heads_of(kinds: Kinds, heads: int) -> tuple[Player, ...]:
    """Each query head of an attention as a player, and each other sublayer: attn0h0, attn0h1, ..., ffn0, ..."""
    return _members_of(kinds, "attn", "head", heads)


def _members_of(kinds: Kinds, split: str, kind: str, count: int) -> tuple[Player, ...]:
    """The sublayers as players; each of the kind `split` as `count` players of another kind."""
    players: list[Player] = []
    for sublayer in players_of(kinds):
        if sublayer.kind == split:
            names = [f"{sublayer.name}{kind[0]}{i}" for i in range(count)]
            players += [
                Player(len(players) + i, kind, sublayer.block, name, ((sublayer.position, i),))
                for i, name in enumerate(names)
            ]
        else:
            players.append(Player(len(players), sublayer.kind, sublayer.block, sublayer.name, sublayer.parts))
    return tuple(players)


def runs_of(kinds: Kinds, length: int) -> tuple[Player, ...]:
    """Each run of `length` blocks as a player (the last may be shorter): block0, ... or blocks0to2, ..."""
    players, places = [], _places(kinds)
    for position, first in enumerate(range(0, len(kinds), length)):
        last = min(first + length, len(kinds)) - 1
        name = f"block{first}" if first == last else f"blocks{first}to{last}"
        parts = tuple((place, None) for block in places[first : last + 1] for place in block)
        players.append(Player(position, "group", first, name, parts))
    return tuple(players)


def groups_of(kinds: Kinds, groups: Mapping[str, Sequence[str]]) -> tuple[Player, ...]:
    """Each named group of sublayers as a player, in the order of their first sublayers.

    Args:
        kinds: of the model's sublayers.
        groups: name -> members, each a sublayer (`attn3`), a block (`block3`) or a run (`blocks3to7`). Sublayers
            in no group are never removed.

    Raises:
        ConfigError: a name that can't be a player's, a member that the model lacks, a sublayer in two groups.
    """
    every, places, blocks = players_of(kinds), _places(kinds), len(kinds)
    sublayers = {player.name: (player.position,) for player in every}
    owners: dict[int, str] = {}
    members: dict[str, list[int]] = {}
    for name, parts in groups.items():
        if not re.fullmatch(r"[a-z][a-z0-9]*", name) or name in ("full", "drop", "mask"):
            raise ConfigError(f"`groups`: '{name}' can't name a player; use lower-case letters and digits")
        members[name] = []
        for part in parts:
            run = re.fullmatch(r"block(\d+)|blocks(\d+)to(\d+)", part)
            first, last = (int(run[1] or run[2]), int(run[1] or run[3])) if run else (0, -1)
            positions = tuple(itertools.chain(*places[first : last + 1])) if run else sublayers.get(part, ())
            if not positions or (run and last >= blocks):
                raise ConfigError(
                    f"`groups`: '{part}' in group '{name}' is not a part of this model; write a sublayer "
                    f"({', '.join(player.name for player in every[:2])}, ...), block0 to block{blocks - 1}, or a run "
                    f"such as blocks0to{blocks - 1}"
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
        Player(i, "group", every[min(positions)].block, name, tuple((p, None) for p in sorted(positions)))
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
    raise CoalitionError(f"there is no player '{name}' in this model: its players are {listed}. {_hint(name, players)}")


def _hint(name: str, players: tuple[Player, ...]) -> str:
    last = players[-1]
    members = [player.name for player in players if re.fullmatch(rf"{re.escape(name)}[eh]\d+", player.name)]
    if members:
        return f"It is removed as the players {members[0]} to {members[-1]}, so name all of them."
    match = re.fullmatch(r"(ffn|moe)(\d+)", name)
    if match and last.kind in ("ffn", "moe") and match[1] != last.kind:
        return f"Its feed-forward sublayers are called {last.kind}, so write {last.kind}{match[2]}."
    return "Use one of these names."
