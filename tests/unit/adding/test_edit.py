"""An entry is put into a YAML file, and every byte that was there stays."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from cornerstone.adding import edit
from cornerstone.adding.entry import Entry
from cornerstone.errors import ConfigError
from tests.helpers import ROOT

ENTRY = Entry(
    "new",
    {"source": "hub", "id": "a/b", "revision": "1" * 40, "blocks": 2, "sublayers": ["attn+ffn", "2 x mamba, attn"]}
    | {"resources": {"gpus": 0, "memory_gb": 8}},
    {"blocks": "counted"},
    "what it is",
)
PATH = Path("config.yaml")


def added(before: str, after: str) -> str:
    """The lines that are new; nothing else may differ."""
    lines = list(difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True)))
    assert not [line for line in lines if line[0] in "-?"]
    return "".join(line[2:] for line in lines if line[0] == "+")


@pytest.mark.parametrize(
    "path", [ROOT / "config.yaml", *sorted((ROOT / "studies").glob("*.yaml"))], ids=lambda p: p.name
)
def test_the_projects_own_files_keep_every_byte(path: Path) -> None:
    before = path.read_text()
    after = edit.inserted(before, ENTRY, path)
    assert len(after) - len(before) == len(added(before, after))
    models = {**(yaml.safe_load(before).get("models") or {}), "new": ENTRY.keys}
    assert yaml.safe_load(after) == {**yaml.safe_load(before), "models": models}


def test_what_an_entry_looks_like() -> None:
    assert edit.as_text(ENTRY) == (
        "  # what it is\n"
        "  new:\n"
        "    source: hub\n"
        "    id: a/b\n"
        '    revision: "1111111111111111111111111111111111111111"\n'
        "    blocks: 2 # counted\n"
        "    sublayers: [attn+ffn, '2 x mamba, attn']\n"
        "    resources: {gpus: 0, memory_gb: 8}\n"
    )


TAIL = "\n# of the tasks\ntasks:\n    x: 1   # odd  spacing\n"


@pytest.mark.parametrize(
    ("before", "head"),
    [
        ("models:\n  old: {blocks: 1}\n", None),
        ("models:\n  old: {blocks: 1}\n" + TAIL, "models:\n  old: {blocks: 1}\n"),
        (
            "models:\n  old:\n    note: |\n      # no comment\n\n" + TAIL,
            "models:\n  old:\n    note: |\n      # no comment\n",
        ),
        ("models:\n  old: {blocks: 1}\n    # threads: 2\n  # last word\n# above\n" + TAIL, None),
        ("models: # none yet\n" + TAIL, "models: # none yet\n"),
        ("run: [a]\n", "run: [a]\n\nmodels:\n"),
        ("models:\n      old: {blocks: 1}\n" + TAIL, "models:\n      old: {blocks: 1}\n"),
        ("  models:\n    old: {blocks: 1}\n  tasks: {}\n", "  models:\n    old: {blocks: 1}\n"),
        ('note: "a separator\u2028 of lines"\nmodels:\n  old: {blocks: 1}\n' + TAIL, None),
        ("", "models:\n"),
    ],
)
def test_where_it_is_put(before: str, head: str | None) -> None:
    after = edit.inserted(before, ENTRY, PATH)
    if head is None:
        head = before[: before.index("# above")] if "# above" in before else before.removesuffix(TAIL)
    assert after.startswith(head)
    assert after[len(head) :].lstrip("\n ").startswith("# what it is\n")
    assert after.endswith(before[len(head) :])
    expected = yaml.safe_load(before) or {}
    assert yaml.safe_load(after) == {**expected, "models": {**(expected.get("models") or {}), "new": ENTRY.keys}}


def test_a_last_line_without_an_end_gets_one() -> None:
    assert edit.inserted("models:\n  old: {blocks: 1}", ENTRY, PATH).startswith(
        "models:\n  old: {blocks: 1}\n\n  # what"
    )


def test_ends_of_lines_stay() -> None:
    before = "models:\r\n  old: {blocks: 1}\r\n\r\ntasks: {}\r\n"
    after = edit.inserted(before, ENTRY, PATH)
    assert after.count("\n") == after.count("\r\n")
    assert after.replace("\r\n", "\n") == edit.inserted(before.replace("\r\n", "\n"), ENTRY, PATH)


@pytest.mark.parametrize(
    "value", ["on", "1e5", "0x1f", "12:30", "null", "a: b", "a #b", "007", "Ünïcode/x", "-", "1_0"]
)
def test_text_stays_text(value: str) -> None:
    entry = Entry(value, {"id": value, "sublayers": [value]})
    assert yaml.safe_load(edit.as_text(entry)) == {value: {"id": value, "sublayers": [value]}}


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("models: {old: {blocks: 1}}\n", "`models` is not written with one model after another"),
        ("models: {}\n", "`models` is not written with one model after another"),
        ("models: [a]\n", "`models` is not written with one model after another"),
        ("{models: {a: 1}}\n", "holds no keys on lines of their own"),
        ("- a\n", "holds no keys on lines of their own"),
    ],
)
def test_other_forms_are_refused(before: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        edit.inserted(before, ENTRY, PATH)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: [1\n", "line 2"),
        (b"models:\n  a: 1\nmodels:\n  b: 2\n", "duplicate key"),
        (b"a: \xff\n", "UTF-8"),
        (None, "is missing"),
    ],
)
def test_what_is_no_yaml_is_refused(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "config.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        edit.read(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_link_and_permissions_stay(tmp_path: Path) -> None:
    real, link = tmp_path / "real.yaml", tmp_path / "config.yaml"
    real.write_text("a: 1\n")
    real.chmod(0o640)
    link.symlink_to(real)
    edit.write(link, "a: 1\r\nb: 2\r\n")
    assert link.is_symlink()
    assert real.read_bytes() == b"a: 1\r\nb: 2\r\n"
    assert real.stat().st_mode & 0o777 == 0o640


def test_what_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: 1\n")
    real: Any = os.access
    monkeypatch.setattr(os, "access", lambda file, mode: mode != os.W_OK and real(file, mode))
    with pytest.raises(ConfigError, match=r"config.yaml: can't be written: it is write-protected\. Make it writable"):
        edit.write(path, "b: 2\n")
    assert path.read_text() == "a: 1\n"
