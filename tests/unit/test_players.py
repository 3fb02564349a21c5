from __future__ import annotations

import pytest

from cornerstone.errors import CoalitionError, ModelError
from cornerstone.players import ARCHITECTURES, Player, architecture_of, player_named, players_of


def test_players_alternate_in_execution_order() -> None:
    assert [player.name for player in players_of(2, "ffn")] == ["attn0", "ffn0", "attn1", "ffn1"]
    assert players_of(2, "moe")[3] == Player(position=3, kind="moe", block=1)


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
    for part in (*ARCHITECTURES, "cornerstone/players.py", "tests/tiny.py"):
        assert part in str(caught.value)


def test_known_architectures_are_found() -> None:
    assert all(architecture_of(model_type) is layout for model_type, layout in ARCHITECTURES.items())
