from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import NamedTuple
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest

from cornerstone import files
from cornerstone.errors import AssetError, StoreError
from tests.helpers import left_over


def test_text_is_written_as_utf8_and_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.txt"
    files.write_text(path, "é – 層\n")
    assert path.read_bytes() == "é – 層\n".encode()
    assert left_over(tmp_path) == []


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    files.write_text(path, "old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        files.write_atomically(path, fail)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    files.write_text(path, "old")
    seen = []

    def write(temporary: Path) -> None:
        temporary.write_text("new")
        assert temporary.parent == path.parent  # a rename within one disk is one step
        seen.append(path.read_text())

    files.write_atomically(path, write)
    assert (seen, path.read_text()) == (["old"], "new")


def test_two_writers_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"

    def outer(temporary: Path) -> None:
        temporary.write_text("outer, first half;")
        files.write_text(path, "inner")
        temporary.write_text(temporary.read_text() + " second half")

    files.write_atomically(path, outer)
    assert path.read_text() == "outer, first half; second half"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("links", [True, False])
def test_the_first_of_several_writers_wins(links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not links:
        monkeypatch.setattr(os, "link", Mock(side_effect=PermissionError))
    path = tmp_path / "new" / "a.txt"
    files.write_once(path, lambda temporary: temporary.write_text("one"))
    assert path.read_text() == "one"
    if links:
        files.write_once(path, lambda temporary: temporary.write_text("two"))
        assert path.read_text() == "one"
    assert left_over(tmp_path) == []


def test_files_get_ordinary_permissions(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write_text(tmp_path / "a.txt", "")
        assert os.umask(0o027) == 0o027  # looking at it left it alone
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_the_temporary_file_keeps_the_ending(tmp_path: Path) -> None:
    names = []
    files.write_atomically(tmp_path / "a.parquet", lambda temporary: names.append(temporary.name))
    assert names[0].endswith(".parquet")


def test_csv_survives(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1 / 3, 0.1], "y": ["a,b", "c"]})
    files.write_csv(frame, tmp_path / "a.csv")
    assert b"\r" not in (tmp_path / "a.csv").read_bytes()
    read = pd.read_csv(tmp_path / "a.csv")
    pd.testing.assert_frame_equal(read, frame, check_exact=True)


def test_tables_keep_every_bit(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": np.random.default_rng(0).normal(0, 1e-3, 2000), "b": range(2000)})
    files.write_csv(frame, tmp_path / "a.csv")
    pd.testing.assert_frame_equal(files.read_csv(tmp_path / "a.csv"), frame, check_exact=True)


@pytest.mark.parametrize("text", [None, "", "a,b\n1,2,3,4\n1\n1,2,3,4,5\n"])
def test_tables_that_cannot_be_read_name_themselves_and_the_remedy(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "a.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(
        StoreError, match=rf"{path} (can't be read: .*it and|is missing\.) [rR]un the workflow again"
    ) as caught:
        files.read_csv(path)
    assert "\n" not in str(caught.value)


def test_a_table_of_another_model_is_no_table_of_this_one_even_with_its_note(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1]})
    for model in ("one", "two"):
        files.write_csv(frame, tmp_path / "results" / model / "ablation.csv")
        files.write_csv(frame, tmp_path / "results" / "plan.csv", placed=False)
    shutil.copytree(tmp_path / "results" / "one", tmp_path / "results" / "two", dirs_exist_ok=True)
    with pytest.raises(
        StoreError, match=r"two/ablation\.csv can't be read: it was written in another place, as one/abl"
    ):
        files.read_csv(tmp_path / "results" / "two" / "ablation.csv")
    (tmp_path / "results").rename(tmp_path / "moved")
    assert files.read_csv(tmp_path / "moved" / "one" / "ablation.csv").equals(frame)
    assert files.read_csv(tmp_path / "moved" / "plan.csv").equals(frame)


def test_tables_go_to_the_files_that_are_named_after_them(tmp_path: Path) -> None:
    frames = {name: pd.DataFrame({"a": [name]}) for name in ("one", "two")}
    files.write_frames(frames, [tmp_path / "x" / "two.csv", tmp_path / "y" / "one.csv"])
    assert files.read_csv(tmp_path / "x" / "two.csv")["a"].tolist() == ["two"]
    assert files.read_csv(tmp_path / "y" / "one.csv")["a"].tolist() == ["one"]


@pytest.mark.parametrize("stems", [["one"], ["one", "two", "three"], ["one", "other"]])
def test_tables_and_files_must_match(tmp_path: Path, stems: list[str]) -> None:
    frames = {name: pd.DataFrame({"a": [name]}) for name in ("one", "two")}
    with pytest.raises(ValueError, match=r"tables \['one', 'two'\] do not match files"):
        files.write_frames(frames, [tmp_path / f"{stem}.csv" for stem in stems])
    assert list(tmp_path.iterdir()) == []


def test_checksum(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert files.sha256(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_missing_space_is_said_before_it_runs_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, 2_500_000))
    files.need_space(tmp_path / "new", 2_500_000)
    assert (tmp_path / "new").is_dir()
    with pytest.raises(AssetError, match=r"needs 135\.0 GB of free disk space, but has 2\.5 MB.*paths\.resources"):
        files.need_space(tmp_path, 135 * 10**9)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (85_644_377, "85.6 MB"), (135e9, "135.0 GB"), (2e12, "2.0 TB")],
)
def test_sizes_for_people(count: float, text: str) -> None:
    assert files.size(count) == text
