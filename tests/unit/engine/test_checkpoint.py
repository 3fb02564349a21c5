"""Reading single parameters out of safetensors files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from cornerstone.engine.streaming import checkpoint
from cornerstone.engine.streaming.checkpoint import Reader
from cornerstone.errors import ModelError
from tests import tiny


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.make("llama").save_pretrained(tmp_path)
    return tmp_path


def change(folder: Path, edit: Any) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path, {"format": "pt"})


def skeleton(name: str = "llama") -> Any:
    return tiny.make(name).to("meta")


@pytest.mark.parametrize("name", tiny.TINY)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_reads_what_the_model_has(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    model = tiny.make(name)
    model.save_pretrained(tmp_path)
    reader, wanted = Reader(), model.to(dtype).state_dict()
    found = checkpoint.parameters(skeleton(name).to(dtype), tmp_path)
    assert set(wanted) - set(found) <= set(model.all_tied_weights_keys)
    for key, parameter in found.items():
        value = torch.full(parameter.shape, torch.nan, dtype=parameter.dtype)
        reader.read(parameter, value)
        assert torch.equal(value, wanted[key])
    reader.close()


def test_shards(folder: Path) -> None:
    whole = checkpoint.parameters(skeleton(), folder)
    (folder / "model.safetensors").unlink()
    tiny.make("llama").save_pretrained(folder, max_shard_size="60KB")
    assert len(list(folder.glob("*.safetensors"))) > 2
    found = checkpoint.parameters(skeleton(), folder)
    assert found.keys() == whole.keys()
    missing = sorted(folder.glob("*.safetensors"))[1]
    missing.unlink()
    with pytest.raises(ModelError, match=rf"{missing.name} is missing\. Fetch the model again"):
        checkpoint.parameters(skeleton(), folder)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds neither"):
        checkpoint.stored_tensors(tmp_path)


def test_damaged_index(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(ModelError, match=r"index\.json is damaged"):
        checkpoint.stored_tensors(tmp_path)


@pytest.mark.parametrize(
    ("keep", "message"), [(0, "no whole safetensors file"), (200, "no whole safetensors file"), (-1, "is cut off")]
)
def test_cut_off(folder: Path, keep: int, message: str) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match=message):
        checkpoint.stored_tensors(folder)


def test_a_file_that_shrinks_after_it_was_opened(folder: Path) -> None:
    found = checkpoint.parameters(skeleton(), folder)
    path = folder / "model.safetensors"
    last = max(found.values(), key=lambda parameter: parameter.pieces[0].stored.start)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ModelError, match=f"ends inside {last.name}"):
        Reader().read(last, torch.empty(last.shape))


def test_other_shape(folder: Path) -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    change(folder, lambda tensors: tensors.update({name: torch.zeros(3, 4)}))
    with pytest.raises(ModelError, match=rf"{name} has shape \[3, 4\] in .* asks for \[64, 32\]"):
        checkpoint.parameters(skeleton(), folder)


def test_quantised_weights_are_refused(folder: Path) -> None:
    model = skeleton()
    model.config.quantization_config = {"quant_method": "gptq"}
    with pytest.raises(ModelError, match="quantised"):
        checkpoint.parameters(model, folder)


def test_unknown_number_format_is_refused(folder: Path) -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    change(folder, lambda tensors: tensors.update({name: torch.zeros(64, 32, dtype=torch.float8_e4m3fn)}))
    with pytest.raises(ModelError, match=f"{name} in model.safetensors has the number format F8_E4M3"):
        checkpoint.parameters(skeleton(), folder)


def test_experts_that_are_missing(tmp_path: Path) -> None:
    tiny.make("mixtral").save_pretrained(tmp_path)
    name = "model.layers.2.block_sparse_moe.experts.3.w1.weight"
    change(tmp_path, lambda tensors: tensors.pop(name))
    with pytest.raises(
        ModelError, match=r"layers\.2\.mlp\.experts\.gate_up_proj has shape \[3, 64, 32\] .*\[4, 64, 32\]"
    ):
        checkpoint.parameters(skeleton("mixtral"), tmp_path)


def test_a_whole_kind_of_expert_weight_is_missing(tmp_path: Path) -> None:
    tiny.make("mixtral").save_pretrained(tmp_path)
    change(
        tmp_path, lambda tensors: [tensors.pop(name) for name in list(tensors) if "layers.2" in name and "w3" in name]
    )
    with pytest.raises(ModelError, match=r"lack tensors for model\.layers\.2\.mlp\.experts\.gate_up_proj"):
        checkpoint.parameters(skeleton("mixtral"), tmp_path)


def test_other_ways_to_make_a_parameter_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import conversion_mapping
    from transformers.core_model_loading import Transpose, WeightConverter

    tiny.make("llama").save_pretrained(tmp_path)
    rule = WeightConverter("mlp.up_proj.weight", "mlp.up_proj.weight", [Transpose(0, 1)])
    monkeypatch.setattr(conversion_mapping, "get_model_conversion_mapping", lambda model: [rule])
    with pytest.raises(ModelError, match="by Transpose, which can't be done while streaming"):
        checkpoint.parameters(skeleton(), tmp_path)


def test_stops_between_reads(folder: Path) -> None:
    parameter = checkpoint.parameters(skeleton(), folder)["lm_head.weight"]
    value, reader = torch.zeros(parameter.shape), Reader()
    reader.read(parameter, value, lambda: True)
    assert reader.bytes == 0
    assert not value.any()


def test_header_format(folder: Path) -> None:
    """Against the safetensors library itself."""
    expected = load_file(folder / "model.safetensors")
    found = checkpoint.stored_tensors(folder)
    assert {name: list(stored.shape) for name, stored in found.items()} == {
        name: list(tensor.shape) for name, tensor in expected.items()
    }
    raw = (folder / "model.safetensors").read_bytes()
    for name, stored in found.items():
        assert raw[stored.start : stored.start + stored.bytes] == expected[name].numpy().tobytes()
