"""Looking at a model before it is fetched: the hub, a folder, a GGUF file, and what is none of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cornerstone.assets import hub
from cornerstone.assets.look import Origin, look, read_settings
from cornerstone.errors import AssetError
from tests import gguf_files, tiny, types
from tests.hub import COMMIT, Hub, running
from tests.unit.adding.models import save, write_gguf


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    (tmp_path / "hub").mkdir()
    with running(tmp_path / "hub") as made:
        monkeypatch.setenv("HF_ENDPOINT", made.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(hub, "WAITS", (0, 0))
        yield made


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


SMALL = {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"}


def test_a_hub_repository_at_its_newest_commit_without_weights(server: Hub, here: Path) -> None:
    source = save("llama", server.root / "org" / "Some")
    (source / "model.safetensors.index.json").write_text("{}")
    (source / "original").mkdir()
    (source / "original" / "params.json").write_text("{}")
    assert look("org/Some", here) == Origin("hub", "org/Some", COMMIT)
    assert names(here) == SMALL
    assert read_settings(here)["model_type"] == "llama"
    assert server.downloads("model.safetensors") == []


@pytest.mark.parametrize(
    ("where", "revision", "asked"),
    [
        ("https://huggingface.co/org/Some", None, "main"),
        ("{mirror}/org/Some/", None, "main"),
        ("https://huggingface.co/org/Some/tree/" + COMMIT, None, COMMIT),
        ("https://huggingface.co/org/Some/blob/main/config.json", None, "main"),
        ("org/Some", COMMIT, COMMIT),
    ],
)
def test_addresses_and_revisions(where: str, revision: str | None, asked: str, server: Hub, here: Path) -> None:
    save("llama", server.root / "org" / "Some")
    assert look(where.format(mirror=server.url), here, revision) == Origin("hub", "org/Some", COMMIT)
    assert server.asked[0][1] == f"/api/models/org/Some/revision/{asked}"


@pytest.mark.parametrize(
    ("name", "revision", "said"),
    [
        ("org/none", None, r"has no model org/none, .* Correct the name \(organisation/name, .*\), or log in"),
        ("org/Private", None, "has no model org/Private, or you have no access to it"),
        ("org/Some", "v9", "org/Some has no commit v9. Correct --revision"),
        ("org/Gated", None, "org/Gated is gated: .* log in .* and run `cornerstone add` again"),
    ],
)
def test_what_the_hub_answers_is_one_message(
    name: str, revision: str | None, said: str, server: Hub, here: Path
) -> None:
    for each in ("Some", "Private", "Gated"):
        save("llama", server.root / "org" / each)
    server.private.add("org/Private")
    server.gated.add("org/Gated")
    with pytest.raises(AssetError, match=said) as caught:
        look(name, here, revision)
    assert "\n" not in str(caught.value)
    assert "config.yaml" not in str(caught.value)


def test_a_hub_that_is_busy_is_asked_again(server: Hub, here: Path) -> None:
    save("llama", server.root / "org" / "Some")
    server.busy[503] = 2
    assert look("org/Some", here) == Origin("hub", "org/Some", COMMIT)


def test_no_network(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(hub, "WAITS", (0, 0))
    with pytest.raises(
        AssetError, match=r"the connection to http://127.0.0.1:9 fails .* Run `cornerstone add` where"
    ) as c:
        look("org/Some", here)
    assert "\n" not in str(c.value)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "has no config.json, so it is no model that transformers can load. It holds nothing"),
        ({"model.Q4.gguf"}, "has no config.json, .* It holds model.Q4.gguf: download that file and add it by its path"),
        ({"adapter_config.json", "adapter_model.safetensors"}, "is a LoRA adapter, no whole model"),
        (
            {"config.json", "pytorch_model.bin"},
            "holds no .*safetensors file. .* It holds config.json, pytorch_model.bin",
        ),
        ({"config.json", "onnx/model.safetensors"}, "holds no .*safetensors file"),
    ],
)
@pytest.mark.parametrize("source", ["hub", "folder"])
def test_what_is_no_model_is_named(files: set[str], said: str, source: str, server: Hub, here: Path) -> None:
    folder = server.root / "org" / "Some"
    folder.mkdir(parents=True)
    for each in files:
        (folder / each).parent.mkdir(exist_ok=True)
        (folder / each).touch()
    with pytest.raises(AssetError, match=said):
        look("org/Some" if source == "hub" else str(folder), here)
    assert names(here) == set()


def test_a_folder(tmp_path: Path, here: Path) -> None:
    folder = save("llama", tmp_path / "model")
    assert look(str(folder), here) == Origin("folder", str(folder))
    assert names(here) <= SMALL
    with pytest.raises(AssetError, match="--revision is for a repository of the hub"):
        look(str(folder), here, "main")


@pytest.mark.parametrize("split", [1, 2])
def test_the_header_of_a_gguf_file(split: int, tmp_path: Path, here: Path) -> None:
    path = write_gguf(tmp_path / "some.Q4_0.gguf", split)[0]
    assert look(str(path), here) == Origin("gguf", str(path))
    settings = read_settings(here)
    assert (settings["model_type"], settings["num_hidden_layers"], settings["hidden_size"]) == ("llama", 4, 32)
    assert "tokenizer.json" in names(here)
    assert not list(here.glob("*.safetensors"))


def test_a_file_that_is_no_gguf(tmp_path: Path, here: Path) -> None:
    whole = write_gguf(tmp_path / "whole.gguf")[0].read_bytes()
    for name, content in (("cut.gguf", whole[:200]), ("text.gguf", b"no such thing" * 100)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(AssetError, match=rf"{name} can't be read: it is .* Get it again\.") as caught:
            look(str(tmp_path / name), here)
        assert "\n" not in str(caught.value)


def test_a_gguf_file_that_transformers_does_not_know(tmp_path: Path, here: Path) -> None:
    path = gguf_files.write(tmp_path / "x.gguf", types.make("llama"), tiny.tokenizer(), arch="wavtokenizer-dec")[0]
    with pytest.raises(AssetError, match=r"can't read .*x\.gguf \(architecture 'wavtokenizer-dec'\)") as caught:
        look(str(path), here)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("nowhere.gguf", "there is no file nowhere.gguf"),
        ("./nowhere", "there is no folder ./nowhere"),
        ("a/b/c", "there is no folder a/b/c"),
        ("https://example.org/org/Some", "there is no folder https://example.org/org/Some"),
        ("", "there is no folder"),
        ("config.yaml", "config.yaml is neither the folder of a model nor a GGUF file"),
    ],
)
def test_what_is_not_there(where: str, said: str, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").touch()
    with pytest.raises(AssetError, match=said):
        look(where, here)


@pytest.mark.parametrize("content", ["{", "[]", json.dumps("text")])
def test_a_config_that_is_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(AssetError, match=r"config\.json .*\. Get the model again"):
        read_settings(tmp_path)
