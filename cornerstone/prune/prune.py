"""The command `cornerstone prune`: from a model's entry and a choice of layers to a folder that stock tools load."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from cornerstone.assets.fetch import model_folder
from cornerstone.config.config import Config
from cornerstone.errors import AssetError, ModelError
from cornerstone.files import all_on_disk, need_space, on_disk, readable
from cornerstone.log import log
from cornerstone.plan.layout import Layout
from cornerstone.prune import card
from cornerstone.prune.choose import Choice, need_kinds
from cornerstone.prune.made import Pruned
from cornerstone.prune.speed import measured

REQUESTS = (
    ("Question: What do bees make?\nAnswer:", (" honey", " steel", " paper money")),
    ("The wind turned the wheel of the old mill, and the miller", (" slept.", " paid the baker for the flour.")),
)
"""Texts on which the pruned model is compared with the engine."""


def prune(
    config: Config,
    model: str,
    choice: Choice,
    out: Path,
    overwrite: bool = False,
    keep_blocks: bool = False,
    speed: bool = False,
    files: Sequence[Path] = (),
) -> Pruned:
    """Write a model without some of its sublayers.

    Blocks of which nothing stays are taken out, and the others renumbered. Where a part of a block stays, the output
    projections of what is removed are set to zero. The folder appears when all of it is written and transformers, which
    has loaded it anew, gives it the log-likelihoods that the engine gives the coalition.

    Args:
        config: the configuration.
        model: its name; its weights must be there.
        choice: which layers are removed.
        out: the folder to write.
        overwrite: replace a folder that `prune` wrote before.
        keep_blocks: take no block out, set projections to zero everywhere.
        speed: time both models, side by side.
        files: that the configuration is from, for the command that the card names.

    Raises:
        AssetError: the weights are not there, the folder exists, or the disk is full.
        ModelError: removal is not exact for this architecture, or the weights can't be loaded.
    """
    _need_free(out, overwrite)
    entry = config.models[model]
    source = model_folder(Path(Layout(config).model_marker(model)), entry)
    need_space(out.resolve().parent, sum(path.stat().st_size for path in source.glob("*.safetensors")))
    with _appearing(out) as temporary:
        made = _write(entry, model, source, choice, temporary, keep_blocks)
        if speed:
            log("timing the original and the pruned model in turns")
            made = replace(made, speed=measured(source, temporary))
        card.write(config, model, source, made, temporary, files)
        for path in temporary.iterdir():
            readable(path)
    return replace(made, folder=out)


def _write(entry: Any, model: str, source: Path, choice: Choice, folder: Path, keep_blocks: bool) -> Pruned:
    """Write weights, configuration and tokenizer, and compare what was written with the engine."""
    import torch

    from cornerstone.engine import encoding, loading, structure, sweep
    from cornerstone.engine.batching import batches_for
    from cornerstone.engine.network import Network
    from cornerstone.game.players import players_of
    from cornerstone.prune.blocks import without_blocks
    from cornerstone.prune.silence import silencing

    log(f"loading {source}")
    loaded, tokenizer = loading.load(source, _dtype(source), "cpu")
    need_kinds(entry.kinds(), structure.kinds_of(loaded), model)
    players = players_of(entry.kinds())
    network = Network(loaded, players, entry.kinds())
    documents = encoding.encode(loaded, tokenizer, [[(text, end) for end in ends] for text, ends in REQUESTS])
    every = (1 << len(players)) - 1
    left = every & ~sum(1 << place for place in choice.places)
    scored = sweep.choice_scores(network, batches_for(loaded, documents, 2048), [every, left])
    whole, wanted = ([float(score) for document in scores for score in document] for scores in scored)
    check = (sum(whole) / len(whole), sum(wanted) / len(wanted))

    blocks = () if keep_blocks else _whole(network, choice.places)
    by_place = {player.position: player for player in players}
    inside = [place for place in choice.places if by_place[place].block not in blocks]
    silent = silencing(network, inside)
    before = sum(parameter.numel() for parameter in loaded.parameters())
    parameters = dict(loaded.named_parameters())
    with torch.no_grad():
        for names in silent.values():
            for name in names:
                parameters[name].zero_()
    zeros = sum(parameters[name].numel() for names in silent.values() for name in names)
    if blocks:
        without_blocks(loaded, blocks)
    after = sum(parameter.numel() for parameter in loaded.parameters())
    log(f"writing {after:,} of {before:,} parameters")
    loaded.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    del loaded, network, parameters  # the model that is loaded now needs their memory
    log("comparing what was written with the engine")
    found = _own_scores(folder, documents)
    zeroed = {by_place[place].name: names for place, names in silent.items()}
    off = _deviation(wanted, found, _dtype(folder))
    return Pruned(folder, choice, blocks, zeroed, (before, after), zeros, off, check, len(wanted))


def _whole(network: Any, places: Sequence[int]) -> tuple[int, ...]:
    """Blocks of which all sublayers are removed, and which do nothing besides."""
    removed, found, first = set(places), [], 0
    for block, layout in enumerate(network.layouts):
        those = range(first, first + len(layout.sublayers))
        first = those.stop
        if those and removed.issuperset(those) and all(step.fixed is None for step in layout.steps):
            found.append(block)
    return tuple(found)


def _dtype(folder: Path) -> str:
    """The number format of most of a model's weights: they are written as they were."""
    from cornerstone.engine.stored import DTYPES, stored_tensors

    sizes = Counter[str]()
    for tensor in stored_tensors(folder).values():
        sizes[tensor.dtype] += tensor.bytes
    most = sizes.most_common(1)[0][0]
    name = str(DTYPES.get(most)).removeprefix("torch.")
    if name not in ("float32", "bfloat16", "float16"):
        raise ModelError(f"the weights in {folder} are stored as {most}, which is not pruned. Fetch plain weights.")
    return name


def _own_scores(folder: Path, documents: Sequence[Any]) -> list[float]:
    """Log-likelihoods of the choices of documents, by transformers alone."""
    import torch
    from transformers import AutoModelForCausalLM

    from cornerstone.engine import tries

    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", trust_remote_code=False, use_safetensors=True)
    model.eval()
    scores = []
    with torch.inference_mode():
        for document in documents:
            for choice in range(document.choices):
                sequence = tries.choice_of(document, choice)
                logits = model(input_ids=torch.tensor([sequence.tokens])).logits[0].float().log_softmax(-1)
                scores.append(sum(float(logits[node, token]) for node, token, _ in sequence.targets))
    return scores


def _deviation(wanted: Sequence[float], found: Sequence[float], dtype: str) -> float:
    """How far scores are apart, relative; raises where that is no rounding."""
    import torch

    from cornerstone.engine.proof import SCORES, SCORES_HALF

    limit = SCORES if dtype == "float32" else SCORES_HALF * torch.finfo(getattr(torch, dtype)).eps
    off = max(abs(one - other) / max(1.0, abs(one)) for one, other in zip(wanted, found, strict=True))
    if not off <= limit:
        raise ModelError(
            f"the pruned model does not do what the coalition does: its log-likelihoods deviate by {off:.2g}, where "
            f"{limit:.2g} would be rounding. Nothing was written. Try --keep-blocks, and please report this model."
        )
    return off


def _need_free(out: Path, overwrite: bool) -> None:
    """Raise AssetError where the folder may not be written."""
    if not out.exists() and not out.is_symlink():
        return
    ours = (out / card.FACTS).is_file()
    if not ours:
        raise AssetError(f"{out} exists, and `cornerstone prune` did not make it. Choose another --out.")
    if not overwrite:
        raise AssetError(f"{out} exists. Choose another --out, or replace it: --overwrite.")


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """A folder that takes its place when it is finished, and leaves nothing where it is not."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as name:
        temporary = Path(name) / "new"
        temporary.mkdir()
        try:
            yield temporary
        except OSError as error:
            raise AssetError(f"{out} can't be written: {error}. Choose another --out.") from error
        all_on_disk(temporary)
        if out.exists():
            os.rename(out, Path(name) / "old")
        try:
            os.rename(temporary, out)
        except OSError as error:
            if (Path(name) / "old").exists():
                os.rename(Path(name) / "old", out)
            raise AssetError(f"{out} can't be written: {error}. Choose another --out.") from error
        on_disk(out.parent)
