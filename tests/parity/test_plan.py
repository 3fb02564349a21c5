"""What the documentation says of the plan of config.yaml is what the plan says, of the real model and documents."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.helpers import ROOT


def planned(*files: str) -> list[dict[str, Any]]:
    """Rows of the plan of these config files."""
    arguments = [word for file in files for word in ("--config", file)]
    command = [sys.executable, "-m", "cornerstone.cli", "plan", "--json", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)["rows"]
    return rows


def said(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def test_what_the_documentation_says_of_the_plan(real_assets: Path) -> None:
    rows = planned("config.yaml")
    default, full = rows[-1], planned("config.yaml", "studies/full.yaml")[-1]
    short = f"{default['flops'] / 1e12:.3g} TFLOP"
    assert f"{default['new']:,} new coalitions and {short}" in said("README.md")
    ratio = full["flops"] / default["flops"]
    assert (
        f"For `make run` the plan says {short}, for this study {full['flops'] / 1e12:,.0f} TFLOP. So it takes about "
        f"{ratio:.1f} times as long."
    ) in said("docs/tutorials/first-ten-minutes.md")
    tables = [line.split("|")[1:-1] for line in said("docs/outputs.md").splitlines() if line.startswith("| smollm2")]
    shown = [tuple(word.strip() for word in cells[1:7]) for cells in tables if len(cells) == 13]
    columns = ("documents", "coalitions", "shared", "new")
    assert shown == [
        (row["task"], row["estimator"], *(f"{row[column]:,}" for column in columns))
        for row in rows
        if row["task"] in ("arc_easy", "all")
    ]
    assert f"the table has {len(rows)} rows" in said("docs/outputs.md")
