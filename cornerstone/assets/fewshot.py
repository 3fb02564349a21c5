"""Examples before a document, and chat templates around it: checked, then left to lm-eval."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cornerstone.assets.recipe import Recipe
from cornerstone.errors import ModelError, TaskError, first_line


def prepare(recipe: Recipe, task: Any) -> None:
    """Set a task object's number of examples and the seed that chooses them, as `simple_evaluate` of lm-eval does.

    Raises:
        TaskError: the task says 0 itself, or there is nothing to take examples from but the documents that are scored.
    """
    wanted, own = recipe.num_fewshot, task.get_config("num_fewshot")
    key = f"config.yaml: tasks.{recipe.task}.num_fewshot"
    if wanted and own == 0:
        raise TaskError(f"{key}: the task itself says 0, and lm-eval keeps to that. Set it to 0, or leave it out.")
    task.set_config(key="num_fewshot", value=own or 0 if wanted is None else wanted)
    task.set_fewshot_seed(seed=recipe.fewshot_seed)
    count = task.config.num_fewshot
    if not count:
        return
    said = task.fewshot_cfg
    scored = task.config.test_split or task.config.validation_split
    others = [
        split for split in (task.config.training_split, task.config.validation_split) if split not in (None, scored)
    ]
    if said.split is None and said.samples is None and not others:
        raise TaskError(
            f"{key}: {count} examples are asked for, and the data has no split for them (it has '{scored}', which is "
            f"scored). Set it to 0, take another `documents.source`, or name a file under "
            f"tasks.{recipe.task}.fewshot_documents."
        )
    there = len(task.sampler.fewshot_docs())
    if there < count:
        raise TaskError(f"{key}: {count} examples are asked for, and there are {there}. Set it to {there} at most.")


def tokenizer_with_template(task: str, folder: Path) -> Any:
    """The tokenizer of a model, which has a chat template.

    Raises:
        ModelError: it has none, or can't be read.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # transformers raises nearly every kind
        raise ModelError(f"{folder}: the tokenizer can't be read: {first_line(error)}.") from error
    if not tokenizer.chat_template:
        raise ModelError(
            f"config.yaml: tasks.{task}.apply_chat_template: the tokenizer in {folder} has no chat template. Set it to "
            "false, or run a model that has one."
        )
    return tokenizer


def chat(tokenizer: Any) -> dict[str, Any]:
    """What lm-eval's `fewshot_context` is given so that it applies a tokenizer's chat template; None: nothing."""
    if tokenizer is None:
        return {}
    from lm_eval.models.huggingface import HFLM

    class Template(HFLM):
        """HFLM for its `apply_chat_template` alone."""

        def __init__(self) -> None:
            self.tokenizer = tokenizer
            self.chat_template_args: dict[str, Any] = {}

    return {
        "apply_chat_template": True,
        "fewshot_as_multiturn": True,  # as `simple_evaluate` has it
        "chat_template": Template().apply_chat_template,
    }
