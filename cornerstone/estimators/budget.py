"""How much an estimator that draws coalitions may cost: in coalitions (`budget`), or in sublayer evaluations (`work`).

A coalition costs more or less, by what it shares with the others, so estimators are compared at equal work.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import lru_cache
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from cornerstone.errors import ConfigError
from cornerstone.estimators.base import Asked
from cornerstone.game.players import Player
from cornerstone.game.work import evaluations

NEAR = 100
"""`work` is used up to one part in so many."""


class Budgeted(Asked):
    """What draws coalitions at random, in independent replicates."""

    drawn: ClassVar[bool] = True
    by_task: ClassVar[bool] = True
    budget: int = Field(
        0, ge=0, description="Coalitions to evaluate, at most, over all replicates. 0: as many as `work` allows."
    )
    work: int = Field(
        0,
        ge=0,
        description="In place of `budget`: sublayer evaluations to make, at most, on each document, over all "
        "replicates. What coalitions share is counted once, as the sweep evaluates it.",
    )
    replicates: int = Field(
        10,
        ge=2,
        description="Independent runs of budget / replicates coalitions each, averaged. Their spread measures the "
        "sampling error; fewer make that measurement rough and the interval wide.",
    )

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if bool(self.budget) == bool(self.work):
            raise ValueError("give either `budget` (coalitions) or `work` (sublayer evaluations)")
        return self

    @property
    @abstractmethod
    def title(self) -> str:
        """Its name without its budget."""

    @property
    def name(self) -> str:
        """As in file names."""
        return f"{self.title}-w{self.work}" if self.work else f"{self.title}-b{self.budget}"

    @property
    def each(self) -> int:
        """Coalitions of a replicate, at most."""
        return self.budget // self.replicates

    @abstractmethod
    def least_budget(self, players: int) -> int:
        """Coalitions that one replicate needs, so that it does what the estimator's name says."""

    def step(self, players: int) -> int:
        """By how many coalitions a replicate can grow."""
        return 1

    def problem(self, players: int) -> str | None:
        """A budget that is too small; what `work` allows is known only when the coalitions are drawn."""
        needed = self.least_budget(max(players, 2)) * self.replicates
        small = 0 < self.budget < needed
        few = f"with {self.replicates} replicates it needs a budget of at least {needed}"
        return super().problem(players) or (few if small else None)

    def within(self, players: tuple[Player, ...], seed: int) -> Self:
        """The same with the budget that its `work` allows; itself where the budget was given.

        Raises:
            ConfigError: the work is less than the least budget takes.
        """
        if self.budget:
            return self
        return self.model_copy(update={"budget": largest_budget(self, players, seed)})


@lru_cache(maxsize=64)
def largest_budget(entry: Any, players: tuple[Player, ...], seed: int) -> int:
    """The largest budget whose coalitions take no more than `entry.work`, to within a hundredth.

    It is found by drawing: how much coalitions share depends on which they are.

    Args:
        entry: a `Budgeted`.
        players: of the model.
        seed: of the coalitions.

    Raises:
        ConfigError: the work is less than the least budget takes.
    """

    def cost(budget: int) -> int:
        return evaluations(entry.model_copy(update={"budget": budget}).coalitions(players, seed), players)

    least, step = (entry.replicates * count for count in (entry.least_budget(len(players)), entry.step(len(players))))
    steps, most, used = 0, max(0, ((entry.replicates << len(players)) - least) // step), cost(least)
    if used > entry.work:
        raise ConfigError(
            f"{entry.name}: with {entry.replicates} replicates it needs at least {least:,} coalitions, which take "
            f"about {used:,} sublayer evaluations. Raise `work` above that, or take fewer `replicates`."
        )
    too_many = most + 1
    while too_many - steps > max(1, (least + steps * step) // NEAR // step):
        so_far = least + steps * step
        aim = (int(0.995 * so_far * entry.work / used) - least) // step if too_many > most else (steps + too_many) // 2
        aim = min(max(aim, steps + 1), too_many - 1)
        needed = cost(least + aim * step)
        if needed <= entry.work:
            steps, used = aim, needed
        else:
            too_many = aim
    return least + steps * step
