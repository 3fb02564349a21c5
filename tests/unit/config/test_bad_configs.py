"""A corpus of wrong configurations: each is refused before anything runs, in one message with file and line."""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cornerstone.config.config import load, load_files
from cornerstone.errors import ConfigError
from tests.helpers import ROOT, raw

BASE = """\
run: [tiny]
run_tasks: [alpha]
documents: {source: embedded, limit: 6, seed: 0}
estimators:
  - {kind: window, removed: 2}
  - {kind: permutation, budget: 200}
interactions: []
value_functions: [margin]
temperature: 0.1
include_path: []
compare: []
deletion: {share: 0.5, points: 2, orders: [shapley]}
intervals: {level: 0.95, bootstrap: 100}
seed: 0
paths:
  results: results
  resources: resources
container: containers/evaluate.sif
container_sha256: null
tasks:
  alpha: {metric: acc, limit: 6, num_fewshot: 0}
  beta: {metric: acc_norm}
models:
  tiny:
    source: folder
    id: /nowhere
    blocks: 4
    feed_forward: ffn
    players: sublayers
    removal: zero
    dtype: float32
    device_map: cpu
    chunks: 1
    batch_tokens: 96
    threads: 1
    compile: false
    tflops: null
    memory: {budget_gb: 4, weights: auto, host_gb: 0, read_gb_per_s: null}
    resources: {gpus: 0, memory_gb: 8, runtime_minutes: 60, partition: null, account: null, constraint: null}
    documents: {limit: 6}
"""
HUGE = (10**12, 10**40, -1, float("inf"), float("-inf"), float("nan"), "x", True, [1], {"a": 1})
NUMBERS = (
    *("documents.limit", "documents.seed", "deletion.points", "deletion.share", "intervals.bootstrap"),
    *("intervals.level", "seed", "temperature", "tasks.alpha.limit", "tasks.alpha.num_fewshot", "models.tiny.blocks"),
    *("models.tiny.chunks", "models.tiny.batch_tokens", "models.tiny.threads", "models.tiny.tflops"),
    *("models.tiny.memory.budget_gb", "models.tiny.memory.host_gb", "models.tiny.memory.read_gb_per_s"),
    *("models.tiny.resources.gpus", "models.tiny.resources.memory_gb", "models.tiny.resources.runtime_minutes"),
    *("models.tiny.documents.limit", "estimators.0.removed", "estimators.1.budget", "tasks.alpha.fewshot_seed"),
)
"""Keys whose value is a number; each of `HUGE` is none that it may have."""
HOSTILE = (
    *("$(touch X)", "`touch X`", "a;touch X", "a|touch X", "a&touch X", "a&&touch X", "a||touch X", "a\ntouch X"),
    *("a>X", "a<X", "a'touch X'", 'a"touch X"', "a\\touch X", "${IFS}touch", "$HOME", "!touch", "a#b", "a*", "a?"),
    *("{a,b}", "a]b", "(touch X)", "a\x00b", "a\x1b[2Jb", "a\tb", "a\rb", "--version", "-rf", "a^b", ""),
    *(" ", " a", "a ", "\u202egnp.exe", "a\u200bb", "a" * 2000, "a/" + "b" * 300),
)
"""Strings that a shell, a terminal or an option parser would take for something else."""
PATHS = (
    *("paths.results", "paths.resources", "container", "models.tiny.id", "include_path.0"),
    *("tasks.alpha.documents", "tasks.alpha.fewshot_documents"),
)
NAMES = (
    *("models.tiny.resources.partition", "models.tiny.resources.account", "models.tiny.resources.constraint"),
    *("run.0", "run_tasks.0", "tasks.alpha.revision", "models.tiny.revision", "models.tiny.dtype"),
)

LINES: list[tuple[str, str, str, int | None]] = [
    # a line of BASE, what stands there instead, what is said, in which line
    ("seed: 0\n", "seed: 0\nseed: 1\n", "`seed` stands twice, here and in line 14", 15),
    ("run: [tiny]", "run: [tiny]\nrun: [tiny]", "`run` stands twice", 2),
    ("  beta: {", "  alpha: {", "`alpha` stands twice", 22),
    ("chunks: 1", "blocks: 4", "`blocks` stands twice", 33),
    ("kind: window, removed: 2", "kind: window, removed: 2, removed: 3", "`removed` stands twice", 5),
    ("seed: 0\n", "seed: on\n", "YAML takes `on` for true", 14),
    ("seed: 0\n", "seed: yes\n", "YAML takes `yes` for true", 14),
    ("compile: false", "compile: no", "YAML takes `no` for false", 36),
    ("compile: false", "compile: Off", "YAML takes `Off` for false", 36),
    ("bootstrap: 100", "bootstrap: 1e5", "YAML takes `1e5` for a text", 13),
    ("bootstrap: 100", "bootstrap: 0100", r"YAML takes `0100` for an octal number \(64\)", 13),
    ("bootstrap: 100", "bootstrap: 1_000", "write it without _", 13),
    ("bootstrap: 100", "bootstrap: 0x64", "YAML takes `0x64` for 100", 13),
    ("runtime_minutes: 60", "runtime_minutes: 1:30", r"YAML takes `1:30` for a number to the base 60 \(90\)", 39),
    ("level: 0.95", "level: .inf", "`.inf` is no number", 13),
    ("level: 0.95", "level: .NaN", "`.NaN` is no number", 13),
    ("run: [tiny]", "run: [2024-01-01]", "for a date", 1),
    ("seed: 0\n", "\tseed: 0\n", "begins with a tab", 14),
    ("  results: results", "\tresults: results", "begins with a tab", 16),
    ("seed: 0\n", "seed: !!python/object/apply:os.system [id]\n", "the tag .* has no meaning here", 14),
    ("seed: 0\n", "seed: !include other.yaml\n", "the tag !include has no meaning", 14),
    ("seed: 0\n", "? [a, b]\n: 1\n", "a key is a name", 14),
    ("seed: 0\n", "seed: *nothing\n", "undefined alias", 14),
    ("seed: 0\n", "seed: [\n", "can't be read as YAML", None),
    ("seed: 0\n", "seed: 'open\n", "can't be read as YAML", None),
    ("seed: 0\n", "seed 0\n", "can't be read as YAML", None),
    ("seed: 0\n", "---\nseed: 0\n", "can't be read as YAML", 14),
    ("seed: 0\n", "sead: 0\n", "there is no such key. Did you mean `seed`?", 14),
    ("seed: 0\n", "__use_yte__: true\n", "there is no such key", 14),
    ("seed: 0\n", '"a\\x1b[2J\\nb": 0\n', r"a\\x1b\[2J\\nb: there is no such key", 14),
    ("seed: 0\n", '"a\\eb": 0\n"a\\eb": 1\n', r"`a\\x1bb` stands twice", 15),
    ("estimators:", "estimator:", "Did you mean `estimators`?", 4),
    ("run_tasks: [alpha]", "runtasks: [alpha]", "Did you mean `run_tasks`?", 2),
    ("chunks: 1", "chunk: 1", "Did you mean `chunks`?", 33),
    ("blocks: 4", "layers: 4", "there is no such key", 27),
    ("partition: null", "queue: gpu", "there is no such key", 39),
    ("removed: 2", "remove: 2", "Did you mean `removed`?", 5),
    ("run: [tiny]", "run: [tyni]", "Did you mean `tiny`", 1),
    ("run: [tiny]", "run: []", "at least 1 item", 1),
    ("run: [tiny]", "run: [tiny, tiny]", "names an entry twice", 1),
    ("run: [tiny]", "run: tiny", "valid list", 1),
    ("run: [tiny]", "run: {tiny: 1}", "valid list", 1),
    ("run: [tiny]", "run:", "valid list", 1),
    ("run_tasks: [alpha]", "run_tasks: [alfa]", "Did you mean `alpha`", 2),
    ("run_tasks: [alpha]", "run_tasks: [alpha, alpha]", "names an entry twice", 2),
    ("run_tasks: [alpha]", "run_tasks: [a/b]", "should match pattern", 2),
    ("kind: window", "kind: windows", "there is no 'windows'", 5),
    ("kind: window, ", "", "kind: is missing", 5),
    ("removed: 2", "removed: 0", "greater than or equal to 1", 5),
    ("removed: 2", "removed: 99", "tiny has 8 players", 4),
    ("budget: 200", "budget: 1000001", "a budget is at most 1000000 coalitions", 4),
    ("budget: 200", "budget: 200, replicates: 5000", "at most 1000 replicates", 4),
    ("  - {kind: permutation, budget: 200}", "  - {kind: window, removed: 2}", "names an entry twice", 4),
    ("value_functions: [margin]", "value_functions: [margins]", "Input should be", 8),
    ("value_functions: [margin]", "value_functions: [margin, margin]", "names an entry twice", 8),
    ("orders: [shapley]", "orders: [sideways]", "Input should be", 12),
    ("orders: [shapley]", "orders: [shapley, shapley]", "names an entry twice", 12),
    ("share: 0.5", "share: 0", "greater than 0", 12),
    ("share: 0.5", "share: 1.5", "less than or equal to 1", 12),
    ("points: 2", "points: 1000000000", "less than or equal to 1000", 12),
    ("level: 0.95", "level: 1", "less than 1", 13),
    ("level: 0.95", "level: 95", "less than 1", 13),
    ("metric: acc,", "metric: accuracy,", "Input should be", 21),
    ("source: embedded", "source: internet", "Input should be", 3),
    ("limit: 6, seed", "limit: 1, seed", "greater than or equal to 2", 3),
    ("compare: []", "compare: [[tiny]]", "write two for each pair", 11),
    ("compare: []", "compare: [[tiny, tiny]]", "names one model twice", 11),
    ("compare: []", "compare: [[tiny, other]]", "not under `models`", 11),
    ("  results: results", "  results: resources", "are one folder", 16),
    ("  results: results", "  results: ./resources/", "are one folder", 16),
    ("  results: results", "  results: resources/results", "inside of resources", 16),
    ("  results: results", "  results: a/../resources/b", "inside of", 16),
    ("  resources: resources", "  resources: results/big", "inside of results", 17),
    ("  results: results", "  results: .", "the working folder", 16),
    ("  results: results", "  results: ..", "the working folder, or above", 16),
    ("  results: results", "  results: /", "the working folder, or above", 16),
    ("  results: results", "  results: cornerstone", "is inside cornerstone/", 16),
    ("  results: results", "  results: cornerstone/engine", "is inside cornerstone/", 16),
    ("  results: results", "  results: scripts", "is inside scripts/", 16),
    ("  results: results", "  results: .snakemake/x", "is inside .snakemake/", 16),
    ("  results: results", "  results: .venv", "is inside .venv/", 16),
    ("  results: results", "  results: logs", "is inside logs/", 16),
    ("  results: results", f"  results: {ROOT}/cornerstone/x", "is inside", 16),
    ("  resources: resources", "  resources: rules", "is inside rules/", 17),
    ("  results: results", "  results: a,b", "divides lists of folders", 16),
    ("  results: results", "  results: a:b", "divides lists of folders", 16),
    ("  results: results", "  results:", "valid string", 16),
    ("  results: results", "  results: 5", "valid string", 16),
    ("container: containers/evaluate.sif", "container: a b.sif", "holds a space", 18),
    ("container: containers/evaluate.sif", "container: a.sif;id>X;b.sif", "holds ';'", 18),
    ("container_sha256: null", "container_sha256: abc", "should match pattern", 19),
    ("  tiny:", "  figures:", "name of something else in the results", None),
    ("  tiny:", "  tables:", "name of something else in the results", None),
    ("  tiny:", "  compare:", "name of something else in the results", None),
    ("  tiny:", "  summary.md:", "name of something else in the results", None),
    ("  tiny:", "  documents:", "name of something else in the results", None),
    ("  tiny:", "  any_tiny:", "name of something else in the results", None),
    ("  tiny:", "  " + "t" * 81 + ":", "is too long", None),
    ("  tiny:", "  Tiny:", "should match pattern", None),
    ("  tiny:", "  ../tiny:", "should match pattern", None),
    ("  beta: {", "  mean: {", "that of a row in the tables", None),
    ("source: folder", "source: disk", "Input should be", 25),
    ("    id: /nowhere\n", "", "id: is missing", 24),
    ("    blocks: 4\n", "", "blocks: is missing", 24),
    ("blocks: 4", "blocks: 0", "greater than or equal to 1", 27),
    ("blocks: 4", "blocks: 1000000000", "less than or equal to 10000", 27),
    ("blocks: 4", "blocks: 4.5", "valid integer", 27),
    ("blocks: 4", 'blocks: "4"', "valid integer", 27),
    ("source: folder", "source: hub", "needs `revision`", 24),
    ("source: folder", "source: wheel", "needs `revision` .version., `file`", 24),
    ("source: folder", "source: gguf", "is the path of the .gguf file", 24),
    ("players: sublayers", "players: layers", "Input should be", 29),
    ("players: sublayers", "players: experts", "needs `feed_forward: moe`", 24),
    ("players: sublayers", "players: heads", "needs `heads`", 24),
    ("players: sublayers", 'sublayers: ["999999999 x attn+ffn"]', "there are more than 10000 blocks", 29),
    ("players: sublayers", 'sublayers: ["99999999999999999999 x attn+ffn"]', "is no run of blocks", 29),
    ("players: sublayers", "players: {blocks: 4}", "there is one player only", 24),
    ("players: sublayers", "players: {blocks: 0}", "greater than or equal to 1", 29),
    ("players: sublayers", "players: {groups: {a: [attn9], b: [ffn0]}}", "attn9", 24),
    ("players: sublayers", "players: {groups: {a: [attn0], b: [attn0]}}", "attn0", 24),
    ("removal: zero", "removal: half", "removal", 30),
    ("removal: zero", "removal: {kind: mean, documents: {task: gamma}}", "not under `tasks`", 30),
    ("dtype: float32", "dtype: int4", "Input should be", 31),
    ("device_map: cpu", "device_map: gpu", "should match pattern", 32),
    ("device_map: cpu", "device_map: cuda:x", "should match pattern", 32),
    ("gpus: 0", "gpus: 0.5", "valid integer", 39),
    ("memory_gb: 8", "memory_gb: 1000000000000000", "less than or equal to 100000", 39),
    ("memory_gb: 8", "memory_gb: 8 GB", "valid integer", 39),
    ("runtime_minutes: 60", "runtime_minutes: 1h", "valid integer", 39),
    ("weights: auto", "weights: stream", "Input should be", 38),
    ("partition: null", "partition: gpu cpu", "is no partition", 39),
    ("account: null", "account: a b", "is no account", 39),
    ("constraint: null", "constraint: a100;id", "is no constraint", 39),
]
WHOLE: list[tuple[str, str]] = [
    ("- run\n- tasks\n", "a configuration has keys"),
    ("42\n", "a configuration has keys"),
    ("run\n", "a configuration has keys"),
    ("", "run: is missing"),
    ("# nothing\n", "run: is missing"),
    ("{}", "run: is missing"),
    ("\x00", "can't be read as YAML"),
    ("a: &a [x, x]\nb: &b [*a, *a]\n" + "".join(f"c{i}: &c{i} [*{'b' if not i else f'c{i - 1}'}, "
     f"*{'b' if not i else f'c{i - 1}'}]\n" for i in range(40)), "stands for more values"),
    ("a: &a {b: *a}\n", "stands for more values|recursive"),
    ("a: " + "[" * 50 + "]" * 50, "nested deeper"),
    ("a: " + "[" * 200_000, "nested deeper"),
    ("x: " + "[1, " * 1 + ", ".join(["1"] * 30_000) + "]", "stands for more values"),
    ("x: " + "[1, " * 1 + ", ".join(["1"] * 100_001) + "]", "bytes, more than"),
    ("a: b: c\n", "can't be read as YAML"),
    ("<<<<<<< HEAD\nrun: [a]\n=======\nrun: [b]\n>>>>>>> other\n", "can't be read as YAML"),
]  # fmt: skip


def changed(key: str, value: Any) -> str:
    """BASE with the value of a key."""
    found = yaml.safe_load(BASE)
    section: Any = found
    *parents, last = key.split(".")
    for parent in parents:
        section = section[int(parent) if isinstance(section, list) else parent]
    if isinstance(section, list):
        section[int(last) :] = [value]
    else:
        section[last] = value
    return yaml.safe_dump(found, sort_keys=False, allow_unicode=True)


def refused(text: str, folder: Path) -> str:
    """What is said of a configuration."""
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    started = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        load_files([path])
    assert time.monotonic() - started < 3
    said = str(caught.value).removeprefix("the configuration is wrong:\n")
    assert str(path) in said
    assert "\x1b" not in said
    return said


def test_the_base_is_right(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(BASE)
    assert load_files([tmp_path / "config.yaml"]).run == ["tiny"]
    for key in (*NUMBERS[:-1], *NAMES[3:5]):
        assert key.split(".")[-1].rstrip("0").rstrip(".") or changed(key, 1) != BASE


@pytest.mark.parametrize(("old", "new", "said", "line"), LINES, ids=[f"{new[:40].strip()}" for _, new, _, _ in LINES])
def test_a_wrong_line_is_named(tmp_path: Path, old: str, new: str, said: str, line: int | None) -> None:
    assert BASE.count(old) >= 1, old
    found = refused(BASE.replace(old, new, 1), tmp_path)
    assert re.search(said, found), found
    if line is not None:
        assert f"config.yaml:{line}: " in found, found


@pytest.mark.parametrize(("text", "said"), WHOLE, ids=range(len(WHOLE)))
def test_what_is_no_configuration_is_refused(tmp_path: Path, text: str, said: str) -> None:
    found = refused(text, tmp_path)
    assert re.search(said, found), found


@pytest.mark.parametrize("key", NUMBERS)
def test_numbers_that_nobody_means_are_refused(tmp_path: Path, key: str) -> None:
    for value in HUGE:
        refused(changed(key, value), tmp_path)


@pytest.mark.parametrize("key", [*PATHS, *NAMES])
def test_hostile_strings_are_refused_where_a_shell_may_see_them(tmp_path: Path, key: str) -> None:
    for value in HOSTILE:
        if key.endswith("constraint") and value == "a]b":
            continue  # brackets are part of SLURM's language of features; the executor quotes them
        refused(changed(key, f"{value}.jsonl" if key.startswith("tasks.alpha.f") else value), tmp_path)
    assert len(HOSTILE) >= 30


@pytest.mark.parametrize("source", ["hub", "wheel", "gguf"])
def test_ids_of_models_are_no_options_and_no_commands(source: str) -> None:
    entry = {
        "hub": {"revision": "0" * 40},
        "wheel": {"revision": "1.0", "file": "a.gguf", "sha256": "0" * 64},
        "gguf": {},
    }[source]
    good = {"hub": "org/name", "wheel": "some-name", "gguf": "some/file.gguf"}[source]
    load(raw({"models.tiny": {"source": source, "id": good, "blocks": 4, **entry}}))
    for value in (*HOSTILE, "--index-url=http://example.org", "a/../b", "a @ https://example.org/x.whl"):
        if source == "gguf":
            value = f"{value}.gguf"
        if source == "gguf" and value in ("a/../b.gguf", ".gguf"):
            continue
        if (source, value) in {("hub", "a"), ("gguf", "a .gguf")}:
            continue
        with pytest.raises(ConfigError):
            load(raw({"models.tiny": {"source": source, "id": value, "blocks": 4, **entry}}))


def test_there_are_enough() -> None:
    assert len(LINES) + len(WHOLE) >= 140
    assert len(LINES) + len(WHOLE) + len(NUMBERS) * len(HUGE) + (len(PATHS) + len(NAMES)) * len(HOSTILE) >= 700


@pytest.mark.parametrize(
    "name", ["config.yaml", *(f"studies/{path.name}" for path in (ROOT / "studies").glob("*.yaml"))]
)
def test_what_is_shipped_is_right(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    files = [Path("config.yaml"), *([Path(name)] if name != "config.yaml" else [])]
    assert load_files(files).run


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([*NUMBERS, *PATHS, *NAMES, "models.tiny.players", "models.tiny.removal", "estimators"]), VALUES)
def test_whatever_stands_there_is_taken_or_refused(key: str, value: Any) -> None:
    found = yaml.safe_load(BASE)
    section: Any = found
    *parents, last = key.split(".")
    for parent in parents:
        section = section[int(parent) if isinstance(section, list) else parent]
    if isinstance(section, list):
        section[int(last) :] = [value]
    else:
        section[last] = value
    with contextlib.suppress(ConfigError):
        load(found)


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=60), place=st.integers(0, len(BASE)))
def test_whatever_is_written_is_taken_or_refused(
    tmp_path_factory: pytest.TempPathFactory, text: str, place: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "config.yaml"
    path.write_bytes((BASE[:place] + text + BASE[place:]).encode("utf-8", "surrogatepass"))
    with contextlib.suppress(ConfigError):
        load_files([path])
