from __future__ import annotations

import json
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import httpx2
import huggingface_hub
import pytest
from huggingface_hub.errors import GatedRepoError

from cornerstone.assets import fetch
from cornerstone.config.models import Model
from cornerstone.errors import AssetError, ModelError
from cornerstone.forecast import outline
from tests import tiny

HUB = Model(source="hub", id="some/where", revision="a" * 40, blocks=4)


def hub(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", answer)


def test_config_and_tokenizer_are_fetched_without_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def download(name: str, local_dir: Path, **options: Any) -> None:
        asked.update(options, name=name)
        local_dir.mkdir(parents=True)
        (local_dir / "config.json").write_text("{}")

    hub(monkeypatch, download)
    fetch.fetch_outline(HUB, tmp_path / "outline", tmp_path / "m.json")
    assert (asked["name"], asked["revision"]) == ("some/where", "a" * 40)

    def wanted(name: str) -> bool:
        allowed = any(fnmatch(name, pattern) for pattern in asked["allow_patterns"])
        return allowed and not any(fnmatch(name, pattern) for pattern in asked["ignore_patterns"])

    there = ["config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "merges.txt"]
    assert all(map(wanted, there))
    weights = ["model-00001-of-00030.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "x.py"]
    assert not any(map(wanted, [*weights, "original/tokenizer.model", "consolidated.00.pth"]))
    folder = fetch.model_folder(tmp_path / "m.json", HUB)
    assert folder == tmp_path / "outline"
    assert (folder / "config.json").is_file()


def failing(error: Exception) -> Any:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


def test_a_gated_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    response = httpx2.Response(403, request=httpx2.Request("GET", "https://huggingface.co"))
    hub(monkeypatch, failing(GatedRepoError("no", response=response)))
    with pytest.raises(
        AssetError, match=r"some/where is gated.*Accept it at https://huggingface.co/some/where, log in"
    ):
        fetch.fetch_outline(HUB, tmp_path / "outline", tmp_path / "m.json")
    assert not (tmp_path / "m.json").exists()


def test_a_hub_that_cannot_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub(monkeypatch, failing(OSError("no route to host\nmore")))
    with pytest.raises(
        AssetError, match=rf"some/where at {'a' * 40} from the hub: no route to host\. Run `snakemake p"
    ):
        fetch.fetch_outline(HUB, tmp_path / "outline", tmp_path / "m.json")


def test_a_repository_without_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub(monkeypatch, lambda *_, **__: None)
    with pytest.raises(AssetError, match=r"has no config\.json"):
        fetch.fetch_outline(HUB, tmp_path / "outline", tmp_path / "m.json")


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
    with pytest.raises(ModelError, match=r"config and tokenizer in .* can't be read"):
        outline.read(folder, HUB)
    with pytest.raises(ModelError, match="config and tokenizer in"):
        outline.read(tmp_path / "nowhere", HUB)
