"""A model without its weights, as the engine sees it: the shapes of its layers, which is all that planning needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cornerstone.config.models import Model
from cornerstone.engine.loading import shapes_only
from cornerstone.engine.network import Network


@dataclass(frozen=True)
class Outline:
    """A model whose parameters have shapes and no values.

    Attributes:
        network: the model as the engine sees it, on torch's `meta` device.
        tokenizer: its tokenizer.
    """

    network: Network
    tokenizer: Any


def read(folder: Path, entry: Model) -> Outline:
    """The outline of a model from its config.json and tokenizer; weights that lie beside them are not read.

    Raises:
        ModelError: unknown architecture, unreadable files, or another model than the config describes.
    """
    model, tokenizer = shapes_only(folder, entry.dtype)
    return Outline(Network(model, entry.all_players(), entry.kinds()), tokenizer)
