"""LoRA adapters, merged into their base: compared with the sum as it is written, W + s·B·A."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from cornerstone.assets import fetch
from cornerstone.config.models import Model
from cornerstone.config.weights import Weights
from cornerstone.engine import loading
from cornerstone.errors import AssetError, ConfigError
from tests import tiny
from tests.helpers import configured
from tests.hub import COMMIT, running

Q, UP = "model.layers.1.self_attn.q_proj", "model.layers.2.mlp.up_proj"
SETTINGS: dict[str, Any] = {
    "peft_type": "LORA",
    "base_model_name_or_path": "org/base",
    "r": 4,
    "lora_alpha": 8,
    "bias": "none",
    "use_dora": False,
    "fan_in_fan_out": False,
    "target_modules": ["q_proj", "up_proj"],
}


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(shape[0] * 100 + shape[-1]))


def pair(module: str, out: int, into: int, rank: int = 4) -> dict[str, torch.Tensor]:
    start = f"base_model.model.{module}"
    return {f"{start}.lora_A.weight": random(rank, into), f"{start}.lora_B.weight": random(out, rank)}


def adapter(folder: Path, tensors: dict[str, torch.Tensor] | None = None, **settings: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({**SETTINGS, **settings}))
    found = tensors if tensors is not None else {**pair(Q, 32, 32), **pair(UP, 64, 32)}
    save_file(found, folder / "adapter_model.safetensors", {"format": "pt"})
    return folder


def get(tmp_path: Path, source: Path, base: Path | None, name: str = "m") -> Path:
    below = None if base is None else Weights(source="folder", id=str(base))
    model = Model(source="folder", id=str(source), base=below, blocks=4)
    models = tmp_path / "resources" / "models"
    fetch.fetch_model(name, model, models / fetch.folder_name(model), tmp_path / "wheels", models / f"{name}.json")
    return fetch.model_folder(models / f"{name}.json", model)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny.save("llama", tmp_path / "base")


def by_hand(name: str, tensors: dict[str, torch.Tensor], base: Path, scale: float) -> torch.Tensor:
    """W + s·B·A, element by element."""
    weight = load_file(base / "model.safetensors")[f"{name}.weight"].clone()
    a, b = (tensors[f"base_model.model.{name}.lora_{half}.weight"] for half in "AB")
    for i in range(weight.shape[0]):
        for j in range(weight.shape[1]):
            weight[i, j] += scale * sum(float(b[i, k]) * float(a[k, j]) for k in range(a.shape[0]))
    return weight


@pytest.mark.parametrize(
    ("settings", "scale"),
    [
        ({}, 8 / 4),
        ({"lora_alpha": 1}, 1 / 4),
        ({"use_rslora": True}, 8 / math.sqrt(4)),
        ({"alpha_pattern": {"q_proj": 2}}, 2 / 4),
        ({"alpha_pattern": {"layers.1.self_attn.q_proj": 2}}, 2 / 4),
        ({"alpha_pattern": {"layers.11.self_attn.q_proj": 2, "k_proj": 3}}, 8 / 4),
    ],
)
def test_the_sum(tmp_path: Path, base: Path, settings: dict[str, Any], scale: float) -> None:
    tensors = pair(Q, 32, 32)
    folder = get(tmp_path, adapter(tmp_path / "adapter", tensors, **settings), base)
    before, after = load_file(base / "model.safetensors"), load_file(folder / "model.safetensors")
    assert torch.allclose(after[f"{Q}.weight"], by_hand(Q, tensors, base, scale), atol=1e-4)
    assert not torch.allclose(after[f"{Q}.weight"], before[f"{Q}.weight"], atol=0.1)
    assert all(torch.equal(value, before[name]) for name, value in after.items() if name != f"{Q}.weight")
    assert before.keys() == after.keys()


def test_the_merged_model_computes_base_and_adapter(tmp_path: Path, base: Path) -> None:
    """The contribution of the adapter, added to the output of the base's own layer by a hook."""
    tensors = pair(Q, 32, 32)
    folder = get(tmp_path, adapter(tmp_path / "adapter", tensors), base)
    a, b = (tensors[f"base_model.model.{Q}.lora_{half}.weight"] for half in "AB")
    model, _ = loading.load(base, "float32", "cpu")
    layer = model.get_submodule(Q)
    layer.register_forward_hook(lambda module, inputs, output: output + 2.0 * (inputs[0] @ a.T) @ b.T)
    ids = torch.arange(3, 40).reshape(1, -1)
    with torch.no_grad():
        merged = loading.load(folder, "float32", "cpu")[0](ids).logits
        assert torch.allclose(merged, model(ids).logits, atol=1e-4)


def test_ranks_of_their_own(tmp_path: Path, base: Path) -> None:
    tensors = {**pair(Q, 32, 32), **pair(UP, 64, 32, rank=2)}
    folder = get(tmp_path, adapter(tmp_path / "adapter", tensors, rank_pattern={"up_proj": 2}), base)
    assert torch.allclose(
        load_file(folder / "model.safetensors")[f"{UP}.weight"], by_hand(UP, tensors, base, 8 / 2), atol=1e-4
    )
    with pytest.raises(AssetError, match=rf"{UP} has matrices of rank 2, but adapter_config\.json says 4"):
        get(tmp_path, adapter(tmp_path / "other", tensors), base)


def test_shards_embeddings_and_transposed_weights(tmp_path: Path) -> None:
    base = tmp_path / "base"
    tiny.make("gpt2").save_pretrained(base, max_shard_size="60KB")
    tiny.tokenizer().save_pretrained(base)
    module = "transformer.h.1.attn.c_attn"  # GPT-2 keeps weights as [in, out]
    start = "base_model.model.transformer.wte"
    tensors = {
        **pair(module, 96, 32),
        f"{start}.lora_embedding_A": random(4, 320),
        f"{start}.lora_embedding_B": random(32, 4),
    }
    folder = get(tmp_path, adapter(tmp_path / "adapter", tensors, fan_in_fan_out=True), base)
    assert len(list(folder.glob("*.safetensors"))) > 1
    before, after = (loading.load(each, "float32", "cpu")[0].state_dict() for each in (base, folder))
    a, b = (tensors[f"base_model.model.{module}.lora_{half}.weight"] for half in "AB")
    changed = before[f"{module}.weight"] + 2.0 * (b @ a).T
    assert torch.allclose(after[f"{module}.weight"], changed, atol=1e-4)
    rows = 2.0 * (tensors[f"{start}.lora_embedding_B"] @ tensors[f"{start}.lora_embedding_A"]).T
    assert torch.allclose(after["transformer.wte.weight"], before["transformer.wte.weight"] + rows, atol=1e-4)


def test_weights_that_were_trained_as_a_whole(tmp_path: Path, base: Path) -> None:
    head = random(320, 32)
    tensors = {**pair(Q, 32, 32), "base_model.model.lm_head.weight": head}
    folder = get(tmp_path, adapter(tmp_path / "adapter", tensors, modules_to_save=["lm_head"]), base)
    assert torch.equal(load_file(folder / "model.safetensors")["lm_head.weight"], head)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type is IA3; only LORA"),
        ({"use_dora": True}, "use_dora is True, which is more than a sum"),
        ({"bias": "all"}, "bias is all, which is more than a sum"),
        ({"target_parameters": ["experts.gate_up_proj"]}, "target_parameters is"),
        ({"r": 3}, r"has matrices of rank 4, but adapter_config\.json says 3"),
    ],
)
def test_other_kinds_of_adapter(tmp_path: Path, base: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(AssetError, match=message):
        get(tmp_path, adapter(tmp_path / "adapter", **settings), base)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (
            pair("model.layers.9.self_attn.q_proj", 32, 32),
            r"changes model\.layers\.9\.self_attn\.q_proj\.weight, which",
        ),
        (pair(Q, 48, 32), rf"is for a {Q}\.weight of shape \[48, 32\], but .* has \[32, 32\]: it belongs to another"),
        ({f"base_model.model.{Q}.lora_A.weight": random(4, 32)}, "only one of the two matrices"),
        ({**pair(Q, 32, 32), f"base_model.model.{Q}.lora_magnitude_vector": random(32)}, "no part of plain LoRA"),
    ],
)
def test_adapters_that_do_not_fit(tmp_path: Path, base: Path, tensors: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(AssetError, match=message):
        get(tmp_path, adapter(tmp_path / "adapter", tensors), base)
    assert not (tmp_path / "resources" / "models" / "m.json").exists()


def test_an_adapter_needs_its_base_and_a_model_has_none(tmp_path: Path, base: Path) -> None:
    with pytest.raises(
        AssetError, match=r"models\.m: .* is a LoRA adapter of org/base\. Name that model, pinned: base:"
    ):
        get(tmp_path, adapter(tmp_path / "adapter"), None)
    with pytest.raises(AssetError, match=r"models\.m\.base: .*base is a whole model, no adapter"):
        get(tmp_path, base, base)
    (tmp_path / "adapter" / "adapter_model.safetensors").unlink()
    with pytest.raises(AssetError, match=r"has no adapter_model\.safetensors"):
        get(tmp_path, tmp_path / "adapter", base)


def test_a_changed_base_is_noticed(tmp_path: Path, base: Path) -> None:
    folder = get(tmp_path, adapter(tmp_path / "adapter"), base)
    before = load_file(folder / "model.safetensors")
    tiny.save("llama", base, seed=7)
    model = Model(source="folder", id=str(tmp_path / "adapter"), base=Weights(source="folder", id=str(base)), blocks=4)
    with pytest.raises(AssetError, match="has changed since it was fetched"):
        fetch.model_folder(tmp_path / "resources" / "models" / "m.json", model)
    after = load_file(get(tmp_path, tmp_path / "adapter", base) / "model.safetensors")
    assert not torch.equal(before[f"{Q}.weight"], after[f"{Q}.weight"])


def test_base_and_adapter_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.save("llama", tmp_path / "hub" / "org" / "base")
    adapter(tmp_path / "hub" / "org" / "adapter")
    below = Weights(source="hub", id="org/base", revision=COMMIT)
    model = Model(source="hub", id="org/adapter", revision=COMMIT, base=below, blocks=4)
    models = tmp_path / "resources" / "models"
    with running(tmp_path / "hub") as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        for name in ("first", "second"):
            fetch.fetch_model(name, model, models / fetch.folder_name(model), tmp_path, models / f"{name}.json")
        alone = Model(source="hub", id="org/base", revision=COMMIT, blocks=4)
        fetch.fetch_model("alone", alone, models / fetch.folder_name(alone), tmp_path, models / "alone.json")
        assert server.downloads("model.safetensors") == [""]  # the base's, once
        assert server.downloads("adapter_model.safetensors") == [""]
    merged = load_file(fetch.model_folder(models / "first.json", model) / "model.safetensors")
    plain = load_file(fetch.model_folder(models / "alone.json", alone) / "model.safetensors")
    assert not torch.equal(merged[f"{Q}.weight"], plain[f"{Q}.weight"])
    assert sorted(path.name for path in models.iterdir() if path.is_dir()) == sorted(
        [fetch.folder_name(model), fetch.folder_name(alone)]
    )


def test_a_base_is_pinned_too() -> None:
    with pytest.raises(ConfigError, match=r"models\.tiny\.base: a hub model needs `revision`"):
        configured({"models.tiny.base": {"source": "hub", "id": "org/base"}})
