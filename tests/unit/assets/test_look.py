"""Looking at a model before it is fetched: the hub, a folder, a GGUF file, and what is none of them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2 as httpx  # what the hub's client speaks with
import huggingface_hub
import pytest
from huggingface_hub import errors

from cornerstone.assets.look import Origin, look, read_settings
from cornerstone.errors import AssetError
from tests.unit.adding.models import save, write_gguf

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """A hub whose repositories are folders."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked: list[tuple[str, str | None]] = []
        self.error: Exception | None = None
        self.error_of_files: Exception | None = None

    def model_info(self, name: str, revision: str | None = None, **options: Any) -> Any:
        self.asked.append((name, revision))
        if self.error:
            raise self.error
        names = [
            path.relative_to(self.root / name).as_posix() for path in (self.root / name).rglob("*") if path.is_file()
        ]
        return SimpleNamespace(sha=COMMIT, siblings=[SimpleNamespace(rfilename=each) for each in names])

    def snapshot_download(self, name: str, revision: str, local_dir: Path, **options: Any) -> None:
        assert revision == COMMIT
        if self.error_of_files:
            raise self.error_of_files
        all_names = [path.relative_to(self.root / name).as_posix() for path in (self.root / name).rglob("*")]
        wanted = huggingface_hub.utils.filter_repo_objects(
            all_names, allow_patterns=options["allow_patterns"], ignore_patterns=options["ignore_patterns"]
        )
        for each in wanted:
            (local_dir / each).write_bytes((self.root / name / each).read_bytes())


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    made = Hub(tmp_path / "hub")
    monkeypatch.setattr(
        huggingface_hub.HfApi, "model_info", lambda api, *args, **options: made.model_info(*args, **options)
    )
    monkeypatch.setattr(huggingface_hub, "snapshot_download", made.snapshot_download)
    return made


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


SMALL = {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"}


def test_a_hub_repository_at_its_newest_commit_without_weights(hub: Hub, here: Path) -> None:
    source = save("llama", hub.root / "org" / "Some")
    (source / "model.safetensors.index.json").write_text("{}")
    (source / "original").mkdir()
    (source / "original" / "params.json").write_text("{}")
    assert look("org/Some", here) == Origin("hub", "org/Some", COMMIT)
    assert hub.asked == [("org/Some", None)]
    assert names(here) <= SMALL
    assert read_settings(here)["model_type"] == "llama"


@pytest.mark.parametrize(
    ("where", "revision", "asked"),
    [
        ("https://huggingface.co/org/Some", None, ("org/Some", None)),
        ("https://huggingface.co/org/Some/", None, ("org/Some", None)),
        ("https://huggingface.co/org/Some/tree/step100", None, ("org/Some", "step100")),
        ("https://huggingface.co/org/Some/blob/main/config.json", None, ("org/Some", None)),
        ("org/Some", "step100", ("org/Some", "step100")),
    ],
)
def test_addresses_and_revisions(where: str, revision: str | None, asked: Any, hub: Hub, here: Path) -> None:
    save("llama", hub.root / "org" / "Some")
    assert look(where, here, revision) == Origin("hub", "org/Some", COMMIT)
    assert hub.asked == [asked]


def answer(status: int) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request("GET", "https://huggingface.co/api/models/org/Some"))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            lambda: errors.RepositoryNotFoundError("404", response=answer(404)),
            "the hub has no model org/Some, or it is private",
        ),
        (lambda: errors.RevisionNotFoundError("404", response=answer(404)), "org/Some has no revision None"),
        (
            lambda: errors.GatedRepoError("403", response=answer(403)),
            "org/Some is gated: .* Accept it on the model's page",
        ),
        (lambda: errors.OfflineModeIsEnabled("offline"), "HF_HUB_OFFLINE is set"),
        (
            lambda: httpx.ConnectError("Connection refused"),
            "from the hub: Connection refused. Add it where there is network",
        ),
        (lambda: httpx.ReadTimeout("timed out"), "from the hub: timed out. Add it where there is network"),
        (lambda: errors.HfHubHTTPError("500 Server Error", response=answer(500)), "from the hub: 500 Server Error"),
        (lambda: OSError(28, "No space left on device"), "No space left on device"),
    ],
)
@pytest.mark.parametrize("of_files", [False, True])
def test_what_the_hub_answers_is_one_message(error: Any, said: str, of_files: bool, hub: Hub, here: Path) -> None:
    save("llama", hub.root / "org" / "Some")
    hub.error, hub.error_of_files = (None, error()) if of_files else (error(), None)
    with pytest.raises(AssetError, match=said) as caught:
        look("org/Some", here)
    assert "\n" not in str(caught.value)


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
def test_what_is_no_model_is_named(files: set[str], said: str, source: str, hub: Hub, here: Path) -> None:
    folder = hub.root / "org" / "Some"
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


def test_the_header_of_a_gguf_file(tmp_path: Path, here: Path) -> None:
    path = write_gguf(tmp_path / "some.Q4_0.gguf", blocks=3)
    assert look(str(path), here) == Origin("gguf", str(path))
    settings = read_settings(here)
    assert (settings["model_type"], settings["num_hidden_layers"], settings["hidden_size"]) == ("llama", 3, 32)
    assert "tokenizer.json" in names(here)
    assert not list(here.glob("*.safetensors"))


def test_a_file_that_is_no_gguf(tmp_path: Path, here: Path) -> None:
    whole = write_gguf(tmp_path / "whole.gguf").read_bytes()
    for name, content in (("cut.gguf", whole[:200]), ("text.gguf", b"no such thing" * 100)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(AssetError, match=rf"{name} can't be read as a GGUF file: .*\. Get it again") as caught:
            look(str(tmp_path / name), here)
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
