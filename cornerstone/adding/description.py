"""What a model is, read from config.json alone: blocks, sublayers, size, and whether its layout is proven."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cornerstone.adding.proof import prove
from cornerstone.assets import quantised
from cornerstone.assets.contents import CONFIG
from cornerstone.assets.look import read_settings
from cornerstone.engine import kinds as kinds_of_modules
from cornerstone.engine import structure
from cornerstone.engine.loading import shapes_only
from cornerstone.engine.weights import footprint, matrices_of
from cornerstone.errors import ModelError
from cornerstone.game.players import Kinds, alike

_QUANTISED = ("quantization_config", "compression_config")


@dataclass(frozen=True)
class Description:
    """A model without its weights.

    Attributes:
        model_type: as config.json calls it.
        kinds: of each block's sublayers.
        dtype: in which it is best computed.
        parameters: how many there are.
        bytes: of all weights in this dtype.
        multiplied: entries of matrices of the sublayers that one token is multiplied with.
        experts: number in each mixture; None where there are no mixtures, or of different sizes.
        unfolded: whether each choice of a document is a row of its own.
        quantised: how the checkpoint is quantised; None if it is not.
        proven: blocks of the tiny copy on which the layout was proven; None where the proof is left to the load.
    """

    model_type: str
    kinds: Kinds
    dtype: str
    parameters: int
    bytes: int
    multiplied: float
    experts: int | None
    unfolded: bool
    quantised: str | None
    proven: int | None

    @property
    def sublayers(self) -> int:
        """How many there are."""
        return sum(len(block) for block in self.kinds)

    @property
    def feed_forward(self) -> str | None:
        """`ffn` or `moe`, where each block is an attention and one of these; else None."""
        return next((word for word in ("ffn", "moe") if self.kinds == alike(len(self.kinds), word)), None)


def describe(folder: Path) -> Description:
    """Describe the model in a folder with config.json and a tokenizer, and prove its layout where that can be done.

    A note in config.json that the checkpoint is quantised is taken out of the file: sizes are those of plain weights.

    Raises:
        AssetError: config.json can't be read, or the checkpoint is quantised in a way that can't be undone here.
        ModelError: the model is none that can be measured, with what was looked for and found.
    """
    settings = read_settings(folder)
    method = quantised.method_of(folder)
    if method is not None:
        quantised.refuse(folder)
        plain = {key: value for key, value in settings.items() if key not in _QUANTISED}
        (folder / CONFIG).write_text(json.dumps(plain), encoding="utf-8")
    model_type = _need_type(settings)
    dtype = _dtype(settings)
    with _quiet():
        return _described(folder, model_type, dtype, method)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' remarks on kernels that would be faster."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _described(folder: Path, model_type: str, dtype: str, method: str | None) -> Description:
    model, _ = shapes_only(folder, dtype)
    layouts = structure.layouts_of(model)
    return Description(
        model_type=model_type,
        kinds=tuple(layout.kinds for layout in layouts),
        dtype=dtype,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        bytes=footprint(model).resident,
        multiplied=sum(matrix.met for _, matrices in matrices_of(model) for matrix in matrices),
        experts=_experts(model),
        unfolded=structure.unfolded(model),
        quantised=method,
        proven=prove(model),
    )


def _need_type(settings: dict[str, Any]) -> str:
    """The model type.

    Raises:
        ModelError: it is missing, transformers does not know it, or it is no causal language model by itself.
    """
    from transformers import __version__
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    found = settings.get("model_type")
    if not isinstance(found, str):
        raise ModelError(
            f"{CONFIG} names no model_type, so it is none of a model of transformers. Choose another model."
        )
    if found not in CONFIG_MAPPING_NAMES:
        own = (
            "Its code comes with its weights (auto_map in config.json), and code from a repository is never run."
            if "auto_map" in settings
            else "It may be too new, or no model of transformers."
        )
        raise ModelError(
            f"{CONFIG} says model_type: {found}, which is not among those of transformers {__version__}. {own} Choose "
            "another model; docs/architectures.md lists those that work."
        )
    if found not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        named = ", ".join(map(str, settings.get("architectures") or [])) or "no class"
        raise ModelError(
            f"{CONFIG} says model_type: {found} ({named}). What was looked for is a causal language "
            f"model, and transformers {__version__} has none of this type. Choose another model; docs/architectures.md "
            "lists those that work."
        )
    if settings.get("is_encoder_decoder", getattr(CONFIG_MAPPING[found], "is_encoder_decoder", False)):
        raise ModelError(
            f"{CONFIG} says model_type: {found}, whose decoder attends to an encoder: what the decoder does alone is "
            "not what it was trained for. Choose a decoder-only language model; docs/architectures.md lists those that "
            "work."
        )
    return found


def _dtype(settings: dict[str, Any]) -> str:
    """bfloat16, or float16 where the checkpoint says so."""
    parts = (settings, settings.get("text_config") or {})
    said = [part.get(key) for part in parts if isinstance(part, dict) for key in ("dtype", "torch_dtype")]
    return "float16" if next((str(each) for each in said if each), "") in ("float16", "torch.float16") else "bfloat16"


def _experts(model: Any) -> int | None:
    """How many experts each mixture has."""
    from torch import nn

    counts = set()
    for block, layout in zip(structure.blocks_of(model)[1], structure.layouts_of(model), strict=True):
        for part in layout.sublayers:
            if part.kind == "moe":
                held = kinds_of_modules.experts_in(block.get_submodule(name) for name in part.modules)
                for each in held[:1]:
                    counts.add(
                        getattr(each, "num_experts", None) or (len(each) if isinstance(each, nn.ModuleList) else None)
                    )
    return counts.pop() if len(counts) == 1 else None
