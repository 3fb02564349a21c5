"""Every model type of transformers: what docs/architectures.md says of it is what comes out today."""

from __future__ import annotations

import pytest

from tests import types
from tests.architectures import PAGE, look, rows_of
from tests.helpers import ROOT

ROWS = rows_of(PAGE.read_text(encoding="utf-8"))


EACH = 5
"""Of so many types `make test` looks at one; `make test-rare` at the others, which takes minutes."""
SLOW = ("kimi_linear",)
"""Types that alone take a third of that time: they are for `make test-rare`, too."""


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore")  # what models of 189 types warn of at tiny sizes is not ours
@pytest.mark.parametrize(
    "model_type",
    [
        name if place % EACH == 0 and name not in SLOW else pytest.param(name, marks=pytest.mark.rare)
        for place, name in enumerate(types.TYPES)
    ],
)
def test_the_page_says_what_comes_out(model_type: str) -> None:
    assert look(model_type).row(model_type) == ROWS[model_type], "run: python -m tests.architectures"


def test_the_page_has_every_type_and_enough_work() -> None:
    assert tuple(ROWS) == types.TYPES
    works = sum("| yes |" in row for row in ROWS.values())
    assert works >= 100
    said = f"{works} of the {len(ROWS)} model types"
    assert said in (ROOT / "README.md").read_text(encoding="utf-8")
    assert said in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
