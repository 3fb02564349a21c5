"""The estimators: one file each, which holds its settings, the coalitions that it needs, and its mathematics.

This file is their registry and nothing else. The configuration takes from it what `estimators` and `interactions` may
ask for; a new one is a file and a line here.
"""

from __future__ import annotations

from cornerstone.estimators.adjusted import AdjustedEstimator
from cornerstone.estimators.base import Estimator
from cornerstone.estimators.exact import ExactEstimator
from cornerstone.estimators.interactions import ExactInteractions, Interactions, PairInteractions, SampledInteractions
from cornerstone.estimators.replayed import SampledEstimator
from cornerstone.estimators.truncated import TruncatedEstimator
from cornerstone.estimators.window import WindowEstimator

ESTIMATORS: tuple[type[Estimator], ...] = (
    WindowEstimator,
    ExactEstimator,
    SampledEstimator,
    TruncatedEstimator,
    AdjustedEstimator,
)
"""What `estimators` may name."""

INTERACTIONS: tuple[type[Interactions], ...] = (
    PairInteractions,
    ExactInteractions,
    SampledInteractions,
)
"""What `interactions` may name."""
