from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cornerstone import files
from cornerstone.engine.blocks import Piece
from cornerstone.errors import StoreError
from cornerstone.evaluate import result as store
from cornerstone.evaluate.result import Origin, Scored, missing, read
from cornerstone.evaluate.wanted import Wanted
from cornerstone.game.coalitions import full, name, without
from cornerstone.game.players import alike, players_of
from tests.helpers import documents, left_over

PLAYERS = players_of(alike(4))
DATA = documents([[("q", " a"), ("q", " bcdef")], [("r", " a"), ("r", " b"), ("r", " c")], [("s", " x"), ("s", " y")]])
SCORES = [[-1.0, -2.0], [-3.0, -1 / 3, -0.5], [-1.5, -1.5]]  # gold is 0, 1, 0; a tie goes to the first
ORIGIN = Origin("0123456789abcdef", "fedcba9876543210", {"name": "tiny"}, {"torch": "2"}, "cpu", "resident")
WHOLE = Piece(0, 3)


def write(path: Path, coalition: int = full(PLAYERS), scores: list[list[float]] = SCORES, **changes: Any) -> Path:
    origin = Origin(**{**vars(ORIGIN), **changes})
    scored = Scored(WHOLE, scores, [[1] * len(row) for row in scores], [False] * len(scores))
    store.write(path, coalition, PLAYERS, Wanted(DATA), [scored], origin, 1.23456)
    return path


def current(path: Path, coalition: int = full(PLAYERS), fingerprint: str = ORIGIN.fingerprint) -> bool:
    """Whether nothing has to be scored."""
    return not missing(path, fingerprint, Wanted(DATA), coalition, PLAYERS)


def test_round_trip(tmp_path: Path) -> None:
    coalition = without([1, 6], PLAYERS)
    result = read(write(tmp_path / "x.json", coalition))
    assert result["coalition"] == {
        "name": "drop-ffn0-attn3", "kept_mask": "0xbd", "players": 8, "removed": ["ffn0", "attn3"]
    }  # fmt: skip
    assert int(result["coalition"]["kept_mask"], 16) == coalition
    assert result["provenance"] == {
        "fingerprint": "0123456789abcdef",
        "settings": "fedcba9876543210",
        "model": {"name": "tiny"},
        "jobs": [{"seconds": 1.235, "device": "cpu", "weights": "resident", "versions": {"torch": "2"}}],
    }
    assert result["blocks"] == [{"first": 0, "count": 3, "digest": DATA.digest, "job": 0}]
    assert result["documents"] == {
        "doc_id": [0, 1, 2],
        "doc_hash": ["hash0", "hash1", "hash2"],
        "gold": [0, 1, 0],
        "length": [[2, 6], [2, 2, 2], [2, 2]],
        "loglikelihood": SCORES,
        "tokens": [[1, 1], [1, 1, 1], [1, 1]],
        "cut": [0, 0, 0],
        "greedy": [[], [], []],
        "acc": [1, 1, 1],
        "acc_norm": [0, 1, 1],  # -1/2 against -2/6
    }
    assert current(tmp_path / "x.json", coalition)


def test_it_says_what_lm_eval_says(tmp_path: Path) -> None:
    result = read(write(tmp_path / "x.json"))
    right = np.array([0, 1, 1])
    assert result["results"]["alpha"] == {
        "alias": "alpha",
        "acc,none": 1.0,
        "acc_stderr,none": 0.0,
        "acc_norm,none": pytest.approx(2 / 3),
        "acc_norm_stderr,none": pytest.approx(right.std(ddof=1) / math.sqrt(3)),
    }
    assert result["versions"] == {"alpha": "1.0"}
    assert result["n-shot"] == {"alpha": 0}
    assert result["n-samples"] == {"alpha": {"original": 100, "effective": 3}}
    assert result["higher_is_better"] == {"alpha": {"acc": True, "acc_norm": True}}
    assert result["configs"]["alpha"]["task"] == "alpha"
    assert result["configs"]["alpha"]["num_fewshot"] == 0


def test_standard_errors_are_lm_evals_own(tmp_path: Path) -> None:
    from lm_eval.api.metrics import mean_stderr

    result = read(write(tmp_path / "x.json"))
    for metric in ("acc", "acc_norm"):
        assert result["results"]["alpha"][f"{metric}_stderr,none"] == pytest.approx(
            mean_stderr(result["documents"][metric])
        )


def test_the_file_has_a_line_for_each_array_and_the_mean_of_it(tmp_path: Path) -> None:
    text = write(tmp_path / "x.json").read_text()
    assert '\n  "acc_norm": [0, 1, 1]' in text
    assert text.endswith("}\n")


def test_log_likelihoods_keep_every_bit(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).normal(-20, 9, 7).tolist()
    result = read(write(tmp_path / "x.json", scores=[scores[:2], scores[2:5], scores[5:]]))
    assert [value for row in result["documents"]["loglikelihood"] for value in row] == scores


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_no_number_is_refused_and_the_old_file_stays(tmp_path: Path, value: float) -> None:
    path = write(tmp_path / "drop-attn0.json", without([0], PLAYERS))
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"drop-attn0 of alpha .* no finite number.*dtype: bfloat16"):
        write(path, without([0], PLAYERS), [[-1.0, -2.0], [-1.0, value, -1.0], [-1.0, -1.0]])
    assert path.read_bytes() == before
    assert left_over(tmp_path) == []


def test_a_write_that_dies_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "x.json")
    before = path.read_bytes()

    def die(self: Path, text: str, **_: Any) -> None:
        with self.open("w") as stream:
            stream.write(text[: len(text) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(files.Path, "write_text", die)
    with pytest.raises(KeyboardInterrupt):
        write(path, scores=[[-9.0, -9.0], [-9.0] * 3, [-9.0, -9.0]])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_a_missing_file_names_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "full.json"
    with pytest.raises(StoreError, match=re.escape(f"{path} is missing. Run `snakemake {path}`")):
        read(path)
    assert not current(path)


@pytest.mark.parametrize("keep", [0, 1, 100, -3])
def test_a_truncated_file_names_itself_and_the_remedy(tmp_path: Path, keep: int) -> None:
    path = write(tmp_path / "full.json")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(StoreError, match="truncated") as caught:
        read(path)
    assert str(caught.value).startswith(f"{path} can't be read: ")
    assert f"Delete it and run `snakemake {path}`" in str(caught.value)
    assert not current(path)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[]", b"null", b"1", b'"text"'])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "full.json"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=re.escape(str(path))):
        read(path)
    assert not current(path)


@pytest.mark.parametrize("section", ["results", "coalition", "documents", "blocks", "provenance"])
def test_a_file_without_a_section_is_refused(tmp_path: Path, section: str) -> None:
    path = write(tmp_path / "full.json")
    result = json.loads(path.read_text())
    del result[section]
    path.write_text(json.dumps(result))
    with pytest.raises(StoreError, match="lacks sections"):
        read(path)
    assert not current(path)


@pytest.mark.parametrize("section", ["coalition", "provenance"])
def test_a_file_with_an_empty_section_is_not_current(tmp_path: Path, section: str) -> None:
    path = write(tmp_path / "full.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), section: {}}))
    assert not current(path)


def test_current_is_the_coalition_and_the_fingerprint(tmp_path: Path) -> None:
    path = write(tmp_path / "full.json")
    assert current(path)
    assert not current(path, without([0], PLAYERS))
    assert not current(path, fingerprint="f" * 16)
    assert current(write(path, 0xFD), 0xFD)  # drop-ffn0, which a mixture of experts lacks
    assert missing(path, ORIGIN.fingerprint, Wanted(DATA), 0xFD, players_of(alike(4, "moe"))) == (WHOLE,)


def test_names_on_disk_are_names_of_coalitions(tmp_path: Path) -> None:
    coalition = without([2, 3], PLAYERS)
    assert read(write(tmp_path / "x.json", coalition))["coalition"]["name"] == name(coalition, PLAYERS)
