"""Draws of replicates: each task's own, unless tasks share them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cornerstone.analysis.ranks import Sample
from cornerstone.analysis.resampling import Draw, Sums
from cornerstone.estimators.values import Values


@pytest.mark.parametrize("shared", [False, True])
def test_replicates_are_drawn_for_each_task_unless_tasks_share_them(shared: bool) -> None:
    values = Values.averaged(list(np.random.default_rng(0).normal(size=(8, 6, 3))))
    sample = Sample(replace(values, shared=shared), np.arange(6).astype(str))
    sums = {task: Sums.of(sample) for task in ("a", "b")}
    rng = np.random.default_rng(1)
    again, (first, second) = Draw.again(sums, 50, rng), Draw.everything(sums, 50).halves(rng)
    for draw in (again, first, second):
        assert np.array_equal(draw.replicates["a"], draw.replicates["b"]) == shared
        assert not np.array_equal(draw.clusters["a"], draw.clusters["b"])
    for task in sums:
        assert (again.replicates[task].sum(axis=1) == 8).all()
        assert (first.replicates[task] + second.replicates[task] == 1).all()
        assert (first.replicates[task].sum(axis=1) == 4).all()
