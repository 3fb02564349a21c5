from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from cornerstone.assets import documents as tasks
from cornerstone.assets.documents import EQUAL
from cornerstone.errors import AssetError, TaskError
from tests.helpers import documents, left_over

DATA = documents([[("q é", " a"), ("q é", " b")], [("r", " a"), ("r", " b"), ("r", " c"), ("r", " d")]])


def test_round_trip(tmp_path: Path) -> None:
    tasks.write(DATA, tmp_path / "new" / "x.json")
    assert tasks.read(tmp_path / "new" / "x.json") == DATA
    assert left_over(tmp_path) == []


def test_the_first_documents_and_chance() -> None:
    assert DATA.chance == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert DATA.first(1).documents == DATA.documents[:1]
    assert DATA.first(1).chance == 0.5
    assert DATA.first(None) == DATA.first(99) == DATA
    assert len(DATA.documents) == 2


def test_a_metric_that_the_task_lacks() -> None:
    data = documents([[("q", " a"), ("q", " b")]], metrics=["acc"])
    data.need_metric("acc")
    with pytest.raises(TaskError, match=r"tasks\.alpha\.metric: alpha does not define 'acc_norm', it has acc"):
        data.need_metric("acc_norm")


@pytest.mark.parametrize("keep", [0, 50, -5])
def test_damaged_documents_name_the_remedy(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "x.json"
    tasks.write(DATA, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(AssetError, match=rf"{path} can't be read: .*Delete it and run `snakemake fetch`"):
        tasks.read(path)


def test_documents_that_were_changed_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    tasks.write(DATA, path)
    written = path.read_text()
    changes = [
        ("q é", "q è"),
        ('"gold": 1', '"gold": 0'),
        ('"total": 100', '"total": 101'),
        ('"sha256": "', '"sha256": "0'),
    ]
    for old, new in changes:
        assert old in written
        path.write_text(written.replace(old, new, 1))
        with pytest.raises(AssetError, match=r"was changed after it was written.*Delete it and run `snakemake fetch`"):
            tasks.read(path)
    old_version = json.loads(written)
    del old_version["sha256"]
    path.write_text(json.dumps(old_version))
    assert tasks.read(path) == DATA


def test_documents_of_another_form_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(AssetError, match=r"is missing\. Run `snakemake fetch`"):
        tasks.read(path)
    for text in ("{}", '{"documents": [], "colour": 1}', '{"documents": [{}]}'):
        path.write_text(text)
        with pytest.raises(AssetError, match="can't be read"):
            tasks.read(path)


def test_the_code_that_made_documents_is_not_what_results_are_compared_by() -> None:
    assert dataclasses.replace(DATA, code="0f").digest == DATA.digest


def test_contexts_that_choices_share_are_kept_once(tmp_path: Path) -> None:
    data = documents([[("a long context", " a"), ("a long context", " b")], [("Ann", " sat."), ("Bo", " sat.")]])
    tasks.write(data, tmp_path / "x.json")
    assert (tmp_path / "x.json").read_text().count("a long context") == 1
    assert tasks.read(tmp_path / "x.json") == data


def test_value_functions_follow_from_the_kind_of_task() -> None:
    choices = documents([[("q", " a"), ("q", " b")]])
    text = dataclasses.replace(documents([[("", "a text")]]), kind="loglikelihood_rolling", metrics=["bits_per_byte"])
    assert set(text.functions) - set(choices.functions) == {"log-probability-per-word"}
    assert set(choices.functions) - set(text.functions) == {"margin", "soft-accuracy"}
    text.need_metric("bits_per_byte", ["log-probability-per-word"])
    with pytest.raises(
        TaskError, match=r"value_functions: alpha \(loglikelihood_rolling\) has no margin; it has log-pr"
    ):
        text.need_metric("bits_per_byte", ["margin"])
    assert text.chance != text.chance  # not a number: nothing to guess among


def test_several_right_choices_are_guessed_more_easily() -> None:
    data = documents([[("q", " a"), ("q", " b"), ("q", " c"), ("q", " d")]])
    several = dataclasses.replace(data.documents[0], gold=[0, 2, 3])
    assert dataclasses.replace(data, documents=[several]).chance == 0.75


def test_whether_a_metric_asks_what_the_model_would_write() -> None:
    data = documents([[("q", " a"), ("q", " b")]])
    assert not data.greedy
    assert dataclasses.replace(data, metrics=["exact_match"]).greedy
    assert dataclasses.replace(data, kind="loglikelihood").greedy
    assert not dataclasses.replace(data, kind="loglikelihood", metrics=["perplexity"]).greedy


def test_remarks_are_on_the_documents_that_are_there() -> None:
    data = documents([[("q", " a"), ("q", " b")]] * 4, remarks={EQUAL: [1, 3]})
    assert data.remarked() == {EQUAL: [1, 3]}
    assert data.first(2).remarked() == {EQUAL: [1]}
    assert data.first(1).remarked() == {}
