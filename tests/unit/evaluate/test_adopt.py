from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cornerstone.assets import documents as tasks
from cornerstone.assets import fetch
from cornerstone.assets.recipe import Recipe
from cornerstone.config.config import Config
from cornerstone.engine import loading
from cornerstone.engine.blocks import Piece
from cornerstone.evaluate import adopt as adopting
from cornerstone.evaluate import result
from cornerstone.evaluate.adopt import adopt
from cornerstone.evaluate.job import Job
from cornerstone.evaluate.parts import Loaded
from cornerstone.files import write_text
from cornerstone.plan import fingerprint
from cornerstone.plan.layout import Layout
from cornerstone.plan.plan import Plan
from tests import tiny
from tests.helpers import configured, left_over, windows
from tests.unit.evaluate.test_job import DATA

OLD = "0" * 16
MANY = dataclasses.replace(
    DATA,
    documents=[
        dataclasses.replace(document, doc_id=5 * copy + i, requests=[(f"{copy} {c}", t) for c, t in document.requests])
        for copy in range(12)
        for i, document in enumerate(DATA.documents)
    ],
)
"""Enough for several batches."""
PLANNED = 10
"""Full, each of eight players removed, all removed."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save("llama", tmp_path_factory.mktemp("model"))


@dataclass
class Work:
    """A working directory in which a tiny model was evaluated."""

    config: Config

    def job(self, task: str = "alpha") -> Job:
        layout, made_by = Layout(self.config), fingerprint.of_result(self.config, "tiny", task)
        marker, documents = layout.model_marker("tiny"), layout.documents_for("tiny", task)
        return Job(self.config, "tiny", task, Path(marker), Path(documents), made_by)

    def paths(self, task: str = "alpha") -> list[Path]:
        return [
            Path(Layout(self.config).coalition("tiny", task, name)) for name in Plan(self.config, "tiny", task).names
        ]

    def contents(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in Path("results").rglob("*.json")}

    def made_by(self, task: str = "alpha") -> set[str]:
        return {result.read(path)["provenance"]["fingerprint"] for path in self.paths(task)}


Maker = Callable[..., Work]


@pytest.fixture
def make(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Maker:
    """Evaluates the tiny model; then the results' fingerprints are made another, as if code had changed since."""
    monkeypatch.chdir(tmp_path)

    def made(changes: dict[str, Any] | None = None, documents: tasks.TaskDocuments = DATA) -> Work:
        settings = {"models.tiny.id": str(saved), "run_tasks": ["alpha"], "estimators": windows(1), **(changes or {})}
        work = Work(configured(settings))
        asset = fetch.asset_key(work.config.models["tiny"])
        write_text(Path("resources/models/tiny.json"), json.dumps({"path": str(saved), "asset": asset}))
        for task in work.config.run_tasks:
            facts: dict[str, Any] = {"task": task, "made_from": Recipe(task).made_from}
            tasks.write(dataclasses.replace(documents, **facts), Path(f"resources/documents/embedded/{task}.json"))
            assert work.job(task).run_files(work.paths(task)) == PLANNED
            for path in work.paths(task):
                edit(path, "provenance", fingerprint=OLD)
        return work

    return made


def edit(path: Path, section: str, **changes: Any) -> None:
    sections = result.read(path)
    result.save(path, {**sections, section: {**sections[section], **changes}})


def shift(path: Path, by: float) -> None:
    """Change one log-likelihood, and no answer with it."""
    rows = result.read(path)["documents"]["loglikelihood"]
    rows[2][0] += by
    edit(path, "documents", loglikelihood=rows)


def test_results_that_todays_code_gives_again_are_adopted(make: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    work = make()
    before = {path: result.read(path) for path in work.paths()}
    record = Path(".snakemake", "metadata", "bm90ZQ==")
    write_text(record, "{}")
    assert adopt(work.config, 3, 0)
    for path, old in before.items():
        new = result.read(path)
        provenance = new.pop("provenance")
        assert provenance.pop("fingerprint") == work.job().fingerprint
        (adopted,) = provenance.pop("adopted")
        assert adopted["from"] == OLD
        assert adopted["largest_difference"] <= adopted["allowed"] == 1e-4
        assert len(adopted["compared"]) == 3
        assert set(adopted["compared"]) <= {path.stem for path in before}
        kept = old.pop("provenance")
        assert provenance == {key: value for key, value in kept.items() if key != "fingerprint"}
        assert new.pop("sha256")["documents"] == old.pop("sha256")["documents"]
        assert new == old  # no number has changed
    assert work.job().run_files(work.paths()) == 0
    assert record.exists()  # a note on another file
    said = capsys.readouterr().err
    assert f"tiny alpha: 0 of 3 coalitions made by {OLD} differ" in said
    assert f"{PLANNED} results have today's fingerprint now" in said
    assert left_over(Path("results")) == []


def test_the_lines_of_documents_stay_byte_for_byte(make: Maker) -> None:
    work = make()
    before = [path.read_text().splitlines() for path in work.paths()]
    adopt(work.config, 2, 0)
    for path, old in zip(work.paths(), before, strict=True):
        new = path.read_text().splitlines()
        assert [line[:13] for line, kept in zip(new, old, strict=True) if line != kept] == [
            '"provenance":',
            '"sha256": {"d',
        ]


def test_snakemakes_notes_on_adopted_files_are_forgotten(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten: list[Path] = []
    monkeypatch.setattr(adopting, "forget_notes", forgotten.append)
    work = make()
    adopt(work.config, 1, 0, dry_run=True)
    assert forgotten == []
    adopt(work.config, 1, 0)
    assert set(forgotten) == set(work.paths())


def test_results_with_other_numbers_are_refused_by_name_and_nothing_changes(
    make: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    work = make()
    (edited,) = (path for path in work.paths() if path.stem == "drop-ffn1")
    shift(edited, 0.05)
    before = work.contents()
    assert not adopt(work.config, PLANNED, 0)
    assert work.contents() == before
    said = capsys.readouterr().err
    assert f"tiny alpha: 1 of {PLANNED} coalitions made by {OLD} differ: drop-ffn1 by " in said
    assert "They stay as they are, and stale" in said
    assert "0 results have today's fingerprint now" in said


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_does_not_agree(make: Maker, value: float) -> None:
    work = make()
    shift(work.paths()[0], value)
    before = work.contents()
    assert not adopt(work.config, PLANNED, 0)
    assert work.contents() == before


def test_a_difference_of_rounding_is_allowed_and_reported(make: Maker) -> None:
    work = make()
    rows = result.read(work.paths()[0])["documents"]["loglikelihood"]
    shift(work.paths()[0], 5e-5 * rows[2][0])
    assert adopt(work.config, PLANNED, 0)
    (adopted,) = result.read(work.paths()[1])["provenance"]["adopted"]
    assert adopted["largest_difference"] == pytest.approx(5e-5, rel=0.2)


def test_each_task_is_judged_by_itself(make: Maker) -> None:
    work = make({"run_tasks": ["alpha", "beta"]})
    shift(work.paths("alpha")[0], 0.05)
    assert not adopt(work.config, PLANNED, 0)
    assert work.made_by("alpha") == {OLD}
    assert work.made_by("beta") == {work.job("beta").fingerprint}


def test_a_dry_run_changes_nothing(make: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    work = make()
    before = work.contents()
    assert adopt(work.config, 3, 0, dry_run=True)
    assert work.contents() == before
    said = capsys.readouterr().err
    assert f"tiny alpha: 0 of 3 coalitions made by {OLD} differ" in said
    assert "nothing was changed (--dry-run)" in said
    shift(work.paths()[0], 0.05)
    assert not adopt(work.config, PLANNED, 0, dry_run=True)


FLOOR = 0.125


@pytest.fixture
def rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU gives the numbers of so small a model bit for bit whatever the batches; on a GPU they differ, as here."""
    real, other = adopting.computed, adopting.repacked
    smaller: list[Loaded] = []

    def repacked(loaded: Loaded, parts: adopting.Parts) -> Loaded:
        smaller.append(other(loaded, parts))
        return smaller[-1]

    def computed(job: Job, loaded: Loaded, parts: adopting.Parts) -> dict[Path, np.ndarray]:
        scores = real(job, loaded, parts)
        if any(loaded is one for one in smaller):
            next(iter(scores.values()))[7] -= FLOOR
        return scores

    monkeypatch.setattr(adopting, "repacked", repacked)
    monkeypatch.setattr(adopting, "computed", computed)


@pytest.mark.usefixtures("rounding")
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_in_half_precision_what_other_batches_change_is_allowed(make: Maker, dtype: str) -> None:
    work = make({"models.tiny.dtype": dtype})
    path = work.paths()[4]
    shift(path, 0.9 * FLOOR)
    assert adopt(work.config, PLANNED, 0)
    (adopted,) = result.read(path)["provenance"]["adopted"]
    assert adopted["allowed"] == pytest.approx(FLOOR)
    assert adopted["largest_difference"] == pytest.approx(0.9 * FLOOR)
    assert adopted["because"] == f"in {dtype}, what other batches alone change"


@pytest.mark.usefixtures("rounding")
def test_in_half_precision_more_than_that_is_refused(make: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    work = make({"models.tiny.dtype": "bfloat16"})
    path = work.paths()[4]
    shift(path, 8 * FLOOR)
    before = work.contents()
    assert not adopt(work.config, PLANNED, 0)
    assert work.contents() == before
    said = capsys.readouterr().err
    assert (
        f"1 of {PLANNED} coalitions made by {OLD} differ: {path.stem} by 1; 0.12 is allowed (in bfloat16, what other"
        in said
    )


@pytest.mark.usefixtures("rounding")
def test_in_float32_batches_have_no_say(make: Maker) -> None:
    work = make()
    shift(work.paths()[4], 0.9 * FLOOR)
    assert not adopt(work.config, PLANNED, 0)


def test_results_of_other_documents_weights_or_formats_and_damaged_files_are_left_alone(make: Maker) -> None:
    work = make()
    documents, weights, dtype, damaged, foreign, *rest = work.paths()
    sections = result.read(documents)
    sections["blocks"][0]["digest"] = "other"
    result.save(documents, sections)
    described = result.read(weights)["provenance"]["model"]
    edit(weights, "provenance", model={**described, "id": "/else/where"})
    edit(dtype, "provenance", model={**described, "dtype": "bfloat16"})
    damaged.write_text('{"results": {')
    edit(foreign, "coalition", name="drop-moe9")
    for path in (documents, weights, dtype, foreign):
        shift(path, 9.0)
    before = work.contents()
    assert [stored.path for stored in adopting.stale_results(work.job())[OLD]] == rest
    assert adopt(work.config, PLANNED, 0)
    after = work.contents()
    assert {path for path in after if after[path] != before[path]} == set(rest)
    assert work.job().run_files(work.paths()) == 5


def test_results_of_deletion_curves_are_adopted_too(make: Maker) -> None:
    work = make({"models.tiny.chunks": 1})
    job = work.job()
    job.run_table([0b11111100], Path("deletion.parquet"), "made by")
    own = Path(Layout(work.config).deletion_coalition("tiny", "alpha", "drop-attn0-ffn0"))
    edit(own, "provenance", fingerprint=OLD)
    assert adopt(work.config, PLANNED + 1, 0)
    assert result.read(own)["provenance"]["fingerprint"] == job.fingerprint
    assert len(result.read(own)["provenance"]["adopted"][0]["compared"]) == PLANNED + 1


def test_a_coalition_that_is_stored_twice_is_adopted_twice_and_both_are_compared(make: Maker) -> None:
    work = make()
    (first,) = (path for path in work.paths() if path.stem == "drop-ffn1")
    second = Path(Layout(work.config).deletion_coalition("tiny", "alpha", first.stem))
    write_text(second, first.read_text())
    before = work.contents()
    shift(second, 0.05)
    assert not adopt(work.config, PLANNED + 1, 0)
    write_text(second, first.read_text())
    shift(first, 0.05)
    assert not adopt(work.config, PLANNED + 1, 0)
    write_text(first, second.read_text())
    assert work.contents() == before
    assert adopt(work.config, PLANNED + 1, 0)
    assert result.read(second)["provenance"]["fingerprint"] == work.job().fingerprint


def test_where_nothing_is_stale_no_model_is_loaded(
    make: Maker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    work = make()
    adopt(work.config, 1, 0)
    for name in ("load", "shapes_only"):
        monkeypatch.setattr(loading, name, lambda *_: pytest.fail("the model was loaded"))
    before = work.contents()
    assert adopt(work.config, 1, 0)
    assert work.contents() == before
    assert "tiny alpha: no stale results" in capsys.readouterr().err


def test_the_sample_follows_the_seed(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    work = make()
    drawn: list[list[str]] = []

    def compare(job: Job, chosen: list[adopting.Stored]) -> adopting.Comparison:
        drawn.append([stored.path.stem for stored in chosen])
        return adopting.Comparison(drawn[-1], [0.0] * len(chosen), 1e-4, "not at all")

    monkeypatch.setattr(adopting, "compare", compare)
    for seed in (0, 0, 1, 2, 3):
        assert adopt(work.config, 3, seed, dry_run=True)
    assert drawn[0] == drawn[1]
    assert len({tuple(names) for names in drawn}) >= 3
    assert all(len(set(names)) == 3 for names in drawn)
    assert adopt(work.config, 99, 0, dry_run=True)
    assert len(set(drawn[-1])) == PLANNED


@pytest.mark.parametrize("most", [256, 512, 1024, 4096])
def test_other_batches_are_smaller_and_hold_the_same_documents(make: Maker, most: int) -> None:
    job = make({"models.tiny.batch_tokens": most}, MANY).job()
    pieces = job.wanted().missing([])
    assert pieces == (Piece(0, 8), Piece(8, 16), Piece(24, 36))
    parts: adopting.Parts = {pieces: [adopting.Stored(Path(str(c)), c, pieces) for c in (254, 255)]}
    loaded = job.load(job.wanted(), [pieces])
    again = adopting.repacked(loaded, parts)
    largest, smaller = (max(batch.tokens for batch in each.batches(pieces)) for each in (loaded, again))
    assert smaller < 0.6 * largest
    before, after = (adopting.computed(job, each, parts) for each in (loaded, again))
    assert [len(row) for row in before.values()] == [len(row) for row in after.values()] == [12 * 13] * 2
    for path, scores in before.items():
        np.testing.assert_allclose(scores, after[path], rtol=1e-4, atol=1e-4)


def test_results_that_hold_other_numbers_of_documents_are_compared_on_what_they_hold(make: Maker) -> None:
    """What was scored beyond today's limit is kept, too; a wrong number within it is seen."""
    work = make({"documents.limit": 12}, MANY)
    grown = Work(work.config.model_copy(update={"documents": work.config.documents.model_copy(update={"limit": 30})}))
    for path in work.paths()[:2]:
        edit(path, "provenance", fingerprint=work.job().fingerprint)
    assert grown.job().run_files(work.paths()[:2]) == 2
    for path in work.paths()[:2]:
        edit(path, "provenance", fingerprint=OLD)
    held = [[block["count"] for block in result.read(path)["blocks"]] for path in work.paths()]
    assert held == [[8, 4, 12, 6]] * 2 + [[8, 4]] * (PLANNED - 2)
    shift(work.paths()[1], 0.5)
    assert not adopt(grown.config, PLANNED, 0)
    shift(work.paths()[1], -0.5)
    assert adopt(work.config, PLANNED, 0)
    assert [[block["count"] for block in result.read(path)["blocks"]] for path in work.paths()] == held
    assert grown.job().run_files(work.paths()) == PLANNED - 2


def test_versions_are_judged_each_by_itself(make: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    """Most results are right, a few of another version are not: these must not come in with the others."""
    work = make()
    few = work.paths()[:2]
    for path in few:
        edit(path, "provenance", fingerprint="another0another0")
        shift(path, 1.0)
    before = work.contents()
    assert not adopt(work.config, 1, 0)
    after = work.contents()
    assert {path for path in after if after[path] == before[path]} == set(few)
    assert "1 of 1 coalitions made by another0another0 differ" in capsys.readouterr().err


def test_results_of_other_settings_are_left_alone(make: Maker) -> None:
    work = make()
    other, *rest = work.paths()
    edit(other, "provenance", settings="0" * 16)
    assert [stored.path for stored in adopting.stale_results(work.job())[OLD]] == rest


def test_groups_of_a_version_that_did_not_note_its_settings_are_left_alone(make: Maker) -> None:
    work = make()
    config = configured({"models.tiny.players": {"groups": {"first": ["attn0"], "second": ["ffn3"]}}})
    job = Job(config, "tiny", "alpha", Path("x"), Path(Layout(work.config).documents_for("tiny", "alpha")), "0" * 16)
    path = Path(Layout(config).coalition("tiny", "alpha", "drop-first"))
    sections = result.read(work.paths()[0])
    del sections["provenance"]["settings"]
    sections["coalition"] |= {"name": "drop-first", "players": 2}
    path.parent.mkdir(parents=True, exist_ok=True)
    result.save(path, sections)
    assert adopting.stale_results(job) == {}
