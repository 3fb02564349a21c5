"""The subcommands that begin with finished results (`prune` also with weights)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from cornerstone.command.options import Configs, Json, Study, config_of, files_of, say


def open_(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="The page of one model of several.")] = None,
    configs: Configs = None,
    study: Study = None,
    as_json: Json = False,
) -> None:
    """Open the page of the results.

    In a browser; where there is no terminal or no browser, it prints where the page is.
    """
    from cornerstone.command import page

    say(page.open_page(config_of(configs, study), model, sys.stdout.isatty()), as_json)


def show(
    coalition: Annotated[str, typer.Argument(metavar="COALITION", help="Such as drop-ffn0-attn3, or full.")],
    configs: Configs = None,
    study: Study = None,
    as_json: Json = False,
) -> None:
    """What a model scores without some layers.

    On each task, with the paired difference from the whole model and its interval.
    """
    from cornerstone.command import explain as command

    say(command.show(config_of(configs, study), coalition, files_of(configs, study)), as_json)


def explain(
    layer: Annotated[str, typer.Argument(metavar="LAYER", help="Such as ffn0.")],
    configs: Configs = None,
    study: Study = None,
    as_json: Json = False,
) -> None:
    """All that the results say of a layer.

    Its value by each value function, its rank, what its removal costs, its strongest pairs.
    """
    from cornerstone.command import explain as command

    say(command.explain(config_of(configs, study), layer), as_json)


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A layer, or a model of `compare`.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    configs: Configs = None,
    study: Study = None,
    as_json: Json = False,
) -> None:
    """How two layers, or two models, differ.

    Two layers on the same documents, with a paired interval; or two models that `compare` sets side by side.
    """
    from cornerstone.command import explain as command

    say(command.compare(config_of(configs, study), first, second), as_json)


def export(
    to: Annotated[str, typer.Option("--to", metavar="TARGET", help="zip, wandb or mlflow.")] = "zip",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="The zip file (default: RESULTS.zip).")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the zip file.")] = False,
    configs: Configs = None,
    study: Study = None,
    as_json: Json = False,
) -> None:
    """Results as a zip file, or in a tracker.

    One zip file to send, or a run in Weights & Biases or MLflow, which are installed apart (pip install wandb, mlflow).
    """
    from cornerstone.command import export as command

    say(command.export(config_of(configs, study), to, out, overwrite), as_json)


def prune(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model of the configuration.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to write.")],
    remove: Annotated[int | None, typer.Option(min=1, metavar="N", help="How many players to remove.")] = None,
    order: Annotated[
        str,
        typer.Option(
            metavar="ORDER", help="Least important first: shapley, ablation, perplexity, influence, depth, random."
        ),
    ] = "shapley",
    layers: Annotated[
        str | None, typer.Option(metavar="NAMES", help="These layers instead, such as ffn3,attn5,block7.")
    ] = None,
    keep_blocks: Annotated[
        bool, typer.Option("--keep-blocks", help="Take no block out: set projections to zero everywhere.")
    ] = False,
    speed: Annotated[
        bool, typer.Option("--speed", help="Time the pruned model beside the original; the card says how fast it is.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a folder that this command wrote.")] = False,
    configs: Configs = None,
    study: Study = None,
    as_json: Json = False,
) -> None:
    """Write a checkpoint without some layers.

    A folder that transformers, lm-eval and others load (docs/pruning.md). Say how many layers (--remove) or which
    (--layers).
    """
    from cornerstone.command import pruning

    config, files = config_of(configs, study), files_of(configs, study)
    say(pruning.prune(config, model, out, remove, order, layers, overwrite, keep_blocks, speed, files), as_json)


COMMANDS: dict[str, Callable[..., None]] = {
    "open": open_,
    "show": show,
    "explain": explain,
    "compare": compare,
    "export": export,
    "prune": prune,
}
"""Name -> what is called."""
