"""`cornerstone prune`, as the command line has it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cornerstone import reading
from cornerstone.command.said import Said
from cornerstone.config.config import Config
from cornerstone.errors import ConfigError
from cornerstone.present.page.units import counted
from cornerstone.prune import card, choose
from cornerstone.prune import prune as writer


def prune(
    config: Config,
    model: str,
    out: Path,
    remove: int | None,
    order: str,
    layers: str | None,
    overwrite: bool,
    keep_blocks: bool,
    speed: bool,
    files: Sequence[Path] = (),
) -> Said:
    """Choose the layers, write the folder, and say what was done.

    `files` are those that the configuration is from, for the command that the card names.

    Raises:
        ConfigError: neither or both of `remove` and `layers` are given.
        CornerstoneError: see `choose` and `prune.prune`.
    """
    if (remove is None) == (layers is None):
        raise ConfigError("say either how many layers to remove (--remove 8) or which (--layers ffn3,attn5).")
    if layers is not None:
        choice = choose.named(config, model, [name.strip() for name in layers.split(",") if name.strip()])
    else:
        choice = choose.ranked(config, model, remove or 0, order)
    made = writer.prune(config, model, choice, out, overwrite, keep_blocks, speed, files)
    before, after = made.parameters
    lines = [
        f"{out}: {model} without {', '.join(choice.names)}",
        f"  {after:,} of {before:,} parameters ({after / before:.1%}), {made.silent:,} of them zero; "
        f"{counted(len(made.blocks), 'block')} taken out",
        f"  the same log-likelihoods as the coalition (largest relative deviation {made.deviation:.1g})",
        f"  {made.check_words()}",
        *([f"  {made.speed.words()}"] if made.speed else []),
        *(f"  WARNING: {doubt}" for doubt in choice.doubts),
        f"  {out / 'README.md'} says how to use it",
    ]
    return Said("\n".join(lines), reading.parsed(out / card.FACTS) | {"folder": str(out)})
