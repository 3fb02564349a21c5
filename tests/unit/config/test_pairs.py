"""Which models may be compared."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from cornerstone.config.config import Config
from cornerstone.errors import ConfigError
from tests.helpers import configured, raw

TINY = raw()["models"]["tiny"]
MODELS = {"run": ["tiny", "tuned"], "models.tuned": TINY | {"id": "/elsewhere"}}

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "unknown": ({"compare": [["tiny", "huge"]]}, "[tiny, huge] names 'huge', which is not under `models`; there: tiny"),
    "inactive": ({"compare": [["tiny", "other"]]}, "[tiny, other] names 'other', which is not run; add it to `run`"),
    "equal": ({"compare": [["tiny", "tiny"]]}, "[tiny, tiny] names one model twice"),
    "twice": (
        {"compare": [["tiny", "tuned"], ["tuned", "tiny"]]},
        "names a pair twice: [tiny, tuned] and [tuned, tiny]",
    ),
    "one": ({"compare": [["tiny"]]}, "[tiny] has 1 models; write two"),
    "three": ({"compare": [["tiny", "tuned", "other"]]}, "[tiny, tuned, other] has 3 models; write two"),
    "source": (
        {"compare": [["tiny", "tuned"]], "models.tuned.documents": {"source": "hub"}},
        "tiny is scored on documents of `source: embedded`, tuned on those of `source: hub`",
    ),
    "limit": (
        {"compare": [["tiny", "tuned"]], "models.tuned.documents": {"limit": 7}},
        "tiny is scored on all documents of alpha, tuned on 7; set the same limit under `models.tiny.documents`",
    ),
    "folder": (
        {
            "compare": [["a", "b--c"], ["a--b", "c"]],
            "run": ["a", "b--c", "a--b", "c"],
            **{f"models.{name}": TINY for name in ("a", "b--c", "a--b", "c")},
        },
        "two pairs would share the folder a--b--c; rename a model",
    ),
}


def asked(changes: dict[str, Any]) -> Config:
    return configured(copy.deepcopy({**MODELS, **changes}))


@pytest.mark.parametrize("case", BAD)
def test_a_pair_that_can_not_be_compared_is_refused_with_one_message(case: str) -> None:
    changes, message = BAD[case]
    with pytest.raises(ConfigError) as refused:
        asked(changes)
    assert message in str(refused.value)
    assert str(refused.value).count("\n") == 1


def test_pairs_keep_their_order_and_know_equal_players() -> None:
    short = {"models.short": TINY | {"blocks": 2}, "run": ["tiny", "tuned", "short"]}
    config = asked({**short, "compare": [["tuned", "tiny"], ["tiny", "short"]]})
    assert config.pairs == [("tuned", "tiny"), ("tiny", "short")]
    assert [config.equal_players(pair) for pair in config.pairs] == [True, False]
    assert configured().pairs == []


def test_what_depends_on_tokens_is_not_compared() -> None:
    functions = ["log-probability", "log-probability-per-token"]
    config = asked({}).model_copy(update={"value_functions": functions})
    assert config.compared_functions == ["accuracy", "log-probability"]


def test_a_limit_of_one_task_is_the_same_for_both() -> None:
    changes = {"tasks.alpha": {"metric": "acc", "limit": 3}, "compare": [["tiny", "tuned"]]}
    assert asked(changes).pairs == [("tiny", "tuned")]
