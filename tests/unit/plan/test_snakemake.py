from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snakemake.persistence.file import FilePersistence

from cornerstone.config.config import Config
from cornerstone.errors import CoalitionError
from cornerstone.game.coalitions import name
from cornerstone.plan import fingerprint
from cornerstone.plan import snakemake as corners
from cornerstone.plan.layout import Layout
from cornerstone.plan.plan import Plan
from cornerstone.plan.snakemake import any_of, check_coalition, forget_backup, forget_notes, unplanned
from cornerstone.schedule import limits
from cornerstone.schedule.limits import Told
from tests.helpers import configured


def test_a_name_is_planned_or_matches_the_pattern_of_the_others() -> None:
    plan = Plan(configured({"models.tiny.blocks": 12}), "tiny")  # has drop-attn1 and drop-attn10
    pattern = re.compile(rf"out/(?P<c>{unplanned(plan.names)})\.json")
    planned = set(plan.names)
    others = {name((1 << 24) - 1 & ~(1 << i | 1 << j), plan.players) for i in range(24) for j in range(i)} - planned
    assert not any(pattern.fullmatch(f"out/{n}.json") for n in planned)
    assert all(pattern.fullmatch(f"out/{n}.json") for n in others)
    assert "drop-attn1-attn10" in others
    assert pattern.fullmatch("out/mask-00000f.json")


def test_any_coalition_can_be_asked_for() -> None:
    config = configured()
    assert check_coalition(config, "tiny", "drop-attn0-ffn3") == "drop-attn0-ffn3"
    with pytest.raises(CoalitionError, match="no player 'ffn4'"):
        check_coalition(config, "tiny", "drop-ffn4")


def test_jobs_are_offline_and_find_the_package_in_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(corners.OFFLINE, "0")
    monkeypatch.setenv("APPTAINERENV_PYTHONPATH", "/before")
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    corners.prepare_jobs(Path("/root"))
    assert os.environ["APPTAINERENV_PYTHONPATH"] == "/root"
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    corners.online()
    assert os.environ["HF_HUB_OFFLINE"] == "0"
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    corners.prepare_jobs(Path("/root"))
    assert os.environ["TOKENIZERS_PARALLELISM"] == "true"


@given(st.lists(st.text("ab-1", max_size=5), min_size=1, max_size=8), st.text("ab-1", max_size=6))
def test_any_of_matches_exactly_its_words(words: list[str], other: str) -> None:
    pattern = re.compile(any_of(words))
    assert all(pattern.fullmatch(word) for word in words)
    assert bool(pattern.fullmatch(other)) == (other in words)


def test_a_pattern_of_all_coalitions_of_sixteen_players_is_quick() -> None:
    names = [f"mask-{mask:04x}" for mask in range(1 << 16)]
    pattern = re.compile(unplanned(names))
    started = time.monotonic()
    assert not any(pattern.match(f"{name}.json") for name in names)
    assert time.monotonic() - started < 5  # an alternation takes minutes
    assert pattern.match("mask-10000.json")


@pytest.mark.parametrize("absolute", [False, True])
def test_snakemakes_copy_of_an_older_result_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, absolute: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "results" / "full.json" if absolute else Path("results", "full.json")
    backup = Path(".snakemake", "backups", str(path).lstrip("/"))
    forget_backup(path)  # there is none
    backup.parent.mkdir(parents=True)
    for copy in (backup, backup.with_name("other.json")):
        copy.write_text("old")
    forget_backup(path)
    assert [copy.name for copy in backup.parent.iterdir()] == ["other.json"]


@pytest.mark.parametrize("path", ["results/full.json", "results/" + "drop-attn0-" * 40 + "ffn0.json"])
def test_snakemakes_notes_on_a_file_are_where_it_puts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / ".snakemake" / "metadata"
    folder.mkdir(parents=True)
    own = FilePersistence.__new__(FilePersistence)  # its way to name a record needs no workflow
    own._max_len = None
    record = Path(own._record_path(str(folder), path))
    record.parent.mkdir(parents=True, exist_ok=True)
    for found in (record, record.with_name("other")):
        found.write_text("{}")
    forget_notes(Path(path))
    assert [found.name for found in record.parent.iterdir()] == ["other"]
    forget_notes(Path(path))


class Noted:
    """A working directory with some results, and what `note_stale` says of them."""

    def __init__(self) -> None:
        self.config = configured({"models.tiny.chunks": 2})
        self.plan = Plan(self.config, "tiny")
        self.layout = Layout(self.config)

    def result(self, task: str, number: int, made_by: str | None = None) -> Path:
        path = Path(self.layout.coalition("tiny", task, self.plan.names[number]))
        path.parent.mkdir(parents=True, exist_ok=True)
        made_by = fingerprint.of_result(self.config, "tiny", task) if made_by is None else made_by
        path.write_text(json.dumps({"provenance": {"fingerprint": made_by}}))
        return path

    def estimates(self, made_by: str | None = None) -> None:
        path = Path(self.layout.provenance("tiny"))
        path.parent.mkdir(parents=True, exist_ok=True)
        made_by = fingerprint.of_estimates(self.config, "tiny") if made_by is None else made_by
        values = {task: fingerprint.of_values(self.config, "tiny", task) for task in self.config.run_tasks}
        path.write_text(json.dumps({"fingerprint": made_by, "values": values}))

    def newer(self, config: Config | None = None) -> list[str]:
        found = corners.note_stale(config or self.config, {"tiny": Plan(config or self.config, "tiny")})
        notes = {
            what: Path(corners.note(config or self.config, "tiny", what))
            for what in ("alpha", "beta", "alpha.values", "beta.values", corners.ESTIMATES)
        }
        for path in notes.values():
            assert (str(path) in found) == (path.stat().st_mtime > 0) == bool(path.read_text())
        return [what for what, path in notes.items() if str(path) in found]


@pytest.fixture
def noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Noted:
    monkeypatch.chdir(tmp_path)
    return Noted()


def test_where_nothing_lies_nothing_is_stale(noted: Noted) -> None:
    assert noted.newer() == []


def test_results_that_fit_are_left_alone(noted: Noted) -> None:
    for task in noted.config.run_tasks:
        for number in (0, -1):
            noted.result(task, number)
    noted.estimates()
    assert noted.newer() == []


@pytest.mark.parametrize("number", [0, -1])  # of the first chunk, and of the second
@pytest.mark.parametrize("content", ["0" * 16, "damaged"])
def test_results_of_other_settings_are_noted_for_their_task(noted: Noted, number: int, content: str) -> None:
    noted.result("beta", 0)
    path = noted.result("beta", number, content)
    if content == "damaged":
        path.write_text('{"provenance": {')
    noted.result("alpha", number)
    assert noted.newer() == ["beta"]
    noted.result("beta", number)
    assert noted.newer() == []  # and the note is old again


def test_estimates_of_other_settings_are_noted(noted: Noted) -> None:
    noted.estimates("0" * 16)
    assert noted.newer() == [corners.ESTIMATES]
    noted.estimates()
    assert noted.newer() == []


def test_a_changed_setting_is_noted_where_it_decides(noted: Noted) -> None:
    noted.result("alpha", 0)
    noted.result("beta", 0)
    noted.estimates()

    def changed(**changes: Any) -> list[str]:
        settings = {"models.tiny.chunks": 2, **{key.replace("__", "."): value for key, value in changes.items()}}
        return noted.newer(configured(settings))

    assert changed(tasks__beta__limit=3) == ["beta", "beta.values", corners.ESTIMATES]
    assert changed(seed=3) == [corners.ESTIMATES]
    assert changed(models__tiny__threads=3) == []
    assert changed(models__tiny__dtype="bfloat16") == [
        "alpha",
        "beta",
        "alpha.values",
        "beta.values",
        corners.ESTIMATES,
    ]


def test_a_note_never_says_the_same_twice(noted: Noted) -> None:
    """Snakemake takes a newer file that says what it said before for unchanged."""
    noted.estimates("0" * 16)
    said = []
    for _ in range(3):
        noted.newer()
        said.append(Path(corners.note(noted.config, "tiny", corners.ESTIMATES)).read_text())
    assert len(set(said)) == 3


def test_each_folder_of_results_has_notes_of_its_own(noted: Noted) -> None:
    other = configured({"paths.results": "elsewhere"})
    assert corners.note(noted.config, "tiny", "alpha") != corners.note(other, "tiny", "alpha")


def told(monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], jobs: int, **resources: int) -> Told:
    monkeypatch.setenv(limits.TOLD, "{}")
    config = configured({"run": ["tiny", "other"], "models.other.blocks": 4, **changes})
    given = {name: SimpleNamespace(value=value) for name, value in resources.items()}
    corners.share_memory(SimpleNamespace(non_local_exec=False, global_resources=given), config, jobs)
    return Told.heard()


def test_jobs_are_told_what_they_share(monkeypatch: pytest.MonkeyPatch) -> None:
    found = told(monkeypatch, {"models.tiny.threads": 4}, 12, _cores=8)
    assert not found.submitted
    assert found.host is not None
    assert found.host.bytes > 0
    assert found.jobs == {"tiny": 5, "other": 8}
    assert found.gpu_jobs == {}
    assert told(monkeypatch, {"models.tiny.threads": 4}, 1, _cores=8).jobs == {"tiny": 1, "other": 1}
    assert told(monkeypatch, {}, 0, _cores=8).jobs == {"tiny": 8, "other": 8}  # a plan of all that may come


@pytest.mark.parametrize(("resources", "at_once"), [({}, 8), ({"gpu": 2}, 2), ({"gpu": 1}, 1)])
def test_jobs_on_gpus_are_counted_by_themselves(
    resources: dict[str, int], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = told(monkeypatch, {"models.tiny.resources": {"gpus": 1}}, 12, _cores=8, **resources)
    assert found.gpu_jobs == {"tiny": at_once}


def test_a_clusters_jobs_share_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(limits.TOLD, "{}")
    corners.share_memory(SimpleNamespace(non_local_exec=True), configured(), 12)
    assert Told.heard() == Told(submitted=True)
