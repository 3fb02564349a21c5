"""Every job parses the rules: what they import must not pull in the heavy libraries."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cornerstone.config.config import load
from cornerstone.plan.plan import Plan
from tests.helpers import ROOT, raw
from tests.unit.plan.test_plan import SAMPLED

HEAVY = {"torch", "transformers", "shapiq", "scipy", "sklearn", "matplotlib", "lm_eval", "datasets"}
TABLES = {"pandas"}
"""Light enough for Snakemake, which imports it itself; too much for a command."""


def of_rules() -> str:
    """All that the Snakefile and the rules import of the package."""
    found = set()
    for path in [ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")]:
        text = path.read_text(encoding="utf-8")
        for block in re.findall(
            r"^(?:from cornerstone[\w.]* import (?:\([^)]*\)|[^\n(]+)|import cornerstone[^\n]*)", text, re.M
        ):
            (statement,) = ast.parse(block).body
            found.add(ast.unparse(statement))
    assert len(found) >= 8
    return "; ".join(sorted(found))


PLANNING = """
import json
from cornerstone.config.config import load
from cornerstone.plan.plan import Plan
assert len(Plan(load(json.loads(sys.argv[1])), "tiny", "alpha").names) == 256
"""


PROGRAMS = {
    "the rules": (of_rules(), HEAVY),
    "planning": (PLANNING, HEAVY | TABLES),
    "cornerstone": ("import cornerstone", HEAVY | TABLES | {"numpy"}),
    "figures": ("import cornerstone.present.figures", HEAVY),
    "tables": ("import cornerstone.present.tables", HEAVY),
    "snakemake": ("import cornerstone.plan.snakemake", HEAVY | TABLES),
    "preflight": ("import cornerstone.cluster.preflight", HEAVY | TABLES),
    "image": ("import cornerstone.cluster.image", HEAVY | TABLES),
    "reference": ("import cornerstone.config.reference", HEAVY | TABLES),
    "result": ("import cornerstone.evaluate.result", HEAVY | TABLES),
    "stale": ("import cornerstone.evaluate.stale", HEAVY | TABLES),
    "terminal": ("import cornerstone.present.terminal", HEAVY | TABLES),
    "cli": ("import cornerstone.cli", HEAVY | TABLES),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_parsing_is_light(name: str, tmp_path: Path) -> None:
    program, heavy = PROGRAMS[name]
    settings = raw({**SAMPLED, "paths.resources": str(tmp_path)})
    if program == PLANNING:
        assert Plan(load(settings), "tiny", "alpha").wanted  # drawn once, which needs shapiq; afterwards it is read
    code = f"import sys\n{program}\nprint(*sorted({heavy} & set(sys.modules)))"
    command = [sys.executable, "-c", code, json.dumps(settings)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")


def test_tens_of_thousands_of_coalitions(tmp_path: Path) -> None:
    """A dry run of 32,768 coalitions: seconds of the processor (a busy machine counts for nothing) and memory."""
    sublayers = [f"{kind}{block}" for block in range(8) for kind in ("attn", "ffn")]
    groups = {f"p{i}": [name] for i, name in enumerate(sublayers[:14])} | {"last": sublayers[14:]}
    model = {"source": "folder", "id": "model", "blocks": 8, "players": {"groups": groups}, "chunks": 4}
    settings = raw({"models": {"tiny": model}, "estimators": [{"kind": "exact"}], "run_tasks": ["alpha"]})
    assert len(Plan(load(settings), "tiny", "alpha").names) == 2**15
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(tmp_path)]
    # in a process of its own, which has no other children
    measured = (
        "import json, resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:])\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss]))\n"
        "sys.exit(done.returncode)"
    )
    done = subprocess.run(
        [sys.executable, "-c", measured, *command, "--cores", "2", "--dry-run"],
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    seconds, kilobytes = json.loads(done.stdout.splitlines()[-1])
    assert re.search(r"^evaluate_tiny_3 +1$", said, re.MULTILINE)
    assert seconds < 20
    assert kilobytes < 1_000_000
