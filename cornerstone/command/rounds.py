"""`until`: rounds of the workflow, each with twice as many documents as the one before, until a result is settled.

Snakemake decides what it runs before it runs, so a round is a run of Snakemake. The first is a whole one. Those after
it end with the verdicts, and a whole one follows when all are settled: figures and deletion curves of documents on the
way would be made for nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cornerstone.config import looks
from cornerstone.config.config import Config, load_files
from cornerstone.files import write_text
from cornerstone.present.looks import read

WHOLE, LOOK = "all", "looks"
"""Rules that are asked for."""


@dataclass(frozen=True)
class Rounds:
    """What came of some rounds.

    Attributes:
        code: exit code of the last run of Snakemake.
        verdicts: model -> what its last look says; not of models that were not looked at.
    """

    code: int
    verdicts: Mapping[str, Mapping[str, Any]]


def run(files: Sequence[Path], snakemake: Callable[[str], int], say: Callable[[str], None]) -> Rounds:
    """Run the workflow, and again with more documents, until all models are settled or have no more.

    What is written down between two rounds (`looks.FILE`) is where the next command goes on, this one or another.

    Args:
        files: of the configuration; read again for each round.
        snakemake: runs a rule with all that it needs; returns the exit code.
        say: is told each new verdict.

    Raises:
        StoreError: a verdict can't be read.
        ConfigError: what is written down can't be read.
    """
    config, target, told = load_files(list(files)), WHOLE, set[str]()
    for model in forgotten(config):
        say(f"{model}: `until` or `limit` is not what it was, so the looks begin anew; what is evaluated stays")
    while True:
        code = snakemake(target)
        verdicts = {} if code else {model: found for model in config.run if (found := read(config, model))}
        for text in (str(found["text"]) for found in verdicts.values()):
            if text not in told:
                say(text)
                told.add(text)
        further = unsettled(config, verdicts)
        if code or len(verdicts) < len(config.run) or not further:  # none: Snakemake was told to do something else
            break
        raise_limits(config, further)
        config, target = load_files(list(files)), LOOK
    if not code and target != WHOLE:
        code = snakemake(WHOLE)
    return Rounds(code, verdicts)


def unsettled(config: Config, verdicts: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """The models that get more documents. Those that `compare` names together do so together: they must have the same.

    Args:
        config: the configuration.
        verdicts: model -> what its present look says.
    """
    open_ = {model for model, found in verdicts.items() if not found["settled"] and not found["last"]}
    joined = -1
    while joined != len(open_):
        joined = len(open_)
        open_ |= {model for pair in config.pairs if open_ & set(pair) for model in pair}
    return open_


def raise_limits(config: Config, models: Collection[str]) -> None:
    """Write down that some models are at their next look."""
    assert config.until is not None
    path = looks.path_in(config.paths.results)
    said = dict(looks.written(path))
    for model in config.run:
        made_for, now = config.made_for(model), config.look(model)
        there = said.get(model, {})
        so_far = there["looks"] if there.get("settings") == made_for else [now.documents]
        if model in models:
            so_far = [*so_far, now.next(config.until.at_most).documents]
        said[model] = {"settings": made_for, "looks": so_far}
    write_text(path, json.dumps(said, indent=1) + "\n")


def forgotten(config: Config) -> list[str]:
    """The active models whose looks so far were for other settings, so that they do not count."""
    said = looks.written(looks.path_in(config.paths.results))
    return [model for model in config.run if model in said and said[model]["settings"] != config.made_for(model)]
