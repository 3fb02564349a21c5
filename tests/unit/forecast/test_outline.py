from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cornerstone.config.models import Model
from cornerstone.errors import ModelError
from cornerstone.forecast import outline
from tests import tiny

HUB = Model(source="hub", id="some/where", revision="a" * 40, blocks=4)


def saved(folder: Path, **changes: Any) -> Path:
    """A tiny Llama without weights, its config changed."""
    tiny.save("llama", folder)
    (folder / "model.safetensors").unlink()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    return folder


@pytest.mark.parametrize("blocks", [4, 200])
def test_parameters_have_shapes_and_no_values(tmp_path: Path, blocks: int) -> None:
    wide = {"num_hidden_layers": blocks, "hidden_size": 8192, "intermediate_size": 28672, "vocab_size": 128256}
    found = outline.read(saved(tmp_path, **wide, layer_types=None), HUB.model_copy(update={"blocks": blocks}))
    assert {parameter.device.type for parameter in found.network.model.parameters()} == {"meta"}
    assert sum(parameter.numel() for parameter in found.network.model.parameters()) > 10**9
    assert len(found.network.stages) == 2 * blocks


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    folder = saved(tmp_path / "a")
    with pytest.raises(ModelError, match="Set blocks: 4"):
        outline.read(folder, HUB.model_copy(update={"blocks": 5}))
    with pytest.raises(ModelError, match="the model type bert has no list of 4 blocks"):
        outline.read(saved(tmp_path / "b", model_type="bert"), HUB)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=rf"{folder} has no tokenizer"):
        outline.read(folder, HUB)
    with pytest.raises(ModelError, match=r"config and tokenizer in .*nowhere can't be read"):
        outline.read(tmp_path / "nowhere", HUB)
