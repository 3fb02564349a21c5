"""Tables for a paper: what is printed, and that LaTeX sets it without a line that is too long."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from cornerstone.config.config import Config
from cornerstone.files import read_csv
from cornerstone.plan.layout import Layout
from cornerstone.present import latex, tables
from tests.unit.present.conftest import MODELS

SHARE = pd.DataFrame(
    {
        "model": ["mine", "mine"],
        "players": ["ffn0 attn1", "ffn2"],
        "share_percent": [-0.04, 112.3],
        "low": [-3.26, None],
        "high": [4.0, None],
        "published_percent": [None, None],
    }
)


def test_a_value_and_its_interval_share_a_cell() -> None:
    lines = latex.latex(SHARE, "Shares below 0 are > -5 in `clipped`", "tab:x").splitlines()
    assert lines[0] == r"% \usepackage{array,booktabs,siunitx}"
    assert r"\begin{tabular}{@{}l S[table-format=3.1]@{\,}l S[table-format=1.0]@{}}" in lines
    assert r"players & \multicolumn{2}{c}{share (\%)} & {\shortstack{published \\ (\%)}} \\" in lines
    assert r"ffn0 attn1 & 0.0 & [$-$3.3, 4.0] & {--} \\" in lines
    assert r"ffn2 & 112.3 &  & {--} \\" in lines
    assert r"\caption{Shares below 0 are $>$ -5 in \texttt{clipped} Model: \texttt{mine}.}" in lines
    assert r"\begin{table}[tbp]" in lines


def test_several_models_keep_their_column_and_wide_tables_take_the_page() -> None:
    frame = pd.concat([SHARE, SHARE.assign(model="an_other")]).assign(text="so much text that it is set in lines" * 2)
    source = latex.latex(frame, "c", "tab:x")
    assert r"an\_other & ffn2" in source
    assert r"\begin{table*}" in source
    assert r"\raggedright\arraybackslash}p{0." in source


@pytest.mark.parametrize(
    ("text", "set_as"),
    [
        ("50 % of a_b & #1", r"50 \% of a\_b \& \#1"),
        ("< 0 – \\x", r"$<$ 0 -- \textbackslash{}x"),
        ("`a_b`", r"\texttt{a\_b}"),
    ],
)
def test_plain_text_is_escaped(text: str, set_as: str) -> None:
    assert latex.escaped(text) == set_as


DOCUMENT = r"""\documentclass[10pt,twocolumn]{article}
\usepackage[paperwidth=21cm,paperheight=29.7cm,textwidth=16cm,textheight=24.7cm,columnsep=0.6cm]{geometry}
\usepackage{array,booktabs,siunitx}
\begin{document}
%s
\end{document}
"""
"""Columns and text as wide as those of the ACL's style."""


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex with booktabs and siunitx")
@pytest.mark.parametrize("models", [MODELS[:1], MODELS], ids=["one model", "two models"])
def test_every_table_is_set_and_fits(models: list[str], config: Config, tmp_path: Path) -> None:
    inputs = []
    for table in tables.TABLES:
        frames = [read_csv(Path(Layout(config).shown(model)[table.reads])) for model in models]
        tables.write_table(table.show(pd.concat(frames, ignore_index=True)), tmp_path / table.name, table.caption)
        inputs.append(rf"\input{{{table.name}.tex}}")
    (tmp_path / "all.tex").write_text(DOCUMENT % "\n".join(inputs), encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert "Overfull" not in done.stdout
