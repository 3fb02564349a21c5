"""The shape of the code: short files, folders that say what they promise, scripts that name no path."""

from __future__ import annotations

import ast
import itertools
import re
from pathlib import Path

import pandas as pd
import pytest

from cornerstone.present.findings import filled
from tests import mutants
from tests.helpers import ROOT

PACKAGE = ROOT / "cornerstone"
MODULES = sorted(PACKAGE.rglob("*.py"))
FOLDERS = sorted(path.parent for path in PACKAGE.rglob("__init__.py"))
SCRIPTS = [path for path in sorted((ROOT / "scripts").glob("*.py")) if "log.script(" in path.read_text()]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_file_is_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 350


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_a_folder_says_its_promise(folder: Path) -> None:
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
    assert docstring
    if folder != PACKAGE:  # which is the tour
        assert len([line for line in docstring.splitlines() if line]) <= 4


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_a_script_is_thin_and_names_no_path(path: Path) -> None:
    tree = ast.parse(path.read_text())
    words = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    words = [word for word in words if word != ast.get_docstring(tree, clean=False)]
    assert len(path.read_text().splitlines()) <= 35
    assert not [word for word in words if "/" in word or word.endswith((".csv", ".json", ".md", ".parquet"))]


def rules() -> dict[str, str]:
    """The text of each rule, by file and first line."""
    found = {}
    for path in (ROOT / "rules").glob("*.smk"):
        lines = path.read_text().splitlines()
        for start, line in enumerate(lines):
            if re.match(r" *rule\b.*:$", line):
                inside = re.compile(rf" {{{len(line) - len(line.lstrip()) + 1},}}|$")
                body = itertools.takewhile(inside.match, lines[start + 1 :])
                found[f"{path.name}:{start + 1}: {line.strip()}"] = "\n".join(body)
    return found


def test_only_jobs_of_a_cluster_are_tried_again() -> None:
    """A profile's `retries` is for nodes that fail. What runs here would fail again, for the same reason."""
    again = [name for name, text in rules().items() if "retries: 0" not in text]
    assert len(rules()) > 15
    assert again
    assert all(name.startswith("evaluate.smk:") for name in again)


def test_all_scripts_of_rules_are_looked_at() -> None:
    rules = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    assert {path.name for path in SCRIPTS} == set(re.findall(r'"\.\./scripts/(\w+\.py)"', rules))


READS = re.compile(r"\.read_text\(|\.read_bytes\(|\.open\(\"?r?b?\"?\)|pd\.read_|json\.load\(|yaml\.(safe_)?load\(")
"""How files are read past `cornerstone.reading`."""
MAY = {
    "files.py": "tables, whose bytes `reading` has read",
    "analysis/games.py": "Parquet, framed by `reading.foreign`",
    "assets/screen.py": "headers of weights, framed by `reading.foreign`",
    "assets/gguf_header.py": "headers of weights, framed by `reading.foreign`",
    "assets/gguf.py": "text that it has made",
    "assets/groups.py": "text that it has made",
    "config/source.py": "text that `reading` has read",
    "adding/edit.py": "text that `reading` has read",
    "log.py": "the end of a log that is being written",
    "schedule/limits.py": "what the kernel says of memory",
    "schedule/processor.py": "what the system says of the processor",
    "plan/meaning.py": "the package's own code",
    "assets/harness.py": "lm-eval's own task files",
    "outputs/described.py": "the package's own file",
    "plan/alone.py": "a lock, which it writes",
    "present/page/model.py": "a picture that the workflow has drawn",
    "present/page/render.py": "the package's own templates",
    "present/page/vendor.py": "the package's own scripts, with checksums",
    "engine": "read after fetch has looked at the files; its code is part of every fingerprint",
}
"""Files of the package that may, and what they read."""


def test_all_reading_of_files_goes_one_way() -> None:
    found = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if READS.search(path.read_text(encoding="utf-8")) and not {name, name.split("/")[0]} & MAY.keys():
            found.add(name)
    assert found == set()


WRITES = re.compile(
    r"(?<!temporary)\.write_(?:text|bytes)\(|\.open\(\"[wax]|\bopen\([^)]*\"[wax]|\bsave_pretrained\(|\bsave_file\(|"
    r"\bshutil\.(?:copy|move)|\bos\.(?:replace|rename)\(|\.to_(?:csv|parquet)\((?!temporary)"
)
"""How files are written past `cornerstone.files`, where each is on the disk before its name counts."""
MAY_WRITE = {
    "files.py": "this is where",
    "log.py": "logs, which tell nothing of what is finished",
    "logfile.py": "logs, where the disk takes nothing more",
    "plan/alone.py": "a lock",
    "evaluate/means.py": "given to `files.write_once`",
    "present/figures/drawing.py": "given to `files.write_atomically`",
    "assets/wheel.py": "wheels, whose checksums are looked at before they are used",
    "assets/embedded.py": "given to `files.write_atomically`",
    "assets/contents.py": "words of a message",
    "engine/loading.py": "words of a message",
    "assets/gguf.py": "weights, which `fetch` brings to the disk before it says so",
    "assets/quantised.py": "weights, which `fetch` brings to the disk before it says so",
    "assets/adapter.py": "weights, which `fetch` brings to the disk before it says so",
    "assets/harness.py": "in a temporary folder",
    "assets/look.py": "in a temporary folder",
    "adding": "in a temporary folder",
    "prune/prune.py": "in a temporary folder, all of which is on the disk before it takes its name",
    "command/export.py": "in a temporary folder, on the disk before it takes its name",
}
"""Files of the package that may, and what they write."""


def test_all_writing_of_files_goes_one_way() -> None:
    found = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if WRITES.search(path.read_text(encoding="utf-8")) and not {name, name.split("/")[0]} & MAY_WRITE.keys():
            found.add(name)
    assert found == set()


def test_the_scores_of_mutants_are_those_of_the_file_and_high_enough() -> None:
    rows = pd.read_csv(mutants.CSV)
    page = mutants.PAGE.read_text(encoding="utf-8")
    assert filled(page, {"mutants": mutants.words(rows)}) == page
    assert set(rows["part"]) == set(mutants.PARTS)
    assert (rows["share"] >= mutants.WANTED).all()
    assert rows["share"].tolist() == pytest.approx((rows["killed"] / rows["mutants"]).tolist(), abs=5e-4)
