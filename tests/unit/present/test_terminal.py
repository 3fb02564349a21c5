from __future__ import annotations

from pathlib import Path

import pytest

from cornerstone.errors import StoreError
from cornerstone.present.terminal import where
from tests.helpers import configured


def test_names_the_top_three(tmp_path: Path) -> None:
    config = configured({"paths.results": str(tmp_path)})
    (tmp_path / "tiny").mkdir()
    rows = ["attn1,0.067,0.04,0.09,True", "ffn0,0.05,0.01,0.09,False", "ffn2,0.04,-0.01,0.09,False"]
    rows.append("attn3,0.03,0,0.1,False")
    (tmp_path / "tiny" / "cornerstones.csv").write_text("\n".join(["player,value,low,high,cornerstone", *rows]))
    said = where(config)
    assert said.endswith(
        "95% intervals: attn1 6.7 (4.0 to 9.0), ffn0 5.0 (1.0 to 9.0), ffn2 4.0 (-1.0 to 9.0); "
        "confirmed as cornerstones: attn1"
    )
    assert f"page     {tmp_path}/index.html" in said
    assert f"{tmp_path}/report.html" in said


def test_what_other_value_functions_confirm_is_said_too(tmp_path: Path) -> None:
    functions = ["soft-accuracy", "log-probability"]
    config = configured({"paths.results": str(tmp_path), "value_functions": functions})
    (tmp_path / "tiny").mkdir()
    for stem, sure in (("", "False"), ("_soft-accuracy", "False"), ("_log-probability", "True")):
        rows = ["player,value,low,high,cornerstone", f"ffn0,0.4,0.3,0.5,{sure}", f"ffn1,0.3,0.2,0.5,{sure}"]
        (tmp_path / "tiny" / f"cornerstones{stem}.csv").write_text("\n".join(rows))
    *_, first, last = where(config).splitlines()
    assert first.endswith("none is confirmed as a cornerstone")
    assert last == "tiny, by log-probability: confirmed as cornerstones: ffn0, ffn1"


def test_nothing_there_yet(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cornerstones\.csv is missing. Run `snakemake all`"):
        where(configured({"paths.results": str(tmp_path)}))
