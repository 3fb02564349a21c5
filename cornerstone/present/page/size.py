"""What a removed layer saves: its parameters, and its share of the work of matrix products for a token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cornerstone import reading
from cornerstone.errors import UnreadableError
from cornerstone.present.page.source import Source


def known(source: Source) -> bool:
    """Whether `of` can say something."""
    players = source.config.models[source.model].all_players()
    parts = any(member is not None for player in players for _, member in player.parts)
    return not parts and _folder(Path(source.layout.model_marker(source.model))) is not None


def of(source: Source) -> dict[str, Any]:
    """Parameters and matrix work of each player; empty where that can't be said.

    It can't where the weights' folder is gone, or a player is a part of a sublayer (an expert, a head).

    Returns:
        `parameters`: of each player. `flop`: of each player, floating-point operations of matrix products with weights
        for one token (2 x entries met; attention's scores, which grow with the text, are left out). `total`: parameters
        of the whole model, `flop_total`: of all its sublayers and the head.

    Raises:
        ModelError: the model's config can't be read.
    """
    players = source.config.models[source.model].all_players()
    folder = _folder(Path(source.layout.model_marker(source.model)))
    if folder is None or not known(source):
        return {}
    from cornerstone.engine.loading import shapes_only  # not above: it takes seconds
    from cornerstone.engine.weights import matrices_of, names_by_sublayer

    model, _ = shapes_only(folder, str(source.config.models[source.model].dtype))
    counts = {name: parameter.numel() for name, parameter in model.named_parameters()}
    parameters = [sum(counts[name] for name in names) for names in names_by_sublayer(model)]
    flop = [2 * sum(matrix.met for matrix in matrices) for _, matrices in matrices_of(model)]
    head = 2 * model.get_output_embeddings().weight.numel()
    return {
        "parameters": [sum(parameters[place] for place, _ in player.parts) for player in players],
        "flop": [round(sum(flop[place] for place, _ in player.parts)) for player in players],
        "total": sum(counts.values()),
        "flop_total": round(sum(flop) + head),
    }


def _folder(marker: Path) -> Path | None:
    """The folder of the weights' config; None where it is not there."""
    try:
        folder = Path(reading.parsed(marker)["path"])
    except (UnreadableError, OSError, ValueError, KeyError, TypeError):
        return None
    return folder if (folder / "config.json").is_file() else None
