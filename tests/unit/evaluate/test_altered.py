from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from cornerstone import files
from cornerstone.analysis.games import read_values
from cornerstone.config.config import Config
from cornerstone.errors import StoreError
from cornerstone.evaluate import altered
from cornerstone.plan import alone
from cornerstone.plan.layout import Layout
from tests.helpers import configured


def table(path: str, *values: int) -> str:
    files.write_csv(pd.DataFrame({"value": values}), Path(path))
    return path


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Of a working folder that has a table of estimates, one of the paper's tables, a figure, and notes."""
    monkeypatch.chdir(tmp_path)
    made = configured()
    layout = Layout(made)
    table(layout.csv("tiny", "ablation"), 1, 2, 3)
    table(f"{layout.results}/tables/table1.csv", 4)
    files.write_text(Path(layout.figure("tiny", "shares")[0]), "<svg/>")
    assert altered.have_made_again(made) == []
    return made


def dated(path: str) -> bool:
    """Whether a file has a date of today."""
    return os.stat(path).st_mtime > altered.LONG_AGO


@pytest.mark.parametrize("damage", [b"", b"value\n1\n2\n", b"value\n1\n2\n4\n", None])
def test_a_table_that_was_altered_is_older_than_all_it_is_made_from(
    config: Config, damage: bytes | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    forgotten: list[Path] = []
    monkeypatch.setattr(altered, "forget_notes", forgotten.append)
    path, other = Layout(config).csv("tiny", "ablation"), f"{Layout(config).results}/tables/table1.csv"
    Path(path).write_bytes(Path(other).read_bytes() if damage is None else damage)  # None: another table
    for _ in range(2):  # a dry run sees it, and so does the run after it
        assert altered.have_made_again(config) == [path]
        assert f"{path} can't be read: it is not what was written" in capsys.readouterr().err
        assert not dated(path)
        assert dated(other)
    assert forgotten == [Path(path)] * 2
    table(path, 1, 2, 3)
    assert altered.have_made_again(config) == []
    assert dated(path)


@pytest.mark.parametrize("which", ["values", "deletion_values"])
def test_a_table_of_values_that_was_cut_is_made_again(
    which: str, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(getattr(Layout(config), which)("tiny", "alpha"))
    frame = pd.DataFrame({"value": range(1000)})
    files.write_table(path, lambda temporary: frame.to_parquet(temporary, index=False))
    assert altered.have_made_again(config) == []
    path.write_bytes(path.read_bytes()[:500])
    assert altered.have_made_again(config) == [str(path)]
    assert f"{path} can't be read: it is not what was written" in capsys.readouterr().err
    with pytest.raises(StoreError, match=f"{path} can't be read.*Delete it"):
        read_values(path)


def test_a_table_is_read_only_when_it_is_new(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(altered, "check", lambda path: pytest.fail(f"{path} was read"))
    assert altered.have_made_again(config) == []


def test_what_is_no_file_is_refused(config: Config) -> None:
    path = Path(Layout(config).csv("tiny", "ablation"))
    path.unlink()
    assert altered.have_made_again(config) == []  # Snakemake sees by itself that it is not there
    os.mkfifo(path)
    with pytest.raises(StoreError, match=rf"{path} can't be read: it is a pipe, not a file. Move it away"):
        altered.have_made_again(config)


def test_what_another_working_folder_has_made_is_made_again(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two working folders share results. The notes of one know nothing of what the other has made."""
    layout = Layout(config)
    made = [layout.csv("tiny", "ablation"), f"{layout.results}/tables/table1.csv", layout.figure("tiny", "shares")[0]]
    results = Path(config.paths.results).resolve()

    def run(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        monkeypatch.chdir(folder)
        held = alone.hold(results)
        assert held is not None
        assert altered.have_made_again(shared) == []  # it is under way
        held.close()

    shared = configured({"paths.results": str(results)})
    run(tmp_path)
    assert altered.have_made_again(config) == []
    run(tmp_path / "other")
    assert altered.have_made_again(shared) == []
    monkeypatch.chdir(tmp_path)
    assert sorted(altered.have_made_again(config)) == sorted(made)
    assert f"{results.name} was written by a run in {tmp_path / 'other'} last" in capsys.readouterr().err
    assert not any(map(dated, made))
    run(tmp_path)
    assert altered.have_made_again(config) == []


@pytest.mark.parametrize("notes", [True, False])
def test_results_that_were_moved_are_those_of_the_folder_where_they_are(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notes: bool
) -> None:
    held = alone.hold(Path(config.paths.results))
    assert held is not None
    held.close()
    (tmp_path / "moved").mkdir()
    for name in (config.paths.results, *([".snakemake"] if notes else [])):
        Path(name).rename(tmp_path / "moved" / name)
    monkeypatch.chdir(tmp_path / "moved")
    assert altered.have_made_again(config) == []
