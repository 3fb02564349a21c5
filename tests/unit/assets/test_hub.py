"""The real client of the hub against a hub on loopback."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from cornerstone.assets import client, fetch, hub
from cornerstone.config.models import Model
from cornerstone.errors import AssetError, CornerstoneError, ModelError
from cornerstone.log import script
from tests import gguf_files, tiny
from tests.helpers import ROOT
from tests.hub import COMMIT, Hub, running

LONGEST = max((len(hub.WAITS) + 1) * client.TIMEOUT + sum(hub.WAITS), (client.PATIENCE + 1) * client.TIMEOUT)
"""Seconds until a hub that does not answer is given up, but for what its client waits between two requests."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    tiny.save("llama", tmp_path / "hub" / "org" / "plain")
    with running(tmp_path / "hub") as hub_:
        monkeypatch.setenv("HF_ENDPOINT", hub_.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(hub, "WAITS", (0, 0))
        yield hub_


def entry(name: str = "org/plain", **changes: Any) -> Model:
    return Model(**{"source": "hub", "id": name, "revision": COMMIT, "blocks": 4, **changes})


def get(tmp_path: Path, model: Model, name: str = "m") -> Path:
    """Fetch a model; the folder that its marker names."""
    models = tmp_path / "resources" / "models"
    marker = models / f"{name}.json"
    fetch.fetch_model(name, model, models / fetch.folder_name(model), tmp_path / "wheels", marker)
    return fetch.model_folder(marker, model)


def refused(tmp_path: Path, model: Model) -> str:
    with pytest.raises(CornerstoneError) as caught:
        get(tmp_path, model)
    assert not (tmp_path / "resources" / "models" / "m.json").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_model_at_a_commit(server: Hub, tmp_path: Path) -> None:
    folder = get(tmp_path, entry())
    original = server.root / "org" / "plain"
    assert (folder / "model.safetensors").read_bytes() == (original / "model.safetensors").read_bytes()
    assert all(f"/resolve/{COMMIT}/" in path for _, path, _ in server.asked if "/resolve/" in path)


@pytest.mark.parametrize("status", [0, 503])
def test_secrets_are_in_no_file_and_no_message(
    server: Hub, tmp_path: Path, status: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The password of a mirror (also as it stands in an address), and tokens, wherever a library may say them."""
    words = ["word%20of-the-mirror", "word of-the-mirror", "hf_token-of-somebody", "word-of-the-index"]
    monkeypatch.setenv("HF_ENDPOINT", server.url.replace("://", f"://me:{words[0]}@"))
    monkeypatch.setenv("HF_TOKEN", words[2])
    monkeypatch.setenv("PIP_INDEX_URL", f"https://{words[3]}@index.example/simple")
    server.busy = {status: 10**6} if status else {}
    (tmp_path / "here").mkdir()
    with nullcontext() if status == 0 else pytest.raises(SystemExit), script(str(tmp_path / "here" / "log")):
        logging.getLogger("a library").warning("%s", os.environ)
        subprocess.run(["sh", "-c", "env >&2"], check=True)
        get(tmp_path / "here", entry())
    log = (tmp_path / "here" / "log").read_text()
    assert f"***@{server.url.partition('://')[2]}" in log
    assert ("answers 503" in log) == (status == 503)
    told = [path for path in (tmp_path / "here").rglob("*") if path.is_file()]
    assert len(told) > 5 or status
    contents = [log, "".join(capfd.readouterr()), *(path.read_bytes().decode(errors="replace") for path in told)]
    assert not [word for word in words for content in contents if word in content]


def test_only_what_is_loaded_is_downloaded(server: Hub, tmp_path: Path) -> None:
    original = server.root / "org" / "plain"
    for name in ("consolidated.safetensors", "model.fp16.safetensors", "pytorch_model.bin", "modeling.py", "a/b.json"):
        (original / name).parent.mkdir(exist_ok=True)
        shutil.copy(original / "model.safetensors", original / name)
    folder = get(tmp_path, entry())
    there = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    wanted = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    assert there == sorted([*wanted, fetch.NOTE])


def test_shards_are_those_of_the_index(server: Hub, tmp_path: Path) -> None:
    original = server.root / "org" / "shards"
    tiny.make("llama").save_pretrained(original, max_shard_size="60KB")
    tiny.tokenizer().save_pretrained(original)
    shutil.copy(server.root / "org/plain/model.safetensors", original / "other.safetensors")
    folder = get(tmp_path, entry("org/shards"))
    names = {path.name for path in folder.glob("*.safetensors")}
    assert names == {path.name for path in original.glob("model-*.safetensors")}
    (original / sorted(names)[1]).unlink()
    said = refused(tmp_path / "again", entry("org/shards"))
    assert f"org/shards at {COMMIT} has no {sorted(names)[1]}" in said


def test_two_entries_of_the_same_weights_share_a_folder_and_a_download(server: Hub, tmp_path: Path) -> None:
    first = get(tmp_path, entry(), "first")
    asked = len(server.asked)
    second = get(tmp_path, entry(players="blocks", dtype="float32"), "second")
    assert first == second
    assert len(server.asked) == asked
    (first / "model.safetensors").unlink()  # what is not whole is completed
    assert get(tmp_path, entry(), "third") == first
    assert server.downloads("model.safetensors") == ["", ""]
    assert len(server.downloads("tokenizer.json")) == 1


@pytest.mark.parametrize(
    ("name", "revision", "message"),
    [
        ("org/gated", COMMIT, r"org/gated is gated.*Accept it at http://127\.0\.0\.1:\d+/org/gated, log in"),
        ("org/private", COMMIT, r"has no model org/private, or you have no access to it \(it answers 401\)"),
        ("org/nosuch", COMMIT, r"has no model org/nosuch, or you have no access to it \(it answers 404\)"),
        ("org/plain", "f" * 40, r"org/plain has no commit f{40}\. Correct `revision`"),
    ],
)
def test_what_the_hub_refuses_is_told_apart(
    server: Hub, tmp_path: Path, name: str, revision: str, message: str
) -> None:
    server.gated, server.private = {"org/gated"}, {"org/private"}
    with pytest.raises(AssetError, match=message):
        get(tmp_path, entry(name, revision=revision))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_hub_is_asked_again(server: Hub, tmp_path: Path, status: int) -> None:
    server.busy = {status: 2}
    assert get(tmp_path, entry()).is_dir()
    assert server.busy == {status: 0}


@pytest.mark.parametrize(("status", "message"), [(429, "too many requests"), (503, "answers 503")])
def test_a_hub_that_stays_busy(server: Hub, tmp_path: Path, status: int, message: str) -> None:
    server.busy = {status: 10**6}
    assert message in refused(tmp_path, entry())
    assert len(server.asked) == 3


def test_a_hub_that_asks_for_an_hour_is_not_waited_for(server: Hub, tmp_path: Path) -> None:
    server.busy, server.retry_after = {429: 10**6}, "3600"
    assert "too many requests" in refused(tmp_path, entry())
    assert len(server.asked) == 1


def test_a_connection_that_breaks_is_gone_on_with(server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    server.cut = {"model.safetensors": 1}
    folder = get(tmp_path, entry())
    size = (folder / "model.safetensors").stat().st_size
    assert server.downloads("model.safetensors") == ["", f"bytes={size // 2 // 1000 * 1000}-"]
    assert (folder / "model.safetensors").read_bytes() == (server.root / "org/plain/model.safetensors").read_bytes()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_connection_that_keeps_breaking(
    server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    server.cut = {name: 10**6}
    said = refused(tmp_path, entry())
    assert "the connection to" in said
    assert "files that are whole are kept" in said


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_that_is_not_what_the_commit_says(server: Hub, tmp_path: Path, name: str) -> None:
    server.wrong = {name}
    said = refused(tmp_path, entry())
    assert f"{name} of org/plain is not what commit {COMMIT} says" in said
    assert not list((tmp_path / "resources").rglob(name))
    server.wrong = set()
    assert (get(tmp_path, entry()) / name).is_file()


def test_a_repository_without_safetensors(server: Hub, tmp_path: Path) -> None:
    original = server.root / "org" / "plain"
    (original / "model.safetensors").rename(original / "pytorch_model.bin")
    said = refused(tmp_path, entry())
    assert "has no model.safetensors; it has pytorch_model.bin" in said
    assert not server.downloads("pytorch_model.bin")


def test_a_repository_that_is_no_model(server: Hub, tmp_path: Path) -> None:
    (server.root / "org" / "other").mkdir()
    (server.root / "org" / "other" / "README.md").write_text("hello")
    assert "has no config.json: it is no model of transformers. It has README.md" in refused(
        tmp_path, entry("org/other")
    )


def test_what_can_not_be_supported_is_said_before_its_weights_are_downloaded(server: Hub, tmp_path: Path) -> None:
    config = server.root / "org" / "plain" / "config.json"
    before = config.read_text()
    config.write_text(json.dumps({**json.loads(before), "quantization_config": {"quant_method": "exl2"}}))
    assert "quantised by exl2" in refused(tmp_path, entry())
    config.write_text(json.dumps({**json.loads(before), "hidden_size": "32"}))
    assert "hidden_size" in refused(tmp_path / "b", entry())
    config.write_text(before)
    (server.root / "org" / "plain" / "tokenizer.json").unlink()
    assert "has no tokenizer" in refused(tmp_path / "c", entry())
    assert server.downloads("model.safetensors") == []


@pytest.mark.parametrize("mute", ["", "/resolve/", "/revision/"])
def test_a_hub_that_does_not_answer(server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mute: str) -> None:
    """To anything, to what asks for a file after the list of files came, or to what asks for that."""
    monkeypatch.setattr(client, "TIMEOUT", 0.3)
    server.mute = mute
    began = time.monotonic()
    said = refused(tmp_path, entry())
    assert "does not answer within 0.3 seconds" in said
    assert "Is there a firewall" in said
    assert time.monotonic() - began < 15
    assert len([path for _, path, _ in server.asked if mute in path]) <= 24  # 8 files are asked for side by side
    assert LONGEST < 60


def test_no_hub_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(hub, "WAITS", (0, 0))
    said = refused(tmp_path, entry())
    assert said.startswith(f"could not download org/plain at {COMMIT}: the connection to http://127.0.0.1:9 fails")
    assert "where there is network access" in said


def test_an_interrupted_fetch_goes_on(server: Hub, tmp_path: Path) -> None:
    server.wrong = {"model.safetensors"}
    refused(tmp_path, entry())
    small = len(server.downloads("tokenizer.json"))
    server.wrong = set()
    get(tmp_path, entry())
    assert len(server.downloads("tokenizer.json")) == small == 1


def test_the_environment_names_a_mirror_in_a_process_of_its_own(server: Hub, tmp_path: Path) -> None:
    """HF_ENDPOINT is read where the client is imported: in-process tests hand it over, a user does not."""
    program = (
        "import sys; from pathlib import Path; from cornerstone.assets import fetch; "
        "from cornerstone.config.models import Model; "
        f"model = Model(source='hub', id='org/plain', revision='{COMMIT}', blocks=4); "
        "fetch.fetch_model('m', model, Path('models/f'), Path('wheels'), Path('models/m.json'))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf")}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "models" / "f" / "model.safetensors").is_file()
    assert server.downloads("model.safetensors") == [""]


def test_an_outline_has_no_weights(server: Hub, tmp_path: Path) -> None:
    marker = tmp_path / "outlines" / "m.json"
    fetch.fetch_outline(entry(), tmp_path / "outlines" / "o", marker)
    there = {path.name for path in fetch.model_folder(marker, entry()).iterdir()}
    assert {"config.json", "tokenizer.json"} <= there
    assert not any(name.endswith((".safetensors", ".index.json", ".py")) for name in there)
    server.gated = {"org/plain"}
    with pytest.raises(AssetError, match=r"is gated.*run `snakemake plan` again"):
        fetch.fetch_outline(entry(), tmp_path / "again", tmp_path / "again.json")


def test_weights_that_the_model_does_not_use_are_refused_when_they_are_fetched(server: Hub, tmp_path: Path) -> None:
    path = server.root / "org" / "plain" / "model.safetensors"
    tensors = load_file(path)
    save_file({**tensors, "model.layers.0.self_attn.q_proj.bias": torch.ones(32)}, path, {"format": "pt"})
    with pytest.raises(
        ModelError, match=r"1 tensor\(s\).*no place for, such as model\.layers\.0\.self_attn\.q_proj\.bi"
    ):
        get(tmp_path, entry())


@pytest.mark.parametrize("split", [1, 2])
def test_a_gguf_file_of_a_repository(server: Hub, tmp_path: Path, split: int) -> None:
    home = server.root / "org" / "gguf"
    home.mkdir()
    paths = gguf_files.write(home / "m.gguf", tiny.make("llama"), tiny.tokenizer(), split=split)
    (home / "other.gguf").write_bytes(b"another")
    folder = get(tmp_path, entry("org/gguf", file=paths[0].name))
    found, original = load_file(folder / "model.safetensors"), tiny.make("llama").state_dict()
    assert all(torch.allclose(found[name], value) for name, value in original.items())
    assert not server.downloads("other.gguf")
    assert not list((tmp_path / "resources").rglob("*.gguf"))  # what was downloaded is gone
    said = refused(tmp_path / "again", entry("org/gguf", file="x.gguf"))
    assert f"models.m.file: org/gguf has no file x.gguf at {COMMIT}. It has m" in said


PROGRAM = """
import json, sys
from pathlib import Path
from cornerstone.assets import client, documents, tasks
from cornerstone.assets.recipe import Recipe
client.TIMEOUT = {timeout}
path = Path("documents/hub/arc_easy.json")
tasks.ensure(path, Recipe("arc_easy", "hub", {revision}), "acc", [], Path("wheels"), "code")
print(json.dumps([documents.read(path).source, [d.requests[0][0] for d in documents.read(path).documents]]))
"""


def data_set(root: Path, question: str) -> Path:
    """A data set in the form of ARC's on the hub: a folder of Parquet files for each of its two parts."""
    home = root / "datasets" / "allenai" / "ai2_arc"
    row = {"id": "1", "question": question, "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "B"}
    files = []
    for part in ("ARC-Easy", "ARC-Challenge"):
        for split in ("train", "validation", "test"):
            name = f"{part}/{split}-00000-of-00001.parquet"
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            pd.DataFrame([row]).to_parquet(home / name)
            files.append({"config_name": part, "data_files": [{"split": split, "path": f"{part}/{split}-*"}]})
    merged = [
        {"config_name": part, "data_files": [f["data_files"][0] for f in files if f["config_name"] == part]}
        for part in ("ARC-Easy", "ARC-Challenge")
    ]
    (home / "README.md").write_text("---\n" + yaml.safe_dump({"configs": merged}) + "---\n")
    return home


def made(server: Hub, tmp_path: Path, revision: str | None = None, timeout: float = client.TIMEOUT) -> Any:
    """What a process of its own says of the documents: `datasets` reads HF_ENDPOINT where it is imported."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf")}
    program = PROGRAM.format(revision=repr(revision), timeout=timeout)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    return json.loads(done.stdout.splitlines()[-1]) if not done.returncode else done.stderr


def test_a_data_set_is_taken_at_the_commit_that_the_lock_says(server: Hub, tmp_path: Path) -> None:
    data_set(server.root, "What is hot?")
    source, questions = made(server, tmp_path)
    assert source == f"hub:allenai/ai2_arc@{COMMIT}"
    assert questions == ["Question: What is hot?\nAnswer:"]
    lock = tmp_path / "documents" / "hub" / "data-sets.lock"
    assert json.loads(lock.read_text()) == {"allenai/ai2_arc": COMMIT}
    lock.write_text(json.dumps({"allenai/ai2_arc": "e" * 40}))  # what was taken before counts, and here it is gone
    (tmp_path / "documents" / "hub" / "arc_easy.json").unlink()
    said = made(server, tmp_path).splitlines()[-1]
    assert "could not get the documents of task 'arc_easy'" in said
    assert f"allenai/ai2_arc has no commit {'e' * 40}. Correct its line in data-sets.lock" in said
    assert made(server, tmp_path, COMMIT)[0] == f"hub:allenai/ai2_arc@{COMMIT}"  # the config's commit comes first


@pytest.mark.parametrize("revision", [None, COMMIT])
@pytest.mark.parametrize("mute", ["", "/resolve/", "/tree/"])
def test_documents_of_a_hub_that_does_not_answer(server: Hub, tmp_path: Path, mute: str, revision: str | None) -> None:
    """With a commit in the config, the first to ask is the library of data sets."""
    data_set(server.root, "What is hot?")
    server.mute = mute
    began = time.monotonic()
    said = made(server, tmp_path, revision, 2).splitlines()[-1]
    assert f"could not download allenai/ai2_arc at {COMMIT if revision or mute else 'main'}" in said
    assert "does not answer within 2 seconds" in said
    assert time.monotonic() - began < 120
    assert len([path for _, path, _ in server.asked if mute in path]) <= 24
