"""What config.yaml says of a language model: its weights, its players, what a job of it may use."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from cornerstone.config import names
from cornerstone.config.weights import Weights
from cornerstone.errors import ConfigError
from cornerstone.game import coalitions
from cornerstone.game.players import (
    MOST_PLAYERS,
    Kinds,
    Player,
    alike,
    experts_of,
    groups_of,
    heads_of,
    players_of,
    read_kinds,
    runs_of,
)
from cornerstone.settings import Section

LONGEST_NAME = 205
"""Characters of a coalition's name at most: file systems take 255, with what is put around it."""


def names_problem(players: tuple[Player, ...]) -> str | None:
    """Why the coalitions of some players can't be named as files; None where they can."""
    mask = len(coalitions.name(0, players)) if len(players) > coalitions.MOST_NAMED else 0
    if mask > LONGEST_NAME:
        most = 4 * (LONGEST_NAME - len("mask-"))
        return (
            f"{len(players)} players are too many; {most} are possible, as a coalition's file is named after them. "
            "Take `players: sublayers`, or group them"
        )
    longest = sorted(players, key=lambda player: len(player.name))[-coalitions.MOST_NAMED :]
    drop = len("-".join(["drop", *(player.name for player in longest)]))
    if drop > LONGEST_NAME:
        return (
            f"the names of {len(longest)} players make a coalition's name of {drop} characters, and {LONGEST_NAME} fit "
            "into that of a file. Give the groups shorter names"
        )
    return None


class Resources(Section):
    """What one evaluate job asks of the cluster."""

    gpus: int = Field(0, ge=0, le=1024, description="GPUs of one evaluate job, on one node; 0 runs on the CPU.")
    memory_gb: int | None = Field(
        None,
        ge=1,
        le=10**5,
        description="Host memory of one evaluate job, in GiB. Each retry asks for half as much more. null: what the "
        "weights take and a fifth more, plus 4 and `memory.host_gb`; 8 at least, and as long as they are not fetched.",
    )
    runtime_minutes: int = Field(
        240, ge=1, le=10**6, description="Time limit of one evaluate job. Each retry asks for half as much more."
    )
    partition: names.Partition | None = Field(
        None, description="SLURM partition of this model's jobs, where it is not the profile's (`profiles/slurm`)."
    )
    account: names.Account | None = Field(None, description="SLURM account, likewise.")
    constraint: names.Constraint | None = Field(None, description="Features that nodes must have, such as `a100|h100`.")


class Memory(Section):
    """What one evaluate job's memory is used for. Changes no number."""

    budget_gb: float | None = Field(
        None,
        gt=0,
        le=10**5,
        description="Memory of one evaluate job on what computes, its GPUs (all of them together) or the host, in GiB: "
        "weights, hidden states, what a sublayer needs to compute, and 0.75 for the process. What weights leave is for "
        "hidden states: less means more walks, never other results. null: what the job has, the log says how much. "
        "That is 90 % of its GPUs' free memory, or of the smallest limit that SLURM or a control group (a container) "
        "sets, or 80 % of what the machine has free, divided by the jobs that run at once.",
    )
    weights: Literal["auto", "resident", "streamed"] = Field(
        "auto",
        description="`resident`: all in memory, whatever the budget says. `streamed`: sublayer by sublayer from disk, "
        "the next while one computes; with one GPU or none. `auto`: resident where weights and a sensible number of "
        "states fit, else streamed; the log and each result say which.",
    )
    host_gb: float = Field(
        0.0,
        ge=0,
        le=10**5,
        description="Host memory, in GiB, in which a job that streams to a GPU keeps weights between walks "
        "(page-locked; part of `resources.memory_gb`): what fits is read from disk once. Without a GPU it is not used.",
    )
    read_gb_per_s: float | None = Field(
        None,
        gt=0,
        le=10**5,
        description="Rate at which streamed weights arrive, in GB/s (10^9 bytes), from which `snakemake plan` says how "
        "long walks wait for them; it decides nothing else. null: hours are those of the arithmetic alone.",
    )


class ModelDocuments(Section):
    """A model's own choice of documents; what is left out falls back to `documents`."""

    source: Literal["embedded", "hub"] | None = Field(None, description="See `documents.source`.")
    limit: int | None = Field(None, ge=2, le=10**9, description="Documents of every task.")


class Runs(Section):
    """Players are runs of neighbouring blocks."""

    blocks: int = Field(ge=1, le=10**4, description="Blocks of a run; the last run may be shorter.")


class Groups(Section):
    """Players are named groups of sublayers."""

    groups: dict[str, list[str]] = Field(
        min_length=1,
        description="Name of each group -> its members: sublayers (`attn3`), blocks (`block3`), runs (`blocks3to7`). "
        "Sublayers in no group are never removed.",
    )


def _form_of_players(value: Any) -> str | None:
    """Which of its forms an entry `players` means to have: errors are then about that one alone."""
    if isinstance(value, str):
        return "[name]"
    if isinstance(value, Groups) or (isinstance(value, dict) and "groups" in value):
        return "[groups]"
    return "[runs]" if isinstance(value, Runs) or (isinstance(value, dict) and "blocks" in value) else None


Players = Annotated[
    Annotated[Literal["sublayers", "blocks", "experts", "heads"], Tag("[name]")]
    | Annotated[Runs, Tag("[runs]")]
    | Annotated[Groups, Tag("[groups]")],
    Discriminator(_form_of_players),
]


class ReferenceDocuments(Section):
    """The documents over which mean contributions are taken."""

    task: str = Field("boolq", description="A task under `tasks`; it need not be among `run_tasks`.")
    limit: int = Field(
        32,
        ge=1,
        le=10**6,
        description="How many: the last of the seeded order, whose first are scored. Of each, the context with the "
        "right choice is read.",
    )


class MeanRemoval(Section):
    """A removed sublayer adds its mean contribution."""

    kind: Literal["mean"] = Field(description="The mean contribution stays.")
    documents: ReferenceDocuments = Field(
        default_factory=ReferenceDocuments, description="Over which documents it is the mean."
    )


def _form_of_removal(value: Any) -> str:
    return "[mean]" if isinstance(value, MeanRemoval | dict) else "[name]"


Removal = Annotated[
    Annotated[Literal["zero", "mean"], Tag("[name]")] | Annotated[MeanRemoval, Tag("[mean]")],
    Discriminator(_form_of_removal),
]


class Model(Weights):
    """One language model."""

    base: Weights | None = Field(
        None,
        description="The model that a LoRA adapter (a folder or hub repository with `adapter_config.json`) was trained "
        "on, pinned like the adapter: `{source: hub, id: ..., revision: ...}`. `fetch` merges the two.",
    )
    blocks: int = Field(ge=1, le=10**4, description="Transformer blocks; a model of L blocks has 2L players.")
    feed_forward: Literal["ffn", "moe"] = Field(
        "ffn", description="`moe` when the feed-forward sublayers are mixtures of experts."
    )
    sublayers: list[str] | None = Field(
        None,
        min_length=1,
        description="The kinds of the sublayers of each block, where blocks differ or are not attention and "
        "feed-forward: runs such as `3 x attn+ffn` or `6 x linear+moe, attn+moe`, as many blocks as `blocks` in all. "
        "It replaces `feed_forward`. `cornerstone add` writes it. Kinds: attn, linear (linear attention), mamba, conv, "
        "recurrent, ffn, moe, ple (per-layer embedding).",
    )
    experts: int | None = Field(
        None, ge=2, le=10**4, description="Experts of each mixture; needed only for `players: experts`."
    )
    heads: int | None = Field(
        None, ge=2, le=10**4, description="Query heads of each attention; needed only for `players: heads`."
    )
    players: Players = Field(
        "sublayers",
        description="Who plays: each sublayer (the paper), each block, each attention and each expert of a mixture "
        "(`experts`), each query head and each other sublayer (`heads`), `{blocks: 3}` for runs of three blocks, or "
        "`{groups: {name: [attn0, block1, blocks2to5], ...}}`. Few players have an exact answer (estimator `exact`).",
    )
    removal: Removal = Field(
        "zero",
        description="What stands in a removed sublayer's place. `zero`: nothing (the paper). `mean`: its mean "
        "contribution to the residual stream over reference documents, a constant vector; short for `{kind: mean, "
        "documents: {task: boolq, limit: 32}}`.",
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "bfloat16", description="Number format of weights and hidden states. Scores change slightly with it."
    )
    device_map: str = Field(
        "auto",
        pattern=r"^(auto|cpu|mps|cuda(:[0-9]+)?)$",
        description="`auto` uses the job's GPUs (`resources.gpus`; accelerate shares the layers out), or the CPU where "
        "that is 0; or a device such as `cpu` or `cuda:0`.",
    )
    chunks: int = Field(
        1, ge=1, le=10**5, description="Evaluate jobs per task. More run side by side, but share less work."
    )
    batch_tokens: int = Field(
        2048,
        ge=1,
        le=10**8,
        description="Tokens that go through a sublayer together (documents of similar length). On a CPU 1-2 "
        "thousand, on a GPU 16 thousand and more. Changes scores only by rounding.",
    )
    memory: Memory = Field(default_factory=Memory, description="What its memory is used for.")
    threads: int = Field(1, ge=1, le=4096, description="CPU threads of one evaluate job.")
    compile: bool = Field(
        False,
        description="Have torch.compile fuse what is between the matrix products. It needs a C++ compiler (the image "
        "has one) and some seconds of each job, and makes long jobs faster. Changes scores only by rounding.",
    )
    tflops: float | None = Field(
        None,
        gt=0,
        le=10**6,
        description="Speed of one evaluate job, in sustained TFLOP/s, from which `snakemake plan` forecasts hours; it "
        "decides nothing else. To get it, run a few documents and divide the plan's FLOP by the seconds that the "
        "evaluate logs and result files tell. null: measured where `plan` runs.",
    )
    resources: Resources = Field(default_factory=Resources, description="What a job asks of the cluster.")
    documents: ModelDocuments = Field(
        default_factory=ModelDocuments, description="This model's documents, where they differ."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Model:
        if self.base is not None and (self.source not in ("folder", "hub") or self.file):
            raise ValueError("`base` is for a LoRA adapter, which is a folder or a hub repository")
        try:
            kinds = {kind for block in self.kinds() for kind in block}
            each = {"experts": self.experts, "heads": self.heads}.get(str(self.players)) or 1
            if len(self.kinds()) * each > MOST_PLAYERS:
                raise ConfigError(
                    f"{len(self.kinds())} blocks with {each} {self.players} each are more than {MOST_PLAYERS} players, "
                    "which no model has"
                )
            if self.players == "experts" and not (self.experts and "moe" in kinds):
                raise ConfigError(
                    "`players: experts` needs `feed_forward: moe` and `experts`, the number in each mixture"
                )
            if self.players == "heads" and not (self.heads and "attn" in kinds):
                raise ConfigError(
                    "`players: heads` needs `heads`, the number of query heads of each attention (num_attention_heads "
                    "in the model's config.json), and sublayers of the kind attn"
                )
            if self.players == "experts" and self.reference is not None:
                raise ConfigError(
                    "`removal: mean` is not defined for `players: experts`, as an expert adds something only where the "
                    "router chose it; set `removal: zero`, or other `players`"
                )
            if len(self.all_players()) < 2:
                raise ConfigError("there is one player only; set `players` (or `blocks`) so that there are two or more")
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def reference(self) -> ReferenceDocuments | None:
        """The documents over which mean contributions are taken; None where nothing stands in a sublayer's place."""
        if isinstance(self.removal, MeanRemoval):
            return self.removal.documents
        return ReferenceDocuments() if self.removal == "mean" else None

    def kinds(self) -> Kinds:
        """The kinds of the sublayers of each block.

        Raises:
            ConfigError: `sublayers` that can't be read, or of another number of blocks.
        """
        if self.sublayers is None:
            return alike(self.blocks, self.feed_forward)
        kinds = read_kinds(self.sublayers)
        if len(kinds) != self.blocks:
            raise ConfigError(f"`sublayers` describes {len(kinds)} blocks, and `blocks` says {self.blocks}")
        return kinds

    def all_players(self) -> tuple[Player, ...]:
        """Its players in execution order.

        Raises:
            ConfigError: groups that do not fit the model.
        """
        match self.players:
            case Runs(blocks=length):
                return runs_of(self.kinds(), length)
            case Groups(groups=groups):
                return groups_of(self.kinds(), groups)
            case "blocks":
                return runs_of(self.kinds(), 1)
            case "experts":
                return experts_of(self.kinds(), self.experts or 0)
            case "heads":
                return heads_of(self.kinds(), self.heads or 0)
            case _:
                return players_of(self.kinds())
