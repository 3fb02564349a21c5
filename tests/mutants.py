"""Tests of the tests: `make mutants`. Small errors are put into the code, one at a time; the tests should find each.

mutmut makes the mutants and runs the tests. Each part has its own tests here, so that a mutant costs seconds, and its
own row in benchmarks/results/mutants.csv. The survivors are listed in build/mutants/PART/survivors.txt; `mutmut show
NAME` in that folder shows one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmarks.report import markdown
from cornerstone.present.findings import filled

ROOT = Path(__file__).parents[1]
CSV = ROOT / "benchmarks/results/mutants.csv"
PAGE = ROOT / "CONTRIBUTING.md"
WANTED = 0.85
"""Share of the mutants that the tests should find."""
COPIED = (
    *("cornerstone", "tests", "benchmarks", "scripts", "studies", "schemas", "examples", "envs", "rules", "profiles"),
    *("pyproject.toml", "config.yaml", "Snakefile", "snakemake_logger_plugin_cornerstone"),
)


@dataclass(frozen=True)
class Part:
    """What is mutated, and the tests that should notice."""

    code: list[str]
    tests: list[str]


PARTS = {
    "game": Part(
        ["cornerstone/game/*"],
        ["tests/unit/game", "tests/property/test_names.py", "tests/unit/estimators/test_ablation.py"],
    ),
    "estimators": Part(
        ["cornerstone/estimators/*"],
        ["tests/unit/estimators", "tests/property/test_axioms.py", "tests/property/test_estimator_axioms.py"],
    ),
    "plan": Part(["cornerstone/plan/plan.py"], ["tests/unit/plan/test_plan.py", "tests/property/test_plans.py"]),
    "intervals": Part(["cornerstone/analysis/intervals.py"], ["tests/unit/analysis/test_intervals.py"]),
    "ranks": Part(["cornerstone/analysis/ranks.py"], ["tests/unit/analysis/test_ranks.py"]),
    "result": Part(["cornerstone/evaluate/result.py"], ["tests/unit/evaluate/test_result.py"]),
}


def lay_out(name: str, only: list[str] | None) -> Path:
    """A copy of the repository with mutmut's settings for a part.

    Args:
        name: of the part.
        only: files of the part to mutate; None: all.
    """
    folder = ROOT / "build/mutants" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for each in COPIED:
        source = ROOT / each
        if source.is_dir():
            shutil.copytree(source, folder / each, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / each)
    part = PARTS[name]
    settings = {
        "source_paths": ["cornerstone"],
        "only_mutate": only or part.code,
        "also_copy": [each for each in COPIED if each != "cornerstone"],
        "pytest_add_cli_args_test_selection": part.tests,
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "-W", "default"],
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    with (folder / "pyproject.toml").open("a", encoding="utf-8") as stream:
        stream.write("\n".join(["", "[tool.mutmut]", *lines, ""]))
    return folder


def tried(name: str, only: list[str] | None) -> dict[str, object]:
    """Run mutmut on a part; returns its row.

    Raises:
        SystemExit: mutmut failed: the tests fail without any mutant, say.
    """
    folder = lay_out(name, only)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [str(Path(sys.executable).with_name("mutmut"))]
    with (folder / "mutmut.log").open("w") as log:
        done = subprocess.run([*command, "run"], cwd=folder, env=environment, stdout=log, stderr=log, check=False)
    if done.returncode:
        raise SystemExit(f"mutmut failed; see {folder}/mutmut.log")
    subprocess.run([*command, "export-cicd-stats"], cwd=folder, check=True, capture_output=True)
    found = json.loads((folder / "mutants/mutmut-cicd-stats.json").read_text())
    left = subprocess.run([*command, "results"], cwd=folder, check=True, capture_output=True, text=True).stdout
    (folder / "survivors.txt").write_text(left)
    killed = found["killed"] + found["timeout"] + found.get("segfault", 0)
    return {
        "part": name,
        "code": " ".join(only or PARTS[name].code),
        "mutants": found["total"],
        "killed": killed,
        "share": round(killed / max(1, found["total"]), 3),
    }


def words(rows: pd.DataFrame) -> str:
    """The scores as a table for people."""
    return markdown(rows.drop(columns="code"), {"share": ".1%"}).rstrip()


def main() -> int:
    """Try the parts that are asked for and write their rows."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--only", action="append", help="a file of the part, instead of all")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - PARTS.keys():
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    rows = pd.read_csv(CSV) if CSV.exists() else pd.DataFrame(columns=["part", "code", "mutants", "killed", "share"])
    for name in arguments.parts:
        made = pd.DataFrame([tried(name, arguments.only)])
        rows = pd.concat([kept, made]) if len(kept := rows[rows["code"] != made["code"][0]]) else made
        rows.sort_values("code").to_csv(CSV, index=False, lineterminator="\n")
        PAGE.write_text(
            filled(PAGE.read_text(encoding="utf-8"), {"mutants": words(pd.read_csv(CSV))}), encoding="utf-8"
        )
        print(made.to_string(index=False), flush=True)
    return int((rows["share"] < WANTED).any())


if __name__ == "__main__":
    sys.exit(main())
