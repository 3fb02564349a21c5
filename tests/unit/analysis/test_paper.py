from __future__ import annotations

import numpy as np
import pytest

from cornerstone.analysis import paper
from cornerstone.present.tables import TASK_NAMES


def test_published_numbers_cover_the_same_models_and_add_up() -> None:
    models = {"llama3-8b", "llama3-70b", "mixtral-8x7b"}
    assert set(paper.CORNERSTONES) == set(paper.SHARE_PERCENT) == set(paper.DROP_PERCENT) == models
    for model in models:
        assert len(paper.CORNERSTONES[model]) == 3
        per_task = paper.OTHER_DROP_PERCENT[model]
        assert list(per_task) == [task for task in TASK_NAMES if task != "mean"]
        # Table 3's NC is the mean of table 4, up to rounding.
        mean = np.mean(list(per_task.values()))
        assert mean == pytest.approx(paper.DROP_PERCENT[model]["other"], abs=0.1)
