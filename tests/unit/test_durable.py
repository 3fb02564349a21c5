"""After a power cut there is whole content behind each finished name, whoever wrote it."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from cornerstone import files
from cornerstone.assets import documents, fetch
from cornerstone.config.models import Model
from cornerstone.evaluate import result
from cornerstone.present.figures.drawing import save_figure
from tests import tiny
from tests.helpers import documents as made
from tests.hub import COMMIT, running
from tests.power import Disk

FRAME = pd.DataFrame({"value": [1.5, 2.5]})


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    (tmp_path / "disk").mkdir()
    return Disk(tmp_path / "disk", monkeypatch)


def test_all_kinds_of_results(disk: Disk) -> None:
    root = disk.root
    for _ in range(2):  # the second time they take the place of others
        result.save(root / "coalitions" / "drop-attn0.json", {"results": {}, "documents": {"acc": [1]}})
        files.write_csv(FRAME, root / "ablation.csv")
        files.write_frames({"a": FRAME, "b": FRAME}, [root / "a.csv", root / "b.csv"], [root / "ablation.csv"])
        files.write_table(root / "values.parquet", FRAME.to_parquet)
        files.write_once(root / "means.safetensors", lambda path: path.write_bytes(b"means"))
        files.write_text(root / "index.html", "<html>")
        documents.write(made([[("q", " a"), ("q", " b")]]), root / "documents" / "alpha.json")
        figure, axes = plt.subplots()
        axes.plot([1, 2])
        save_figure(figure, [root / "figures" / f"shares.{ending}" for ending in ("svg", "pdf", "png")])
        plt.close(figure)
    found = disk.check()
    assert len(found) == 3 + 4 + 4 + 4 + 3
    assert set(found) <= set(disk.named)  # each appeared whole, under its name


@pytest.mark.parametrize("synced", [True, False])
def test_weights_are_on_the_disk_before_anything_says_that_they_are_fetched(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synced: bool
) -> None:
    tiny.save("llama", tmp_path / "hub" / "org" / "plain")
    model = Model(source="hub", id="org/plain", revision=COMMIT, blocks=4)
    marker, folder = disk.root / "m.json", disk.root / "weights"
    if not synced:  # the test sees it
        monkeypatch.setattr(fetch, "all_on_disk", lambda folder: None)
    with running(tmp_path / "hub") as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        fetch.fetch_model("m", model, folder, tmp_path / "wheels", marker)
    # the hub's client moves files to their names unsynced: what counts is the note, which is written last
    disk.broken = [what for what in disk.broken if not what.startswith(str(folder)) or fetch.NOTE in what]
    if not synced:
        with pytest.raises(AssertionError, match=r"model.safetensors is not on the disk"):
            disk.check()
        return
    names = {path.name for path in disk.check()}
    assert {"m.json", fetch.NOTE, "model.safetensors", "config.json", "tokenizer.json"} <= names
    last = [path.name for path in disk.named]
    assert last.index("model.safetensors") < last.index(fetch.NOTE) < last.index("m.json")


@pytest.mark.parametrize(
    ("lost", "said"), [("file", "took its name before its content"), ("folder", "the name .* is not on the disk")]
)
def test_the_test_sees_what_is_not_synced(disk: Disk, monkeypatch: pytest.MonkeyPatch, lost: str, said: str) -> None:
    real = files.on_disk
    monkeypatch.setattr(files, "on_disk", lambda path: path.is_dir() == (lost == "file") and real(path))
    files.write_text(disk.root / "note", "text")
    with pytest.raises(AssertionError, match=said):
        disk.check()
