"""How much an estimator that draws coalitions may cost: in coalitions (`budget`), or in sublayer evaluations (`work`).

A coalition costs more or less, by what it shares with the others, so estimators are compared at equal work.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import lru_cache
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from cornerstone.errors import ConfigError
from cornerstone.estimators.base import Asked
from cornerstone.game.players import Player
from cornerstone.game.work import evaluations

NEAR = 100
"""`work` is used up to one part in so many."""


class Budgeted(Asked):
    """What draws coalitions at random, in independent replicates.

    Attributes:
        pooled: why its coalitions must be scored on all documents, where they must.
        folds: into how many draws a sample is cut, where a nested design gives each sample documents of its own.
    """

    drawn: ClassVar[bool] = True
    by_task: ClassVar[bool] = True
    pooled: ClassVar[str] = ""
    folds: ClassVar[int] = 1
    budget: int = Field(
        0,
        ge=0,
        description="Coalitions to evaluate, at most, on each document: over all replicates, or (`design: nested`) of "
        "the one that the document has. 0: as many as `work` allows.",
    )
    work: int = Field(
        0,
        ge=0,
        description="In place of `budget`: sublayer evaluations to make, at most, on each document. What coalitions "
        "share is counted once, as the sweep evaluates it.",
    )
    replicates: int = Field(
        10,
        ge=2,
        description="Independent runs of budget / replicates coalitions each (`design: nested`: of budget), averaged. "
        "Their spread measures the sampling error; fewer make that measurement rough and the interval wide.",
    )
    design: Literal["crossed", "nested"] = Field(
        "crossed",
        description="`crossed`: every document is scored on the coalitions of all replicates. `nested`: on those of "
        "one, so each replicate has documents of its own (docs/method.md). The values are sharper for the same work "
        "where documents are plenty: take replicates of about 16 documents or more.",
    )

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if bool(self.budget) == bool(self.work):
            raise ValueError("give either `budget` (coalitions) or `work` (sublayer evaluations)")
        if self.nested and self.pooled:
            raise ValueError(f"`design`: nested is not possible here: {self.pooled}. Leave it at crossed")
        return self

    @property
    @abstractmethod
    def title(self) -> str:
        """Its name without its budget."""

    @property
    def name(self) -> str:
        """As in file names."""
        title = f"{self.title}-nested" if self.nested else self.title
        return f"{title}-w{self.work}" if self.work else f"{title}-b{self.budget}"

    @property
    def nested(self) -> bool:
        """See `Asked`."""
        return self.design == "nested"

    @property
    def inner(self) -> Self:
        """What is done with the documents of one sample of a nested design; itself where it is not nested."""
        return self.model_copy(update={"design": "crossed", "replicates": self.folds}) if self.nested else self

    def seeds(self, seed: int) -> list[int]:
        """Of each sample of a nested design."""
        return [int(np.random.SeedSequence([seed, i]).generate_state(1)[0]) for i in range(self.replicates)]

    def samples(self, players: tuple[Player, ...], seed: int) -> list[list[int]]:
        """See `Asked`."""
        if not self.nested:
            return [self.coalitions(players, seed)]
        return [self.inner.coalitions(players, each) for each in self.seeds(seed)]

    def together(self, players: tuple[Player, ...], seed: int) -> list[int]:
        """The distinct coalitions of all samples."""
        return list(dict.fromkeys(coalition for part in self.samples(players, seed) for coalition in part))

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
        if self.nested:
            return self.inner.problem(players)
        needed = self.least_budget(max(players, 2)) * self.replicates
        small = 0 < self.budget < needed
        few = f"with {self.replicates} replicate{'s' * (self.replicates > 1)} it needs a budget of at least {needed}"
        return super().problem(players) or (few if small else None)

    def within(self, players: tuple[Player, ...], seed: int) -> Self:
        """The same with the budget that its `work` allows; itself where the budget was given.

        Raises:
            ConfigError: the work is less than the least budget takes.
        """
        if self.budget:
            return self
        return self.model_copy(update={"budget": largest_budget(self, players, seed)})


@lru_cache(maxsize=1024)
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
