from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cornerstone.assets import documents as tasks
from cornerstone.assets.recipe import Recipe
from cornerstone.config.config import Config
from cornerstone.evaluate import result
from cornerstone.evaluate.result import Origin, Scored
from cornerstone.evaluate.stale import Results, note_stale
from cornerstone.evaluate.wanted import Wanted
from cornerstone.game.coalitions import parse
from cornerstone.plan import fingerprint
from cornerstone.plan.asked import Asked
from cornerstone.plan.layout import Layout
from cornerstone.plan.plan import Plan, plans
from cornerstone.plan.snakemake import DOCUMENTS, ESTIMATES, note
from tests.helpers import configured, documents, windows

TASK = documents([[(f"q{i}", " a"), (f"q{i}", " b")] for i in range(30)])


def fetched(task: str, **changes: Any) -> tasks.TaskDocuments:
    """Documents as today's code and settings make them."""
    today = {"made_from": Recipe(task).made_from, "code": fingerprint.of_fetched_documents()}
    return dataclasses.replace(TASK, task=task, **{**today, **changes})


class Site:
    """A working folder with results, and what is said of them before anything runs."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {"models.tiny.chunks": 2, "documents.limit": 12, "estimators": windows(1)}
        self.plan = Plan(self.config(), "tiny", "alpha")
        for task in ("alpha", "beta"):
            tasks.write(fetched(task), self.documents(task))

    def config(self, **changes: Any) -> Config:
        return configured({**self.settings, **{key.replace("__", "."): value for key, value in changes.items()}})

    def documents(self, task: str) -> Path:
        return Path(f"resources/documents/embedded/{task}.json")

    def path(self, name: str, task: str = "alpha") -> Path:
        return Path(Layout(self.config()).coalition("tiny", task, name))

    def marker(self, number: int, task: str = "alpha") -> Path:
        return Path(Layout(self.config()).chunk("tiny", task, number))

    def write(
        self, names: Sequence[str], limit: int | None = 12, made_by: str | None = None, task: str = "alpha"
    ) -> None:
        wanted = Wanted(dataclasses.replace(TASK, task=task), limit)
        made_by = made_by or fingerprint.of_result(self.config(), "tiny", task)
        origin = Origin(made_by, "", {}, {}, "cpu", "resident")
        for name in names:
            scored = [
                Scored(piece, [[-1.0, -2.0]] * piece.count, [[1, 1]] * piece.count, [False] * piece.count)
                for piece in wanted.missing([])
            ]
            coalition = parse(name, self.plan.players)
            result.write(self.path(name, task), coalition, self.plan.players, wanted, scored, origin, 1.0)

    def all(self, task: str = "alpha") -> None:
        self.write(self.plan.names, task=task)

    def newer(self, config: Config | None = None, asked: Sequence[Asked] = ()) -> list[str]:
        """The notes that have a rule run again."""
        config = config or self.config()
        found = note_stale(config, {"tiny": plans(config, "tiny")}, asked)
        chunks = [f"{task}.{number}" for task in ("alpha", "beta") for number in range(2)]
        values = [f"{task}.{ending}" for task in ("alpha", "beta") for ending in ("asked", "values")]
        notes = {what: Path(note(config, "tiny", what)) for what in (*chunks, *values, ESTIMATES)}
        for path in notes.values():
            assert (str(path) in found) == (path.stat().st_mtime > 0) == bool(path.read_text())
        assert len(found) == sum(str(path) in found for path in notes.values())
        return [what for what, path in notes.items() if str(path) in found]

    def covered(self) -> list[str]:
        """The chunks of which a file says that they are there."""
        return sorted(f"{path.parts[-3]}.{path.stem}" for path in Path("results").glob("*/*/chunks/*.json"))

    def estimates(self, made_by: str | None = None) -> None:
        path = Path(Layout(self.config()).provenance("tiny"))
        path.parent.mkdir(parents=True, exist_ok=True)
        made_by = fingerprint.of_estimates(self.config(), "tiny") if made_by is None else made_by
        values = {task: fingerprint.of_values(self.config(), "tiny", task) for task in ("alpha", "beta")}
        path.write_text(json.dumps({"fingerprint": made_by, "values": values}))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.chdir(tmp_path)
    return Site()


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The results that are read, as they come."""
    found, real = [], result.missing

    def missing(path: Path, *rest: Any) -> Any:
        found.append(path.stem)
        return real(path, *rest)

    monkeypatch.setattr(result, "missing", missing)
    return found


def test_where_nothing_lies_nothing_is_stale(site: Site) -> None:
    """Snakemake sees by itself that nothing is there."""
    assert site.newer() == []
    assert site.covered() == []


def test_results_that_fit_are_taken_as_they_are(site: Site, looks: list[str]) -> None:
    """Also where nothing says so but they themselves; each is looked at once."""
    site.all()
    site.estimates()
    assert site.newer() == []
    assert site.covered() == ["alpha.0", "alpha.1"]
    assert sorted(looks) == sorted(site.plan.names)
    looks.clear()
    said = site.marker(0).stat().st_mtime_ns
    assert site.newer() == []
    assert looks == []
    assert site.marker(0).stat().st_mtime_ns == said


@pytest.mark.parametrize("chunk", [0, 1])
@pytest.mark.parametrize("what", ["missing", "damaged", "made otherwise", "of fewer documents"])
def test_one_result_that_does_not_fit_has_its_chunk_evaluated(site: Site, chunk: int, what: str) -> None:
    for task in ("alpha", "beta"):
        site.all(task)
    assert site.newer() == []
    name = site.plan.chunks[chunk][1]
    path = site.path(name, "beta")
    if what == "damaged":
        path.write_text(path.read_text()[:300])
    else:
        path.unlink()
        if what != "missing":
            made = {"made otherwise": (12, "0" * 16), "of fewer documents": (11, None)}[what]
            site.write([name], *made, task="beta")
    assert site.newer() == [f"beta.{chunk}"]
    assert name in Path(note(site.config(), "tiny", f"beta.{chunk}")).read_text()
    path.unlink(missing_ok=True)
    site.write([name], task="beta")
    assert site.newer() == []  # and the note is old again


def test_a_result_that_was_made_by_itself_makes_tables_again(site: Site) -> None:
    """What says that a chunk is there is what tables depend on: it becomes as new as the newest result."""
    site.all()
    site.newer()
    before = [site.marker(number).stat().st_mtime_ns for number in (0, 1)]
    path = site.path(site.plan.chunks[1][0])
    os.utime(path, ns=(before[1] + 10**9,) * 2)
    assert site.newer() == []
    after = [site.marker(number).stat().st_mtime_ns for number in (0, 1)]
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_what_only_says_that_results_are_there_is_written_anew(site: Site) -> None:
    site.all()
    site.newer()
    said = site.marker(0).read_text()
    for other in ("{", json.dumps({**json.loads(said), "names": "0" * 16})):
        site.marker(0).write_text(other)
        assert site.newer() == []
        assert site.marker(0).read_text() == said
    (site.marker(0)).unlink()
    assert site.newer() == []
    assert site.covered() == ["alpha.0", "alpha.1"]


def test_limits_that_shrink_evaluate_nothing_and_those_that_grow_do(site: Site) -> None:
    site.all()
    assert site.newer(site.config(documents__limit=8)) == []
    assert site.newer() == []
    assert site.newer(site.config(documents__limit=13)) == ["alpha.0", "alpha.1"]
    assert site.newer(site.config(tasks__beta__limit=13)) == []
    assert site.newer(site.config(models__tiny__chunks=3)) == []


def test_documents_that_changed(site: Site) -> None:
    site.all()
    assert site.newer() == []
    changed = [*TASK.documents[:8], dataclasses.replace(TASK.documents[8], gold=1), *TASK.documents[9:]]
    path = Path("resources/documents/embedded/alpha.json")
    tasks.write(fetched("alpha", documents=changed), path)
    assert site.newer(site.config(documents__limit=8)) == []
    assert site.newer() == ["alpha.0", "alpha.1"]
    path.unlink()  # not fetched: nobody can say
    assert site.newer() == ["alpha.0", "alpha.1"]


def test_what_is_asked_for_by_name(site: Site) -> None:
    site.all()
    site.newer()
    inside, outside = site.plan.names[3], "drop-attn0-ffn3"
    wanted = Asked("tiny", "alpha", (outside, inside))
    assert site.newer(asked=[wanted]) == ["alpha.asked"]
    site.write([outside])
    assert site.newer(asked=[wanted]) == []
    assert site.newer(asked=[dataclasses.replace(wanted, again=(inside,))]) == ["alpha.asked"]
    site.path(outside).write_text("{")
    assert site.newer(asked=[wanted]) == ["alpha.asked"]
    assert site.newer() == []  # nobody asks for it


def test_estimates_of_other_settings_are_noted(site: Site) -> None:
    site.estimates("0" * 16)
    assert site.newer() == [ESTIMATES]
    site.estimates()
    assert site.newer() == []


def test_a_changed_setting_is_noted_where_it_decides(site: Site) -> None:
    for task in ("alpha", "beta"):
        site.all(task)
    site.estimates()
    assert site.newer() == []
    assert site.newer(site.config(tasks__beta__limit=3)) == ["beta.values", ESTIMATES]
    assert site.newer(site.config(tasks__beta__limit=20)) == ["beta.0", "beta.1", "beta.values", ESTIMATES]
    assert site.newer(site.config(seed=3)) == [ESTIMATES]
    assert site.newer(site.config(models__tiny__threads=3)) == []
    everything = ["alpha.0", "alpha.1", "beta.0", "beta.1", "alpha.values", "beta.values", ESTIMATES]
    assert site.newer(site.config(models__tiny__dtype="bfloat16")) == everything


def test_a_note_never_says_the_same_twice(site: Site) -> None:
    """Snakemake takes a newer file that says what it said before for unchanged."""
    site.estimates("0" * 16)
    said = []
    for _ in range(3):
        site.newer()
        said.append(Path(note(site.config(), "tiny", ESTIMATES)).read_text())
    assert len(set(said)) == 3


def test_many_results_are_looked_at_quickly(site: Site, looks: list[str]) -> None:
    """The second look reads none of them."""
    names = [f"drop-attn{i}-ffn{j}" for i in range(4) for j in range(i, 4)]
    site.write(names)
    for _ in range(2):
        results = Results(site.config(), "tiny", "alpha")
        assert results.lacking(names) == ""
        results.remember()
    assert sorted(looks) == sorted(names)


@pytest.mark.parametrize("changes", [{"made_from": "alpha embedded newest lm-eval 0.1"}, {"code": "0f"}, None])
def test_documents_that_other_settings_or_code_made_are_made_again(site: Site, changes: dict[str, Any] | None) -> None:
    path = Path(note(site.config(), DOCUMENTS, "embedded"))
    note_stale(site.config(), {})
    assert path.stat().st_mtime == 0
    if changes is None:
        site.documents("alpha").write_text("{")
    else:
        tasks.write(fetched("alpha", **changes), site.documents("alpha"))
    assert note_stale(site.config(), {}) == [str(path)]
    assert "embedded: " in path.read_text()
    site.documents("alpha").unlink()  # what is not there is made anyway
    assert note_stale(site.config(), {}) == []
