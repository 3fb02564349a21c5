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


LONG = documents([[(f"q{i}", " a"), (f"q{i}", " bc")] for i in range(20)], remarks={"empty": [3, 19]})
"""Blocks of it are of 16 documents, then of the other four."""
FIRST, REST = Piece(0, 16), Piece(16, 4)


def piece(where: Piece, low: float, **changes: Any) -> Scored:
    rows = [[low - place, -2.0 * place] for place in where.places]
    made = {"piece": where, "loglikelihoods": rows, "tokens": [[1, 2]] * where.count, "cut": [False] * where.count}
    return Scored(**{**made, **changes})


def add(path: Path, *scored: Scored, again: bool = False, seconds: float = 1, **changes: Any) -> dict[str, Any]:
    origin = Origin(**{**vars(ORIGIN), **changes})
    store.write(path, full(PLAYERS), PLAYERS, Wanted(LONG), scored, origin, seconds, *([again] if again else []))
    return read(path)


def test_blocks_of_two_jobs_are_in_the_order_of_documents_and_say_who_scored_them(tmp_path: Path) -> None:
    path = tmp_path / "full.json"
    later = add(path, piece(REST, -1.0), seconds=1, device="cuda")
    assert [block["first"] for block in later["blocks"]] == [16]
    assert later["documents"]["doc_id"] == [16, 17, 18, 19]
    assert later["configs"]["alpha"]["remarks"] == {"empty": [19]}
    both = add(path, piece(FIRST, -5.0), seconds=2)
    assert both["documents"]["doc_id"] == list(range(20))
    assert both["documents"]["doc_hash"] == [f"hash{i}" for i in range(20)]
    rows = [*piece(FIRST, -5.0).loglikelihoods, *piece(REST, -1.0).loglikelihoods]
    assert both["documents"]["loglikelihood"] == rows
    jobs = both["provenance"]["jobs"]
    assert [(jobs[block["job"]]["device"], jobs[block["job"]]["seconds"]) for block in both["blocks"]] == [
        ("cpu", 2), ("cuda", 1)
    ]  # fmt: skip
    wanted = Wanted(LONG)
    assert [block["digest"] for block in both["blocks"]] == [wanted.digest(FIRST), wanted.digest(REST)]
    assert both["configs"]["alpha"] == {
        "task": "alpha", "output_type": LONG.kind, "source": "embedded", "split": "validation", "num_fewshot": 0,
        "made_from": LONG.made_from, "remarks": {"empty": [3, 19]},
    }  # fmt: skip
    again = add(path, piece(FIRST, -9.0))
    assert again["documents"] == both["documents"]  # what is there stays
    other = add(path, piece(FIRST, -9.0), again=True)
    assert other["documents"]["loglikelihood"][:16] == piece(FIRST, -9.0).loglikelihoods
    assert other["documents"]["loglikelihood"][16:] == rows[16:]


def test_what_other_settings_or_another_coalition_scored_does_not_stay(tmp_path: Path) -> None:
    path = tmp_path / "full.json"
    add(path, piece(REST, -1.0), fingerprint="f" * 16)
    assert add(path, piece(FIRST, -5.0))["documents"]["doc_id"] == list(range(16))
    store.write(path, without([0], PLAYERS), PLAYERS, Wanted(LONG), [piece(REST, -1.0)], ORIGIN, 1)
    assert read(path)["documents"]["doc_id"] == [16, 17, 18, 19]
    assert add(path, piece(FIRST, -5.0))["documents"]["doc_id"] == list(range(16))


def test_blocks_of_unknown_jobs_or_lengths_are_not_current(tmp_path: Path) -> None:
    path = tmp_path / "full.json"
    good = add(path, piece(FIRST, -5.0), piece(REST, -1.0))

    def blocks(change: dict[str, Any]) -> int:
        sections = json.loads(json.dumps(good))
        sections["blocks"][1] |= change
        store.save(path, sections)
        return len(store.current(path, ORIGIN.fingerprint, Wanted(LONG), full(PLAYERS), PLAYERS))

    assert blocks({}) == 2
    assert blocks({"job": 1}) == blocks({"job": -1}) == blocks({"count": 3}) == 0


def test_a_number_that_is_none_is_named_with_its_block_document_and_choice(tmp_path: Path) -> None:
    rows = [[-1.0, -1.0], [-1.0, -1.0], [-1.0, float("nan")], [float("inf"), -1.0]]
    said = (
        "nan for choice 1 of document 18, in the block of documents 16 to 19. Half precision may have overflowed: set"
    )
    with pytest.raises(StoreError, match=re.escape(said)):
        add(tmp_path / "x.json", piece(FIRST, -1.0), piece(REST, -1.0, loglikelihoods=rows))


@pytest.mark.parametrize("short", [{"loglikelihoods": [[-1.0, -1.0]] * 3}, {"loglikelihoods": [[-1.0, -1.0]] * 5}])
def test_scores_of_fewer_or_more_documents_are_an_error(tmp_path: Path, short: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="argument 2"):
        add(tmp_path / "x.json", piece(REST, -1.0, **short))


def test_what_the_model_would_write_by_itself_is_kept_and_counts(tmp_path: Path) -> None:
    """A task of one continuation each, that is right where the model would write it."""
    told = documents([[(f"q{i}", " a b")] for i in range(3)], kind="loglikelihood", metrics=["acc", "perplexity"])
    scored = Scored(WHOLE, [[-1.0], [-2.0], [-3.0]], [[1], [2], [2]], [False] * 3, [[True], [False], [True]])
    path = tmp_path / "x.json"
    store.write(path, full(PLAYERS), PLAYERS, Wanted(told), [scored], ORIGIN, 1)
    found = read(path)
    assert found["documents"]["greedy"] == [[1], [0], [1]]
    assert found["documents"]["acc"] == [1, 0, 1]
    assert found["results"]["alpha"]["acc,none"] == pytest.approx(2 / 3)
    assert found["results"]["alpha"]["perplexity,none"] == pytest.approx(math.exp(2))
    assert found["results"]["alpha"]["perplexity_stderr,none"] == "N/A"


def test_damage_says_why_and_nothing_of_what_is_whole_or_missing(tmp_path: Path) -> None:
    path = write(tmp_path / "x.json")
    assert store.damage(path) == ""
    assert store.damage(tmp_path / "none.json") == ""
    path.write_text(path.read_text().replace("-0.5", "-0.6"))
    said = store.damage(path)
    assert said.startswith(f"{path} can't be read: ")
    assert "was changed after it was written: sha256 of the section `documents` differs" in said
    assert f"Delete it and run `snakemake {path}` to make it again." in said
    dangling = tmp_path / "link.json"
    dangling.symlink_to(tmp_path / "nowhere")
    assert store.damage(dangling)


def test_an_older_result_without_checksums_is_read_where_its_numbers_fit(tmp_path: Path) -> None:
    path = write(tmp_path / "x.json")
    old = {key: value for key, value in json.loads(path.read_text()).items() if key != "sha256"}
    path.write_text(json.dumps(old))
    assert read(path) == old
    old["documents"]["loglikelihood"][0][0] = 3.0
    path.write_text(json.dumps(old))
    with pytest.raises(
        StoreError, match=r"document 0 has a log-likelihood that is none: .*Delete it and run"
    ) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path} can't be read: ")


def test_a_result_with_the_needed_sections_alone_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "x.json")
    needed = {key: value for key, value in json.loads(path.read_text()).items() if key in store.SECTIONS}
    path.write_text(json.dumps(needed))
    assert read(path) == needed
    del needed["blocks"]
    path.write_text(json.dumps(needed))
    with pytest.raises(StoreError, match=re.escape(f"lacks sections of a coalition's result. {store.again(path)}")):
        read(path)
