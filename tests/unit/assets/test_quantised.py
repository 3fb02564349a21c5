"""Quantised checkpoints: transformers makes plain weights of some; others are refused (test_fetch)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GptOssConfig

from cornerstone.assets import fetch, quantised
from cornerstone.config.models import Model
from cornerstone.engine import loading
from cornerstone.errors import AssetError
from tests import tiny

BLOCK = 16


def fp8(folder: Path) -> dict[str, torch.Tensor]:
    """Quantise a saved model as DeepSeek's checkpoints are; returns the weights that the file stands for."""
    path = folder / "model.safetensors"
    meant, stored = load_file(path), {}
    for name, weight in list(meant.items()):
        stored[name] = weight
        if "_proj" not in name:
            continue
        rows, columns = weight.shape[0] // BLOCK, weight.shape[1] // BLOCK
        tiles = weight.reshape(rows, BLOCK, columns, BLOCK)
        scales = tiles.abs().amax((1, 3)) / 448
        tiles = (tiles / scales[:, None, :, None]).to(torch.float8_e4m3fn)
        stored[name] = tiles.reshape(weight.shape).contiguous()
        stored[f"{name}_scale_inv"] = scales
        meant[name] = (tiles.float() * scales[:, None, :, None]).reshape(weight.shape)
    save_file(stored, path, {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    settings = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [BLOCK, BLOCK]}
    (folder / "config.json").write_text(json.dumps({**config, "dtype": "bfloat16", "quantization_config": settings}))
    return meant


def get(tmp_path: Path, source: Path) -> Path:
    model = Model(source="folder", id=str(source), blocks=4)
    models = tmp_path / "resources" / "models"
    fetch.fetch_model("m", model, models / fetch.folder_name(model), tmp_path, models / "m.json")
    return fetch.model_folder(models / "m.json", model)


def test_fp8_is_undone_by_its_scales(tmp_path: Path) -> None:
    source = tiny.save("llama", tmp_path / "source")
    meant = fp8(source)
    folder = get(tmp_path, source)
    assert folder != source
    found = load_file(folder / "model.safetensors")
    assert found.keys() == meant.keys()
    for name, weight in found.items():
        assert weight.dtype == (torch.bfloat16 if "_proj" in name else torch.float32)
        assert torch.allclose(weight.float(), meant[name], rtol=2**-7, atol=1e-6), name
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    assert loading.load(folder, "float32", "cpu")[0].config.num_hidden_layers == 4


def test_mxfp4_is_undone_by_its_scales(tmp_path: Path) -> None:
    """As gpt-oss is published: two values in a byte, a power of two for each 32 of them."""
    numbers = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
    heads: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
    experts: dict[str, Any] = {"num_local_experts": 4, "num_experts_per_tok": 2}
    size: dict[str, Any] = {"vocab_size": 320, "hidden_size": 64, "intermediate_size": 32, "num_hidden_layers": 2}
    config = GptOssConfig(**size, **heads, **experts, bos_token_id=0, eos_token_id=1, pad_token_id=1)
    source = tmp_path / "source"
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(source)
    tiny.tokenizer().save_pretrained(source)
    stored = load_file(source / "model.safetensors")
    meant = dict(stored)
    generator = torch.Generator().manual_seed(0)
    for name in [name for name in stored if name.endswith(("gate_up_proj", "down_proj"))]:
        count, into, out = stored.pop(name).shape
        codes = torch.randint(0, 16, (count, out, into // 32, 32), generator=generator)
        exponents = torch.randint(120, 124, (count, out, into // 32), generator=generator)
        values = numbers[codes] * torch.exp2(exponents.float() - 127)[..., None]
        meant[name] = values.reshape(count, out, into).transpose(1, 2)
        stored[f"{name}_blocks"] = (codes[..., 0::2] | (codes[..., 1::2] << 4)).to(torch.uint8)
        stored[f"{name}_scales"] = exponents.to(torch.uint8)
    save_file(stored, source / "model.safetensors", {"format": "pt"})
    raw = json.loads((source / "config.json").read_text())
    settings = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}
    (source / "config.json").write_text(json.dumps({**raw, "quantization_config": settings}))
    quantised.undo(source, tmp_path / "plain")
    found = load_file(tmp_path / "plain" / "model.safetensors")
    assert found.keys() == meant.keys()
    assert all(torch.equal(found[name].float(), meant[name].float()) for name in meant)


def test_what_is_damaged_is_one_message(tmp_path: Path) -> None:
    source = tiny.save("llama", tmp_path / "source")
    fp8(source)
    tensors = load_file(source / "model.safetensors")
    tensors["model.layers.0.extra.weight"] = torch.ones(3)
    save_file(tensors, source / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        AssetError, match=r"\(fp8\) leaves 1 unexpected keys, such as model\.layers\.0\.extra"
    ) as caught:
        get(tmp_path, source)
    assert len(str(caught.value).splitlines()) == 1
