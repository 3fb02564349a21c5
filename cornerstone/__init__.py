"""Which layers of a language model matter, and how sure are we?

Data flows one way: config -> plan -> sweep -> store -> estimate -> figures. The sweep is `engine`, the store is
`evaluate`, estimates are made by `estimators` and `analysis`, figures by `present`. The folders, the lowest first:

    game        who plays, what a coalition is, a game whose values are looked up
    estimators  the mathematics: one file an estimator
    config      what is asked for
    engine      the sweep: every number comes from here
    assets      weights and documents on disk
    schedule    how much at once
    plan        what is evaluated, and where it lies
    analysis    from games to tables
    evaluate    one job and its files
    present     what readers see
    forecast    what it will cost
    cluster     SLURM and Apptainer
    outputs     what leaves the tool
    prune       a checkpoint without some layers
    adding      a new model's entry
    command     what the subcommands of `cornerstone` say

A folder imports only from those that are listed before it (`make lint` checks that). docs/tour.md says in which order
to read.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.2.0"

_PUBLIC = {
    "Game": "cornerstone.game.game",
    "Network": "cornerstone.engine.network",
    "load": "cornerstone.outputs.results",
    "load_results": "cornerstone.analysis.games",
    "sweep": "cornerstone.engine.sweep",
}
__all__ = ["Game", "Network", "load", "load_results", "sweep"]


def __getattr__(name: str) -> Any:
    """The public names, imported when they are asked for: torch takes seconds."""
    if name in _PUBLIC:
        module = importlib.import_module(_PUBLIC[name])
        return module if name == "sweep" else getattr(module, name)
    raise AttributeError(f"module 'cornerstone' has no attribute '{name}'")
