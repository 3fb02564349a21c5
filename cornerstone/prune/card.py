"""What lies beside the weights of a pruned model: model card, facts, and what other tools would have to be told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from cornerstone import __version__, reading
from cornerstone.config.config import Config
from cornerstone.errors import UnreadableError
from cornerstone.files import write_text
from cornerstone.plan.layout import Layout
from cornerstone.plan.making import making
from cornerstone.prune.made import Pruned

FACTS = "prune.json"
"""What was done, for programs; a folder that has it was made by `cornerstone prune`."""
MERGEKIT = "mergekit.yaml"


def write(config: Config, model: str, source: Path, made: Pruned, folder: Path, files: Sequence[Path] = ()) -> None:
    """Write all of it into a folder that holds the pruned weights.

    Args:
        config: the configuration.
        model: name of the entry that was pruned.
        source: folder of its weights.
        made: what was removed.
        folder: to write.
        files: that the configuration is from.
    """
    recipe = mergekit(config, model, source, made)
    if recipe is not None:
        write_text(folder / MERGEKIT, recipe)
    facts = facts_of(config, model, made)
    write_text(folder / FACTS, json.dumps(facts, indent=2) + "\n")
    write_text(folder / "README.md", text(config, model, made, recipe is not None, files))


def facts_of(config: Config, model: str, made: Pruned) -> dict[str, Any]:
    """What was done, as data."""
    entry, choice = config.models[model], made.choice
    return {
        "made_by": f"cornerstone {__version__}",
        "model": {"name": model, "source": entry.source, "id": entry.id, "revision": entry.revision},
        "removed": list(choice.names),
        "players": list(choice.players),
        "order": choice.order,
        "estimates": choice.results,
        "coalition": choice.coalition,
        "blocks_removed": list(made.blocks),
        "zeroed": {name: list(parameters) for name, parameters in made.zeroed.items()},
        "parameters": {"before": made.parameters[0], "after": made.parameters[1], "zero": made.silent},
        "largest_deviation": made.deviation,
        "check_log_likelihood": {"before": made.check[0], "after": made.check[1], "ends": made.checked},
        "doubts": list(choice.doubts),
        "speed": made.speed.facts() if made.speed else None,
        "prune_layers": prune_layers(made),
    }


def prune_layers(made: Pruned) -> str | None:
    """What llama.cpp's `llama-quantize --prune-layers` is told; None where blocks alone do not say it."""
    return ",".join(map(str, made.blocks)) if made.blocks and not made.zeroed else None


def mergekit(config: Config, model: str, source: Path, made: Pruned) -> str | None:
    """The same model as a configuration of mergekit (passthrough of slices); None where it can't say it.

    It has no way to zero a part of a layer but by scaling tensors whose names hold a word, so each parameter must be a
    weight that the original's files have by that name.
    """
    from cornerstone.engine.stored import stored_tensors

    entry = config.models[model]
    if entry.source not in ("hub", "folder") or entry.file or entry.base:
        return None  # mergekit reads folders and repositories of safetensors
    count, stored = entry.blocks, stored_tensors(source)
    if any(name not in stored or not name.endswith(".weight") for names in made.zeroed.values() for name in names):
        return None
    block_of = {player: int("".join(filter(str.isdigit, player))) for player in made.zeroed}
    words = {block: tuple(sorted(_words(made, block_of, block))) for block in range(count)}
    for block, those in words.items():
        wanted = {name for player, names in made.zeroed.items() if block_of[player] == block for name in names}
        one = _in_block(stored, next(iter(wanted)), block) if wanted else []
        if {name for name in one if any(word in name for word in those)} != wanted:
            return None  # a word would scale other tensors, too
    kept = [block for block in range(count) if block not in made.blocks]
    slices: list[dict[str, Any]] = []
    for (_, those), run in groupby(enumerate(kept), key=lambda item: (item[1] - item[0], words[item[1]])):
        blocks = [block for _, block in run]
        part: dict[str, Any] = {"model": entry.id, "layer_range": [blocks[0], blocks[-1] + 1]}
        if those:
            scale = [*({"filter": word, "value": 0.0} for word in those), {"value": 1.0}]
            part["parameters"] = {"scale": scale}
        slices.append({"sources": [part]})
    return yaml.safe_dump({"slices": slices, "merge_method": "passthrough", "dtype": _dtype(stored)}, sort_keys=False)


def _words(made: Pruned, block_of: dict[str, int], block: int) -> set[str]:
    """The modules of a block whose weights are zero, as they are called in the block."""
    return {
        name.removesuffix(".weight").rpartition(".")[2]
        for player, names in made.zeroed.items()
        if block_of[player] == block
        for name in names
    }


def _in_block(stored: Any, example: str, block: int) -> Sequence[str]:
    """The tensors of the block of one of them."""
    head = example.partition(f".{block}.")[0]
    return [name for name in stored if name.startswith(f"{head}.{block}.")]


def _dtype(stored: Any) -> str:
    from cornerstone.engine.stored import DTYPES

    largest = max(stored.values(), key=lambda tensor: tensor.bytes)
    return str(DTYPES[largest.dtype]).removeprefix("torch.")


def scores(config: Config, model: str, coalition: str | None) -> list[tuple[str, str, float, float]]:
    """What the results say of the coalition: (task, metric, the original's score, the pruned model's), where known."""
    if coalition is None:
        return []
    layout = Layout(config)
    found: list[tuple[str, str, float, float]] = []
    for task in config.scored_tasks:
        metric = config.task(task).metric
        whole = _stored(Path(layout.coalition(model, task, "full")), task, metric)
        left = [
            _stored(Path(path), task, metric)
            for path in (layout.coalition(model, task, coalition), layout.deletion_coalition(model, task, coalition))
        ]
        value = next((score for score in left if score is not None), None)
        if whole is not None and value is not None:
            found.append((task, metric, whole, value))
    return found


def _stored(path: Path, task: str, metric: str) -> float | None:
    try:
        return float(reading.parsed(path)["results"][task][f"{metric},none"])
    except (UnreadableError, OSError, ValueError, KeyError, TypeError):
        return None


def text(config: Config, model: str, made: Pruned, recipe: bool, files: Sequence[Path] = ()) -> str:
    """The model card."""
    entry, choice = config.models[model], made.choice
    hub = entry.source == "hub"
    front: dict[str, Any] = {"library_name": "transformers", "tags": ["cornerstone", "pruned"]}
    if hub:
        front["base_model"] = entry.id
    why = (
        f"the {len(choice.players)} players that rank lowest by `{choice.order}`" if choice.order else "chosen by name"
    )
    before, after = made.parameters
    lines = [
        "---",
        yaml.safe_dump(front, sort_keys=False).rstrip(),
        "---",
        f"# {entry.id.rstrip('/').rpartition('/')[2]} without {len(choice.names)} sublayers",
        "",
        f"Made of `{entry.id}`{f' at `{entry.revision}`' if entry.revision else ''} by Cornerstone {__version__} "
        "(`cornerstone prune`). The licence of the original holds for this model, too.",
        "",
        f"- Removed: {', '.join(choice.names)} ({why}).",
    ]
    if made.blocks:
        lines.append(f"- Blocks taken out: {', '.join(map(str, made.blocks))}; the others are renumbered.")
    if made.zeroed:
        lines.append(
            f"- Set to zero in the blocks that stay (numbers are the original's): {', '.join(made.zeroed)}. What each "
            "adds to the residual stream is exactly zero. It still takes memory and time."
        )
    lines += [
        f"- Parameters: {after:,} of {before:,} ({after / before:.1%}); {made.silent:,} of them are zero.",
        *([f"- {made.speed.words()}"] if made.speed else []),
        "- It was not trained after the removal.",
        *(f"- Warning: {doubt}" for doubt in choice.doubts),
        f"- {made.check_words().capitalize()}.",
        "- transformers, which loaded this folder anew, gave it the log-likelihoods of the measured coalition "
        f"(largest relative deviation {made.deviation:.1g}).",
        "",
        *_scores(config, model, choice.coalition, files),
        "## Use",
        "",
        "```python",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        'model = AutoModelForCausalLM.from_pretrained("THIS_FOLDER", dtype="auto")',
        'tokenizer = AutoTokenizer.from_pretrained("THIS_FOLDER")',
        "```",
        "",
        f"- lm-eval: `lm_eval --model hf --model_args pretrained=THIS_FOLDER --tasks {','.join(config.scored_tasks)}`",
        "- vLLM: `vllm serve THIS_FOLDER` (not tried)",
    ]
    if recipe:
        lines.append(f"- mergekit makes the same model of the original: `mergekit-yaml {MERGEKIT} OUT`")
    if (blocks := prune_layers(made)) is not None:
        lines.append(f"- llama.cpp prunes a GGUF file of the original: `llama-quantize --prune-layers {blocks} ...`")
    lines += ["", f"`{FACTS}` says the same for programs.", ""]
    return "\n".join(lines)


def _scores(config: Config, model: str, coalition: str | None, files: Sequence[Path]) -> list[str]:
    """What is known of its scores."""
    if found := scores(config, model, coalition):
        rows = [f"| {task} | {metric} | {whole:.4f} | {left:.4f} |" for task, metric, whole, left in found]
        head = ["## Scores", "", "On the documents of the run.", "", "| task | metric | original | this model |"]
        return [*head, "|---|---|---|---|", *rows, ""]
    if coalition is None:
        return []
    paths = [Layout(config).coalition(model, task, coalition) for task in config.scored_tasks]
    return [
        "## Scores",
        "",
        f"Not measured yet. In the folder of the workflow, `{making(paths, files)}` measures each task.",
        "",
    ]
