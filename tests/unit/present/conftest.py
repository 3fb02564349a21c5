"""Two models and two tasks, with the estimates that the workflow would have made for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cornerstone.analysis import write
from cornerstone.config.config import Config
from cornerstone.files import write_frames
from cornerstone.game.coalitions import name
from cornerstone.game.players import alike, players_of
from cornerstone.plan import fingerprint
from cornerstone.plan.layout import Layout
from tests.helpers import configured, documents, raw

PLAYERS = players_of(alike(4))
MODELS = ["tiny", "llama3-8b"]


@pytest.fixture(scope="package")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("results")
    changes = {"run": MODELS, "models.llama3-8b": raw()["models"]["tiny"], "paths.results": str(folder)}
    made = configured({**changes, "value_functions": ["margin"], "deletion.orders": []})
    layout, rng = Layout(made), np.random.default_rng(0)
    for model in MODELS:
        paths = [Path(layout.values(model, task)) for task in made.run_tasks]
        data = {task: documents([[("q", " a"), ("q", " b")]] * 9, task) for task in made.run_tasks}
        for task, path in zip(made.run_tasks, paths, strict=True):
            frame = _values(rng)
            made_by = fingerprint.of_values(made, model, task)
            frame.attrs = {"fingerprint": made_by, "documents": data[task].digest}
            path.parent.mkdir(parents=True)
            frame.to_parquet(path, index=False)
        write_frames(write.estimates(made, model, paths, data), map(Path, layout.estimates(model)))
        floor, top = (Path(layout.csv(model, stem)) for stem in ("baselines", "cornerstones"))
        write_frames(write.relations(made, model, paths, floor, top), map(Path, layout.relations(model)))
    return made


def _values(rng: np.random.Generator) -> pd.DataFrame:
    """Every coalition on 9 documents; the first two players matter."""
    rows = []
    for coalition in range(256):
        right = (rng.random(9) < 0.2 + 0.35 * (coalition & 1) + 0.35 * (coalition >> 1 & 1)).astype(np.int8)
        who = {"coalition": name(coalition, PLAYERS), "doc_id": range(9), "cluster": list("001122334")}
        rows.append(pd.DataFrame({**who, "acc": right, "acc_norm": right, "margin": right - rng.random(9)}))
    return pd.concat(rows, ignore_index=True)
