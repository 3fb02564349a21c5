"""The documents that flip: right with all sublayers and wrong without one, or the other way round."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cornerstone.analysis import games
from cornerstone.assets import documents as files
from cornerstone.assets.documents import Document
from cornerstone.game.coalitions import full, name, without
from cornerstone.game.functions import SHARES
from cornerstone.present.page.source import Source
from cornerstone.present.page.units import rounded

EACH = 3
"""Documents that are shown of a layer and task, at most: those whose margin changes most."""
MOST = 3000
"""Flips that the page holds, about: of models with many players it shows fewer of each."""
MOST_DOCUMENTS = 600
"""Documents whose text the page holds, at most."""
CHARACTERS = 1200
"""Of a prompt, the end, as far as it is shown."""

Read = Callable[[Path], Mapping[str, Any]]
"""Reads a coalition's result."""


@dataclass
class _Shown:
    """The documents that the page holds, each once, with what the whole model scores."""

    texts: list[dict[str, Any]] = field(default_factory=list)
    places: dict[tuple[str, int], int] = field(default_factory=dict)

    def place(self, task: str, document: Document, scores: list[float]) -> int | None:
        """Where a document stands; None where there is no room for another."""
        key = (task, document.doc_id)
        if key not in self.places:
            if len(self.texts) >= MOST_DOCUMENTS:
                return None
            self.places[key] = len(self.texts)
            self.texts.append({"task": task, "id": document.doc_id, **text_of(document), "with": rounded(scores)})
        return self.places[key]


@dataclass(frozen=True)
class _Flip:
    """A document that flips when one player is removed."""

    player: int
    task: str
    document: Document
    lost: bool
    change: float
    rank: int
    before: list[float]
    after: list[float]


def of(source: Source, read: Read) -> dict[str, Any]:
    """What flips without each player.

    Args:
        source: the model's tables.
        read: reads the result of a coalition.

    Returns:
        `documents`: texts, choices, right ones, log-likelihoods of the whole model. `players`: of each player the flips
        that are shown: `[document, lost (1) or won (0), change of the margin, log-likelihoods without it]`, the largest
        change first. `counts`: of each player, by task, how many are lost and won in all.

    Raises:
        StoreError: a result is missing or damaged.
        AssetError: a file of documents is.
    """
    players = source.config.models[source.model].all_players()
    tasks = [task for task in source.config.scored_tasks if source.config.task(task).metric in SHARES]
    each = max(1, min(EACH, MOST // max(1, len(players) * len(tasks))))
    flips: list[_Flip] = []
    counts: list[dict[str, list[int]]] = [{} for _ in players]
    for task in tasks:
        for flip in _of_task(source, task, read, counts):
            if flip.rank < each:
                flips.append(flip)
    shown, found = _Shown(), [list[list[Any]]() for _ in players]
    for flip in sorted(flips, key=lambda flip: (flip.rank, -abs(flip.change))):
        place = shown.place(flip.task, flip.document, flip.before)
        if place is not None:
            change = rounded([flip.change])[0]
            found[flip.player].append([place, int(flip.lost), change, rounded(flip.after)])
    for rows in found:
        rows.sort(key=lambda row: -abs(row[2]))
    return {"documents": shown.texts, "players": found, "counts": counts}


def _of_task(source: Source, task: str, read: Read, counts: list[dict[str, list[int]]]) -> Iterator[_Flip]:
    """The flips of one task, those of each player with the largest change first."""
    model, metric = source.model, source.config.task(task).metric
    players = source.config.models[model].all_players()
    by_id = {
        document.doc_id: document for document in files.read(Path(source.layout.documents_for(model, task))).documents
    }
    table = games.read_values(Path(source.layout.values(model, task)), ["coalition", "doc_id", metric])
    right = {str(who): rows.set_index("doc_id")[metric] for who, rows in table.groupby("coalition", sort=False)}
    whole = name(full(players), players)
    before = _scores(source, task, whole, read)
    shown_as = next(entry for entry in source.config.run_tasks if task in source.config.members(entry))
    for position in range(len(players)):
        coalition = name(without([position], players), players)
        was, now = right[whole], right[coalition].loc[right[whole].index]
        changed = was.index[was != now].tolist()
        lost = int((was > now).sum())
        count = counts[position].setdefault(shown_as, [0, 0])
        count[0] += lost
        count[1] += len(changed) - lost
        if not changed:
            continue
        after = _scores(source, task, coalition, read)
        per = metric != "acc"
        changes = {i: margin(by_id[i], after[i], per) - margin(by_id[i], before[i], per) for i in changed if i in by_id}
        for rank, i in enumerate(sorted(changes, key=lambda i: -abs(changes[i]))):
            was_right = bool(was[i] > now[i])
            yield _Flip(position, shown_as, by_id[i], was_right, changes[i], rank, before[i], after[i])


def _scores(source: Source, task: str, coalition: str, read: Read) -> dict[int, list[float]]:
    """doc_id -> log-likelihood of each choice, as a coalition's file has them."""
    held = read(Path(source.layout.coalition(source.model, task, coalition)))["documents"]
    return dict(zip(held["doc_id"], held["loglikelihood"], strict=True))


def margin(document: Document, scores: list[float], per_character: bool) -> float:
    """Log-likelihood of the best right choice less that of the best wrong one.

    Args:
        document: with its right choices.
        scores: [choice] natural logarithms.
        per_character: divide each by the characters of its choice, as `acc_norm` does.

    Returns:
        Nats, or nats per character; where all choices are right or there is one, the best right one's score.
    """
    values = np.asarray(scores, float) / (np.asarray(document.lengths, float) if per_character else 1.0)
    good = np.zeros(len(values), bool)
    good[document.right] = True
    best = float(values[good].max())
    return best if good.all() else best - float(values[~good].max())


def text_of(document: Document) -> dict[str, Any]:
    """What a reader sees of a document: the end of its prompt, its choices, their characters, the right ones."""
    contexts = [context for context, _ in document.requests]
    common = len(set(contexts)) == 1
    choices = [text if common else context + text for context, text in document.requests]
    prompt = contexts[0] if common else ""
    return {
        "prompt": prompt[-CHARACTERS:],
        "cut": len(prompt) > CHARACTERS,
        "choices": [choice[-CHARACTERS:] for choice in choices],
        "lengths": document.lengths,
        "gold": document.right,
    }
