"""`until`: which looks there are, what each may err, and at which a run is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cornerstone.config.config import Config, load
from cornerstone.config.looks import Look
from cornerstone.errors import ConfigError
from cornerstone.files import write_text
from tests.helpers import configured, raw

UNTIL = {"settled": "top3", "at_most": 100}


def limited(tmp_path: Path, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """A configuration that begins with 24 documents, of beta with 16."""
    asked = {"documents.limit": 24, "tasks.beta.limit": 16, "until": UNTIL, "paths.results": str(tmp_path)}
    return raw(asked | (changes or {}))


def test_looks_double_up_to_the_last() -> None:
    look, found = Look(1, 24), []
    while look.documents < 100:
        look = look.next(100)
        found.append((look.number, look.documents))
    assert found == [(2, 48), (3, 96), (4, 100)]


def test_no_more_than_the_error_rate_is_spent_however_many_looks_there_are() -> None:
    spent = [Look(number, 0).spent(0.9) for number in range(1, 1001)]
    assert spent == sorted(spent, reverse=True)
    assert 0.0999 - 0.1 / 1001 < sum(spent) <= 0.1
    assert Look(1, 0).spent(0.9) == pytest.approx(0.05)


def written(config: Config, looks: list[int], settings: str | None = None) -> None:
    said = {"tiny": {"settings": settings or config.made_for("tiny"), "looks": looks}}
    write_text(Path(config.paths.results) / "until.json", json.dumps(said))


def test_a_configuration_is_at_the_look_that_is_written_down(tmp_path: Path) -> None:
    config = load(limited(tmp_path))
    assert (config.look("tiny"), config.limit("tiny", "alpha"), config.limit("tiny", "beta")) == (Look(1, 24), 24, 16)
    written(config, [24, 48, 96])
    now = load(limited(tmp_path))
    assert (now.look("tiny"), now.limit("tiny", "alpha"), now.limit("tiny", "beta")) == (Look(3, 96), 96, 64)
    assert now.model_copy(update={"run_tasks": ["alpha"]}).look("tiny") == Look(3, 96)
    without = limited(tmp_path)
    del without["until"]
    assert load(without).limit("tiny", "alpha") == 24


def test_the_most_may_be_raised_later(tmp_path: Path) -> None:
    """The looks go on, and no two have the same part of the error rate."""
    written(load(limited(tmp_path)), [24, 48, 96, 100])
    now = load(limited(tmp_path, {"until": {**UNTIL, "at_most": 1000}}))
    assert (now.look("tiny"), now.look("tiny").next(1000)) == (Look(4, 100), Look(5, 200))


@pytest.mark.parametrize(
    "changes",
    [
        {"documents.limit": 30},
        {"tasks.beta.limit": 12},
        {"until": {"half_width": 0.01, "at_most": 100}},
        {"until": {**UNTIL, "settled": "top2"}},
        {"intervals.level": 0.9},
    ],
)
def test_looks_for_other_settings_do_not_count(tmp_path: Path, changes: dict[str, Any]) -> None:
    written(load(limited(tmp_path)), [24, 48])
    config = load(limited(tmp_path, changes))
    assert config.look("tiny").number == 1
    assert config.limit("tiny", "alpha") == (30 if "documents.limit" in changes else 24)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"tiny": 3}', '{"tiny": {"settings": "x", "looks": []}}',
     '{"tiny": {"settings": "x", "looks": [48, 24]}}', '{"tiny": {"settings": "x", "looks": ["24"]}}',
     '{"tiny": {"settings": 1, "looks": [24]}}'],
)  # fmt: skip
def test_a_file_of_looks_that_is_damaged_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "until.json").write_text(text)
    with pytest.raises(ConfigError, match=r"until\.json .*Delete it: then the looks of `until` begin anew"):
        load(limited(tmp_path))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"until": {"at_most": 100}}, "say one of `settled: top3` and `half_width: 0.01`"),
        ({"until": {**UNTIL, "half_width": 0.01}}, "say one of"),
        ({"until": {"settled": "top3"}}, "until.at_most: is missing"),
        ({"until": {**UNTIL, "settled": "three"}}, "until.settled: .*; it is 'three'"),
        ({"until": {**UNTIL, "settled": "top0"}}, "until.settled"),
        ({"until": {**UNTIL, "settled": "top8"}}, "`until.settled`: top8 of the 8 players of tiny is no question"),
        ({"until": {"half_width": 0, "at_most": 100}}, "until.half_width: .*greater than 0"),
        ({"until": {"half_width": 1, "at_most": 100}}, "`until.half_width`: 1 is half of the range of accuracy"),
        ({"until": {**UNTIL, "at_most": 24}}, "24 documents are no more than the 24 that tiny begins with"),
        (
            {"until": {**UNTIL, "by": "margins"}, "value_functions": ["margin"]},
            "is not evaluated.*Did you mean `margin`",
        ),
        ({"until": UNTIL, "documents.limit": None, "tasks.beta.limit": 4}, "scored on all documents of alpha"),
    ],
)
def test_what_has_no_meaning_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        configured({"documents.limit": 24, **changes})
    assert str(caught.value).count("\n") == 1  # one message
