"""Models that are compared, with results as evaluate jobs leave them: `base`, `tuned` (equal players), `short`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cornerstone.config.config import Config
from cornerstone.game.coalitions import name
from cornerstone.plan import fingerprint
from cornerstone.plan.layout import Layout
from cornerstone.plan.plan import Plan
from tests.helpers import configured, raw

TUNED, SHORT = ("base", "tuned"), ("base", "short")


def compared(folder: Path, blocks: int = 4, changes: Mapping[str, Any] | None = None) -> Config:
    """A config that compares them."""
    tiny = raw()["models"]["tiny"]
    models = {
        "base": tiny | {"blocks": blocks},
        "tuned": tiny | {"blocks": blocks, "id": "/elsewhere"},
        "short": tiny | {"blocks": blocks // 2},
    }
    made = {"run": list(models), "models": models, "paths.results": str(folder), "compare": [list(TUNED), list(SHORT)]}
    return configured({**made, "deletion.orders": [], **(changes or {})})


def save(config: Config, model: str, weights: np.ndarray, documents: int = 30, seed: int = 0) -> list[Path]:
    """Values of the planned coalitions: a document is right while the weights of the kept players exceed its threshold.

    Thresholds are those of the documents (`seed`), so models of like weights answer alike.
    """
    layout, paths = Layout(config), []
    for number, task in enumerate(config.run_tasks):
        plan, rng = Plan(config, model, task), np.random.default_rng([seed, number])
        threshold = rng.random(documents)
        taste = rng.normal(0, 0.02, (documents, 64))[:, : len(weights)]
        rows = []
        for coalition in plan.coalitions:
            kept = np.array([coalition >> i & 1 for i in range(len(weights))])
            strength = (weights + taste) @ kept
            right = (strength > threshold).astype(np.int8)
            who = {"coalition": name(coalition, plan.players), "doc_id": range(documents)}
            who["cluster"] = [str(i // 2) for i in range(documents)]
            rows.append(pd.DataFrame({**who, "acc": right, "acc_norm": right, "margin": strength - threshold}))
        frame = pd.concat(rows, ignore_index=True)
        frame.attrs = {"fingerprint": fingerprint.of_values(config, model, task), "documents": "digest"}
        path = Path(layout.values(model, task))
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(path, index=False)
        paths.append(path)
    return paths


def weights(count: int, seed: int) -> np.ndarray:
    """What each player adds: the first much, the others little, together 1."""
    rng = np.random.default_rng(seed)
    found = np.r_[3, 1.5, rng.exponential(0.5, count - 2)]
    return found / found.sum()
