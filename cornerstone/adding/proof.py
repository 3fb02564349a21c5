"""Whether a model's layout was recognised rightly, tried out on a tiny random model of the same configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from cornerstone.adding.small import LARGEST, VOCABULARY, kinds_of_blocks, small_copies
from cornerstone.engine import proof as engine_proof
from cornerstone.engine import structure
from cornerstone.engine.network import Network
from cornerstone.engine.tries import pack
from cornerstone.errors import CornerstoneError, ModelError, first_line
from cornerstone.game.players import Kinds, players_of

_TOKENS = 33
_SPREAD = 0.05


def prove(model: Any) -> int | None:
    """Compare the engine with transformers on a tiny random copy of a model.

    Args:
        model: whose parameters need no values.

    Returns:
        How many blocks the copy has; None where no tiny copy of this type can be made, so nothing was compared.

    Raises:
        ModelError: they do not agree, which is said with block and deviation.
    """
    kinds: Kinds = structure.kinds_of(model)
    for config in small_copies(model.config, kinds_of_blocks(model)):
        copy = _made(type(model), config, kinds)
        if copy is not None:
            try:
                compare(copy)
            except CornerstoneError:
                raise
            except Exception as error:  # modules that are called by more than the block, and other surprises
                raise ModelError(
                    "this model can't be measured: a tiny random copy runs in transformers, but not sublayer by "
                    f"sublayer ({type(error).__name__}: {first_line(error)}). Choose another model; "
                    "docs/architectures.md lists those that work."
                ) from error
            return len(structure.blocks_of(copy)[1])
    return None


def _made(architecture: Any, config: Any, kinds: Kinds) -> Any | None:
    """A random model with the first blocks of the original, float32; None where that can't be made or run."""
    try:
        with torch.device("meta"):
            outline = architecture(config)
        if sum(p.numel() for p in outline.parameters()) > LARGEST:
            return None
        found = structure.kinds_of(outline)
        if found != kinds[: len(found)]:
            return None
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            model = architecture(config).float().eval()
            disturb(model)
            whole = bool(torch.isfinite(_own_logits(model, _tokens(model)[:-1])).all())
    except Exception:  # whatever transformers has to say of sizes that are none of this type
        return None
    return model if whole else None


def disturb(model: Any) -> None:
    """Change all weights a little: norms and scales begin at 1 or 0, where errors would not be seen.

    Of buffers only single numbers are scales; tables (of decays, of positions) are what they must be.
    """
    single = [buffer for buffer in model.buffers() if buffer.numel() == 1 and buffer.is_floating_point()]
    with torch.no_grad():
        for value in (*model.parameters(), *single):
            value += _SPREAD * torch.randn_like(value)


def _tokens(model: Any) -> list[int]:
    vocabulary = min(VOCABULARY, model.get_input_embeddings().weight.shape[0]) - 2
    return [2 + (7 * i * i + 3 * i) % (vocabulary - 2) for i in range(_TOKENS)]


def _own_logits(model: Any, tokens: Sequence[int]) -> torch.Tensor:
    given = structure.accepted(model, use_cache=False)
    logits: torch.Tensor = model(input_ids=torch.tensor([tokens]), **given).logits[0]
    return logits


def compare(model: Any) -> None:
    """Compare what the engine makes of a model with the model's own forward: block by block, and in the end.

    Args:
        model: a causal LM with weights, in eval mode.

    Raises:
        ModelError: a difference beyond rounding.
    """
    kinds: Kinds = structure.kinds_of(model)
    tokens = _tokens(model)
    document = pack([(tokens[:-4], tokens[-4:]), (tokens[:-4], tokens[:3])], len(tokens))
    engine_proof.prove(Network(model, players_of(kinds), kinds), [document])
