from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from cornerstone.config.config import Config
from cornerstone.present import noise
from tests.helpers import configured

BASELINES = pd.DataFrame({"task": ["alpha", "beta"], "documents": [100, 400]})
CORNERSTONES = pd.DataFrame({"low": [-0.1, 0.0, -0.5], "high": [0.1, 0.2, 0.5]})
"""Interval widths of 0.2, 0.2 and 1."""


def config() -> Config:
    return configured({"run_tasks": ["alpha", "beta"], "models.tiny.dtype": "bfloat16", "tasks.beta.metric": "acc"})


def row(task: str, change: str, function: str, largest: float, flipped: float = np.nan) -> dict[str, Any]:
    shared = {"model": "tiny", "coalitions": 4, "documents": 24, "rms": largest / 2, "how": "x"}
    rms = {"document_rms": np.sqrt(flipped), "flipped": flipped}
    return {**shared, "task": task, "change": change, "function": function, "largest": largest, **rms}


def table(flipped: float = 0.02) -> pd.DataFrame:
    rows = [row(task, "batches", "log-likelihood", 0.03) for task in ("alpha", "beta")]
    rows += [row(task, "batches", "acc", flipped * 2, flipped) for task in ("alpha", "beta")]
    rows += [row("alpha", "threads", "log-likelihood", 0.01), row("alpha", "threads", "acc", 0.0, 0.0)]
    rows += [row("beta", "dtype", "log-likelihood", 12.4), row("beta", "dtype", "acc", 0.125, 0.1)]
    return pd.DataFrame(rows)


def rounding(flipped: float = 0.02) -> pd.DataFrame:
    """Without the rows of float32."""
    frame = table(flipped)
    return frame[frame["change"] != "dtype"]


def test_the_sentences() -> None:
    said = noise.sentences(config(), table(), CORNERSTONES, BASELINES)
    assert "with other batches and threads, the same coalitions differ by at most 0.03 log-likelihood units" in said
    assert "4 points of accuracy (4 coalitions of 2 tasks, on up to 24 documents each; 1.3 % of the answers" in said
    assert "In float32 instead of bfloat16 they differ by at most 12 log-likelihood units and 12 points" in said
    assert "float32" not in noise.sentences(config(), rounding(), CORNERSTONES, BASELINES)


def test_how_wide_intervals_are_beside_the_noise() -> None:
    """A difference of two means over D documents of which a share f flips: its standard deviation is sqrt(2 f / D)."""
    one, other = np.sqrt(2 * 0.02 / 100), np.sqrt(2 * 0.02 / 400)
    alone = 2 * 1.959964 * np.sqrt(one**2 + other**2) / 2
    found = noise.wide(config(), rounding(), CORNERSTONES, BASELINES)
    assert found == pytest.approx(0.2 / alone, rel=1e-6)
    dice = np.random.default_rng(0)  # each flip is one up or one down
    flips = dice.choice([-1, 1], (2, 20_000, 100)) * (dice.random((2, 20_000, 100)) < 0.02)
    assert (flips[0] - flips[1]).mean(axis=1).std() == pytest.approx(one, rel=0.03)


def test_where_no_answer_flips() -> None:
    said = noise.sentences(config(), rounding(0.0), CORNERSTONES, BASELINES)
    assert "none of the answers flip" in said
    assert "No accuracy differs, so this adds nothing to the intervals of the values." in said
