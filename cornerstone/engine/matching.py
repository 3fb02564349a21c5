"""Which tensor of a model's files goes to which parameter, by transformers' own rules; and that none is left over.

transformers passes over tensors that a model has no place for. A bias that config.json does not know would be lost
that way, and the model would compute something else than its weights stand for. So what is left over is refused,
unless it is known to change no log-likelihood of a text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from cornerstone.engine.stored import DTYPES, Stored, stored_tensors
from cornerstone.errors import ModelError

IGNORABLE = (
    r"\brotary_emb\.inv_freq$|\brotary\.inv_freq$",  # computed from config.json
    r"\.attention\.masked_bias$|\.attn\.masked_bias$",  # what old versions put where a mask hides
    r"(^|\.)position_ids$",
    r"(^|\.)mtp\.",  # heads that predict the token after the next
    r"(^|\.)(vision_tower|vision_model|visual|multi_modal_projector|mm_projector|audio_tower|embed_vision|embed_audio)\.",
)
"""Names of tensors that a text's log-likelihood does not depend on, or that the model makes itself, beside those that
transformers names for an architecture (causal masks that old files of GPT-2 keep, say)."""


@dataclass
class Matched:
    """The tensors of a model's files by what they are used for.

    Attributes:
        plain: parameter -> the tensor that is its value.
        converted: parameter -> pattern of a rule -> the tensors from which the rule makes it.
        rules: pattern -> transformers' rule of conversion.
        unused: tensors that no parameter takes and that are not ignorable.
        twice: tensors for a parameter that another tensor fills.
    """

    plain: dict[str, Stored] = field(default_factory=dict)
    converted: dict[str, dict[str, list[Stored]]] = field(default_factory=dict)
    rules: dict[str, Any] = field(default_factory=dict)
    unused: list[Stored] = field(default_factory=list)
    twice: list[Stored] = field(default_factory=list)

    def refuse_unused(self, folder: Path) -> None:
        """Check that every tensor is used or ignorable.

        Raises:
            ModelError: with the number of those that are not, and the first.
        """
        if self.unused:
            first = self.unused[0]
            raise ModelError(
                f"the weights in {folder} hold {len(self.unused)} tensor(s) that the model of config.json has no place "
                f"for, such as {first.name} {list(first.shape)}: it would compute something else than they stand for. "
                "Correct config.json (a bias: attention_bias, mlp_bias, ...), or take weights that fit it."
            )
        if self.twice:
            raise ModelError(
                f"two tensors of the weights in {folder} are for one parameter, {self.twice[0].name} is one of them. "
                "Remove one."
            )


def match(model: Any, tensors: dict[str, Stored]) -> Matched:
    """Say what each tensor is used for.

    Args:
        model: a model of transformers; its parameters need shapes and no values.
        tensors: of its files, by name.
    """
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, WeightRenaming, dot_natural_key, rename_source_key

    wanted: dict[str, torch.Tensor] = model.state_dict()
    rules = get_model_conversion_mapping(model)
    renamings = [rule for rule in rules if isinstance(rule, WeightRenaming)]
    converters = [rule for rule in rules if isinstance(rule, WeightConverter)]
    found = Matched(rules={pattern: rule for rule in converters for pattern in rule.source_patterns})
    ignorable = [*IGNORABLE, *(model._keys_to_ignore_on_load_unexpected or ())]
    prefix = model.base_model_prefix
    for name in sorted(tensors, key=dot_natural_key):  # the order in which experts are stacked
        stored = tensors[name]
        target, pattern = rename_source_key(name, renamings, converters, prefix, wanted)
        if target not in wanted and name in wanted:
            target, pattern = rename_source_key(name, [], [], prefix, wanted)
        if target not in wanted:
            if not any(re.search(each, key) for each in ignorable for key in (name, target)):
                found.unused.append(stored)
        elif pattern is not None:
            found.converted.setdefault(target, {}).setdefault(pattern, []).append(stored)
        elif target in found.plain:
            found.twice.append(stored)
        else:
            found.plain[target] = stored
    return found


def check(model: Any, folder: Path) -> None:
    """Compare the files of a folder with a model, by headers alone: names, shapes and number formats.

    Args:
        model: a model of transformers; its parameters need shapes and no values.
        folder: holds the safetensors files.

    Raises:
        ModelError: tensors that are missing, left over, of another shape, or in a number format that needs scales.
    """
    tensors = stored_tensors(folder)
    plain_numbers(tensors, folder)
    matched = match(model, tensors)
    matched.refuse_unused(folder)
    wanted: dict[str, torch.Tensor] = model.state_dict()
    for name, stored in matched.plain.items():
        same_shape(stored.shape, tuple(wanted[name].shape), name, folder)
    for name, sources in matched.converted.items():
        rule = matched.rules[next(iter(sources))]
        count = sum(torch.Size(each.shape).numel() for found in sources.values() for each in found)
        if len(rule.target_patterns) == 1 and count != wanted[name].numel():
            raise ModelError(
                f"the tensors for {name} in {folder} have {count} entries, but config.json asks for "
                f"{list(wanted[name].shape)}. Fetch the model again, or choose a revision that is whole."
            )
    filled = matched.plain.keys() | matched.converted.keys()
    absent = set(wanted) - filled - _made_otherwise(model, filled)
    made = {target for rule in matched.rules.values() if len(rule.target_patterns) > 1 for target in _targets(rule)}
    complain_of_absent([name for name in absent if not any(part in name for part in made)], folder)


def _made_otherwise(model: Any, filled: set[str]) -> set[str]:
    """Parameters that need no tensor of their own: tied to one that has, or declared so by transformers."""
    tied = {target for target, source in model.all_tied_weights_keys.items() if source in filled}
    tied |= {source for target, source in model.all_tied_weights_keys.items() if target in filled}
    patterns = model._keys_to_ignore_on_load_missing or ()
    return tied | {name for name in model.state_dict() if any(re.search(pattern, name) for pattern in patterns)}


def _targets(rule: Any) -> list[str]:
    """The literal ends of a rule's target names."""
    return [pattern.replace("\\", "").strip("^$.") for pattern in rule.target_patterns]


def complain_of_absent(absent: list[str], folder: Path) -> None:
    """Refuse weights that lack tensors: transformers would fill them with random numbers.

    Raises:
        ModelError: `absent` is not empty.
    """
    if absent:
        raise ModelError(
            f"the weights in {folder} lack {len(absent)} tensors that config.json asks for, such as {min(absent)}. "
            "Fetch the model again, or choose a revision that is whole."
        )


def plain_numbers(tensors: dict[str, Stored], folder: Path) -> None:
    """Check that all weights are in a number format that needs no scales.

    Raises:
        ModelError: one is float8 or an integer, say.
    """
    strange = [stored for stored in tensors.values() if stored.dtype not in DTYPES and not _counts(stored)]
    if strange:
        raise ModelError(
            f"{strange[0].name} in {strange[0].path} has the number format {strange[0].dtype}, whose scales only "
            f"a quantised checkpoint's config.json explains; only {', '.join(DTYPES)} can be used. Take the weights "
            "that are not quantised, or the revision whose config.json has a quantization_config."
        )


def _counts(stored: Stored) -> bool:
    """Whether a tensor of integers is no weight: a counter, positions, a mask."""
    return (stored.dtype in ("BOOL", "U8") and len(stored.shape) == 4) or stored.dtype in ("I64", "BOOL")


def same_shape(found: tuple[int, ...], expected: tuple[int, ...], name: str, folder: Path) -> None:
    """Compare the shape of a tensor with that of the parameter that it is for.

    Raises:
        ModelError: they differ.
    """
    if found != expected:
        raise ModelError(
            f"{name} has shape {list(found)} in the weights in {folder}, but config.json asks for {list(expected)}. "
            "Fetch the model again, or choose a revision that is whole."
        )
