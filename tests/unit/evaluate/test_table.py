from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cornerstone.errors import StoreError
from cornerstone.evaluate import table as tables
from cornerstone.evaluate.wanted import Wanted
from cornerstone.game.coalitions import full, without
from tests.helpers import configured, left_over
from tests.unit.evaluate.test_result import DATA, ORIGIN, PLAYERS, SCORES, write

CONFIG = configured({"value_functions": ["margin", "log-probability"]})


def table(paths: list[Path], fingerprint: str = ORIGIN.fingerprint) -> pd.DataFrame:
    return tables.table(paths, PLAYERS, fingerprint, Wanted(DATA), CONFIG)


def edited(path: Path, section: str, **changes: Any) -> Path:
    """A result as older versions wrote them, without checksums, with some of it changed."""
    result = json.loads(path.read_text())
    del result["sha256"]
    result[section].update(changes)
    path.write_text(json.dumps(result))
    return path


def test_a_table_has_a_row_for_each_coalition_and_document(tmp_path: Path) -> None:
    other = [[-2.0, -1.0], [-1.0, -2.0, -3.0], [-1.0, -2.0]]
    paths = [write(tmp_path / "full.json"), write(tmp_path / "drop-attn0.json", without([0], PLAYERS), other)]
    found = table(paths)
    assert found["coalition"].tolist() == ["full"] * 3 + ["drop-attn0"] * 3
    assert found["doc_id"].tolist() == [0, 1, 2] * 2
    assert found["cluster"].tolist() == ["0", "1", "2"] * 2
    assert found["acc"].tolist() == [1, 1, 1, 0, 0, 1]
    assert found["acc_norm"].tolist() == [0, 1, 1, 0, 0, 1]
    assert list(found.columns) == ["coalition", "doc_id", "cluster", "acc", "acc_norm", "margin", "log-probability"]
    # SCORES over lengths: -1/2, -2/6; -3/2, -1/6, -1/4; -3/4, -3/4. Gold is 0, 1, 0
    assert found["margin"].tolist()[:3] == pytest.approx([-1 / 2 + 2 / 6, -1 / 6 + 1 / 4, 0])
    assert found["margin"].tolist()[3:] == pytest.approx([-2 / 2 + 1 / 6, -2 / 2 + 1 / 2, -1 / 2 + 2 / 2])
    assert found["log-probability"].tolist() == [-1.0, -1 / 3, -1.5, -2.0, -2.0, -1.0]


def test_a_table_survives_its_file(tmp_path: Path) -> None:
    paths = [write(tmp_path / "full.json")]
    tables.write(
        paths, PLAYERS, ORIGIN.fingerprint, "made by", Wanted(DATA), CONFIG, tmp_path / "new" / "values.parquet"
    )
    found = pd.read_parquet(tmp_path / "new" / "values.parquet")
    results = hashlib.sha256(f"full {json.loads(paths[0].read_text())['sha256']['documents']}\n".encode()).hexdigest()
    assert found.attrs == {"fingerprint": "made by", "documents": DATA.digest, "results": results}
    found.attrs = {"results": results}
    pd.testing.assert_frame_equal(found, table(paths))
    assert left_over(tmp_path) == []


def test_foreign_results_are_refused(tmp_path: Path) -> None:
    paths = [write(tmp_path / "full.json"), write(tmp_path / "b.json", 0, fingerprint="f" * 16)]
    with pytest.raises(
        StoreError, match=rf"{paths[1]} was made by other .*{'f' * 16}, now {ORIGIN.fingerprint}.*Delete"
    ):
        table(paths)


def test_results_on_other_documents_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "full.json")
    other = dataclasses.replace(DATA, documents=[*DATA.documents[:2], dataclasses.replace(DATA.documents[2], gold=1)])
    with pytest.raises(StoreError, match=rf"{path} lacks 3 of the 3 documents, or .*Run `snakemake {path}`"):
        tables.table([path], PLAYERS, ORIGIN.fingerprint, Wanted(other), CONFIG)


def test_a_result_under_another_coalitions_name_is_refused(tmp_path: Path) -> None:
    """`table` promises a StoreError for a foreign file: 'other fingerprint, other name'."""
    paths = [write(tmp_path / "full.json"), write(tmp_path / "drop-attn0.json", full(PLAYERS))]
    with pytest.raises(StoreError, match=r"drop-attn0\.json"):
        table(paths)


def test_a_truncated_result_is_refused_by_the_table(tmp_path: Path) -> None:
    paths = [write(tmp_path / "full.json"), write(tmp_path / "x.json", 0)]
    paths[1].write_bytes(paths[1].read_bytes()[:200])
    with pytest.raises(StoreError, match=str(paths[1])):
        table(paths)


def test_no_results_are_no_table() -> None:
    with pytest.raises(StoreError, match="no result to read"):
        table([])


@pytest.mark.parametrize(
    ("changes", "metric"),
    [
        ({"acc": [1, 0, 1]}, "acc"),
        ({"acc_norm": [1, 1, 1]}, "acc_norm"),
        ({"loglikelihood": [[-2.0, -1.0], *SCORES[1:]]}, "acc"),
        ({"loglikelihood": [[-1.0, -3.1], *SCORES[1:]]}, "acc_norm"),
    ],
)
def test_scores_that_do_not_follow_from_the_log_likelihoods_are_refused(
    tmp_path: Path, changes: dict[str, Any], metric: str
) -> None:
    path = edited(write(tmp_path / "full.json"), "documents", **changes)
    with pytest.raises(StoreError, match=rf"{path} .*`{metric}` does not follow .*Delete it and run"):
        table([path])


def test_log_likelihoods_that_change_no_answer_are_believed(tmp_path: Path) -> None:
    path = edited(write(tmp_path / "full.json"), "documents", loglikelihood=[[-1.0, -2.5], *SCORES[1:]])
    assert table([path])["margin"][0] == pytest.approx(-1 / 2 + 2.5 / 6)


@pytest.mark.parametrize(
    "changes",
    [
        {"loglikelihood": SCORES[1:]},
        {"gold": [0, 1]},
        {"gold": [0, 1, 2]},
        {"gold": [1, 1, 0]},
        {"length": [[2, 2], [2, 2, 2], [2, 2]]},
        {"tokens": [[1], [1], [1]]},
        {"gold": [-1, 1, 0]},
        {"length": [[2], [2], [2]]},
        {"doc_id": [0, 1]},
    ],
)
def test_arrays_that_do_not_fit_each_other_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = edited(write(tmp_path / "full.json"), "documents", **changes)
    with pytest.raises(StoreError, match=str(path)):
        table([path])


@pytest.mark.parametrize("array", ["doc_id", "gold", "length", "loglikelihood"])
def test_a_result_that_lacks_an_array_is_refused(tmp_path: Path, array: str) -> None:
    path = write(tmp_path / "full.json")
    result = json.loads(path.read_text())
    del result["documents"][array]
    path.write_text(json.dumps(result))
    with pytest.raises(StoreError, match=str(path)):
        table([path])
