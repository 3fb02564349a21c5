"""What the Snakefile needs to know: paths, chunks, and fingerprints of code. Imports no torch."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cornerstone.config.config import Config
from cornerstone.config.estimators import (
    Estimator,
    ExactEstimator,
    ExactInteractions,
    Interactions,
    PairInteractions,
    SampledEstimator,
    SampledInteractions,
    TruncatedEstimator,
    WindowEstimator,
)
from cornerstone.errors import ConfigError
from cornerstone.files import write_text
from cornerstone.game import coalitions
from cornerstone.game.players import Player
from cornerstone.plan import plan

ACCURACY = "accuracy"
"""The value function that is the task's own metric."""

DECISIVE_MODULES = (
    *("game.players", "engine.architectures", "engine.tries", "engine.attention", "engine.network", "engine.sweep"),
    *(
        "engine.encoding",
        "engine.loading",
        "engine.streaming.checkpoint",
        "engine.streaming.slots",
        "engine.streaming.streamed",
        "assets.documents",
    ),
)
"""Modules whose code decides the numbers in a result; a change in one makes its results stale."""


def fingerprint(config: Config, model: str, task: str) -> str:
    """16 hexadecimal digits that change with whatever decides a result.

    These are: the weights and how they are computed, the documents, and the code of `DECISIVE_MODULES`. What
    only decides where or how fast (chunks, threads, memory, GPUs) and what is made from results later (metric,
    estimators) is left out.
    """
    entry = config.models[model]
    decisive = entry.model_dump(
        include={
            "source",
            "id",
            "revision",
            "file",
            "sha256",
            "blocks",
            "feed_forward",
            "experts",
            "players",
            "dtype",
            "batch_tokens",
            "compile",
        }
    )
    decisive["documents"] = [
        task,
        config.documents_source(model),
        config.limit(model, task),
        config.tasks[task].revision,
    ]
    digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode())
    for module in DECISIVE_MODULES:
        digest.update((Path(__file__).parents[1] / f"{module.replace('.', '/')}.py").read_bytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Layout:
    """Where everything is, as strings for Snakemake (relative to the working directory)."""

    config: Config

    @property
    def results(self) -> str:
        """Folder of all results."""
        return self.config.paths.results

    def model_marker(self, model: str) -> str:
        """JSON file that says where a model's weights are; made by fetch."""
        return f"{self.config.paths.resources}/models/{model}.json"

    def outline_marker(self, model: str) -> str:
        """JSON file that says where a model's config and tokenizer are: the weights' own, where `plan` may use that.

        A hub model whose weights were not fetched has one of its own: planning must not download them.
        """
        marker = self.model_marker(model)
        if self.config.models[model].source != "hub" or Path(marker).is_file():
            return marker
        return f"{self.config.paths.resources}/outlines/{model}.json"

    def documents(self, source: str, task: str) -> str:
        """JSON file of a task's documents; made by fetch."""
        return f"{self.config.paths.resources}/documents/{source}/{task}.json"

    def documents_for(self, model: str, task: str) -> str:
        """The documents on which a model is scored."""
        return self.documents(self.config.documents_source(model), task)

    def coalition(self, model: str, task: str, name: str) -> str:
        """Result of one coalition."""
        return f"{self.results}/{model}/{task}/coalitions/{name}.json"

    def chunks(self, model: str) -> list[list[str]]:
        """Names of the planned coalitions of a model, one list for each evaluate job."""
        entry = self.config.models[model]
        players = entry.all_players()
        planned = plan.plan(players, [part for _, part in self.wanted(model)])
        return [[coalitions.name(c, players) for c in part] for part in plan.chunks(planned, entry.chunks, players)]

    def wanted(self, model: str) -> list[tuple[str, list[int]]]:
        """The name of each estimator and interaction of the config, with the coalitions that it needs.

        Raises:
            ConfigError: the installed shapiq does not have one of them.
        """
        entries = [*self.config.estimators, *self.config.interactions]
        return [(entry.name, self._coalitions(entry, self.config.models[model].all_players())) for entry in entries]

    def _coalitions(self, entry: Estimator | Interactions, players: tuple[Player, ...]) -> list[int]:
        if isinstance(entry, WindowEstimator):
            return plan.window_coalitions(players, entry.removed)
        if isinstance(entry, ExactEstimator | ExactInteractions):
            return list(range(1 << len(players)))
        return self._sampled(entry, players)

    def _sampled(
        self,
        entry: SampledEstimator | TruncatedEstimator | PairInteractions | SampledInteractions,
        players: tuple[Player, ...],
    ) -> list[int]:
        """Coalitions that are drawn at random, from a file: every job parses the workflow, and drawing needs shapiq."""
        drawn_by = [entry.model_dump(), len(players), self.config.seed, importlib.metadata.version("shapiq")]
        drawn_by += [code("estimators.replayed", "estimators.truncated", "estimators.interactions")]
        digest = hashlib.sha256(json.dumps(drawn_by, sort_keys=True).encode()).hexdigest()[:16]
        path = Path(self.config.paths.resources) / "plans" / f"{entry.name}-{digest}.json"
        try:
            return [int(mask, 16) for mask in json.loads(path.read_text(encoding="utf-8"))]
        except (OSError, ValueError):
            from cornerstone import estimators  # heavy, like shapiq: only where a plan is made for the first time
            from cornerstone.estimators import interactions

            if isinstance(entry, PairInteractions | SampledInteractions):
                drawn = interactions.coalitions_of(entry, players, self.config.seed)
            else:
                drawn = estimators.coalitions_of(entry, players, self.config.seed)
            write_text(path, json.dumps([f"{coalition:x}" for coalition in drawn]))
            return drawn

    @property
    def value_functions(self) -> list[str]:
        """Accuracy, and what else the config asks for."""
        return [ACCURACY, *self.config.value_functions]

    @property
    def headline(self) -> str:
        """The name of the estimator that tables and figures show."""
        return self.config.estimators[0].name

    def largest_window(self, model: str) -> int:
        """The largest K for which every window of up to K players is planned; at most 4 where all coalitions are."""
        asked = [1, *(entry.removed for entry in self.config.estimators if isinstance(entry, WindowEstimator))]
        entries = [*self.config.estimators, *self.config.interactions]
        if any(isinstance(entry, ExactEstimator | ExactInteractions) for entry in entries):
            asked.append(min(4, len(self.config.models[model].all_players())))
        return max(asked)

    def interaction_names(self, model: str) -> list[str]:
        """Interactions that are estimated: those of the config, then those that the windows hold."""
        largest = self.largest_window(model)
        from_windows = [f"windows-k{largest}"] if largest > 1 else []
        return [*(entry.name for entry in self.config.interactions), *from_windows]

    def figure_kinds(self, model: str) -> list[str]:
        """The figures of a model."""
        pairs = ["interactions", "assumptions"] if self.interaction_names(model) else []
        return ["shares", "ablation", "values", *pairs, *(["deletion"] if self.config.deletion.orders else [])]

    def figure_input(self, model: str, kind: str) -> list[str]:
        """What a kind of figure shows that the others do not."""
        folder = f"{self.results}/{model}"
        match kind:
            case "deletion":
                return [f"{folder}/deletion.csv"]
            case "interactions":
                return [self.interactions(model, self.interaction_names(model)[0])]
            case "assumptions":
                return [f"{folder}/by_removed.csv", f"{folder}/by_distance.csv"]
            case _:
                return []

    def shapley(self, model: str, estimator: str, value_function: str = ACCURACY) -> str:
        """Layer Shapley values of one estimator."""
        return f"{self.results}/{model}/shapley_{estimator}{_suffix(value_function)}.csv"

    def cornerstones(self, model: str, value_function: str = ACCURACY) -> str:
        """What can be said of the top players, by the headline estimator."""
        return f"{self.results}/{model}/cornerstones{_suffix(value_function)}.csv"

    def interactions(self, model: str, name: str, value_function: str = ACCURACY) -> str:
        """Interactions of pairs of players."""
        return f"{self.results}/{model}/interactions_{name}{_suffix(value_function)}.csv"

    def planned(self, model: str) -> list[str]:
        """Names of all planned coalitions of a model."""
        return [name for chunk in self.chunks(model) for name in chunk]

    def unplanned_pattern(self, model: str) -> str:
        """Regular expression of the names of coalitions that are in no plan (any of them can be a target).

        The look-ahead includes the ending: without it, `drop-attn1` would also exclude `drop-attn10`.
        """
        return rf"(?!{any_of(self.planned(model))}\.json)[a-z0-9-]+"

    def source_tasks(self) -> dict[str, list[str]]:
        """Document source -> tasks that some active model takes from it."""
        sources = sorted({self.config.documents_source(model) for model in self.config.run})
        return {source: list(self.config.run_tasks) for source in sources}


def any_of(words: Iterable[str]) -> str:
    """A regular expression of any of some words, as a tree of their prefixes.

    A plain alternation is tried word by word: with the 65,536 coalitions of an exact estimate, for each of as many
    files.
    """
    tree: dict[str, Any] = {}
    for word in words:
        node = tree
        for letter in word:
            node = node.setdefault(letter, {})
        node[""] = {}

    def pattern(node: dict[str, Any]) -> str:
        choices = [re.escape(letter) + pattern(rest) for letter, rest in sorted(node.items()) if letter]
        if "" in node:
            choices.append("")
        return choices[0] if len(choices) == 1 else f"(?:{'|'.join(choices)})"

    return pattern(tree)


def _suffix(value_function: str) -> str:
    return "" if value_function == ACCURACY else f"_{value_function}"


def check_coalition(config: Config, model: str, name: str) -> str:
    """The name itself, when it is a coalition of the model.

    Raises:
        CoalitionError: when it is not.
    """
    coalitions.parse(name, config.models[model].all_players())
    return name


def code(*modules: str) -> str:
    """A hash of modules of the package: as a rule's parameter it makes a change of code rerun the rule.

    Raises:
        ConfigError: when there is no such module.
    """
    digest = hashlib.sha256()
    for module in modules:
        path = Path(__file__).parents[1] / f"{module.replace('.', '/')}.py"
        if not path.is_file():
            raise ConfigError(f"rules/: there is no module cornerstone/{module}.py to take a fingerprint of")
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def forget_backup(path: Path) -> None:
    """Keep Snakemake from putting an older version of a finished result back.

    Snakemake copies the `update` outputs of a job aside before it runs, and restores the copies if the job fails:
    also over results that the job had made anew since.
    """
    inside = path.relative_to(path.anchor) if path.is_absolute() else path
    (Path(".snakemake") / "backups" / inside).unlink(missing_ok=True)


def share_with_jobs(root: str) -> None:
    """Let the scripts of jobs import the package, which lies at `root` and is not installed; keep them offline."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ["HF_HUB_OFFLINE"] = "1"  # only fetch may use the network; its scripts take this back
