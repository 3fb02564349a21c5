"""Small sections of the configuration: deletion curves, intervals, folders."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from cornerstone.config import names
from cornerstone.settings import Section


class Deletion(Section):
    """Deletion curves: accuracy as players are removed one after another."""

    share: float = Field(0.3, gt=0, le=1, description="Largest share of the players that is removed.")
    points: int = Field(6, ge=1, le=1000, description="Points on each curve; each is one more coalition.")
    orders: list[Literal["shapley", "ablation", "depth", "perplexity", "influence", "random"]] = Field(
        ["shapley", "ablation", "depth"],
        description="By which quantity players are ordered; each order is walked from both ends. `perplexity` is the "
        "drop of the log-probability by single removals, and needs that value function; `influence` is block influence "
        "(ShortGPT), from a pass of the whole model; `random` is from `seed`. An empty list leaves the curves out.",
    )


class Intervals(Section):
    """Standard errors and intervals."""

    level: float = Field(0.95, gt=0.5, lt=1, description="Coverage of the intervals.")
    bootstrap: int = Field(
        1000, ge=100, le=10**6, description="Resamples of the documents, for figures that are not linear."
    )
    equivalence: float = Field(
        0.02,
        gt=0,
        lt=1,
        description="Difference in accuracy that counts as none where the paper's hypotheses say that there is none.",
    )


LOG_LIKELIHOOD = "log-likelihood"
"""In noise.csv, where value functions stand: the scores of single choices."""


class Noise(Section):
    """The noise floor: stored coalitions, computed again with other batches, other threads, and in float32."""

    coalitions: int = Field(
        0,
        ge=0,
        le=1000,
        description="How many coalitions of each task, chosen at random, are computed again on up to two blocks of "
        "their documents; of a group of tasks on its first. 0: the noise floor is not measured.",
    )
    float32: bool = Field(
        True, description="Whether a model in half precision is loaded once more in float32, for twice the memory."
    )


class Paths(Section):
    """Where things are put, relative to the working directory."""

    results: names.Folder = Field("results", description="Everything that is computed.")
    resources: names.Folder = Field("resources", description="Weights and documents; shared between runs.")

    @model_validator(mode="after")
    def _apart(self) -> Paths:
        names.check_folders(self.results, self.resources)
        return self
