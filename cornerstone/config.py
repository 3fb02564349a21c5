"""The configuration, typed. `config.yaml` is checked against these models before any work starts.

The JSON schema (`schemas/config.schema.json`) and `docs/configuration.md` are generated from here by
`python -m cornerstone.config`. Imports no torch.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cornerstone.errors import ConfigError
from cornerstone.players import Player, players_of

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
"""A model's name in the config: it becomes a folder and part of rule names."""
TaskName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


class Section(BaseModel):
    """Base of all sections: unknown keys are refused, values are not changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Resources(Section):
    """What one evaluate job asks of the cluster."""

    gpus: int = Field(0, ge=0, description="GPUs of one evaluate job, on one node; 0 runs on the CPU.")
    memory_gb: int = Field(
        8, ge=1, description="Host memory of one evaluate job, in GiB. Each retry asks for half as much more."
    )
    runtime_minutes: int = Field(
        240, ge=1, description="Time limit of one evaluate job. Each retry asks for half as much more."
    )
    partition: str | None = Field(
        None, description="SLURM partition of this model's jobs, where it is not the profile's (`profiles/slurm`)."
    )
    account: str | None = Field(None, description="SLURM account, likewise.")
    constraint: str | None = Field(None, description="Features that nodes must have, such as `a100|h100`.")


class ModelDocuments(Section):
    """A model's own choice of documents; what is left out falls back to `documents`."""

    source: Literal["embedded", "hub"] | None = Field(None, description="See `documents.source`.")
    limit: int | None = Field(None, ge=2, description="First n documents of every task.")


class Model(Section):
    """One language model."""

    source: Literal["wheel", "hub", "folder"] = Field(
        description="`hub`: a repository of the Hugging Face hub. `wheel`: a GGUF file inside a PyPI wheel. "
        "`folder`: a folder on disk with safetensors weights and a tokenizer."
    )
    id: str = Field(description="Hub repository, name of the wheel, or path of the folder.")
    revision: str | None = Field(
        None,
        description="Full commit hash (hub) or exact version (wheel). Required for both: results are only "
        "comparable when the weights are pinned.",
    )
    file: str | None = Field(None, description="The GGUF file inside the wheel.")
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$", description="Checksum of the wheel.")
    blocks: int = Field(ge=1, description="Transformer blocks; a model of L blocks has 2L players.")
    feed_forward: Literal["ffn", "moe"] = Field(
        "ffn", description="`moe` when the feed-forward sublayers are mixtures of experts."
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "bfloat16", description="Number format of weights and hidden states. Scores change slightly with it."
    )
    device_map: str = Field(
        "auto",
        description="`auto` uses the job's GPUs (`resources.gpus`; accelerate shares the layers out), or the CPU where "
        "that is 0; or a device such as `cpu` or `cuda:0`.",
    )
    chunks: int = Field(1, ge=1, description="Evaluate jobs per task. More run side by side, but share less work.")
    batch_tokens: int = Field(
        2048,
        ge=1,
        description="Tokens that go through a sublayer together (documents of similar length). On a CPU 1-2 "
        "thousand, on a GPU 16 thousand and more. Changes scores only by rounding.",
    )
    memory_budget_gb: float = Field(
        2.0, gt=0, description="Memory for live hidden states. Less means more walks, never other results."
    )
    threads: int = Field(1, ge=1, description="CPU threads of one evaluate job.")
    resources: Resources = Field(default_factory=Resources, description="What a job asks of the cluster.")
    documents: ModelDocuments = Field(
        default_factory=ModelDocuments, description="This model's documents, where they differ."
    )

    @model_validator(mode="after")
    def _pinned(self) -> Model:
        if self.source == "hub" and not re.fullmatch(r"[0-9a-f]{40}", self.revision or ""):
            raise ValueError("a hub model needs `revision`, the 40-digit commit hash shown on its hub page")
        if self.source == "wheel" and not (self.revision and self.file and self.sha256):
            raise ValueError("a wheel model needs `revision` (version), `file` and `sha256`")
        return self

    @property
    def players(self) -> tuple[Player, ...]:
        """Its players in execution order."""
        return players_of(self.blocks, self.feed_forward)


class Task(Section):
    """One lm-eval task."""

    metric: Literal["acc", "acc_norm"] = Field(description="The metric that is the coalition's value.")
    limit: int | None = Field(None, ge=2, description="First n documents of this task; null: as `documents`.")
    revision: str | None = Field(None, description="Commit of the task's data set on the hub (only for `source: hub`).")


class Documents(Section):
    """Where the documents of the tasks come from."""

    source: Literal["embedded", "hub"] = Field(
        "embedded",
        description="`embedded`: validation documents of the paper's six tasks, from a PyPI wheel. `hub`: the "
        "data set and split that the lm-eval task names.",
    )
    limit: int | None = Field(
        None,
        ge=2,
        description="First n documents of each task; null: all. Time grows in proportion, standard errors "
        "shrink with its root.",
    )


class Estimators(Section):
    """What is estimated."""

    window: list[Annotated[int, Field(ge=1)]] = Field(
        [4, 3],
        min_length=1,
        description="K of the paper's estimator: windows of at most K neighbours are removed. The first is "
        "the headline; coalitions grow as K x players.",
    )


class Deletion(Section):
    """Deletion curves: accuracy as players are removed one after another."""

    share: float = Field(0.3, gt=0, le=1, description="Largest share of the players that is removed.")
    points: int = Field(6, ge=1, description="Points on each curve; each is one more coalition.")
    orders: list[Literal["shapley", "ablation", "depth"]] = Field(
        ["shapley", "ablation", "depth"],
        description="By which quantity players are ordered; each order is walked from both ends. An empty "
        "list leaves deletion curves out.",
    )


class Intervals(Section):
    """Standard errors and intervals."""

    level: float = Field(0.95, gt=0.5, lt=1, description="Coverage of the intervals.")
    bootstrap: int = Field(1000, ge=100, description="Resamples of the documents, for figures that are not linear.")


class Paths(Section):
    """Where things are put, relative to the working directory."""

    results: str = Field("results", description="Everything that is computed.")
    resources: str = Field("resources", description="Weights and documents; shared between runs.")


class Config(Section):
    """The whole of config.yaml."""

    run: list[Name] = Field(min_length=1, description="The models to run, by their name under `models`.")
    run_tasks: list[TaskName] = Field(min_length=1, description="The tasks to run, by name under `tasks`.")
    documents: Documents = Field(default_factory=Documents, description="Where documents come from.")
    estimators: Estimators = Field(default_factory=Estimators, description="What is estimated.")
    deletion: Deletion = Field(default_factory=Deletion, description="Deletion curves.")
    intervals: Intervals = Field(default_factory=Intervals, description="Standard errors and intervals.")
    seed: int = Field(0, ge=0, description="Seed of everything random (resampling).")
    paths: Paths = Field(default_factory=Paths, description="Folders.")
    container: str = Field(
        "containers/evaluate.sif", description="Apptainer image that GPU rules run in when that is asked for."
    )
    container_sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="Checksum that the image must have; null: the one that `make image` noted beside it.",
    )
    tasks: dict[TaskName, Task] = Field(description="Tasks that can be run, by their name in lm-eval.")
    models: dict[Name, Model] = Field(description="Models that can be run, by a name of your choice.")

    @model_validator(mode="after")
    def _known(self) -> Config:
        for key, chosen, known in (
            ("run", self.run, self.models),
            ("run_tasks", self.run_tasks, self.tasks),
        ):
            section = "models" if key == "run" else "tasks"
            for entry in chosen:
                if entry not in known:
                    raise ValueError(
                        f"`{key}` names '{entry}', which is not under `{section}`; there: {', '.join(known)}"
                    )
            if len(set(chosen)) != len(chosen):
                raise ValueError(f"`{key}` names an entry twice: {', '.join(chosen)}")
        for key, values in (("estimators.window", self.estimators.window), ("deletion.orders", self.deletion.orders)):
            if len(set(values)) != len(values):
                raise ValueError(f"`{key}` names an entry twice: {', '.join(map(str, values))}")
        for entry in self.run:
            count = 2 * self.models[entry].blocks
            if max(self.estimators.window) > count:
                raise ValueError(
                    f"`estimators.window` has K = {max(self.estimators.window)}, but {entry} has only {count} "
                    "players; choose a smaller K"
                )
        return self

    def documents_source(self, model: str) -> Literal["embedded", "hub"]:
        """Where the documents of a model's tasks come from."""
        return self.models[model].documents.source or self.documents.source

    def limit(self, model: str, task: str) -> int | None:
        """How many documents of a task a model is scored on: the model's, else the task's, else all's."""
        candidates = (self.models[model].documents.limit, self.tasks[task].limit, self.documents.limit)
        return next((limit for limit in candidates if limit is not None), None)


def check(raw: dict[str, Any], where: str = "config.yaml") -> Config:
    """The typed configuration.

    Raises:
        ConfigError: one message that lists each wrong key, its value, and what is allowed.
    """
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        lines = [_explain(problem, where) for problem in error.errors()]
        raise ConfigError("\n  ".join(["the configuration is wrong:", *lines])) from None


def read_files(paths: list[Path]) -> Config:
    """The configuration of YAML files, each overriding the one before, as Snakemake merges them.

    Raises:
        ConfigError: a file is missing, is not YAML, or what they say together is wrong.
    """
    raw: dict[str, Any] = {}
    for path in paths:
        try:
            raw = _merged(raw, yaml.safe_load(path.read_text(encoding="utf-8")) or {})
        except (OSError, yaml.YAMLError, AttributeError) as error:
            raise ConfigError(f"{path}: can't be read as YAML: {error}. Correct it, or name another file.") from error
    return check(raw, " + ".join(str(path) for path in paths))


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        result[key] = _merged(base[key], value) if both else value
    return result


def _explain(problem: Any, where: str) -> str:
    key = ".".join(str(part) for part in problem["loc"] if part != "[key]") or "(top level)"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return f"{where}: {key}: there is no such key. Remove it, or see docs/configuration.md for the keys."
    if problem["type"] == "value_error":
        return f"{where}: {key}: {message}."
    if problem["type"] == "missing":
        return f"{where}: {key}: is missing. See docs/configuration.md."
    return f"{where}: {key}: {message}; it is {problem['input']!r}. See docs/configuration.md."


def schema() -> str:
    """The JSON schema of config.yaml, for editors."""
    return json.dumps(Config.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def reference() -> str:
    """docs/configuration.md: a table of keys for each section."""
    parts = [
        "# Configuration\n",
        "Generated from `cornerstone/config.py` by `python -m cornerstone.config`; do not edit by hand. "
        "`config.yaml` is the file that you edit; values given by `snakemake --config` or `--configfile` "
        "override it.\n",
    ]
    sections: list[tuple[str, type[Section]]] = [
        ("Top level", Config),
        ("documents", Documents),
        ("estimators", Estimators),
        ("deletion", Deletion),
        ("intervals", Intervals),
        ("paths", Paths),
        ("tasks.<task>", Task),
        ("models.<model>", Model),
        ("models.<model>.resources", Resources),
        ("models.<model>.documents", ModelDocuments),
    ]
    for title, section in sections:
        parts.append(f"## {title}\n")
        parts.append(f"{(section.__doc__ or '').strip()}\n")
        rows = ["| key | default | meaning |", "|---|---|---|"]
        for key, field in section.model_fields.items():
            default = "required" if field.is_required() else f"`{_shown(field.get_default(call_default_factory=True))}`"
            rows.append(f"| `{key}` | {default} | {field.description} |")
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def _shown(value: Any) -> str:
    if isinstance(value, Section):
        return "see below"
    return json.dumps(value)


GENERATED = {"schemas/config.schema.json": schema, "docs/configuration.md": reference}
"""Files that are generated from this module; a test fails when one is stale."""


if __name__ == "__main__":
    for path, make in GENERATED.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(make(), encoding="utf-8")
        print(f"wrote {path}")
