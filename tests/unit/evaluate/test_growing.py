"""Limits that grow and shrink: what is there stays as it is, and only what is missing is computed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cornerstone.analysis import games
from cornerstone.assets import documents as tasks
from cornerstone.assets import fetch
from cornerstone.engine import loading, sweep
from cornerstone.errors import StoreError
from cornerstone.evaluate import result as store
from cornerstone.evaluate import stale
from cornerstone.evaluate import table as tables
from cornerstone.evaluate.job import Job
from cornerstone.evaluate.wanted import Wanted
from cornerstone.files import write_text
from cornerstone.plan import fingerprint
from cornerstone.plan.layout import Layout
from cornerstone.plan.plan import Plan
from tests import tiny
from tests.helpers import configured, documents, left_over, windows

WORDS = ("the sun is hot", "water", "no egg", "a tree", "energy from the wind", "how do you boil")
RNG = np.random.default_rng(0)
TASK = documents(
    [
        [
            (f"Question: {WORDS[i % 6]} and {WORDS[RNG.integers(6)]}?\nAnswer {i}:", f" {WORDS[(i + j) % 6]}")
            for j in range(2 + i % 3)
        ]
        for i in range(40)
    ]
)
PLANNED = 10


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save("llama", tmp_path_factory.mktemp("model"))


class Site:
    """Jobs of one model and task, whatever limit and folder of results."""

    def __init__(self, saved: Path, folder: Path) -> None:
        self.saved, self.folder = saved, folder
        asset = fetch.asset_key(configured({"models.tiny.id": str(saved)}).models["tiny"])
        write_text(folder / "tiny.json", json.dumps({"path": str(saved), "asset": asset}))
        tasks.write(TASK, folder / "alpha.json")

    def job(self, limit: int | None, results: str = "results", changes: dict[str, Any] | None = None) -> Job:
        paths = {"results": str(self.folder / results), "resources": str(self.folder / "resources")}
        settings = {"models.tiny.id": str(self.saved), "paths": paths, "estimators": windows(1), **(changes or {})}
        config = configured(settings | ({"documents.limit": limit} if limit else {}))
        made_by = fingerprint.of_result(config, "tiny", "alpha")
        return Job(config, "tiny", "alpha", self.folder / "tiny.json", self.folder / "alpha.json", made_by)

    def run(self, limit: int | None, results: str = "results", changes: dict[str, Any] | None = None) -> int:
        made = self.job(limit, results, changes)
        return made.run_files(planned(made))

    def scores(self, results: str = "results") -> dict[str, list[list[float]]]:
        """Log-likelihoods, coalition by coalition."""
        paths = planned(self.job(None, results))
        return {path.name: store.read(path)["documents"]["loglikelihood"] for path in paths}

    def held(self, results: str = "results") -> set[tuple[tuple[int, int], ...]]:
        """(first, count) of the blocks of all files."""
        files = [store.read(path) for path in planned(self.job(None, results))]
        return {tuple((block["first"], block["count"]) for block in found["blocks"]) for found in files}


def planned(job: Job) -> list[Path]:
    layout = Layout(job.config)
    return [Path(layout.coalition("tiny", "alpha", name)) for name in Plan(job.config, "tiny", job.task).names]


@pytest.fixture
def site(saved: Path, tmp_path: Path) -> Site:
    return Site(saved, tmp_path)


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(coalitions, documents) of each group."""
    real = sweep.choice_scores
    found: list[tuple[int, int]] = []
    groups: list[Any] = []

    def choice_scores(network: Any, batches: Any, group: Any, *rest: Any) -> Any:
        documents = len({i for batch in batches for i in batch.documents})
        if groups and groups[-1] is group:  # the next block of documents
            documents += found.pop()[1]
        groups.append(group)
        found.append((len(group), documents))
        return real(network, batches, group, *rest)

    monkeypatch.setattr(sweep, "choice_scores", choice_scores)
    return found


def test_a_limit_that_grows_computes_the_new_documents_only(site: Site, walked: list[tuple[int, int]]) -> None:
    assert site.run(8) == PLANNED
    before = site.scores()
    assert site.run(24) == PLANNED
    assert walked == [(PLANNED, 8), (PLANNED, 16)]
    after = site.scores()
    assert {name: rows[:8] for name, rows in after.items()} == before
    assert site.held() == {((0, 8), (8, 16))}
    assert site.run(24, "fresh") == PLANNED
    assert site.scores("fresh") == after  # to the bit
    paths = planned(site.job(24))
    times = [path.stat().st_mtime_ns for path in paths]
    assert site.run(16) == site.run(8) == site.run(24) == 0
    assert [path.stat().st_mtime_ns for path in paths] == times
    assert left_over(site.folder / "results") == []


def test_a_limit_inside_a_block_scores_that_part_and_later_the_rest(site: Site, walked: list[tuple[int, int]]) -> None:
    assert site.run(5) == site.run(13) == site.run(None) == PLANNED
    assert walked == [(PLANNED, 5), (PLANNED, 8), (PLANNED, 27)]
    assert site.held() == {((0, 5), (5, 3), (8, 5), (13, 11), (24, 16))}
    assert site.run(None, "fresh") == PLANNED
    for name, rows in site.scores("fresh").items():
        for one, other in zip(rows, site.scores()[name], strict=True):
            assert one == pytest.approx(other, rel=1e-4)


def test_results_that_lack_different_documents_are_walked_apart(site: Site, walked: list[tuple[int, int]]) -> None:
    site.run(8)
    paths = planned(site.job(24))
    paths[3].unlink()
    assert site.job(24).run_files(paths) == PLANNED
    assert sorted(walked[1:]) == [(1, 24), (PLANNED - 1, 16)]
    scores = site.scores()
    site.run(24, "fresh")
    assert site.scores("fresh") == scores


def test_memory_and_streaming_change_nothing_of_growing(site: Site) -> None:
    small = {"models.tiny.memory": {"weights": "resident", "budget_gb": 1e-6}}
    assert site.run(8, changes=small) == site.run(24, changes=small) == PLANNED
    streamed = {"models.tiny.memory": {"weights": "streamed"}}
    assert site.run(8, "streamed", streamed) == site.run(24, "streamed", streamed) == PLANNED
    site.run(24, "fresh")
    assert site.scores() == site.scores("streamed") == site.scores("fresh")
    jobs = store.read(planned(site.job(24, "streamed"))[0])["provenance"]["jobs"]
    assert [job["weights"] for job in jobs] == ["streamed"] * 2


def test_documents_that_changed_are_scored_again_and_no_others(site: Site, walked: list[tuple[int, int]]) -> None:
    site.run(24)
    before = site.scores()
    changed = list(TASK.documents)
    changed[20] = dataclasses.replace(changed[20], requests=[(c + "!", t) for c, t in changed[20].requests])
    tasks.write(dataclasses.replace(TASK, documents=changed), site.folder / "alpha.json")
    assert site.run(8) == 0
    assert site.run(24) == PLANNED
    assert walked[1:] == [(PLANNED, 16)]
    assert all(site.scores()[name][:8] == rows[:8] and site.scores()[name] != rows for name, rows in before.items())


def test_a_file_says_what_lm_eval_would_say_of_all_its_documents(site: Site) -> None:
    site.run(8)
    site.run(24)
    for path in planned(site.job(24)):
        found = store.read(path)
        assert found["documents"]["doc_id"] == list(range(24))
        assert found["n-samples"] == {"alpha": {"original": 100, "effective": 24}}
        assert found["results"]["alpha"]["acc,none"] == np.mean(found["documents"]["acc"])
        assert [block["job"] for block in found["blocks"]] == [0, 1]
        assert len(found["provenance"]["jobs"]) == 2


def test_a_table_takes_the_documents_that_are_asked_for(site: Site) -> None:
    site.run(24)
    large = site.job(24)
    for limit in (5, 8, 16):
        small = site.job(limit)
        found = tables.table(planned(small), small.players, small.fingerprint, small.wanted(), small.config)
        whole = tables.table(planned(large), large.players, large.fingerprint, large.wanted(), large.config)
        assert len(found) == PLANNED * limit
        kept = whole[whole["doc_id"] < limit].reset_index(drop=True)
        pd.testing.assert_frame_equal(found, kept)
    more = site.job(30)
    with pytest.raises(StoreError, match=r"\.json lacks 6 of the 30 documents, .*Run `snakemake"):
        tables.table(planned(more), more.players, more.fingerprint, more.wanted(), more.config)


def test_a_table_of_deletion_curves_grows(site: Site, walked: list[tuple[int, int]]) -> None:
    removed = [0b11110000, 0b00001111]
    for limit in (8, 24):
        site.job(limit).run_table(removed, site.folder / "deletion.parquet", "made by")
        assert len(pd.read_parquet(site.folder / "deletion.parquet")) == 2 * limit
    assert walked == [(2, 8), (2, 16)]


def test_what_another_job_scored_in_the_meantime_stays(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of different limits in one folder: while the smaller one computes, the larger one has written."""
    real = sweep.choice_scores
    scored: list[bool] = []

    def choice_scores(*arguments: Any) -> Any:
        found = real(*arguments)
        if not scored:
            scored.append(True)
            assert site.run(24) == PLANNED
        return found

    site.run(8)
    monkeypatch.setattr(sweep, "choice_scores", choice_scores)
    assert site.run(13) == PLANNED
    assert site.held() == {((0, 8), (8, 16))}
    scored.clear()
    monkeypatch.setattr(sweep, "choice_scores", real)
    site.run(24, "fresh")
    assert site.scores() == site.scores("fresh")


def test_computed_again_on_demand(site: Site, walked: list[tuple[int, int]]) -> None:
    site.run(24)
    job = site.job(8)
    paths = planned(job)
    sections = store.read(paths[2])
    sections["documents"]["loglikelihood"][0][0] -= 1  # wrong, but it fits the fingerprint and the documents
    store.save(paths[2], sections)
    assert job.run_files(paths) == 0
    assert job.run_files(paths, again=paths[2:3]) == 1
    assert walked[1:] == [(1, 8)]
    site.run(24, "fresh")
    assert site.scores() == site.scores("fresh")


DAMAGE = {"job": 7, "count": 12, "digest": "0" * 16, "first": "?"}


def test_blocks_that_do_not_fit_their_file_count_for_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.run(24)
    before, paths = site.scores(), planned(site.job(24))
    for path, damage in zip(paths, ("blocks", "rows", *DAMAGE), strict=False):
        sections = store.read(path)
        if damage == "blocks":
            sections["blocks"] = {"first": 0}
        elif damage == "rows":
            del sections["documents"]["gold"][3]
        else:
            sections["blocks"][1][damage] = DAMAGE[damage]
        store.save(path, sections)
    assert site.run(24) == len(DAMAGE) + 2
    assert site.scores() == before
    for name in ("load", "shapes_only"):
        monkeypatch.setattr(loading, name, lambda *_: pytest.fail("the model was loaded"))
    assert site.run(24) == 0


def test_more_documents_than_there_are(site: Site) -> None:
    assert site.run(99) == PLANNED
    assert site.run(None) == 0
    assert len(Wanted(TASK, 99).data.documents) == 40


def lacking(site: Site, job: Job) -> str:
    found = stale.Results(job.config, job.model, job.task)
    found.documents = site.folder / "alpha.json"
    return found.lacking(Plan(job.config, job.model, job.task).names)


def test_a_nested_design_grows_and_each_document_has_the_coalitions_of_its_sample(site: Site) -> None:
    """A block of 16 documents for each of two samples, then a part of the next for the first of them."""
    drawn = {"kind": "truncated-permutation", "removed": 8, "budget": 9, "replicates": 2, "design": "nested"}
    changes: dict[str, Any] = {"estimators": [drawn]}
    for limit, results in ((32, "results"), (40, "results"), (40, "straight")):
        site.job(limit, results, changes).run_chunk(0)
    job = site.job(40, changes=changes)
    plan, layout = Plan(job.config, "tiny", "alpha"), Layout(job.config)
    paths = [Path(layout.coalition("tiny", "alpha", name)) for name in plan.names]
    other = Layout(site.job(40, "straight", changes).config)
    for name, path in zip(plan.names, paths, strict=True):
        found = store.read(path)["documents"]
        assert found == store.read(Path(other.coalition("tiny", "alpha", name)))["documents"]
        mine = plan.shares.get(name)
        assert found["doc_id"] == [i for i in range(40) if mine is None or (i // 16) % 2 in mine]
    assert lacking(site, job) == ""
    assert lacking(site, site.job(40, changes={"estimators": [{**drawn, "replicates": 3}]}))
    table = tables.table(paths, job.players, job.fingerprint, job.wanted(), job.config, plan.shares)
    game = games.from_table(table, job.players, "acc")
    values = job.config.headline.estimate({"alpha": game}, job.config.headline.seed_on(0, "alpha"), 0)["alpha"]
    assert values.documents.sum(axis=1) == pytest.approx(game.full - game(0))
    assert values.clusters is not None
    assert values.clusters.tolist() == [str((i // 16) % 2) for i in range(40)]


def test_a_sample_without_documents_needs_nothing(site: Site) -> None:
    drawn = {"kind": "truncated-permutation", "removed": 8, "budget": 9, "replicates": 5, "design": "nested"}
    job = site.job(32, changes={"estimators": [drawn]})
    job.run_chunk(0)
    plan, layout = Plan(job.config, "tiny", "alpha"), Layout(job.config)
    paths = [Path(layout.coalition("tiny", "alpha", name)) for name in plan.names]
    assert 0 < sum(path.exists() for path in paths) < len(paths)
    assert lacking(site, job) == ""
    found = tables.table(paths, job.players, job.fingerprint, job.wanted(), job.config, plan.shares)
    assert set(found["sample"]) == {0, 1}
