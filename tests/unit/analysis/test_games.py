from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import cornerstone
from cornerstone.analysis.games import from_table, load_results, read_all, read_values
from cornerstone.config.config import Config
from cornerstone.errors import CoalitionError, ConfigError, StoreError
from cornerstone.game.players import alike, players_of
from cornerstone.plan import fingerprint
from cornerstone.plan.layout import Layout
from tests.helpers import configured, raw

PLAYERS = players_of(alike(2))
ROWS = pd.DataFrame(
    {
        "coalition": ["full"] * 3 + ["drop-attn0"] * 3,
        "doc_id": [2, 0, 10, 10, 2, 0],
        "cluster": ["b", "a", "b", "b", "b", "a"],
        "acc": np.array([1, 0, 1, 0, 1, 0], np.int8),
        "acc_norm": np.array([1, 1, 1, 0, 0, 0], np.int8),
    }
)
SMALL = {"models.tiny.blocks": 2}


def save(config: Config, task: str, path: Path, rows: pd.DataFrame = ROWS) -> None:
    """As `evaluate.table` writes it: the fingerprint goes with the rows."""
    frame = rows.copy()
    frame.attrs["fingerprint"] = fingerprint.of_values(config, "tiny", task)
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(path, index=False)


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


def test_a_coalition_that_is_not_in_the_table_is_never_made_up() -> None:
    with pytest.raises(StoreError, match="coalition drop-ffn0 was not evaluated"):
        from_table(ROWS, PLAYERS, "acc")(0b1101)


def test_a_metric_that_was_not_scored() -> None:
    with pytest.raises(StoreError, match="no values 'acc_norm'"):
        from_table(ROWS.drop(columns="acc_norm"), PLAYERS, "acc_norm")


def test_coalitions_of_another_model_are_refused() -> None:
    with pytest.raises(CoalitionError, match="no player 'moe0'"):
        from_table(ROWS.replace("drop-attn0", "drop-moe0"), PLAYERS, "acc")


def test_games_of_all_tasks_use_their_own_metric(tmp_path: Path) -> None:
    config, paths = configured(SMALL), [tmp_path / "alpha.parquet", tmp_path / "beta.parquet"]
    for task, path in zip(config.run_tasks, paths, strict=True):
        save(config, task, path)
    found = read_all(config, "tiny", paths)
    assert list(found) == ["alpha", "beta"]
    assert found["alpha"].full.tolist() == [0, 1, 1]  # acc
    assert found["beta"].full.tolist() == [1, 1, 1]  # acc_norm
    save(config, "alpha", paths[0], ROWS.assign(margin=[-0.5 * i for i in range(len(ROWS))]))
    save(config, "beta", paths[1], ROWS.assign(margin=1.5))
    margins = read_all(config, "tiny", paths, "margin")
    assert margins["beta"].full.tolist() == [1.5, 1.5, 1.5]
    assert margins["alpha"].full.tolist() == [-0.5, 0, -1.0]  # documents 0, 2, 10
    with pytest.raises(ValueError, match="zip"):
        read_all(config, "tiny", paths[:1])


@pytest.mark.parametrize("change", [{"models.tiny.dtype": "bfloat16"}, {"documents.limit": 5}])
def test_values_of_other_settings_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    config, path = configured({**SMALL, "run_tasks": ["alpha"]}), tmp_path / "alpha.parquet"
    save(config, "alpha", path)
    assert list(read_all(config, "tiny", [path])) == ["alpha"]
    changed = configured({**SMALL, "run_tasks": ["alpha"], **change})
    old, new = (fingerprint.of_values(c, "tiny", "alpha") for c in (config, changed))
    with pytest.raises(StoreError, match=rf"{path} was made .*\(fingerprint {old}, now {new}\)\. Delete it"):
        read_all(changed, "tiny", [path])


def test_values_that_do_not_say_what_made_them_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "alpha.parquet"
    ROWS.to_parquet(path, index=False)
    with pytest.raises(StoreError, match="fingerprint None, now"):
        read_all(configured({**SMALL, "run_tasks": ["alpha"]}), "tiny", [path])


@pytest.mark.parametrize("content", [None, b"", b"PAR1", b"coalition,doc_id\n"])
def test_tables_that_cannot_be_read_name_themselves_and_the_remedy(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "values.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StoreError, match=rf"{path} (can't be read: .*it and|is missing\.) [rR]un the workflow again"):
        read_values(path)


def test_a_truncated_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "values.parquet"
    ROWS.to_parquet(path, index=False)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StoreError, match=r"can't be read: .*Delete it"):
        read_values(path)


def test_results_of_a_run_are_games_by_task(tmp_path: Path) -> None:
    settings = raw({**SMALL, "paths.results": str(tmp_path / "results")})
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    config = configured({**SMALL, "paths.results": str(tmp_path / "results")})
    for task in config.run_tasks:
        save(config, task, Path(Layout(config).values("tiny", task)), ROWS.assign(margin=2.5))
    found = load_results("tiny", tmp_path / "mine.yaml")
    assert {task: game.full.tolist() for task, game in found.items()} == {"alpha": [0, 1, 1], "beta": [1, 1, 1]}
    margins = load_results("tiny", tmp_path / "mine.yaml", value_function="margin")
    assert margins["beta"].full.tolist() == [2.5] * 3
    with pytest.raises(ConfigError, match="there is no model 'big' in the configuration; there are tiny, other"):
        load_results("big", tmp_path / "mine.yaml")
    assert cornerstone.load_results is load_results
