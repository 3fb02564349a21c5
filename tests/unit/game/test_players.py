from __future__ import annotations

import pytest

from cornerstone.engine.stages import stages_of
from cornerstone.errors import CoalitionError, ConfigError
from cornerstone.game import coalitions
from cornerstone.game.players import (
    Kinds,
    Player,
    alike,
    experts_of,
    groups_of,
    heads_of,
    player_named,
    players_of,
    read_kinds,
    runs_of,
    written_kinds,
)
from tests.helpers import PARALLEL, SEQUENTIAL


def test_players_alternate_in_execution_order() -> None:
    assert [player.name for player in players_of(alike(2))] == ["attn0", "ffn0", "attn1", "ffn1"]
    assert players_of(alike(2, "moe"))[3] == Player(3, "moe", 1, "moe1", ((3, None),))


@pytest.mark.parametrize("blocks", [1, 30, 80])
def test_twice_as_many_as_blocks_each_with_its_position(blocks: int) -> None:
    players = players_of(alike(blocks))
    assert [player.position for player in players] == list(range(2 * blocks))
    assert [player.block for player in players] == [i // 2 for i in range(2 * blocks)]
    assert len({player.name for player in players}) == 2 * blocks


def test_every_name_finds_its_player() -> None:
    players = players_of(alike(12, "moe"))
    assert tuple(player_named(player.name, players) for player in players) == players


@pytest.mark.parametrize("name", ["attn4", "ffn4", "attn-1", "attn", "Attn0", "mlp0", "attn00", ""])
def test_unknown_players_are_refused(name: str) -> None:
    with pytest.raises(CoalitionError, match=f"no player '{name}'.*attn3, ffn3") as caught:
        player_named(name, players_of(alike(4)))
    assert "Use one of these names." in str(caught.value)


def test_the_other_kind_of_feed_forward_is_explained() -> None:
    with pytest.raises(CoalitionError, match="are called ffn, so write ffn2"):
        player_named("moe2", players_of(alike(4)))
    with pytest.raises(CoalitionError, match="are called moe, so write moe2"):
        player_named("ffn2", players_of(alike(4, "moe")))


@pytest.mark.parametrize(
    ("runs", "kinds"),
    [
        (["3 x attn+ffn"], (("attn", "ffn"),) * 3),
        (["attn+ffn", "2 x attn+moe"], (("attn", "ffn"), ("attn", "moe"), ("attn", "moe"))),
        (["2 x mamba, attn+ffn"], (("mamba",), ("attn", "ffn")) * 2),
        (["mamba+attn+ffn"], (("mamba", "attn", "ffn"),)),
    ],
)
def test_kinds_are_read_and_written(runs: list[str], kinds: Kinds) -> None:
    assert read_kinds(runs) == kinds
    assert read_kinds(written_kinds(kinds)) == kinds
    assert len(written_kinds(kinds)) <= len(runs)


@pytest.mark.parametrize("run", ["3 attn+ffn", "attn+fnn", "0 x attn", "", "3 x", "attn,,ffn"])
def test_bad_kinds_are_refused(run: str) -> None:
    with pytest.raises(ConfigError, match=r"`sublayers`: '.*' is no run of blocks"):
        read_kinds([run])


def test_players_of_a_mixed_model() -> None:
    kinds = read_kinds(["attn+ffn", "linear+moe", "mamba+attn+ffn", "ffn+ffn"])
    assert names(players_of(kinds)) == [
        "attn0", "ffn0", "linear1", "moe1", "mamba2", "attn2", "ffn2", "ffn3", "ffn3b",
    ]  # fmt: skip
    assert [player.block for player in players_of(kinds)] == [0, 0, 1, 1, 2, 2, 2, 3, 3]
    assert names(experts_of(kinds, 2)) == [
        "attn0", "ffn0", "linear1", "moe1e0", "moe1e1", "mamba2", "attn2", "ffn2", "ffn3", "ffn3b",
    ]  # fmt: skip
    assert [player.parts for player in runs_of(kinds, 3)] == [
        tuple((place, None) for place in range(7)),
        ((7, None), (8, None)),
    ]
    (group,) = groups_of(kinds, {"middle": ["blocks1to2"]})
    assert [place for place, _ in group.parts] == [2, 3, 4, 5, 6]


def names(players: tuple[Player, ...]) -> list[str]:
    return [player.name for player in players]


def test_runs_of_blocks_cover_every_sublayer_once() -> None:
    players = runs_of(alike(7), 3)
    assert names(players) == ["blocks0to2", "blocks3to5", "block6"]
    assert [part for player in players for part in player.parts] == [(i, None) for i in range(14)]
    assert names(runs_of(alike(3), 1)) == ["block0", "block1", "block2"]


def test_experts_stand_in_execution_order() -> None:
    players = experts_of(alike(2, "moe"), 2)
    assert names(players) == ["attn0", "moe0e0", "moe0e1", "attn1", "moe1e0", "moe1e1"]
    assert [player.position for player in players] == list(range(6))
    assert players[5].parts == ((3, 1),)


def test_heads_stand_in_execution_order_and_other_sublayers_stay_whole() -> None:
    players = heads_of(read_kinds(["attn+moe", "linear+ffn", "attn+attn+ffn"]), 2)
    assert names(players) == [
        "attn0h0", "attn0h1", "moe0", "linear1", "ffn1", "attn2h0", "attn2h1", "attn2bh0", "attn2bh1", "ffn2",
    ]  # fmt: skip
    assert [player.position for player in players] == list(range(10))
    assert [player.parts for player in players[6:8]] == [((4, 1),), ((5, 0),)]
    assert {player.kind for player in players} == {"head", "moe", "linear", "ffn"}
    assert coalitions.parse("drop-attn0h1-ffn2", players) == 0b0111111101
    assert coalitions.name(0b0111111101, players) == "drop-attn0h1-ffn2"


def test_a_sublayer_whose_heads_play_is_no_player() -> None:
    players = heads_of(alike(2), 4)
    with pytest.raises(CoalitionError, match=r"no player 'attn1' .* removed as the players attn1h0 to attn1h3"):
        coalitions.parse("drop-attn1", players)
    with pytest.raises(CoalitionError, match=r"no player 'attn1h4' .*Use one of these names"):
        coalitions.parse("drop-attn1h4", players)


def test_groups_stand_in_order_of_their_first_sublayer() -> None:
    players = groups_of(alike(4), {"late": ["block3", "ffn1"], "early": ["attn0", "blocks1to1"][:1]})
    assert names(players) == ["early", "late"]
    assert players[1] == Player(1, "group", 1, "late", ((3, None), (6, None), (7, None)))


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"mask": ["attn0"]}, "'mask' can't name a player"),
        ({"A-b": ["attn0"]}, "'A-b' can't name a player"),
        ({"a": ["attn4"]}, "'attn4' in group 'a' is not a part of this model"),
        ({"a": ["moe0"]}, "'moe0' in group 'a' is not a part"),
        ({"a": ["blocks2to9"]}, "'blocks2to9' in group 'a' is not a part"),
        ({"a": ["blocks3to2"]}, "'blocks3to2' in group 'a' is not a part"),
        ({"a": ["block0"], "b": ["ffn0"]}, "'ffn0' in group 'b' is also in group 'a'"),
        ({"a": []}, "group 'a' is empty"),
    ],
)
def test_wrong_groups_are_refused(groups: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        groups_of(alike(4), groups)


def test_stages_say_what_runs() -> None:
    experts = stages_of(experts_of(alike(1, "moe"), 3), [SEQUENTIAL])
    assert [stage.kept(0b1111) for stage in experts] == [((0, None),), ((1, None),)]
    assert [stage.kept(0b1010) for stage in experts] == [(), ((1, (0, 2)),)]
    assert experts[1].kept(0b0001) == ()
    assert experts[1].removed(()) == (1,)
    assert experts[1].removed(((1, (0, 2)),)) == ()
    assert [switch.heads for stage in experts for switch in stage.switches] == [False, False]
    heads = stages_of(heads_of(alike(1), 3), [PARALLEL])
    assert heads[0].kept(0b1111) == ((0, None), (1, None))
    assert heads[0].kept(0b0101) == ((0, (0, 2)),)
    assert heads[0].removed(heads[0].kept(0b1000)) == (0,)
    assert [switch.heads for switch in heads[0].switches] == [True, False]
    (both,) = stages_of(players_of(alike(1)), [PARALLEL])
    assert both.kept(0b11) == ((0, None), (1, None))
    assert both.kept(0b10) == ((1, None),)


def test_what_is_in_no_group_always_runs() -> None:
    stages = stages_of(groups_of(alike(2), {"only": ["ffn0"]}), [SEQUENTIAL] * (2))
    assert [stage.kept(0) for stage in stages] == [((0, None),), (), ((2, None),), ((3, None),)]
