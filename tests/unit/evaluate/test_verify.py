"""Whatever is changed in a result or a table is noticed and named."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from cornerstone import cli, files
from cornerstone.config.config import Config
from cornerstone.errors import StoreError, UnreadableError
from cornerstone.evaluate import check, seal
from cornerstone.evaluate.result import damage, read
from cornerstone.evaluate.verify import verify
from cornerstone.game.coalitions import full, without
from cornerstone.present.figures import drawing
from tests.helpers import configured
from tests.unit.evaluate.test_result import PLAYERS, write

FULL = full(PLAYERS)


def test_the_checksum_is_that_of_the_lines_of_documents(tmp_path: Path) -> None:
    path = write(tmp_path / "full.json")
    lines = path.read_text().splitlines(keepends=True)
    first = lines.index('"documents": {\n') + 1
    arrays = "".join(lines[first : lines.index("},\n", first)])
    assert json.loads("{" + arrays + "}") == read(path)["documents"]
    others = "".join(lines[1 : first - 1])
    assert json.loads("{" + others.rstrip(",\n") + "}").keys() == read(path).keys() - {"documents", "sha256"}
    assert read(path)["sha256"] == {
        "documents": hashlib.sha256(arrays.encode()).hexdigest(),
        "others": hashlib.sha256(others.encode()).hexdigest(),
    }


@pytest.mark.skipif(shutil.which("sed") is None or shutil.which("sha256sum") is None, reason="needs sed, sha256sum")
def test_the_checksum_can_be_had_without_this_program(tmp_path: Path) -> None:
    path = write(tmp_path / "full.json")
    command = re.search(r"^    (sed .*)$", str(seal.__doc__), re.MULTILINE)
    assert command
    done = subprocess.run(["sh", "-c", command[1].replace("FILE", str(path))], capture_output=True, text=True)
    assert done.stdout.split()[0] == read(path)["sha256"]["documents"]


def test_a_result_that_another_program_has_formatted_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "full.json")
    before = read(path)
    path.write_text(json.dumps(before, indent=3))
    assert read(path) == before
    path.write_text(json.dumps({**before, "documents": {**before["documents"], "acc": [1, 1, 0]}}, indent=3))
    with pytest.raises(StoreError, match="sha256 of the section `documents` differs"):
        read(path)


def test_no_byte_of_a_result_changes_unnoticed(tmp_path: Path) -> None:
    path = write(tmp_path / "full.json")
    whole, before, rng = path.read_bytes(), read(path), random.Random(0)
    spaces = 0
    for place in rng.sample(range(len(whole)), 300):
        changed = bytearray(whole)
        changed[place] = rng.choice([byte for byte in range(256) if byte != whole[place]])
        path.write_bytes(changed)
        if said := damage(path):
            assert str(path) in said
        else:
            assert read(path) == before  # a space for another one
            spaces += 1
    assert spaces < 5


def _digit(text: str) -> str:
    """One digit of a log-likelihood."""
    start = text.index('"loglikelihood": ')
    place = next(i for i in range(start, len(text)) if text[i].isdigit())
    return text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :]


CHANGES: dict[str, Callable[[str], str]] = {
    "a digit of a log-likelihood": _digit,
    "acc flipped": lambda text: text.replace('"acc": [1,', '"acc": [0,'),
    "acc 2": lambda text: text.replace('"acc": [1,', '"acc": [2,'),
    "NaN": lambda text: text.replace('"loglikelihood": [[-1.0,', '"loglikelihood": [[NaN,'),
    "infinity": lambda text: text.replace('"loglikelihood": [[-1.0,', '"loglikelihood": [[1e999,'),
    "positive": lambda text: text.replace('"loglikelihood": [[-1.0,', '"loglikelihood": [[1.0,'),
    "text": lambda text: text.replace('"loglikelihood": [[-1.0,', '"loglikelihood": [["x",'),
    "gold": lambda text: text.replace('"gold": [0,', '"gold": [7,'),
    "a gold choice that is true": lambda text: text.replace('"gold": [0,', '"gold": [true,'),
    "a document less": lambda text: text.replace('"doc_id": [0, 1, 2]', '"doc_id": [0, 1]'),
    "the mean": lambda text: text.replace('"acc,none": 1.0', '"acc,none": 0.5'),
    "the fingerprint": lambda text: text.replace("0123456789abcdef", "1123456789abcdef"),
    "the coalition": lambda text: text.replace('"name": "full"', '"name": "drop-attn0"'),
    "another key": lambda text: text.replace('"versions"', '"version"'),
    "no checksum of documents": lambda text: text.replace('"sha256": {"documents"', '"sha256": {"document"'),
    "checksums that are text": lambda text: re.sub(r'"sha256": \{.*\}', '"sha256": "none"', text),
}
NUMBERS = {"acc flipped", "acc 2", "NaN", "infinity", "positive", "text", "gold", "a document less"}
"""Those that are noticed in a result of an older version, which has no checksum."""


@pytest.mark.parametrize("change", CHANGES)
def test_a_result_that_was_changed_is_not_read(tmp_path: Path, change: str) -> None:
    path = write(tmp_path / "full.json")
    text = path.read_text()
    assert CHANGES[change](text) != text
    path.write_text(CHANGES[change](text))
    with pytest.raises(StoreError, match=rf"{path} can't be read: it .*Delete it and run `snakemake {path}`"):
        read(path)
    assert damage(path)
    write(path)  # it is made again
    assert damage(path) == ""
    assert path.read_text() == text


@pytest.mark.parametrize("change", sorted(NUMBERS))
def test_without_checksums_numbers_must_fit_each_other(tmp_path: Path, change: str) -> None:
    path = write(tmp_path / "full.json")
    old = re.sub(r',\n"sha256": \{.*\}\n', "\n", path.read_text())
    path.write_text(old)
    assert "sha256" not in read(path)
    assert check.problem(read(path)) == ""
    path.write_text(CHANGES[change](old))
    with pytest.raises(StoreError, match=rf"{path} can't be read: it (is damaged|was changed)"):
        read(path)


@pytest.fixture
def stored(tmp_path: Path) -> Config:
    """Two results, a table of values, a CSV file made from it."""
    config = configured({"paths.results": str(tmp_path / "results"), "paths.resources": str(tmp_path / "none")})
    folder = tmp_path / "results" / "tiny" / "alpha"
    write(folder / "coalitions" / "full.json")
    write(folder / "coalitions" / "drop-attn0.json", without([0], PLAYERS))
    values = folder / "values.parquet"
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    files.write_table(values, lambda path: frame.to_parquet(path))
    files.write_csv(frame, tmp_path / "results" / "tiny" / "ablation.csv", [values])
    return config


def test_all_is_looked_at(stored: Config) -> None:
    found = verify(stored)
    assert found.wrong == []
    assert found.seen == {"results": 2, "tables": 2}
    assert ["2 results are of other settings" in note for note in found.notes] == [True]
    assert "looked at 2 results, 2 tables; all are what was written" in str(found)


def test_what_readers_see_is_looked_at(stored: Config) -> None:
    """A picture, a table as Markdown, a page: all have notes, as tables have."""
    results = Path(stored.paths.results)
    figure, axes = plt.subplots()
    axes.plot([0, 1])
    drawing.save_figure(figure, [results / "figures" / "values.png"])
    plt.close(figure)
    files.write_noted(results / "summary.md", "# Summary\n")
    assert verify(stored).wrong == []
    for path in (results / "figures" / "values.png", results / "summary.md"):
        path.write_bytes(path.read_bytes()[:-1])
    found = verify(stored).wrong
    assert len(found) == 2
    assert all(name in "".join(found) for name in ("figures/values.png", "results/summary.md"))


SWAPS: dict[str, Callable[[Path], Any]] = {
    "alpha/coalitions/drop-attn0.json": lambda path: path.write_bytes(path.with_name("full.json").read_bytes()),
    "alpha/coalitions/full.json": lambda path: path.write_text(_digit(path.read_text())),
    "alpha/values.parquet": lambda path: pd.DataFrame({"a": [1.0, 3.0]}).to_parquet(path),
    "ablation.csv": lambda path: path.write_text(path.read_text().replace("2", "3")),
    ".sha256/ablation.csv.sha256": lambda path: path.write_text("nothing\n"),
}


@pytest.mark.parametrize("name", SWAPS)
def test_what_was_swapped_or_changed_is_named(
    stored: Config, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(stored.paths.results) / "tiny" / name
    SWAPS[name](path)
    found = verify(stored)
    assert len(found.wrong) == 1
    assert str(path) in found.wrong[0]
    monkeypatch.setattr(cli, "config_of", lambda configs: stored)
    assert cli.main(["results", "verify"]) == 1
    assert "1 of them are not what was written" in capsys.readouterr().out


def test_a_note_that_says_more_than_a_note_does_is_damaged(stored: Config) -> None:
    note = files.note_of(Path(stored.paths.results) / "tiny" / "ablation.csv")
    assert len(note.read_text().splitlines()) == 3  # where it belongs, what it was made from, and its own checksum
    note.write_text(2 * note.read_text())
    assert [str(note) in wrong for wrong in verify(stored).wrong] == [True]


def test_a_table_of_another_model_is_named_even_with_its_note(stored: Config) -> None:
    folder = Path(stored.paths.results) / "tiny"
    files.write_csv(pd.DataFrame({"a": [1.0]}), folder.with_name("other") / "ablation.csv")
    for path in (files.note_of(folder.with_name("other") / "ablation.csv"), folder.with_name("other") / "ablation.csv"):
        path.replace(folder.parent / "tiny" / path.relative_to(folder.with_name("other")))
    (wrong,) = verify(stored).wrong
    assert wrong.startswith(f"{folder / 'ablation.csv'} can't be read: it was written in another place, as other/abl")


def test_a_table_whose_note_is_gone_is_named_and_other_files_are_not(stored: Config) -> None:
    folder = Path(stored.paths.results) / "tiny"
    files.write_csv(pd.DataFrame({"a": [1.0]}), folder / "share.csv")
    (folder / "thoughts.txt").write_text("mine")
    assert verify(stored).wrong == []
    files.note_of(folder / "ablation.csv").unlink()
    (wrong,) = verify(stored).wrong
    assert wrong.startswith(
        f"{folder / 'ablation.csv'} has no note of its checksum ({folder / '.sha256/ablation.csv.sha256'})"
    )
    assert "delete it and run the workflow" in wrong


@pytest.mark.parametrize("gone", [-1, -5, -40, 0, 1])
def test_a_table_that_was_cut_is_not_read(tmp_path: Path, gone: int) -> None:
    path = tmp_path / "a.csv"
    files.write_csv(pd.DataFrame({"a": range(20), "b": "x"}), path)
    path.write_bytes(path.read_bytes()[:gone])
    with pytest.raises(StoreError, match=rf"{path} can't be read: it is not what was written.*Delete it and run"):
        files.read_csv(path)


def test_a_table_of_an_older_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    frame = pd.DataFrame({"a": [1, 2]})
    files.write_csv(frame, path)
    shutil.rmtree(tmp_path / files.NOTES)
    pd.testing.assert_frame_equal(files.read_csv(path), frame)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_notes_of_tables_are_those_of_sha256sum(stored: Config) -> None:
    folder = Path(stored.paths.results) / "tiny"
    command = ["sha256sum", "--check", "--strict", ".sha256/ablation.csv.sha256"]
    assert subprocess.run(command, cwd=folder, check=False, capture_output=True).returncode == 0
    (folder / "ablation.csv").write_text("a\n")
    assert subprocess.run(command, cwd=folder, check=False, capture_output=True).returncode == 1


def test_a_table_made_from_another_one_is_told(stored: Config) -> None:
    values = Path(stored.paths.results) / "tiny" / "alpha" / "values.parquet"
    files.write_table(values, lambda path: pd.DataFrame({"a": [5.0]}).to_parquet(path))
    found = verify(stored)
    assert found.wrong == []
    assert any(f"ablation.csv was made from another {values}" in note for note in found.notes)


def test_a_note_of_another_table_is_none(tmp_path: Path) -> None:
    files.write_csv(pd.DataFrame({"a": [1]}), tmp_path / "a.csv")
    files.note_of(tmp_path / "a.csv").replace(files.note_of(tmp_path / "b.csv"))
    with pytest.raises(UnreadableError, match="no note"):
        files.noted(tmp_path / "b.csv")
