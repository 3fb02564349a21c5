"""The coverage of what is published: one run of each kind, and the page that shows the table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks import published, report, worlds
from cornerstone.game.coalitions import full


@pytest.mark.parametrize("name", worlds.WORLDS)
def test_worlds_are_what_they_are_called(name: str) -> None:
    world = worlds.World(name)
    everyone = full(world.players)
    for task in worlds.TASKS:
        whole, nobody = world.values(task, [everyone, 0])
        assert 0.7 < whole < 0.8
        assert nobody == pytest.approx(0.25, abs=0.01)
    rng = np.random.default_rng(0)
    quarter = [everyone ^ sum(1 << int(i) for i in rng.choice(60, 18, replace=False)) for _ in range(30)]
    left = world.values("task0", quarter).mean()
    assert (left < 0.36) == (name == "collapse")
    values = np.sort(published.window.estimate(world.population["task0"], 4)[0])[::-1]
    assert (values[2] > 2 * values[3]) == (name != "smooth")


def test_a_run_says_of_each_quantity_how_much_is_held() -> None:
    found = published.once(worlds.World("sparse"), 24, np.random.default_rng(0))
    assert 0.85 < found["values, mean over tasks"] <= 1
    assert 0 <= found[published.FOUND] <= 3
    assert found["Table 1: interval"] in (0, 1)
    assert all(0 <= share <= 1 for name, share in found.items() if name != published.FOUND and share == share)


def test_a_part_that_is_measured_anew_leaves_the_others() -> None:
    old = pd.DataFrame({"game": "g", "quantity": ["a", "b"], "documents": 24, "share": [0.1, 0.2], "repetitions": 25})
    new = pd.DataFrame({"game": "g", "quantity": ["b", "c"], "documents": 24, "share": [0.3, 0.4], "repetitions": 9})
    found = published.merged(old, new)
    assert found["share"].tolist() == [0.1, 0.3, 0.4]
    assert found["repetitions"].tolist() == [25, 9, 9]


def test_documents_keep_their_answers() -> None:
    world = worlds.World("smooth")
    drawn = worlds.Drawn(world, "task0", 2000, np.random.default_rng(0))
    asked = [full(world.players), 0, 0b1]
    first = {c: drawn.score(asked)(c).copy() for c in asked}
    assert all((drawn.score([c, c ^ 2])(c) == first[c]).all() for c in asked)
    assert [score.mean() for score in first.values()] == pytest.approx(world.values("task0", asked), abs=0.04)


def test_replicates_are_unbiased() -> None:
    rng = np.random.default_rng(0)
    game = published.SHAPES["gated"](8)
    found = np.concatenate([published.replicates(rng) @ game.values for _ in range(60)])
    assert found.mean(axis=0) == pytest.approx(game.shapley, abs=4 * found.std() / np.sqrt(len(found)))


def test_the_method_shows_the_table_of_the_file() -> None:
    text = published.PAGE.read_text(encoding="utf-8")
    frame = pd.read_csv(report.RESULTS / "published.csv")
    assert published.page(text, frame) == text
