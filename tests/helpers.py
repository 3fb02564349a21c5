"""What several tests need: configurations, games, documents."""

from __future__ import annotations

import copy
import stat
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from cornerstone.assets.documents import Document, TaskDocuments
from cornerstone.assets.recipe import Recipe
from cornerstone.config import config
from cornerstone.files import NOTES
from cornerstone.game.game import Game
from cornerstone.game.players import Player, alike, players_of

if TYPE_CHECKING:  # it imports torch, which tests of estimators do without
    from cornerstone.engine.tries import PackedDocument

ROOT = Path(__file__).parents[1]

RAW: dict[str, Any] = {
    "run": ["tiny"],
    "run_tasks": ["alpha", "beta"],
    "documents": {"source": "embedded"},
    "estimators": [{"kind": "window", "removed": 2}],
    "deletion": {"share": 0.5, "points": 2, "orders": ["shapley", "ablation", "depth"]},
    "intervals": {"level": 0.95, "bootstrap": 100},
    "paths": {"results": "results", "resources": "resources"},
    "tasks": {"alpha": {"metric": "acc"}, "beta": {"metric": "acc_norm"}},
    "models": {
        "tiny": {"source": "folder", "id": "/nowhere", "blocks": 4, "dtype": "float32", "batch_tokens": 96},
        "other": {"source": "hub", "id": "some/where", "revision": "0" * 40, "blocks": 32},
    },
}

SEQUENTIAL, PARALLEL = [(1, False), (1, False)], [(2, False)]
"""Steps of a block whose attention and feed-forward follow each other, or read the same stream (`stages_of`)."""


def raw(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """A small valid configuration as YAML gives it, with some keys (`models.tiny.blocks`) set."""
    result = copy.deepcopy(RAW)
    for path, value in (changes or {}).items():
        *parents, last = path.split(".")
        section = result
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = value
    return result


def configured(changes: dict[str, Any] | None = None) -> config.Config:
    """The same, typed."""
    return config.load(raw(changes))


def some_players(count: int) -> tuple[Player, ...]:
    """The first `count` players of a model; an odd count ends with an attention."""
    return players_of(alike((count + 1) // 2))[:count]


def game(
    players: tuple[Player, ...],
    value: Callable[[int], ArrayLike],
    coalitions: Iterable[int] | None = None,
    clusters: Sequence[str] | None = None,
) -> Game:
    """A game whose `value` maps a bitmask of kept players to a score, or a score for each document."""
    chosen = range(1 << len(players)) if coalitions is None else coalitions
    values = {c: np.atleast_1d(np.asarray(value(c), np.float64)) for c in chosen}
    count = len(next(iter(values.values())))
    labels = np.array([str(i) for i in range(count)] if clusters is None else clusters)
    return Game(players, values, labels, np.arange(count))


def documents(requests: Sequence[Sequence[tuple[str, str]]], task: str = "alpha", **changes: Any) -> TaskDocuments:
    """A task whose documents have these (context, continuation); the gold choices go round."""
    made = [
        Document(
            doc_id=i,
            doc_hash=f"hash{i}",
            cluster=str(i),
            requests=[(context, continuation) for context, continuation in choices],
            lengths=[len(continuation) for _, continuation in choices],
            gold=i % len(choices),
            bytes=[len(continuation.encode()) for _, continuation in choices],
        )
        for i, choices in enumerate(requests)
    ]
    facts = {"task": task, "version": "1.0", "source": "embedded", "split": "validation"}
    metrics = {
        "metrics": ["acc", "acc_norm"],
        "made_from": Recipe(task).made_from,
        "total": max(100, len(made)),
    }
    return TaskDocuments(**{**facts, **metrics, "documents": made, **changes})


def packed(seed: int, count: int, vocabulary: int = 320, longest: int = 40) -> list[PackedDocument]:
    """Documents of random tokens, of different lengths, with 2 to 4 choices of 1 to 4 tokens."""
    from cornerstone.engine.tries import pack

    rng = np.random.default_rng(seed)

    def tokens(low: int, high: int) -> list[int]:
        return rng.integers(2, vocabulary, rng.integers(low, high)).tolist()

    made = []
    for _ in range(count):
        context = tokens(3, longest)
        made.append(pack([(context, tokens(1, 5)) for _ in range(rng.integers(2, 5))], 10_000))
    return made


def left_over(folder: Path) -> list[str]:
    """Hidden files: what an interrupted or careless writer leaves behind."""
    return sorted(path.name for path in folder.rglob(".*") if path.name != NOTES)


def windows(*largest: int) -> list[dict[str, Any]]:
    """Window estimators as YAML gives them."""
    return [{"kind": "window", "removed": k} for k in largest]


def right_or_wrong(players: tuple[Player, ...]) -> dict[str, Game]:
    """Two tasks of different size, every coalition known, answers right or wrong; the whole model is the best."""
    rng = np.random.default_rng(0)
    made = {}
    for task, count in (("alpha", 12), ("beta", 30)):
        table = (rng.random((1 << len(players), count)) < 0.5).astype(float)
        table[-1] = 1.0
        table[-1, ::4] = 0.0
        made[task] = game(players, table.__getitem__)
    return made


def script(folder: Path, name: str, text: str) -> None:
    """A program that stands in for one of the cluster's."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
