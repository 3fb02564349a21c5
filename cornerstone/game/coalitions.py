"""A coalition: the players that stay. One coalition, one name, both ways.

A coalition is an int used as a bitmask: bit i is set when the player at position i is kept. Its name says
what is removed: `full`, `drop-attn0`, `drop-attn0-ffn0` (execution order). Above eight removed players the
name is `mask-<hex>`, the mask itself in ceil(N/4) lower-case hexadecimal digits.

>>> from cornerstone.game.players import alike, players_of
>>> players = players_of(alike(2))
>>> name(0b1110, players)
'drop-attn0'
>>> parse("drop-attn0-ffn1", players) == 0b0110
True
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cornerstone.errors import CoalitionError
from cornerstone.game.players import Player, player_named

MOST_NAMED = 8
"""Coalitions that lack more players than this are named by their mask."""


def full(players: tuple[Player, ...]) -> int:
    """The grand coalition: nobody removed."""
    return (1 << len(players)) - 1


def without(removed: Iterable[int], players: tuple[Player, ...]) -> int:
    """The coalition of all players but those at the positions `removed`."""
    mask = full(players)
    for position in removed:
        mask &= ~(1 << position)
    return mask


def removed_from(coalition: int, players: tuple[Player, ...]) -> tuple[Player, ...]:
    """The players that a coalition lacks, in execution order."""
    return tuple(player for player in players if not coalition >> player.position & 1)


def name(coalition: int, players: tuple[Player, ...]) -> str:
    """The one name of a coalition; `parse` is its inverse.

    Raises:
        CoalitionError: when the mask has bits beyond the model's players.
    """
    if not 0 <= coalition <= full(players):
        raise CoalitionError(f"mask {coalition:#x} has players beyond the model's {len(players)}")
    removed = removed_from(coalition, players)
    if not removed:
        return "full"
    if len(removed) <= MOST_NAMED:
        return "-".join(["drop", *(player.name for player in removed)])
    return f"mask-{coalition:0{_digits(players)}x}"


def parse(text: str, players: tuple[Player, ...]) -> int:
    """The coalition that a name stands for.

    Raises:
        CoalitionError: when it does not parse, names a player that the model lacks, or is not the one
            canonical name of its coalition (the message gives that name).
    """
    head, _, rest = text.partition("-")
    if text == "full":
        coalition = full(players)
    elif head == "drop" and rest:
        coalition = without((player_named(part, players).position for part in rest.split("-")), players)
    elif head == "mask" and rest and all(digit in "0123456789abcdef" for digit in rest):
        coalition = int(rest, 16)
    else:
        raise CoalitionError(
            f"'{text}' is not a coalition. Write `full`, `drop-{players[0].name}-{players[-1].name}` (what is "
            f"removed, in execution order) or `mask-{full(players):x}` (bit i set: player i is kept)."
        )
    canonical = name(coalition, players)
    if canonical != text:
        raise CoalitionError(f"'{text}' is not how this coalition is written. Its name is `{canonical}`.")
    return coalition


def _digits(players: tuple[Player, ...]) -> int:
    return -(-len(players) // 4)


def windows(count: int, largest: int) -> Iterator[range]:
    """All contiguous windows of 1..largest positions among `count`, by start, then by length.

    >>> [list(window) for window in windows(3, 2)]
    [[0], [0, 1], [1], [1, 2], [2]]
    """
    for start in range(count):
        for length in range(1, min(largest, count - start) + 1):
            yield range(start, start + length)


def window_coalitions(players: tuple[Player, ...], largest: int) -> list[int]:
    """The coalitions of the paper's estimator: full, and each window of at most `largest` removed.

    There are 1 + K*N - K(K-1)/2 of them for K = largest <= N players.
    """
    return [full(players), *(without(window, players) for window in windows(len(players), largest))]


def ablation_coalitions(players: tuple[Player, ...]) -> list[int]:
    """Full, and each single player removed: N + 1 coalitions."""
    return window_coalitions(players, 1)


def in_sweep_order(coalitions: Iterable[int], players: tuple[Player, ...]) -> list[int]:
    """Distinct coalitions, sorted so that those which agree on the first players stand together."""

    def path(coalition: int) -> list[bool]:
        return [bool(coalition >> player.position & 1) for player in players]

    return sorted(set(coalitions), key=path)
