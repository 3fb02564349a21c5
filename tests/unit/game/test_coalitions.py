from __future__ import annotations

import re
from itertools import pairwise

import pytest

from cornerstone.errors import CoalitionError
from cornerstone.game.coalitions import (
    full,
    in_sweep_order,
    name,
    parse,
    removed_from,
    window_coalitions,
    windows,
    without,
)
from cornerstone.game.players import alike, players_of

FOUR = players_of(alike(2))
SIXTEEN = players_of(alike(8, "moe"))


def test_masks() -> None:
    assert full(FOUR) == 0b1111
    assert without([], FOUR) == full(FOUR)
    assert without([0, 2], FOUR) == 0b1010
    assert without([2, 0, 2], FOUR) == 0b1010
    assert [player.name for player in removed_from(0b1010, FOUR)] == ["attn0", "attn1"]


@pytest.mark.parametrize(
    ("mask", "text"),
    [
        (0b1111, "full"),
        (0b1110, "drop-attn0"),
        (0b0110, "drop-attn0-ffn1"),
        (0b0000, "drop-attn0-ffn0-attn1-ffn1"),
    ],
)
def test_names(mask: int, text: str) -> None:
    assert name(mask, FOUR) == text
    assert parse(text, FOUR) == mask


def test_more_than_eight_removed_are_named_by_their_mask() -> None:
    eight, nine = without(range(8), SIXTEEN), without(range(9), SIXTEEN)
    assert name(eight, SIXTEEN) == "drop-attn0-moe0-attn1-moe1-attn2-moe2-attn3-moe3"
    assert name(nine, SIXTEEN) == "mask-fe00"
    assert name(0, SIXTEEN) == "mask-0000"
    assert parse("mask-0000", SIXTEEN) == 0


def test_mask_digits_are_the_players_over_four_rounded_up() -> None:
    assert name(0, players_of(alike(5))) == "mask-000"
    assert name(0, players_of(alike(30))) == f"mask-{'0' * 15}"
    assert name(1 << 159, players_of(alike(80))) == f"mask-8{'0' * 39}"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("drop-moe0-attn0", "drop-attn0-moe0"),
        ("drop-attn0-attn0", "drop-attn0"),
        ("mask-ffff", "full"),
        ("mask-fffe", "drop-attn0"),
        ("mask-0fe00", "mask-fe00"),
        ("mask-0", "mask-0000"),
        ("drop-" + "-".join(p.name for p in SIXTEEN[:9]), "mask-fe00"),
    ],
)
def test_another_way_to_write_it_is_refused_with_the_right_one(text: str, canonical: str) -> None:
    with pytest.raises(CoalitionError, match=f"Its name is `{canonical}`"):
        parse(text, SIXTEEN)


@pytest.mark.parametrize(
    "text", ["", "Full", "full-", "drop", "drop-", "mask", "mask-", "mask-FE00", "mask-0x1", "mask--1", "keep-attn0"]
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(CoalitionError, match=re.escape(f"'{text}' is not a coalition")):
        parse(text, SIXTEEN)


@pytest.mark.parametrize("text", ["drop-attn2", "drop-attn0-moe0", "drop-attn0-", "drop--attn0", "drop-attn0 ffn0"])
def test_unknown_players_are_refused(text: str) -> None:
    with pytest.raises(CoalitionError, match="there is no player"):
        parse(text, FOUR)


@pytest.mark.parametrize("mask", [-1, 16, 1 << 70])
def test_masks_beyond_the_players_are_refused(mask: int) -> None:
    with pytest.raises(CoalitionError, match="beyond the model's 4"):
        name(mask, FOUR)


def test_a_written_mask_beyond_the_players_is_refused() -> None:
    with pytest.raises(CoalitionError, match="beyond the model's 4"):
        parse("mask-1f", FOUR)


def test_windows_of_a_small_model() -> None:
    assert [tuple(w) for w in windows(4, 3)] == [
        (0,), (0, 1), (0, 1, 2), (1,), (1, 2), (1, 2, 3), (2,), (2, 3), (3,)
    ]  # fmt: skip


@pytest.mark.parametrize(("blocks", "count"), [(30, 235), (32, 251), (80, 635)])
def test_published_counts_of_the_window_estimator(blocks: int, count: int) -> None:
    coalitions = window_coalitions(players_of(alike(blocks)), 4)
    assert len(coalitions) == len(set(coalitions)) == count


@pytest.mark.parametrize("largest", [1, 2, 3, 4, 7])
def test_count_by_formula(largest: int) -> None:
    for blocks in (4, 12):
        coalitions = window_coalitions(players_of(alike(blocks, "moe")), largest)
        assert len(set(coalitions)) == 1 + largest * 2 * blocks - largest * (largest - 1) // 2


def test_each_window_is_contiguous_and_short() -> None:
    players = players_of(alike(6))
    for coalition in window_coalitions(players, 3):
        removed = [p.position for p in players if not coalition >> p.position & 1]
        assert len(removed) <= 3
        assert removed == list(range(removed[0], removed[0] + len(removed))) if removed else coalition == full(players)


def test_sweep_order_keeps_shared_beginnings_together() -> None:
    players = players_of(alike(3))
    ordered = in_sweep_order([*range(64), 5, 5], players)
    assert len(ordered) == 64
    for depth in range(1, 7):  # coalitions that agree on the first players stand in one run
        beginnings = [coalition & (1 << depth) - 1 for coalition in ordered]
        runs = 1 + sum(a != b for a, b in pairwise(beginnings))
        assert runs == 1 << depth


def test_sweep_order_does_not_depend_on_the_order_given() -> None:
    players = players_of(alike(3))
    assert in_sweep_order([3, 60, 7, 1], players) == in_sweep_order([1, 7, 60, 3], players)
