from __future__ import annotations

import pytest

from cornerstone.engine.architectures import ARCHITECTURES, architecture_of
from cornerstone.engine.stages import stages_of
from cornerstone.errors import CoalitionError, ConfigError, ModelError
from cornerstone.game.players import Player, experts_of, groups_of, player_named, players_of, runs_of


def test_players_alternate_in_execution_order() -> None:
    assert [player.name for player in players_of(2, "ffn")] == ["attn0", "ffn0", "attn1", "ffn1"]
    assert players_of(2, "moe")[3] == Player(3, "moe", 1, "moe1", ((3, None),))


@pytest.mark.parametrize("blocks", [1, 30, 80])
def test_twice_as_many_as_blocks_each_with_its_position(blocks: int) -> None:
    players = players_of(blocks, "ffn")
    assert [player.position for player in players] == list(range(2 * blocks))
    assert [player.block for player in players] == [i // 2 for i in range(2 * blocks)]
    assert len({player.name for player in players}) == 2 * blocks


def test_every_name_finds_its_player() -> None:
    players = players_of(12, "moe")
    assert tuple(player_named(player.name, players) for player in players) == players


@pytest.mark.parametrize("name", ["attn4", "ffn4", "attn-1", "attn", "Attn0", "mlp0", "attn00", ""])
def test_unknown_players_are_refused(name: str) -> None:
    with pytest.raises(CoalitionError, match=f"no player '{name}'.*attn3, ffn3") as caught:
        player_named(name, players_of(4, "ffn"))
    assert "Use one of these names." in str(caught.value)


def test_the_other_kind_of_feed_forward_is_explained() -> None:
    with pytest.raises(CoalitionError, match="are called ffn, so write ffn2"):
        player_named("moe2", players_of(4, "ffn"))
    with pytest.raises(CoalitionError, match="are called moe, so write moe2"):
        player_named("ffn2", players_of(4, "moe"))


def test_unknown_architecture_says_what_to_add_and_where() -> None:
    with pytest.raises(ModelError, match="'mamba' is not known") as caught:
        architecture_of("mamba")
    for part in (*ARCHITECTURES, "cornerstone/engine/architectures.py", "tests/tiny.py"):
        assert part in str(caught.value)


def test_known_architectures_are_found() -> None:
    assert all(architecture_of(model_type) is layout for model_type, layout in ARCHITECTURES.items())


def names(players: tuple[Player, ...]) -> list[str]:
    return [player.name for player in players]


def test_runs_of_blocks_cover_every_sublayer_once() -> None:
    players = runs_of(7, 3)
    assert names(players) == ["blocks0to2", "blocks3to5", "block6"]
    assert [part for player in players for part in player.parts] == [(i, None) for i in range(14)]
    assert names(runs_of(3, 1)) == ["block0", "block1", "block2"]


def test_experts_stand_in_execution_order() -> None:
    players = experts_of(2, 2)
    assert names(players) == ["attn0", "moe0e0", "moe0e1", "attn1", "moe1e0", "moe1e1"]
    assert [player.position for player in players] == list(range(6))
    assert players[5].parts == ((3, 1),)


def test_groups_stand_in_order_of_their_first_sublayer() -> None:
    players = groups_of(4, "ffn", {"late": ["block3", "ffn1"], "early": ["attn0", "blocks1to1"][:1]})
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
        groups_of(4, "ffn", groups)


def test_stages_say_what_runs() -> None:
    experts = stages_of(experts_of(1, 3), 1, parallel=False)
    assert [stage.kept(0b1111) for stage in experts] == [((0, None),), ((1, None),)]
    assert [stage.kept(0b1010) for stage in experts] == [(), ((1, (0, 2)),)]
    assert experts[1].kept(0b0001) == ()
    (both,) = stages_of(players_of(1, "ffn"), 1, parallel=True)
    assert both.kept(0b11) == ((0, None), (1, None))
    assert both.kept(0b10) == ((1, None),)


def test_what_is_in_no_group_always_runs() -> None:
    stages = stages_of(groups_of(2, "ffn", {"only": ["ffn0"]}), 2, parallel=False)
    assert [stage.kept(0) for stage in stages] == [((0, None),), (), ((2, None),), ((3, None),)]
