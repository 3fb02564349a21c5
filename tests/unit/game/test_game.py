from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cornerstone.errors import CoalitionError, StoreError
from cornerstone.game.game import from_table, read_all
from cornerstone.game.players import players_of
from tests.helpers import configured, game

PLAYERS = players_of(2, "ffn")
ROWS = pd.DataFrame(
    {
        "coalition": ["full"] * 3 + ["drop-attn0"] * 3,
        "doc_id": [2, 0, 10, 10, 2, 0],
        "cluster": ["b", "a", "b", "b", "b", "a"],
        "acc": np.array([1, 0, 1, 0, 1, 0], np.int8),
        "acc_norm": np.array([1, 1, 1, 0, 0, 0], np.int8),
    }
)


def test_a_table_becomes_a_game() -> None:
    found = from_table(ROWS, PLAYERS, "acc")
    assert set(found.values) == {0b1111, 0b1110}
    assert found.documents.tolist() == [0, 2, 10]
    assert found.clusters.tolist() == ["a", "b", "b"]
    assert found.full.tolist() == [0, 1, 1]
    assert found(0b1110).tolist() == [0, 1, 0]
    assert found.full.dtype == np.float64
    assert from_table(ROWS, PLAYERS, "acc_norm").full.tolist() == [1, 1, 1]


def test_the_order_of_rows_does_not_matter() -> None:
    shuffled = from_table(ROWS.sample(frac=1, random_state=3), PLAYERS, "acc")
    ordered = from_table(ROWS, PLAYERS, "acc")
    assert shuffled.clusters.tolist() == ordered.clusters.tolist()
    assert all(np.array_equal(shuffled(c), ordered(c)) for c in ordered.values)


def test_differences_are_not_those_of_small_integers() -> None:
    found = from_table(ROWS, PLAYERS, "acc")
    assert (found(0b1110) - found.full).tolist() == [0, 0, -1]


def test_a_missing_coalition_is_never_made_up() -> None:
    found = from_table(ROWS, PLAYERS, "acc")
    with pytest.raises(StoreError, match="coalition drop-ffn0 was not evaluated"):
        found(0b1101)


def test_a_game_without_the_full_model_says_so() -> None:
    with pytest.raises(StoreError, match="coalition full was not evaluated"):
        _ = game(PLAYERS, lambda _: 0.0, [0]).full


def test_a_metric_that_was_not_scored() -> None:
    with pytest.raises(StoreError, match="no values 'acc_norm'"):
        from_table(ROWS.drop(columns="acc_norm"), PLAYERS, "acc_norm")


def test_coalitions_of_another_model_are_refused() -> None:
    with pytest.raises(CoalitionError, match="no player 'moe0'"):
        from_table(ROWS.replace("drop-attn0", "drop-moe0"), PLAYERS, "acc")


def test_games_of_all_tasks_use_their_own_metric(tmp_path: Path) -> None:
    paths = [tmp_path / "alpha.parquet", tmp_path / "beta.parquet"]
    for path in paths:
        ROWS.to_parquet(path, index=False)
    found = read_all(configured({"models.tiny.blocks": 2}), "tiny", paths)
    assert list(found) == ["alpha", "beta"]
    assert found["alpha"].full.tolist() == [0, 1, 1]  # acc
    assert found["beta"].full.tolist() == [1, 1, 1]  # acc_norm
    ROWS.assign(margin=[-0.5 * i for i in range(len(ROWS))]).to_parquet(paths[0], index=False)
    ROWS.assign(margin=1.5).to_parquet(paths[1], index=False)
    margins = read_all(configured({"models.tiny.blocks": 2}), "tiny", paths, "margin")
    assert margins["beta"].full.tolist() == [1.5, 1.5, 1.5]
    assert margins["alpha"].full.tolist() == [-0.5, 0, -1.0]  # documents 0, 2, 10
    with pytest.raises(ValueError, match="zip"):
        read_all(configured({"models.tiny.blocks": 2}), "tiny", paths[:1])
