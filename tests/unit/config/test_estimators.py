from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from cornerstone.config.config import AnyEstimator, AnyInteractions
from cornerstone.estimators import TruncatedEstimator, replayed
from cornerstone.estimators.exact import MOST_EXACT
from cornerstone.estimators.replayed import SampledKind

ESTIMATOR: TypeAdapter[Any] = TypeAdapter(AnyEstimator)
INTERACTIONS: TypeAdapter[Any] = TypeAdapter(AnyInteractions)
SAMPLED = list(get_args(SampledKind))


def estimator(kind: str, **settings: Any) -> Any:
    return ESTIMATOR.validate_python({"kind": kind, **settings})


def interaction(kind: str, **settings: Any) -> Any:
    return INTERACTIONS.validate_python({"kind": kind, **settings})


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        (estimator("window"), "window-k4"),
        (estimator("window", removed=2), "window-k2"),
        (estimator("exact"), "exact"),
        (estimator("permutation", budget=500), "permutation-b500"),
        (estimator("unbiased-kernelshap", budget=90, replicates=3), "unbiased-kernelshap-b90"),
        (estimator("truncated-permutation", budget=50, removed=3), "truncated-permutation-k3-b50"),
        (interaction("pairs"), "pairs"),
        (interaction("pairs", per_distance=5), "pairs-5"),
        (interaction("exact"), "exact-k-sii"),
        (interaction("exact", index="FSII"), "exact-fsii"),
        (interaction("sampled", index="FSII", budget=99), "fsii-b99"),
    ],
)
def test_names_as_in_file_names(entry: Any, name: str) -> None:
    assert entry.name == name


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "window", "removed": 0},
        {"kind": "exact", "budget": 5},
        {"kind": "svarm"},
        {"kind": "svarm", "budget": 100, "work": 100},
        {"kind": "svarm", "budget": 100, "replicates": 1},
        {"kind": "svarm", "budget": 100, "removed": 2},
        {"kind": "truncated-permutation", "budget": 100, "removed": 0},
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ESTIMATOR.validate_python(settings)


def test_every_sampled_kind_and_index_has_its_recipe() -> None:
    assert set(replayed.APPROXIMATORS) == {*SAMPLED, "k-SII", "FSII"}


def test_exact_has_a_limit() -> None:
    for entry in (estimator("exact"), interaction("exact")):
        assert entry.problem(MOST_EXACT) is None
        assert entry.problem(17) == "`exact` takes at most 16: group them with the model's `players`"


@pytest.mark.parametrize("kind", ["window", "truncated-permutation"])
def test_no_more_players_are_removed_than_there_are(kind: str) -> None:
    budget = {} if kind == "window" else {"budget": 1000}
    assert estimator(kind, removed=5, **budget).problem(5) is None
    assert estimator(kind, removed=6, **budget).problem(5) == "choose a smaller `removed`"


@pytest.mark.parametrize("kind", [*SAMPLED, "truncated-permutation", "k-SII", "FSII"])
@pytest.mark.parametrize("players", [2, 7, 60])
def test_a_budget_that_is_too_small_says_what_it_needs(kind: str, players: int) -> None:
    def made(budget: int) -> Any:
        if kind in ("k-SII", "FSII"):
            return interaction("sampled", index=kind, budget=budget, replicates=3)
        removed = {"removed": 2} if kind == "truncated-permutation" else {}
        return estimator(kind, budget=budget, replicates=3, **removed)

    needed = 3 * made(4).least_budget(players)
    assert made(needed - 1).problem(players) == f"with 3 replicates it needs a budget of at least {needed}"
    assert made(needed).problem(players) is None


def test_least_budgets_by_hand() -> None:
    found = {kind: estimator(kind, budget=4).least_budget(7) for kind in SAMPLED}
    assert found == {
        "permutation": 2 + 2 * 6,
        "stratified": 2 + 7 * (1 + 1 + 5 * 2),
        "kernelshap": 44,
        "unbiased-kernelshap": 16,
        "svarm": 2 + 7 * (1 + 1 + 5 * 2),
        "kadd-shap": 3 * (1 + 7 + 21),
        "leverage-shap": 44,
        "regression-msr": 44,
        "proxy-shap": 44,
        "odd-shap": 70,
    }
    assert interaction("sampled", budget=4).least_budget(7) == 3 * (1 + 7 + 21)
    truncated = TruncatedEstimator(kind="truncated-permutation", removed=3, budget=4)
    assert truncated.least_budget(7) == 1 + 3 * 3
    assert estimator("kadd-shap", budget=4).least_budget(3) == 2**3


@pytest.mark.parametrize("entry", [estimator("svarm", budget=99), interaction("pairs")])
def test_a_single_player_is_too_few(entry: Any) -> None:
    assert entry.problem(1) == "it needs at least two"
    assert estimator("exact").problem(1) is None
    assert estimator("window", removed=1).problem(1) is None
