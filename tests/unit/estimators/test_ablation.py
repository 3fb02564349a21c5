from __future__ import annotations

import pytest

from cornerstone.errors import StoreError
from cornerstone.estimators import ablation
from cornerstone.game.coalitions import ablation_coalitions
from tests.helpers import game, some_players

THREE = some_players(3)
VALUES: dict[int, list[float]] = {0b111: [1.0, 0.0], 0b110: [0.0, 0.0], 0b101: [1.0, 1.0], 0b011: [0.25, 0.0]}


def test_by_hand() -> None:
    found = ablation.estimate(game(THREE, VALUES.__getitem__, VALUES))
    assert found.tolist() == [[1, 0, 0.75], [0, -1, 0]]


def test_its_plan_is_what_it_asks_for() -> None:
    assert set(ablation_coalitions(THREE)) == set(VALUES)


@pytest.mark.parametrize("missing", VALUES)
def test_a_missing_coalition_is_an_error(missing: int) -> None:
    with pytest.raises(StoreError, match="was not evaluated"):
        ablation.estimate(game(THREE, VALUES.__getitem__, [c for c in VALUES if c != missing]))
