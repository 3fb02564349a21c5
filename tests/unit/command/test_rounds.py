"""`cornerstone run` with `until`: rounds of a Snakemake that is made up."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cornerstone.command import rounds, running, state
from cornerstone.config.config import Config, load_files
from cornerstone.config.looks import Look
from cornerstone.errors import StoreError
from cornerstone.files import write_noted
from cornerstone.plan.layout import Layout
from cornerstone.present import looks
from tests.helpers import raw

FILES = [Path("config.yaml")]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    configure()
    return tmp_path


def configure(**changes: Any) -> Config:
    """Two models that begin with 8 documents and have 40 at most."""
    second = dict(raw()["models"]["tiny"])
    asked = {
        "documents.limit": 8, "models.second": second, "run": ["tiny", "second"], "compare": [],
        "until": {"settled": "top3", "at_most": 40}, **changes,
    }  # fmt: skip
    FILES[0].write_text(yaml.safe_dump(raw(asked)))
    return load_files(FILES)


class Snakemake:
    """Writes the verdicts of the present look, as the rules would; `enough`: documents by which a model is settled."""

    def __init__(self, **enough: int) -> None:
        self.enough, self.dies = enough, 0
        self.calls: list[tuple[Any, ...]] = []

    def __call__(self, rule: str) -> int:
        config = load_files(FILES)
        self.calls.append((rule, *(config.limit(model, "alpha") for model in config.run)))
        if len(self.calls) == self.dies:
            return 130
        for model in config.run:
            documents = config.look(model).documents
            settled, last = documents >= self.enough[model], documents >= 40
            said = {"settled": settled, "last": last, "text": f"{model}: {settled} at {documents}"}
            said["made_from"] = {"settings": config.made_for(model)}
            write_noted(Path(Layout(config).look(model)), json.dumps(said))
        return 0


def test_each_model_gets_more_documents_until_it_is_settled() -> None:
    made, said = Snakemake(tiny=8, second=30), list[str]()
    ended = rounds.run(FILES, made, said.append)
    assert made.calls == [("all", 8, 8), ("looks", 8, 16), ("looks", 8, 32), ("all", 8, 32)]
    assert said == ["tiny: True at 8", "second: False at 8", "second: False at 16", "second: True at 32"]
    assert (ended.code, ended.verdicts["second"]["settled"]) == (0, True)
    again = Snakemake(tiny=8, second=30)
    rounds.run(FILES, again, said.append)
    assert again.calls == [("all", 8, 32)]  # nothing is raised, and nothing shrinks


def test_what_is_settled_at_the_first_look_is_one_run() -> None:
    made = Snakemake(tiny=8, second=8)
    rounds.run(FILES, made, lambda text: None)
    assert made.calls == [("all", 8, 8)]
    assert not Path("results/until.json").exists()


def test_it_ends_at_the_most_that_is_allowed() -> None:
    made = Snakemake(tiny=8, second=1000)
    ended = rounds.run(FILES, made, lambda text: None)
    assert [call[2] for call in made.calls] == [8, 16, 32, 40, 40]
    assert not ended.verdicts["second"]["settled"]
    configure(until={"settled": "top3", "at_most": 60})
    assert load_files(FILES).look("second") == Look(4, 40)


@pytest.mark.parametrize("dies", [1, 2, 3])
def test_a_run_that_is_killed_goes_on_at_its_look(dies: int) -> None:
    made = Snakemake(tiny=8, second=30)
    made.dies = dies
    ended = rounds.run(FILES, made, lambda text: None)
    assert (ended.code, len(made.calls)) == (130, dies)
    at = made.calls[-1][2]
    assert load_files(FILES).limit("second", "alpha") == at  # so a plain snakemake goes on there, too
    again = Snakemake(tiny=8, second=30)
    rounds.run(FILES, again, lambda text: None)
    assert again.calls[0] == ("all", 8, at)
    assert again.calls[-1] == ("all", 8, 32)


def test_models_that_are_compared_keep_the_same_documents() -> None:
    configure(compare=[["tiny", "second"]])
    made = Snakemake(tiny=8, second=16)
    rounds.run(FILES, made, lambda text: None)
    assert made.calls == [("all", 8, 8), ("looks", 16, 16), ("all", 16, 16)]


def test_other_settings_begin_anew_and_say_so() -> None:
    rounds.run(FILES, Snakemake(tiny=16, second=16), lambda text: None)
    configure(until={"settled": "top2", "at_most": 40})
    made, said = Snakemake(tiny=8, second=8), list[str]()
    rounds.run(FILES, made, said.append)
    assert made.calls == [("all", 8, 8)]
    assert said[0] == "tiny: `until` or `limit` is not what it was, so the looks begin anew; what is evaluated stays"


def test_a_snakemake_that_was_told_to_do_something_else_is_one_run() -> None:
    calls: list[str] = []

    def other(rule: str) -> int:
        calls.append(rule)
        return 0

    assert rounds.run(FILES, other, lambda text: None).verdicts == {}
    assert calls == ["all"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path: path.write_text(path.read_text().replace("false", "true")), "is not what was written"),
        (lambda path: write_noted(path, "{}"), "is no verdict of a look"),
        (lambda path: write_noted(path, '{"made_from": {"settings": ""}, "settled": true}'), "other settings"),
    ],
)
def test_a_verdict_that_is_not_that_of_the_look_is_refused(change: Callable[[Path], object], said: str) -> None:
    Snakemake(tiny=8, second=1000)("all")
    change(Path("results/second/looks/8.json"))
    with pytest.raises(StoreError, match=said):
        looks.read(load_files(FILES), "second")


def test_status_and_json_say_the_verdicts(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    Path("Snakefile").touch()
    made = Snakemake(tiny=8, second=1000)

    def called(command: list[str], **options: Any) -> Any:
        return type("Done", (), {"returncode": made(command[-1])})

    monkeypatch.setattr(running.subprocess, "run", called)
    said = running.run(load_files(FILES), FILES, as_json=True)
    assert [found["settled"] for found in said.data["verdicts"]] == [True, False]
    out, err = capfd.readouterr()
    assert (out, "second: False at 40" in err) == ("", True)
    lines = state.state(load_files(FILES)).text
    assert "tiny: True at 8\nsecond: False at 40" in lines
    made.calls.clear()
    running.run(load_files(FILES), FILES, more=["--dry-run"])
    running.run(load_files(FILES), FILES, targets=["results/x.csv"])
    assert len(made.calls) == 2  # no rounds
