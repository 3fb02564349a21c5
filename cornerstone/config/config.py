"""The configuration, typed. `config.yaml` is checked against these models before any work starts."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from cornerstone.config import designs, looks, names, source
from cornerstone.config.messages import explain, place
from cornerstone.config.models import Model, names_problem
from cornerstone.config.pairs import Pair, check_pairs
from cornerstone.config.sections import Deletion, Intervals, Noise, Paths
from cornerstone.config.tasks import Documents, Source, Task, TaskName
from cornerstone.errors import ConfigError
from cornerstone.estimators import ESTIMATORS, INTERACTIONS, Estimator, Interactions, WindowEstimator
from cornerstone.estimators.base import Asked
from cornerstone.game.functions import LOGARITHMS
from cornerstone.game.game import ACCURACY
from cornerstone.settings import Section

if TYPE_CHECKING:
    AnyEstimator = Estimator
    AnyInteractions = Interactions
else:
    AnyEstimator = Annotated[Union[ESTIMATORS], Field(discriminator="kind")]  # noqa: UP007 (made from a tuple)
    AnyInteractions = Annotated[Union[INTERACTIONS], Field(discriminator="kind")]  # noqa: UP007

ValueFunction = Literal[
    "margin",
    "soft-accuracy",
    "log-probability",
    "log-probability-per-character",
    "log-probability-per-byte",
    "log-probability-per-token",
    "log-probability-per-word",
]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
"""A model's name in the config: it becomes a folder and part of rule names."""


MOST_COALITIONS, MOST_REPLICATES = 10**6, 1000
"""Largest budget of an estimator: a million coalitions of a model of 8B are years of a GPU."""


PAGES = ("index", "compare", "report")
"""Pages beside which one of several models, which is named after it, has none of its own."""


class Config(Section):
    """The whole of config.yaml."""

    run: list[Name] = Field(min_length=1, description="The models to run, by their name under `models`.")
    run_tasks: list[TaskName] = Field(min_length=1, description="The tasks to run, by name under `tasks`.")
    documents: Documents = Field(default_factory=Documents, description="Where documents come from.")
    estimators: list[AnyEstimator] = Field(
        [WindowEstimator(kind="window", removed=4), WindowEstimator(kind="window", removed=3)],
        min_length=1,
        description="How layer Shapley values are estimated, any number at once; coalitions that several ask for are "
        "evaluated once. The first is the headline of tables and figures. Single-layer ablation is always there.",
    )
    interactions: list[AnyInteractions] = Field(
        [],
        description="Pairwise interactions beyond those that the windows of the window estimator hold, which cost "
        "nothing and are always there.",
    )
    value_functions: list[ValueFunction] = Field(
        [],
        description="What else than the task's metric a coalition may be worth on a document, from the same "
        "evaluations (docs/tasks.md): `margin`, log-likelihood per character of the gold choice less that of the best "
        "other; `soft-accuracy`, the gold choice's share in a softmax over the choices; `log-probability`, natural "
        "logarithm, of the gold choice, as it is or `-per-character`, `-per-byte`, `-per-token`, `-per-word`. A task "
        "without choices has no `margin` and no `soft-accuracy`, one with choices nothing per word.",
    )
    temperature: float = Field(
        0.1,
        gt=0,
        le=10**6,
        description="Temperature of `soft-accuracy`: log-likelihoods per character are divided by it. The lower, the "
        "nearer it is to accuracy.",
    )
    until: looks.Until | None = Field(None, description="Run until it is settled (docs/how-to/until-settled.md).")
    include_path: list[names.AnyPath] = Field(
        [], description="Folders of task files (YAML) of your own, beside those of lm-eval. Python in them is run."
    )
    compare: list[list[Name]] = Field(
        [],
        description="Pairs of models of `run` that are set side by side, such as `[[base, tuned], [small, large]]`. "
        "Both must be scored on the same documents (docs/comparing-models.md).",
    )
    deletion: Deletion = Field(default_factory=Deletion, description="Deletion curves.")
    intervals: Intervals = Field(default_factory=Intervals, description="Standard errors and intervals.")
    noise: Noise = Field(default_factory=Noise, description="How far the same coalitions differ, computed again.")
    seed: int = Field(
        0, ge=0, lt=2**32, description="Seed of everything random: coalitions, halves of documents, resamples."
    )
    paths: Paths = Field(default_factory=Paths, description="Folders.")
    container: names.Image = Field(
        "containers/evaluate.sif", description="Apptainer image that GPU rules run in when that is asked for."
    )
    container_sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="Checksum that the image must have; null: the one that `make image` noted beside it.",
    )
    tasks: dict[TaskName, Task] = Field(description="Tasks that can be run, by their name in lm-eval.")
    models: dict[Name, Model] = Field(description="Models that can be run, by a name of your choice.")
    _looks: dict[str, looks.Look] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _known(self) -> Config:
        names.check_names(list(self.models), list(self.tasks))
        for key, chosen, known in (
            ("run", self.run, self.models),
            ("run_tasks", self.run_tasks, self.tasks),
        ):
            section = "models" if key == "run" else "tasks"
            for entry in chosen:
                if entry not in known:
                    raise ValueError(
                        f"`{key}` names '{entry}', which is not under `{section}`; there: {', '.join(known)}"
                        f"{source.near(entry, known, '. Did you mean `{}`')}"
                    )
            if len(set(chosen)) != len(chosen):
                raise ValueError(f"`{key}` names an entry twice: {', '.join(chosen)}")
        taken = [model for model in self.run if len(self.run) > 1 and model in PAGES]
        if taken:
            raise ValueError(f"`run`: '{taken[0]}' is the name of another page of the results; rename the model")
        for key, values in (
            ("estimators", [estimator.name for estimator in self.estimators]),
            ("interactions", [interaction.name for interaction in self.interactions]),
            ("value_functions", self.value_functions),
            ("deletion.orders", self.deletion.orders),
        ):
            if len(set(values)) != len(values):
                raise ValueError(f"`{key}` names an entry twice: {', '.join(map(str, values))}")
        for model in self.run:
            self._fits(model)
            reference = self.models[model].reference
            if reference is not None and reference.task not in self.tasks:
                raise ValueError(
                    f"`models.{model}.removal`: the mean is taken over documents of '{reference.task}', which is not "
                    f"under `tasks`; name one of these in `removal: {{kind: mean, documents: {{task: ...}}}}`: "
                    f"{', '.join(self.tasks)}"
                )
        if "perplexity" in self.deletion.orders and "log-probability" not in self.value_functions:
            raise ValueError(
                "`deletion.orders`: perplexity needs log-probability among `value_functions`; add it there"
            )
        small = [name for name in self.run if self.models[name].players in ("experts", "heads")]
        if "influence" in self.deletion.orders and small:
            raise ValueError(
                f"`deletion.orders`: influence has no meaning where {self.models[small[0]].players} are players "
                f"(`models.{small[0]}.players`); take it out"
            )
        single = [task for task in self.run_tasks if self.members(task) == [task]]
        designs.check(self.estimators, {task: self.limit(model, task) for model in self.run for task in single})
        check_pairs(self.compare, self.models, self.run, self._scored_on)
        players = {model: len(self.models[model].all_players()) for model in self.run}
        metrics = {self.tasks[task].metric for task in self.run_tasks}
        looks.check(
            self.until, self.functions, metrics, {model: self.first_limits(model) for model in self.run}, players
        )
        self._add_up()
        return self

    def _add_up(self) -> None:
        """Raise ValueError where the tasks that are run can't be put into one table."""
        leaves = self.scored_tasks
        twice = sorted({task for task in leaves if leaves.count(task) > 1})
        if twice:
            raise ValueError(f"`run_tasks` names {', '.join(twice)} twice: by itself and in a group, or in two groups")
        metrics = {task: self.tasks[task].metric for task in self.run_tasks}
        logarithms = [task for task, metric in metrics.items() if metric in LOGARITHMS]
        units = sorted(set(metrics.values())) if logarithms else []
        if len(units) > 1:
            raise ValueError(
                f"`run_tasks`: the metrics {', '.join(units)} have no common mean over tasks ({', '.join(logarithms)} "
                "would not be a share of documents). Run tasks of one such metric at a time, each time with another "
                "`paths.results`"
            )

    def _fits(self, model: str) -> None:
        """Raise ValueError where an estimator can't be had for a model's number of players, or no file for so many."""
        players = self.models[model].all_players()
        count = len(players)
        if problem := names_problem(players):
            raise ValueError(f"`models.{model}.players`: {problem}")
        asked: list[tuple[str, list[Asked]]] = [
            ("estimators", [*self.estimators]),
            ("interactions", [*self.interactions]),
        ]
        for key, entries in asked:
            for entry in entries:
                replicates = getattr(entry, "replicates", 0)
                most = MOST_COALITIONS // (replicates if entry.nested else 1)
                if getattr(entry, "budget", 0) > most or replicates > MOST_REPLICATES:
                    raise ValueError(
                        f"`{key}`: {entry.name}: a budget is at most {most} coalitions, in at most "
                        f"{MOST_REPLICATES} replicates"
                    )
                problem = entry.problem(count)
                if problem:
                    raise ValueError(f"`{key}`: {entry.name}: {model} has {count} players; {problem}")

    @property
    def headline(self) -> Estimator:
        """The estimator that tables and figures show."""
        return self.estimators[0]

    @property
    def functions(self) -> list[str]:
        """All value functions: accuracy, and what else is asked for."""
        return [ACCURACY, *self.value_functions]

    def _scored_on(self, model: str) -> dict[str, tuple[str, int | None]]:
        """What a model is scored on: task -> source of the documents, and how many."""
        return {task: (self.documents_source(model), self.limit(model, task)) for task in self.scored_tasks}

    @property
    def pairs(self) -> list[Pair]:
        """The models that are compared, two by two."""
        return [(first, second) for first, second in self.compare]

    @property
    def compared_functions(self) -> list[str]:
        """The value functions that mean the same for models whose tokenizers differ: none that divides by tokens."""
        return [function for function in self.functions if not function.endswith("-per-token")]

    def equal_players(self, pair: Pair) -> bool:
        """Whether two models have the same players, so that each of one can be compared with that of the other."""
        first, second = (self.models[model].all_players() for model in pair)
        return first == second

    def largest_window(self, model: str) -> int:
        """The largest K for which every window of up to K players of a model is evaluated."""
        players = len(self.models[model].all_players())
        return max(1, *(entry.windows(players) for entry in [*self.estimators, *self.interactions]))

    def interaction_names(self, model: str) -> list[str]:
        """Interactions that are estimated: those that are asked for, then those that the windows hold."""
        largest = self.largest_window(model)
        return [*(entry.name for entry in self.interactions), *([windows_name(largest)] if largest > 1 else [])]

    def members(self, task: str) -> list[str]:
        """The tasks of lm-eval whose documents are those of an entry of `run_tasks`: its subtasks, or itself."""
        return self.tasks[task].subtasks or [task]

    @property
    def scored_tasks(self) -> list[str]:
        """The tasks of lm-eval that are scored: `run_tasks`, with its groups taken apart."""
        return [member for task in self.run_tasks for member in self.members(task)]

    @property
    def sampled_tasks(self) -> list[str]:
        """The tasks on which the noise floor is measured: of a group the first member."""
        return [self.members(task)[0] for task in self.run_tasks]

    @property
    def samples(self) -> int:
        """Samples of coalitions that have documents of their own (`design: nested`); 0 where all are scored on all."""
        return designs.samples(self.estimators)

    def entry_of(self, name: str) -> str:
        """The entry of `run_tasks` that a scored task belongs to: its own, or its group's."""
        return next((task for task in self.run_tasks if name in self.members(task)), name)

    def task(self, name: str) -> Task:
        """What is said of a scored task: its own entry, or that of its group."""
        return self.tasks[self.entry_of(name)]

    def documents_source(self, model: str) -> Source:
        """Where the documents of a model's tasks come from, where they are no file of the user's."""
        return self.models[model].documents.source or self.documents.source

    def look(self, model: str) -> looks.Look:
        """At which look a model is, where `until` is set."""
        return self._looks.get(model) or looks.first(self.first_limits(model))

    def limit(self, model: str, task: str) -> int | None:
        """How many documents of a task a model is scored on: as many as are asked for, or as the present look has."""
        limit = self._first_limit(model, task)
        if limit is None or model not in self._looks:
            return limit
        return looks.scaled(limit, looks.first(self.first_limits(model)), self._looks[model])

    def first_limits(self, model: str) -> dict[str, int | None]:
        """How many documents of each scored task are asked for: those of the first look where `until` is set."""
        return {task: self._first_limit(model, task) for task in self.scored_tasks}

    def _first_limit(self, model: str, task: str) -> int | None:
        """The model's, else the task's, else all's."""
        candidates = (self.models[model].documents.limit, self.task(task).limit, self.documents.limit)
        return next((limit for limit in candidates if limit is not None), None)

    def made_for(self, model: str) -> str:
        """16 hexadecimal digits of the settings for which a model's looks count."""
        return looks.made_for(self.until, self.first_limits(model), self.intervals.level)


def windows_name(largest: int) -> str:
    """The name of the interactions that windows of up to `largest` players hold."""
    return f"windows-k{largest}"


def load(raw: dict[str, Any], where: str = "config.yaml", written: source.Source | None = None) -> Config:
    """The typed configuration.

    Args:
        raw: what the files say.
        where: how they are called in messages.
        written: on which lines, where that is known.

    Raises:
        ConfigError: one message that lists each wrong key, its value, and what is allowed.
    """
    try:
        config = Config.model_validate(raw, strict=True)
    except ValidationError as error:
        lines = [explain(problem, place(problem, where, written), _keys()) for problem in error.errors()]
        raise ConfigError("\n  ".join(["the configuration is wrong:", *lines])) from None
    if config.until is not None:
        found = looks.present(
            looks.path_in(config.paths.results), {model: config.made_for(model) for model in config.run}
        )
        config._looks.update(found)
    return config


def load_files(paths: list[Path]) -> Config:
    """The configuration of YAML files, each overriding the one before, as Snakemake merges them.

    Raises:
        ConfigError: a file is missing, is not YAML, has a key twice, or what they say together is wrong.
    """
    written = source.read(paths)
    return load(written.values, " + ".join(str(path) for path in paths), written)


@lru_cache
def _keys() -> frozenset[str]:
    """All keys that any section has."""
    schema = Config.model_json_schema()
    sections = [schema, *schema["$defs"].values()]
    return frozenset(key for section in sections for key in section.get("properties", ()))
