"""Measured numbers within sentences of the documentation are those of the files that were measured.

Tables and longer lists are written into the pages by scripts. Single numbers stand in sentences that people write. Here
each is computed from its file again, so a new measurement that changes it breaks a test and names the page.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from tests.helpers import ROOT

RESULTS = ROOT / "benchmarks" / "results"
Numbers = Callable[[], tuple[str, ...]]


def measured(name: str) -> pd.DataFrame:
    return pd.read_csv(RESULTS / f"{name}.csv")


def boolq() -> tuple[str, ...]:
    folder = ROOT / "studies" / "results" / "models" / "smollm2-135m"
    base = pd.read_csv(folder / "baselines.csv").set_index("task").loc["boolq"]
    without = pd.read_csv(folder / "ablation.csv").query("task == 'boolq'").set_index("player")["accuracy"]["ffn26"]
    return tuple(f"{100 * value:.0f}" for value in (base["original"], base["majority"], without))


def loops() -> tuple[str, ...]:
    frame = measured("performance")
    best = frame["p2_s"] / frame["sweep_s"]
    return f"{best.min():.1f}", f"{best.max():.1f}"


def runs() -> tuple[str, ...]:
    frame = measured("performance")
    each = frame["p1_s"] / frame["sweep_s"]
    return f"{each.min():.0f}", f"{each.max():.0f}"


def gpu() -> tuple[str, ...]:
    frame = measured("gpu")
    return tuple(f"{ratio:.1f}" for ratio in frame["p2_s"] / frame["sweep_s"])


def coverage() -> tuple[str, ...]:
    found = measured("coverage_adjusted")["coverage"]
    return f"{100 * found.min():.1f}", f"{100 * found.max():.1f}"


def sparse() -> tuple[str, ...]:
    frame = measured("error_against_work").query("players == 60 and work == 20000").set_index(["game", "estimator"])
    both = [(game, kind) for game in ("gated", "redundant") for kind in ("adjusted-msr", "permutation")]
    return tuple(f"{100 * frame['rmse'][each]:.2f}" for each in both)


def windows() -> tuple[str, ...]:
    frame = measured("error_against_work").query("players == 60 and estimator == 'window, K = 4'").set_index("game")
    errors = (f"{100 * frame['rmse'][game]:.1f}" for game in ("gated", "redundant", "collapse", "smooth"))
    return f"{frame['evaluations'].iloc[0]:,.0f}", *errors


def looks() -> tuple[str, ...]:
    frame = measured("looks").set_index(["world", "until"])["fewer"]
    pairs = [("sparse", "top3"), ("collapse", "top3"), ("sparse", "0.01")]
    return tuple(f"{frame[pair]:.1f}" for pair in pairs)


QUOTED: list[tuple[str, str, Numbers]] = [
    ("docs/about/faq.md", "SmolLM2-135M scores {} %. Always giving the more frequent answer would score {} %.", boolq),
    ("docs/about/faq.md", "Without the late feed-forward layer `ffn26` the model scores {2} %", boolq),
    ("docs/about/alternatives.md", "its sweep is {} to {} times as fast as the best loop over lm-eval", loops),
    ("README.md", "the sweep is {} to {} times as fast as the best loop over lm-eval", loops),
    ("README.md", "It is {} to {} times as fast as one run of lm-eval per coalition", runs),
    ("docs/about/alternatives.md", "in the shapes of Llama3-8B, it is {} times as fast", gpu),
    ("docs/about/alternatives.md", "with fewer blocks than it has, it is {1} times as fast", gpu),
    ("docs/estimators.md", "of `adjusted-msr` held the true value in {} to {} % of the cases", coverage),
    ("docs/estimators.md", "({} against {} points on gated, {} against {} on redundant)", sparse),
    (
        "docs/how-to/until-settled.md",
        "`top3` took {} times fewer where three layers stand out, and {} times fewer where the model collapses. A "
        "half-width of 0.01 took {} times fewer in the first world.",
        looks,
    ),
    (
        "docs/estimators.md",
        "costs {} evaluations with 60 players. Its error there is {} (gated), {} (redundant), {} (collapse) and {} "
        "points (smooth)",
        windows,
    ),
]


@pytest.mark.parametrize(("page", "sentence", "numbers"), QUOTED, ids=lambda value: getattr(value, "__name__", None))
def test_a_number_in_a_sentence_is_that_of_its_file(page: str, sentence: str, numbers: Numbers) -> None:
    expected = sentence.format(*numbers())
    assert expected in (ROOT / page).read_text(), f"{page} should say: {expected}"
