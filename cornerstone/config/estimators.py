"""The estimators and interactions that config.yaml can ask for. Imports no torch.

What each does is in `estimators/`; what it is good for, in docs/method.md.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Base of all sections: unknown keys are refused, values are not changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class WindowEstimator(Section):
    """The paper's estimator. Biased, cheap."""

    kind: Literal["window"]
    removed: int = Field(4, ge=1, description="The paper's K: windows of at most K neighbours are removed.")

    @property
    def name(self) -> str:
        """As in file names."""
        return f"window-k{self.removed}"


class ExactEstimator(Section):
    """Shapley values from all 2^N coalitions."""

    kind: Literal["exact"]

    @property
    def name(self) -> str:
        """As in file names."""
        return "exact"


SampledKind = Literal[
    "permutation",
    "stratified",
    "kernelshap",
    "unbiased-kernelshap",
    "svarm",
    "kadd-shap",
    "leverage-shap",
    "regression-msr",
    "proxy-shap",
]


class SampledEstimator(Section):
    """An estimator that samples coalitions; replayed on shapiq."""

    kind: SampledKind = Field(description="See docs/method.md for what each does and how well.")
    budget: int = Field(ge=4, description="Coalitions to evaluate, at most, over all replicates.")
    replicates: int = Field(
        10,
        ge=2,
        description="Independent runs of budget / replicates coalitions each, averaged. Their spread measures the "
        "sampling error; fewer make that measurement rough and the interval wide.",
    )

    @property
    def name(self) -> str:
        """As in file names."""
        return f"{self.kind}-b{self.budget}"


class TruncatedEstimator(Section):
    """Random removal orders that stop when `removed` players are gone: not the Shapley value, as the name says."""

    kind: Literal["truncated-permutation"]
    removed: int = Field(4, ge=1, description="At most so many players are removed together.")
    budget: int = Field(ge=4, description="Coalitions to evaluate, at most, over all replicates.")
    replicates: int = Field(10, ge=2, description="Independent runs, as for the sampled estimators.")

    @property
    def name(self) -> str:
        """As in file names."""
        return f"truncated-permutation-k{self.removed}-b{self.budget}"


Estimator = Annotated[
    WindowEstimator | ExactEstimator | SampledEstimator | TruncatedEstimator, Field(discriminator="kind")
]


class PairInteractions(Section):
    """Second differences at the whole model: v(N) - v(N-i) - v(N-j) + v(N-ij)."""

    kind: Literal["pairs"]
    per_distance: int | None = Field(
        None, ge=1, description="So many randomly chosen pairs at each distance; null: all N(N-1)/2 pairs."
    )

    @property
    def name(self) -> str:
        """As in file names."""
        return "pairs" if self.per_distance is None else f"pairs-{self.per_distance}"


class ExactInteractions(Section):
    """An interaction index from all 2^N coalitions."""

    kind: Literal["exact"]
    index: Literal["k-SII", "FSII"] = Field("k-SII", description="k-Shapley values, or the faithful index.")

    @property
    def name(self) -> str:
        """As in file names."""
        return f"exact-{self.index.lower()}"


class SampledInteractions(Section):
    """An interaction index from sampled coalitions; replayed on shapiq."""

    kind: Literal["sampled"]
    index: Literal["k-SII", "FSII"] = Field(
        "k-SII", description="Both by regression (KernelSHAP-IQ, faithful KernelSHAP)."
    )
    budget: int = Field(ge=4, description="Coalitions to evaluate, at most, over all replicates.")
    replicates: int = Field(4, ge=2, description="Independent runs of budget / replicates coalitions each.")

    @property
    def name(self) -> str:
        """As in file names."""
        return f"{self.index.lower()}-b{self.budget}"


Interactions = Annotated[PairInteractions | ExactInteractions | SampledInteractions, Field(discriminator="kind")]

ValueFunction = Literal["margin", "log-probability"]


MOST_EXACT = 16
"""Players up to which all coalitions are evaluated."""


def problem_with(entry: Estimator | Interactions, players: int) -> str | None:
    """What keeps an estimator from being used with so many players, and what to do; None where nothing does."""
    if players < 2 and entry.kind != "exact" and entry.kind != "window":
        return "it needs at least two"
    if entry.kind == "exact" and players > MOST_EXACT:
        return f"`exact` takes at most {MOST_EXACT}: group them with the model's `players`"
    if entry.kind in ("window", "truncated-permutation") and entry.removed > players:
        return "choose a smaller `removed`"
    if isinstance(entry, SampledEstimator | TruncatedEstimator | SampledInteractions):
        needed = least_budget(entry, players) * entry.replicates
        if entry.budget < needed:
            return f"with {entry.replicates} replicates it needs a budget of at least {needed}"
    return None


def least_budget(entry: SampledEstimator | TruncatedEstimator | SampledInteractions, players: int) -> int:
    """Coalitions that one replicate needs, so that every player (or pair) is seen as the estimator prescribes.

    One antithetic pair of permutations; each stratum of the stratified estimators once (a stratum that SVARM does not
    see counts as 0, which biases it); several times as many equations as a regression has unknowns, since
    coalitions come with their complements, which tell the same about single players, and with fewer the random design
    is singular now and then; one truncated removal order for every player.
    """
    n = players
    match entry.kind:
        case "permutation":
            return 2 + 2 * (n - 1)
        case "stratified":
            return 2 + 2 * n + 2 * n * max(0, n - 2)
        case "svarm":
            return min(2**n, 2 + 2 * n + 2 * n * max(0, n - 2))
        case "truncated-permutation":
            return 1 + -(-n // entry.removed) * entry.removed
        case "kadd-shap" | "sampled":
            return min(2**n, 3 * (1 + n + n * (n - 1) // 2))
        case "unbiased-kernelshap":
            return min(2**n, 2 + 2 * n)
        case _:
            return min(2**n, 2 + 6 * n)
