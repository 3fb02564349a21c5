"""Games of 60 players on six tasks whose truth is known, and documents drawn from them.

A document is right under a coalition S with the probability v(S); most of what decides it is common to all coalitions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import stats

from cornerstone.analysis import deletion
from cornerstone.config.config import Config, load
from cornerstone.game.coalitions import window_coalitions
from cornerstone.game.game import Game
from cornerstone.plan.plan import union

TASKS = tuple(f"task{number}" for number in range(6))
LARGEST = 4
CONSISTENCY = 0.9
"""Share of the variance of what decides a document's answers that is common to all coalitions."""

Value = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""v(S) of kept players [M, N] and the players' weights [N]: [M]."""


def sparse(kept: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Three players matter much, all others little, and neighbours can partly stand in for each other."""
    lost = ~kept * weights
    together = np.minimum(lost[:, :-1], lost[:, 1:]).sum(axis=1)
    return np.clip(0.75 - lost.sum(axis=1) - 0.5 * together, 0.25, 1)


def collapse(kept: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """At chance when about a quarter of the players is gone, sooner if one of the three heavy ones is."""
    lost = (~kept * weights).sum(axis=1)
    return 0.25 + 0.5 / (1 + np.exp((lost - 0.14) / 0.03))


def smooth(kept: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """No cornerstones: what players add falls evenly from the first to the last."""
    return 0.25 + (kept * weights).sum(axis=1)


WORLDS: Mapping[str, tuple[Value, np.ndarray]] = {
    "sparse": (sparse, np.r_[[0.08, 0.07], np.linspace(0.006, 0.001, 57), [0.06]]),
    "collapse": (collapse, np.r_[[0.08, 0.07], np.linspace(0.012, 0.006, 57), [0.06]]),
    "smooth": (smooth, np.linspace(0.015, 0.002, 60)),
}
"""Games of 60 players: v, and the weights of which each task's differ at random by a factor of about 1.3."""


@dataclass(frozen=True)
class World:
    """A game on six tasks."""

    name: str

    @cached_property
    def config(self) -> Config:
        """The default study's estimator, on tasks of this world."""
        model = {"source": "folder", "id": "simulated", "blocks": len(WORLDS[self.name][1]) // 2}
        return load(
            {
                "run": ["simulated"],
                "run_tasks": list(TASKS),
                "tasks": {task: {"metric": "acc"} for task in TASKS},
                "models": {"simulated": model},
                "estimators": [{"kind": "window", "removed": LARGEST}],
                "deletion": {"share": 0.3, "points": 1, "orders": ["shapley", deletion.DEPTH]},
            }
        )

    @cached_property
    def players(self) -> tuple[Any, ...]:
        """The players."""
        return self.config.models["simulated"].all_players()

    @cached_property
    def weights(self) -> dict[str, np.ndarray]:
        """[N] of each task."""
        rng, plain = np.random.default_rng(1), WORLDS[self.name][1]
        return {task: plain * np.exp(rng.normal(0, 0.25, len(plain))) for task in TASKS}

    def values(self, task: str, coalitions: Sequence[int]) -> np.ndarray:
        """[M] v(S)."""
        kept = np.array([[c >> i & 1 for i in range(len(self.players))] for c in coalitions], bool)
        found: np.ndarray = np.clip(WORLDS[self.name][0](kept, self.weights[task]), 0, 1)
        return found

    @cached_property
    def coalitions(self) -> list[int]:
        """Those of the plan."""
        return union(self.players, [window_coalitions(self.players, LARGEST)])

    @cached_property
    def population(self) -> dict[str, Game]:
        """The game of v(S) on each task, as one document without noise."""
        found = {}
        for task in TASKS:
            values = dict(zip(self.coalitions, self.values(task, self.coalitions)[:, None], strict=True))
            found[task] = Game(self.players, values, np.zeros(1, int), np.zeros(1, int))
        return found


class Drawn:
    """Documents of a task, right or wrong under whatever coalition is asked for."""

    def __init__(self, world: World, task: str, documents: int, rng: np.random.Generator) -> None:
        self._world, self._task, self._rng = world, task, rng
        self._common = np.sqrt(CONSISTENCY) * rng.standard_normal(documents)
        labels = np.arange(documents)
        self.game = Game(world.players, {}, labels.astype(str), labels)

    def score(self, coalitions: Iterable[int]) -> Game:
        """The game with the scores of these coalitions, too."""
        new = [c for c in dict.fromkeys(coalitions) if c not in self.game.values]
        if new:
            thresholds = stats.norm.ppf(self._world.values(self._task, new))
            own = np.sqrt(1 - CONSISTENCY) * self._rng.standard_normal((len(new), len(self._common)))
            right = (self._common + own < thresholds[:, None]).astype(np.float64)
            self.game.values.update(zip(new, right, strict=True))
        return self.game
