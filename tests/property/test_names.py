from __future__ import annotations

import re
from contextlib import suppress
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cornerstone.errors import CoalitionError
from cornerstone.game.coalitions import full, name, parse, removed_from, without
from cornerstone.game.players import Player, alike, players_of

PLAYERS = st.builds(players_of, st.builds(alike, st.integers(1, 80), st.sampled_from(["ffn", "moe"])))
Kind = Literal["ffn", "moe"]


@st.composite
def coalition(draw: st.DrawFn) -> tuple[int, tuple[Player, ...]]:
    players = draw(PLAYERS)
    few = st.sets(st.integers(0, len(players) - 1), max_size=10).map(lambda removed: without(removed, players))
    return draw(few | st.integers(0, full(players))), players


@given(coalition())
def test_parse_undoes_name(drawn: tuple[int, tuple[Player, ...]]) -> None:
    mask, players = drawn
    text = name(mask, players)
    assert parse(text, players) == mask
    assert re.fullmatch(r"[a-z0-9-]+", text)  # what a file of results may be called
    assert re.fullmatch(r"[a-z0-9-]{1,80}", text)  # a file name everywhere


@given(coalition(), st.integers(0))
def test_two_coalitions_never_share_a_name(drawn: tuple[int, tuple[Player, ...]], other: int) -> None:
    mask, players = drawn
    other %= full(players) + 1
    assert (name(mask, players) == name(other, players)) == (mask == other)


@given(coalition(), st.randoms(use_true_random=False))
def test_only_one_spelling_is_taken(drawn: tuple[int, tuple[Player, ...]], random: object) -> None:
    mask, players = drawn
    canonical = name(mask, players)
    removed = [player.name for player in removed_from(mask, players)]
    random.shuffle(removed)  # type: ignore[attr-defined]
    spellings = {f"mask-{mask:x}", f"mask-0{mask:x}", f"mask-{mask:0{-(-len(players) // 4)}x}"}
    if removed:
        spellings |= {"-".join(["drop", *removed]), "-".join(["drop", *removed, removed[0]])}
    for spelling in spellings - {canonical}:
        with pytest.raises(CoalitionError, match=re.escape(f"`{canonical}`")):
            parse(spelling, players)


@given(st.integers(1, 80), st.sampled_from(["ffn", "moe"]), st.integers(0, 100))
def test_players_that_the_model_lacks_are_refused(blocks: int, kind: Kind, beyond: int) -> None:
    players = players_of(alike(blocks, kind))
    other = "moe" if kind == "ffn" else "ffn"
    for stranger in (f"attn{blocks + beyond}", f"{kind}{blocks + beyond}", f"{other}0"):
        with pytest.raises(CoalitionError, match=f"no player '{stranger}'"):
            parse(f"drop-{stranger}", players)


@given(PLAYERS, st.text(alphabet="dropmaskful-0123456789abtn", max_size=24))
def test_any_other_text_is_refused_or_canonical(players: tuple[Player, ...], text: str) -> None:
    with suppress(CoalitionError):
        assert name(parse(text, players), players) == text
