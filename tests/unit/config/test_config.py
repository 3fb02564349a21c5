from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cornerstone.config import config
from cornerstone.config import models as model_config
from cornerstone.config import reference as generated
from cornerstone.config.config import load, load_files
from cornerstone.config.source import repeated
from cornerstone.errors import ConfigError
from cornerstone.estimators import ESTIMATORS, INTERACTIONS
from cornerstone.game import coalitions
from cornerstone.game.players import alike, players_of
from cornerstone.settings import Section
from tests.helpers import ROOT, configured, raw, windows

SHIPPED = ROOT / "config.yaml"


def message(changes: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        load(raw(changes))
    return str(caught.value)


def test_the_shipped_configuration_is_valid() -> None:
    shipped = load_files([SHIPPED])
    assert set(shipped.run) <= set(shipped.models)
    assert shipped.estimators[0].name == "window-k4"
    assert load(yaml.safe_load(SHIPPED.read_text())) == shipped


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_studies_are_valid_and_kept_apart(path: Path) -> None:
    shipped, study = load_files([SHIPPED]), load_files([SHIPPED, path])
    assert study.paths.results == f"results-{path.stem}"
    assert study.paths.resources == shipped.paths.resources
    assert {name: study.models[name] for name in shipped.models} == shipped.models
    assert set(study.run) <= set(study.models)


def test_the_full_study_has_more_documents() -> None:
    shipped, fuller = load_files([SHIPPED]), load_files([SHIPPED, ROOT / "studies" / "full.yaml"])
    for model in shipped.run:
        for task in shipped.run_tasks:
            assert (fuller.limit(model, task) or 10**6) > (shipped.limit(model, task) or 10**6)


def test_shipped_models_are_pinned() -> None:
    models = load_files([SHIPPED]).models | load_files([SHIPPED, ROOT / "studies" / "models.yaml"]).models
    assert {"gemma3-270m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"} <= set(models)
    assert {"llama3-8b", "llama3-70b", "mixtral-8x7b"} <= set(models)
    for model in models.values():
        if model.source == "hub":
            assert model.revision is not None
            assert len(model.revision) == 40
            assert set(model.revision) <= set("0123456789abcdef")
        if model.source == "wheel":
            pins: list[str | None] = [part.sha256 for part in model.parts or ()]
            pins = pins or [model.sha256]
            assert all(len(pin or "") == 64 for pin in pins)
            assert len(set(pins)) == len(pins)
    counts = {name: len(models[name].parts or ()) for name in models if models[name].parts}
    assert counts == {"gemma3-270m": 4, "qwen2.5-coder-0.5b": 6, "qwen2.5-coder-1.5b": 22}


def test_shipped_metrics_are_the_papers() -> None:
    shipped = load_files([SHIPPED])
    metrics = {name: shipped.tasks[name].metric for name in shipped.run_tasks}
    assert metrics == {
        "boolq": "acc", "winogrande": "acc", "piqa": "acc_norm",
        "arc_easy": "acc_norm", "arc_challenge": "acc_norm", "openbookqa": "acc_norm",
    }  # fmt: skip


@pytest.mark.parametrize("path", generated.GENERATED)
def test_generated_files_are_up_to_date(path: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == generated.GENERATED[path](), "run: cornerstone schema"


def test_generated_files_are_written_where_they_belong(tmp_path: Path) -> None:
    paths = generated.write(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == list(generated.GENERATED)
    assert [path.read_text(encoding="utf-8") for path in paths] == [make() for make in generated.GENERATED.values()]


def test_the_reference_names_every_key_of_every_section() -> None:
    reference = generated.reference()
    sections: tuple[type[Section], ...] = (
        config.Config,
        model_config.Model,
        model_config.Resources,
        config.Task,
        config.Deletion,
        config.Intervals,
        *ESTIMATORS,
        *INTERACTIONS,
    )
    for section in sections:
        assert all(f"| `{key}` |" in reference for key in section.model_fields)


def test_the_schema_refuses_unknown_keys_too() -> None:
    schema = json.loads(generated.schema())
    assert schema["additionalProperties"] is False
    assert all(section["additionalProperties"] is False for section in schema["$defs"].values())


def test_the_base_of_these_tests_is_valid() -> None:
    made = configured()
    assert made.models["tiny"].all_players() == players_of(alike(4))
    assert made.models["tiny"].chunks == 1


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"colour": 1}, ["config.yaml: colour: there is no such key"]),
        ({"models.tiny.treads": 2}, ["models.tiny.treads: there is no such key"]),
        ({"models.tiny.resources": {"gpu": 1}}, ["models.tiny.resources.gpu: there is no such key"]),
        ({"models.tiny.device_map": "gpu"}, ["models.tiny.device_map:", "'gpu'"]),
        ({"run": ["big"]}, ["`run` names 'big'", "tiny, other"]),
        ({"run_tasks": ["alpha", "gamma"]}, ["`run_tasks` names 'gamma'", "alpha, beta"]),
        ({"run": ["tiny", "tiny"]}, ["`run` names an entry twice: tiny, tiny"]),
        (
            {"run": ["tiny", "index"], "models.index": raw()["models"]["tiny"]},
            ["`run`: 'index' is the name of another"],
        ),
        ({"run": []}, ["run: List should have at least 1 item", "[]"]),
        ({"estimators": windows(9, 3)}, ["`estimators`: window-k9: tiny has 8 players; choose a smaller `removed`"]),
        ({"estimators": windows(0)}, ["estimators.0.window.removed:", "it is 0"]),
        ({"estimators": []}, ["estimators: List should have at least 1 item", "[]"]),
        ({"estimators": windows(2, 3, 2)}, ["`estimators` names an entry twice: window-k2, window-k3, window-k2"]),
        ({"estimators": [{"kind": "foo"}]}, ["estimators.0.kind: there is no 'foo'; choose 'window', 'exact', 'perm"]),
        ({"estimators": [{}]}, ["estimators.0.kind: is missing in {}"]),
        ({"estimators": [{"removed": 4}]}, ["estimators.0.kind: is missing in {'removed': 4}"]),
        ({"estimators": [{"kind": "svarm"}]}, ["estimators.0.svarm: give either `budget` (coalitions) or `work`"]),
        ({"estimators": [{"kind": "window", "budget": 9}]}, ["estimators.0.window.budget: there is no such key"]),
        ({"estimators": {"window": [4]}}, ["estimators: Input should be a valid list", "{'window': [4]}"]),
        ({"interactions": [{"kind": "trios"}]}, ["interactions.0.kind: there is no 'trios'", "'pairs', 'exact'"]),
        ({"interactions": [{"kind": "pairs"}] * 2}, ["`interactions` names an entry twice: pairs, pairs"]),
        ({"interactions": [{"kind": "exact", "index": "STII"}]}, ["interactions.0.exact.index:", "it is 'STII'"]),
        ({"value_functions": ["accuracy"]}, ["value_functions.0:", "'margin', 'soft-accuracy'", "'accuracy'"]),
        ({"value_functions": ["margin"] * 2}, ["`value_functions` names an entry twice: margin, margin"]),
        (
            {"models.tiny.blocks": 10**4, "models.tiny.heads": 10**4, "models.tiny.players": "heads"},
            ["10000 blocks with 10000 heads each are more than 100000 players"],
        ),
        ({"models.tiny.players": "rows"}, ["models.tiny.players:", "'experts' or 'heads'", "it is 'rows'"]),
        ({"models.tiny.players": None}, ["models.tiny.players: None says no players; write sublayers, blocks"]),
        ({"models.tiny.players": {"block": 3}}, ["models.tiny.players: {'block': 3} says no players", "{blocks: 3}"]),
        ({"models.tiny.players": {"blocks": 0}}, ["models.tiny.players.blocks:", "it is 0"]),
        ({"models.tiny.players": {"groups": {}}}, ["models.tiny.players.groups:", "at least 1 item"]),
        ({"models.tiny.players": {"groups": {"a": "attn0"}}}, ["models.tiny.players.groups.a:", "it is 'attn0'"]),
        ({"models.tiny.players": {"groups": {"a": []}}}, ["models.tiny: `groups`: group 'a' is empty"]),
        (
            {"models.tiny.players": {"groups": {"a": ["attn0"]}}},
            ["models.tiny: there is one player only", "two or more"],
        ),
        ({"models.tiny.players": {"groups": {"A": ["attn0"]}}}, ["models.tiny: `groups`: 'A' can't name a player"]),
        (
            {"models.tiny.players": {"groups": {"a": ["attn9"]}}},
            ["models.tiny: `groups`: 'attn9' in group 'a' is not a part of this model", "block0 to block3"],
        ),
        (
            {"models.tiny.players": {"groups": {"a": ["attn0"], "b": ["block0"]}}},
            ["models.tiny: `groups`: 'block0' in group 'b' is also in group 'a'"],
        ),
        (
            {"models.tiny.players": {"groups": {"a": ["attn0"]}, "blocks": 2}},
            ["models.tiny.players.blocks: there is no such key"],
        ),
        (
            {"models.tiny.players": "experts"},
            ["models.tiny: `players: experts` needs `feed_forward: moe`", "`experts`"],
        ),
        ({"tasks.alpha.metric": "f1"}, ["tasks.alpha.metric:", "'acc', 'acc_norm'", "it is 'f1'"]),
        ({"tasks.alpha": {}}, ["tasks.alpha.metric: is missing"]),
        ({"models.other.revision": None}, ["models.other:", "`revision`", "40-digit commit hash"]),
        ({"models.other.revision": "main"}, ["models.other:", "`revision`", "40-digit commit hash"]),
        ({"models.other.source": "wheel"}, ["models.other:", "`revision`", "`file`", "`sha256`"]),
        ({"models.tiny.sha256": "abc"}, ["models.tiny.sha256:", "'abc'"]),
        ({"models.tiny.dtype": "int8"}, ["models.tiny.dtype:", "'bfloat16'", "it is 'int8'"]),
        ({"models.tiny.blocks": 0}, ["models.tiny.blocks:", "it is 0"]),
        ({"models.tiny.blocks": "four"}, ["models.tiny.blocks:", "it is 'four'"]),
        ({"models.tiny.chunks": 0}, ["models.tiny.chunks:", "it is 0"]),
        ({"models.tiny.memory.budget_gb": 0}, ["models.tiny.memory.budget_gb:", "it is 0"]),
        ({"documents.limit": 1}, ["documents.limit:", "it is 1"]),
        ({"documents.source": "disk"}, ["documents.source:", "it is 'disk'"]),
        ({"paths.results": ""}, ["paths.results: it is empty; write a path"]),
        ({"models.tiny.id": ""}, ["models.tiny: it is empty; write a path"]),
        ({"paths.results": "~nobody-here/x"}, ["paths.results: ~nobody-here/x: Could not determine home directory"]),
        (
            {
                "models.tiny.blocks": 48,
                "models.tiny.feed_forward": "moe",
                "models.tiny.experts": 128,
                "models.tiny.players": "experts",
                "estimators": windows(1),
            },
            ["`models.tiny.players`: 6192 players are too many; 800 are possible", "group them"],
        ),
        (
            {
                "models.tiny.players": {"groups": {f"{'long' * 15}{i}": [f"attn{i}"] for i in range(4)}},
                "estimators": windows(1),
            },
            ["`models.tiny.players`: the names of 4 players make a coalition's name of 252 characters, and 205 fit"],
        ),
        ({"intervals.level": 1}, ["intervals.level:", "it is 1"]),
        ({"deletion.orders": ["value"]}, ["deletion.orders.0:", "it is 'value'"]),
        ({"deletion.share": 1.5}, ["deletion.share:", "it is 1.5"]),
        ({"models": {"Big Model": raw()["models"]["tiny"]}}, ["models.Big Model:"]),
    ],
)
def test_one_message_names_key_and_value(changes: dict[str, Any], parts: list[str]) -> None:
    text = message(changes)
    assert text.startswith("the configuration is wrong:\n  config.yaml: ")
    assert len(text.splitlines()) == 2
    for part in parts:
        assert part in text


@pytest.mark.parametrize(
    ("form", "names"),
    [
        ("sublayers", [f"{kind}{block}" for block in range(4) for kind in ("attn", "moe")]),
        ("blocks", ["block0", "block1", "block2", "block3"]),
        ({"blocks": 3}, ["blocks0to2", "block3"]),
        ({"groups": {"late": ["blocks2to3"], "early": ["attn0", "moe1"]}}, ["early", "late"]),
        ("heads", [f"{part}" for block in range(4) for part in (f"attn{block}h0", f"attn{block}h1", f"moe{block}")]),
        ("experts", [f"{part}" for block in range(4) for part in (f"attn{block}", f"moe{block}e0", f"moe{block}e1")]),
    ],
)
def test_players_have_six_forms(form: Any, names: list[str]) -> None:
    moe = {
        "models.tiny.feed_forward": "moe",
        "models.tiny.experts": 2,
        "models.tiny.heads": 2,
        "estimators": windows(1),
    }
    text = yaml.safe_dump(raw({**moe, "models.tiny.players": form}))
    made = load(yaml.safe_load(text)).models["tiny"]
    assert [player.name for player in made.all_players()] == names
    again = model_config.Model.model_validate(made.model_dump())
    assert again == made


def test_every_model_that_runs_must_fit_every_estimator() -> None:
    text = message({"run": ["tiny", "other"], "estimators": [{"kind": "exact"}]})
    assert "`estimators`: exact: other has 64 players; `exact` takes at most 16: group them" in text
    grouped = {"run": ["tiny", "other"], "estimators": [{"kind": "exact"}], "models.other.players": {"blocks": 2}}
    assert configured(grouped).estimators[0].name == "exact"


def test_interactions_must_fit_too() -> None:
    text = message({"interactions": [{"kind": "sampled", "budget": 40}]})
    assert "`interactions`: k-sii-b40: tiny has 8 players; with 4 replicates it needs a budget of at least 444" in text


def test_all_problems_are_listed_at_once() -> None:
    lines = message({"colour": 1, "seed": -1, "models.tiny.blocks": 0}).splitlines()[1:]
    assert [line.split(": ")[1] for line in lines] == ["seed", "models.tiny.blocks", "colour"]


def test_the_first_estimator_is_the_headline_and_accuracy_the_first_function() -> None:
    made = configured({"value_functions": ["margin"], "estimators": windows(3, 2)})
    assert made.headline.name == "window-k3"
    assert made.functions == ["accuracy", "margin"]
    assert configured().functions == ["accuracy"]


@pytest.mark.parametrize(
    ("changes", "largest", "names"),
    [
        ({"estimators": windows(1)}, 1, []),
        ({"estimators": windows(2, 3)}, 3, ["windows-k3"]),
        ({"estimators": [{"kind": "permutation", "budget": 60, "replicates": 2}]}, 1, []),
        ({"estimators": [{"kind": "exact"}]}, 4, ["windows-k4"]),
        ({"estimators": [{"kind": "exact"}], "models.tiny.players": {"blocks": 2}}, 2, ["windows-k2"]),
        ({"interactions": [{"kind": "pairs"}]}, 2, ["pairs", "windows-k2"]),
        (
            {"interactions": [{"kind": "exact", "index": "FSII"}, {"kind": "pairs", "per_distance": 2}]},
            4,
            ["exact-fsii", "pairs-2", "windows-k4"],
        ),
    ],
)
def test_the_windows_that_are_evaluated_decide_which_interactions_are_free(
    changes: dict[str, Any], largest: int, names: list[str]
) -> None:
    made = configured(changes)
    assert made.largest_window("tiny") == largest
    assert made.interaction_names("tiny") == names


GROUP = {"metric": "acc", "subtasks": ["one", "two"], "limit": 5}


def test_a_group_is_scored_by_its_subtasks() -> None:
    made = configured({"run_tasks": ["alpha", "group"], "tasks.group": GROUP})
    assert made.scored_tasks == ["alpha", "one", "two"]
    assert made.members("group") == ["one", "two"]
    assert made.task("two") == made.tasks["group"]
    assert made.limit("tiny", "one") == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks.group": GROUP, "tasks.one": {"metric": "acc"}, "run_tasks": ["group", "one"]}, "names one twice"),
        ({"tasks.group": {**GROUP, "metric": "perplexity"}, "run_tasks": ["group"]}, "a group has no perplexity"),
        ({"tasks.group": {**GROUP, "documents": "a.jsonl"}, "run_tasks": ["group"]}, "no `documents`"),
        ({"tasks.alpha.documents": "a.csv"}, "a.csv is neither .jsonl nor .parquet"),
        ({"tasks.alpha.fewshot_documents": "a.jsonl"}, "goes with `documents`"),
        ({"tasks.beta.metric": "word_perplexity"}, "acc, word_perplexity have no common mean over tasks"),
    ],
)
def test_tasks_that_do_not_go_together(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        configured(changes)


def test_texts_are_run_by_one_metric() -> None:
    texts = {"tasks.alpha.metric": "word_perplexity", "tasks.beta.metric": "word_perplexity"}
    assert configured(texts).run_tasks == ["alpha", "beta"]


def test_a_missing_section_is_named() -> None:
    incomplete = raw()
    del incomplete["tasks"]
    with pytest.raises(ConfigError, match=r"config\.yaml: tasks: is missing"):
        load(incomplete)


def test_a_commit_hash_has_hexadecimal_digits() -> None:
    assert "revision" in message({"models.other.revision": "z" * 40})


def test_values_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        configured().seed = 1  # type: ignore[misc]


def test_limit_is_the_models_then_the_tasks_then_everyones() -> None:
    made = configured(
        {"documents.limit": 10, "tasks.beta.limit": 5, "models.other.documents": {"source": "hub", "limit": 3}}
    )
    assert [made.limit("tiny", task) for task in ("alpha", "beta")] == [10, 5]
    assert [made.limit("other", task) for task in ("alpha", "beta")] == [3, 3]
    assert configured().limit("tiny", "alpha") is None
    assert (made.documents_source("tiny"), made.documents_source("other")) == ("embedded", "hub")


def test_an_inactive_model_may_be_smaller_than_the_window() -> None:
    assert configured({"models.other.blocks": 1, "estimators": windows(4)}).run == ["tiny"]


def test_files_override_each_other_key_by_key(tmp_path: Path) -> None:
    base, changes = tmp_path / "a.yaml", tmp_path / "b.yaml"
    base.write_text(yaml.safe_dump(raw()))
    changes.write_text("models: {tiny: {threads: 3}}\nestimators: [{kind: window, removed: 1}]\n")
    merged = load_files([base, changes])
    assert merged == configured({"models.tiny.threads": 3, "estimators": windows(1)})


@pytest.mark.parametrize("text", ["run: [", "- run\n", None])
def test_files_that_are_no_configuration_are_named(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "mine.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(
        ConfigError, match=r"mine\.yaml(:[12]: (can't be read as YAML|a configuration has keys)| is missing)"
    ):
        load_files([path])


def test_as_many_players_as_a_file_can_name() -> None:
    many = {"models.tiny.blocks": 100, "models.tiny.heads": 7, "models.tiny.players": "heads", "estimators": windows(1)}
    players = configured(many).models["tiny"].all_players()
    assert len(players) == 800
    assert len(coalitions.name(0, players)) == 205
    assert "808 players are too many; 800 are possible" in message(many | {"models.tiny.blocks": 101})


def test_the_home_folder_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    places = {"paths.results": "~/out", "paths.resources": "~/res", "models.tiny.id": "~/model",
              "include_path": ["~/tasks"],
              "tasks.alpha.documents": "~/a.jsonl", "container": "a~b/~c.sif"}  # fmt: skip
    made = configured(places)
    assert (made.paths.results, made.paths.resources, made.container) == ("/home/me/out", "/home/me/res", "a~b/~c.sif")
    assert (made.models["tiny"].id, made.include_path) == ("/home/me/model", ["/home/me/tasks"])
    assert made.tasks["alpha"].documents == "/home/me/a.jsonl"


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ("documents: {source: embedded}\n", r":7: `documents` stands twice, here and in line 3"),
        (
            "x: &x {a: 1}\ny: [*x, {models: {tiny: 1, 'tiny': 2}}]\n",
            r":8: `tiny` stands twice, here and in line 8",
        ),
    ],
)
def test_keys_that_are_there_twice_are_refused(tmp_path: Path, more: str, where: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("run: [tiny]\nrun_tasks: [a]\ndocuments:\n  limit: 6\ntasks: {a: {}}\nseed: 1\n" + more)
    with pytest.raises(ConfigError, match=rf"mine\.yaml{where}"):
        load_files([path])


def test_the_projects_own_files_have_each_key_once() -> None:
    for path in [SHIPPED, *(ROOT / "studies").glob("*.yaml"), *(ROOT / "profiles").rglob("*.yaml")]:
        assert list(repeated(yaml.compose(path.read_text(encoding="utf-8")))) == [], path


def test_wrong_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(raw({"seed": "x"})))
    with pytest.raises(ConfigError, match=r"mine\.yaml:\d+: seed:"):
        load_files([path])
