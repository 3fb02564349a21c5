from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cornerstone import estimators
from cornerstone.errors import CoalitionError, ConfigError
from cornerstone.estimators import interactions
from cornerstone.game.coalitions import name, parse
from cornerstone.plan import layout as workflow
from cornerstone.plan.layout import Layout, any_of, check_coalition, code, fingerprint
from cornerstone.plan.plan import plan, window_coalitions
from tests.helpers import ROOT, configured, raw, windows

WHEEL = {"source": "wheel", "id": "w", "revision": "1", "file": "f", "sha256": "0" * 64, "blocks": 4}


def test_paths() -> None:
    layout = Layout(configured({"paths.results": "out", "models.other.documents": {"source": "hub"}}))
    assert layout.results == "out"
    assert layout.model_marker("tiny") == "resources/models/tiny.json"
    assert layout.documents_for("tiny", "alpha") == "resources/documents/embedded/alpha.json"
    assert layout.documents_for("other", "alpha") == "resources/documents/hub/alpha.json"
    assert layout.coalition("tiny", "alpha", "full") == "out/tiny/alpha/coalitions/full.json"


def test_sources_of_documents_are_those_of_active_models() -> None:
    changes = {"models.other.documents": {"source": "hub"}}
    assert Layout(configured(changes)).source_tasks() == {"embedded": ["alpha", "beta"]}
    both = Layout(configured({**changes, "run": ["tiny", "other"]}))
    assert both.source_tasks() == {"embedded": ["alpha", "beta"], "hub": ["alpha", "beta"]}


@pytest.mark.parametrize("count", [1, 2, 5])
def test_chunks_hold_the_plan_by_name(count: int) -> None:
    config = configured({"models.tiny.chunks": count, "estimators": windows(3, 2)})
    layout, players = Layout(config), config.models["tiny"].all_players()
    chunks = layout.chunks("tiny")
    assert len(chunks) == count
    assert layout.planned("tiny") == [n for chunk in chunks for n in chunk]
    assert [parse(n, players) for n in layout.planned("tiny")] == plan(players, [window_coalitions(players, 3)])
    assert len(set(layout.planned("tiny"))) == 1 + 3 * 8 - 3 + 1


def test_a_name_is_planned_or_matches_the_pattern_of_the_others() -> None:
    config = configured({"models.tiny.blocks": 12})  # has drop-attn1 and drop-attn10
    layout, players = Layout(config), config.models["tiny"].all_players()
    pattern = re.compile(rf"out/(?P<c>{layout.unplanned_pattern('tiny')})\.json")
    planned = set(layout.planned("tiny"))
    others = {name((1 << 24) - 1 & ~(1 << i | 1 << j), players) for i in range(24) for j in range(i)} - planned
    assert not any(pattern.fullmatch(f"out/{n}.json") for n in planned)
    assert all(pattern.fullmatch(f"out/{n}.json") for n in others)
    assert "drop-attn1-attn10" in others
    assert pattern.fullmatch("out/mask-00000f.json")


def test_any_coalition_can_be_asked_for() -> None:
    config = configured()
    assert check_coalition(config, "tiny", "drop-attn0-ffn3") == "drop-attn0-ffn3"
    with pytest.raises(CoalitionError, match="no player 'ffn4'"):
        check_coalition(config, "tiny", "drop-ffn4")


SAMPLED: dict[str, Any] = {
    "estimators": [
        {"kind": "window", "removed": 2},
        {"kind": "exact"},
        {"kind": "permutation", "budget": 60, "replicates": 2},
        {"kind": "truncated-permutation", "removed": 3, "budget": 60, "replicates": 2},
    ],
    "interactions": [
        {"kind": "pairs", "per_distance": 2},
        {"kind": "exact", "index": "FSII"},
        {"kind": "sampled", "index": "k-SII", "budget": 444, "replicates": 4},
    ],
}


def layout_in(folder: Path, changes: dict[str, Any] | None = None) -> Layout:
    return Layout(configured({**SAMPLED, "paths.resources": str(folder), **(changes or {})}))


def test_each_estimator_and_interaction_wants_its_coalitions(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    config, players = layout.config, layout.config.models["tiny"].all_players()
    wanted = layout.wanted("tiny")
    assert [name for name, _ in wanted] == [
        "window-k2", "exact", "permutation-b60", "truncated-permutation-k3-b60", "pairs-2", "exact-fsii", "k-sii-b444"
    ]  # fmt: skip
    expected = [estimators.coalitions_of(entry, players, config.seed) for entry in config.estimators]
    expected += [interactions.coalitions_of(entry, players, config.seed) for entry in config.interactions]
    assert [found for _, found in wanted] == expected
    assert {parse(n, players) for n in layout.planned("tiny")} == set(range(256))


def test_what_sampled_estimators_want_is_planned(tmp_path: Path) -> None:
    layout = layout_in(tmp_path, {"estimators": SAMPLED["estimators"][2:], "interactions": []})
    players = layout.config.models["tiny"].all_players()
    planned = {parse(n, players) for n in layout.planned("tiny")}
    assert planned == set(plan(players, [found for _, found in layout.wanted("tiny")]))
    assert len(planned) < 140


def test_a_plan_is_drawn_once_and_read_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = layout_in(tmp_path).wanted("tiny")
    files = sorted((tmp_path / "plans").iterdir())
    assert [re.sub("-[0-9a-f]{16}.json", "", path.name) for path in files] == [
        "k-sii-b444", "pairs-2", "permutation-b60", "truncated-permutation-k3-b60"
    ]  # fmt: skip
    for module in (estimators, interactions):
        monkeypatch.setattr(module, "coalitions_of", None)
    assert layout_in(tmp_path).wanted("tiny") == first
    files[2].write_text("[1, ")  # truncated
    with pytest.raises(TypeError):
        layout_in(tmp_path).wanted("tiny")
    monkeypatch.undo()
    assert layout_in(tmp_path).wanted("tiny") == first


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"models.tiny.blocks": 3},
        {"estimators": [{**entry, **({"budget": 66} if "budget" in entry else {})} for entry in SAMPLED["estimators"]]},
        {"estimators": [{**e, **({"replicates": 3} if "budget" in e else {})} for e in SAMPLED["estimators"]]},
    ],
)
def test_another_seed_or_budget_is_another_plan(tmp_path: Path, change: dict[str, Any]) -> None:
    before = dict(layout_in(tmp_path).wanted("tiny"))
    files = set((tmp_path / "plans").iterdir())
    after = dict(layout_in(tmp_path, {"models.tiny.blocks": 4, **change}).wanted("tiny"))
    new = set((tmp_path / "plans").iterdir()) - files
    assert {path.name.split("-")[0] for path in new} >= {"permutation", "truncated"}
    for kind in ("permutation", "truncated-permutation"):
        (old,), (found,) = (
            [masks for name, masks in wanted.items() if name.startswith(kind)] for wanted in (before, after)
        )
        assert old != found
    assert dict(layout_in(tmp_path).wanted("tiny")) == before


def test_other_code_or_another_shapiq_draws_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout_in(tmp_path).wanted("tiny")
    monkeypatch.setattr(workflow.importlib.metadata, "version", lambda _: "9.9")
    layout_in(tmp_path).wanted("tiny")
    assert len(list((tmp_path / "plans").iterdir())) == 8
    monkeypatch.setattr(workflow, "code", lambda *modules: "0" * 16)
    layout_in(tmp_path).wanted("tiny")
    assert len(list((tmp_path / "plans").iterdir())) == 12


def test_parsing_with_plans_at_hand_imports_nothing_heavy(tmp_path: Path) -> None:
    layout_in(tmp_path).wanted("tiny")
    code = (
        "import json, sys; from cornerstone import config, workflow; "
        "layout = workflow.Layout(config.check(json.load(sys.stdin))); assert len(layout.planned('tiny')) == 256; "
        "heavy = {'shapiq', 'torch', 'pandas', 'scipy', 'sklearn', 'matplotlib'} & set(sys.modules); "
        "sys.exit(', '.join(heavy) or None)"
    )
    given = json.dumps(raw({**SAMPLED, "paths.resources": str(tmp_path)}))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, input=given, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_an_estimator_of_a_newer_shapiq_is_an_error_that_names_the_versions(tmp_path: Path) -> None:
    layout = layout_in(tmp_path, {"estimators": [{"kind": "proxy-shap", "budget": 500}]})
    installed = importlib.metadata.version("shapiq")
    with pytest.raises(
        ConfigError, match=rf"proxy-shap-b500: needs ProxySHAP of shapiq 1\.5 .*installed is {installed}"
    ):
        layout.wanted("tiny")
    assert not (tmp_path / "plans").exists()


def test_files_of_value_functions_have_its_name() -> None:
    layout = Layout(configured({"value_functions": ["margin"], "estimators": windows(3, 2)}))
    assert layout.value_functions == ["accuracy", "margin"]
    assert layout.headline == "window-k3"
    assert layout.shapley("tiny", "exact") == "results/tiny/shapley_exact.csv"
    assert layout.shapley("tiny", "exact", "margin") == "results/tiny/shapley_exact_margin.csv"
    assert layout.cornerstones("tiny") == "results/tiny/cornerstones.csv"
    assert layout.cornerstones("tiny", "margin") == "results/tiny/cornerstones_margin.csv"
    assert layout.interactions("tiny", "pairs", "margin") == "results/tiny/interactions_pairs_margin.csv"


BASE: dict[str, Any] = {"documents.limit": 10}


@pytest.mark.parametrize(
    "change",
    [
        {"models.tiny.dtype": "bfloat16"},
        {"models.tiny.id": "/elsewhere"},
        {"models.tiny.revision": "2"},
        {"models.tiny.blocks": 5},
        {"models.tiny.feed_forward": "moe"},
        {"models.tiny.batch_tokens": 97},
        {"models.tiny": WHEEL},
        {"documents.limit": 11},
        {"documents.limit": None},
        {"documents.source": "hub"},
        {"tasks.alpha.limit": 9},
        {"tasks.alpha.revision": "abc"},
        {"models.tiny.documents": {"limit": 9}},
        {"models.tiny.documents": {"source": "hub"}},
    ],
)
def test_what_decides_a_result_changes_the_fingerprint(change: dict[str, Any]) -> None:
    before, after = (fingerprint(configured(c), "tiny", "alpha") for c in (BASE, {**BASE, **change}))
    assert before != after
    assert all(re.fullmatch("[0-9a-f]{16}", found) for found in (before, after))


@pytest.mark.parametrize(
    "change",
    [
        {"models.tiny.chunks": 3},
        {"models.tiny.threads": 3},
        {"models.tiny.memory": {"weights": "streamed", "budget_gb": 9, "host_gb": 2, "read_gb_per_s": 3}},
        {"models.tiny.device_map": "cpu"},
        {"models.tiny.resources": {"gpus": 2}},
        {"tasks.alpha.metric": "acc_norm"},
        {"tasks.beta.limit": 3},
        {"models.other.dtype": "float32"},
        {"models.tiny.documents": {"source": "embedded", "limit": 10}},
        {"estimators": windows(4, 3)},
        {"deletion.points": 9},
        {"intervals.level": 0.9},
        {"seed": 5},
        {"paths.results": "out"},
        {"run_tasks": ["alpha"]},
    ],
)
def test_what_does_not_decide_it_does_not(change: dict[str, Any]) -> None:
    before, after = (fingerprint(configured(c), "tiny", "alpha") for c in (BASE, {**BASE, **change}))
    assert before == after


def test_each_part_of_a_wheels_pin_counts() -> None:
    pins: list[dict[str, Any]] = [{}, {"revision": "2"}, {"file": "g"}, {"sha256": "1" * 64}, {"id": "v"}]
    found = {fingerprint(configured({"models.tiny": WHEEL | pin}), "tiny", "alpha") for pin in pins}
    assert len(found) == len(pins)


def test_each_task_has_its_own_fingerprint() -> None:
    assert fingerprint(configured(), "tiny", "alpha") != fingerprint(configured(), "tiny", "beta")


def test_code_of_the_engine_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (*workflow.DECISIVE_MODULES, "plan"):
        (tmp_path / f"{module}.py").write_bytes((ROOT / "cornerstone" / f"{module}.py").read_bytes())
    before = fingerprint(configured(), "tiny", "alpha")
    monkeypatch.setattr(workflow, "__file__", str(tmp_path / "workflow.py"))
    assert fingerprint(configured(), "tiny", "alpha") == before
    (tmp_path / "plan.py").write_text("# changed")
    assert fingerprint(configured(), "tiny", "alpha") == before
    for module in workflow.DECISIVE_MODULES:
        path = tmp_path / f"{module}.py"
        original = path.read_bytes()
        path.write_bytes(original + b"\n# changed\n")
        assert fingerprint(configured(), "tiny", "alpha") != before
        path.write_bytes(original)
    assert {"players", "packing", "network", "sweep", "models", "tasks"} <= set(workflow.DECISIVE_MODULES)


def test_code_is_a_hash_of_modules() -> None:
    assert code("plan") == code("plan") != code("players")
    assert code("plan", "players") != code("plan")
    assert re.fullmatch("[0-9a-f]{16}", code("estimators.window"))


def test_code_of_no_module_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"no module cornerstone/planner\.py"):
        code("plan", "planner")


def test_modules_that_rules_name_exist() -> None:
    rules = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    calls = re.findall(r"\bcode\(([^)]*)\)", rules)
    assert len(calls) >= 5
    for call in calls:
        assert code(*re.findall(r'"([a-z.]+)"', call))


def test_jobs_find_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/before")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    workflow.share_with_jobs("/root")
    assert os.environ["PYTHONPATH"].split(os.pathsep) == ["/root", "/before"]
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    monkeypatch.delenv("PYTHONPATH")
    workflow.share_with_jobs("/root")
    assert os.environ["PYTHONPATH"] == "/root"


@given(st.lists(st.text("ab-1", max_size=5), min_size=1, max_size=8), st.text("ab-1", max_size=6))
def test_any_of_matches_exactly_its_words(words: list[str], other: str) -> None:
    pattern = re.compile(any_of(words))
    assert all(pattern.fullmatch(word) for word in words)
    assert bool(pattern.fullmatch(other)) == (other in words)


def test_a_pattern_of_all_coalitions_of_sixteen_players_is_quick() -> None:
    names = [f"mask-{mask:04x}" for mask in range(1 << 16)]
    pattern = re.compile(rf"(?!{any_of(names)}\.json)[a-z0-9-]+")
    started = time.monotonic()
    assert not any(pattern.match(f"{name}.json") for name in names)
    assert time.monotonic() - started < 5  # an alternation takes minutes
    assert pattern.match("mask-10000.json")
