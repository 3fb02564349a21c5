"""The noise floor: that it finds what was changed, and no more than rounding where nothing was."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from cornerstone.assets import documents as tasks
from cornerstone.assets import fetch
from cornerstone.assets.recipe import Recipe
from cornerstone.engine import loading
from cornerstone.errors import StoreError
from cornerstone.evaluate import noise, result
from cornerstone.evaluate.adopt import flat
from cornerstone.evaluate.job import Job
from cornerstone.evaluate.parts import Loaded, Part
from cornerstone.files import read_csv, write_text
from cornerstone.plan import fingerprint
from cornerstone.plan.layout import Layout
from cornerstone.plan.plan import Plan
from tests import tiny
from tests.helpers import configured, windows
from tests.unit.evaluate.test_adopt import MANY, PLANNED, edit

TASKS = ["alpha", "beta"]
METRIC = "acc"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save("llama", tmp_path_factory.mktemp("model"))


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many threads were asked for; tests have one, as two of them wait for each other on a busy machine."""
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    return asked


def jobs_of(saved: Path, **changes: Any) -> list[Job]:
    """The jobs of a tiny model on two tasks, whose results are there."""
    settings = {
        "models.tiny.id": str(saved),
        "run_tasks": TASKS,
        "estimators": windows(1),
        "models.tiny.threads": 1,
        "documents.limit": 24,
    }
    config = configured({**settings, **changes})
    layout, entry = Layout(config), config.models["tiny"]
    write_text(Path("resources/models/tiny.json"), json.dumps({"path": str(saved), "asset": fetch.asset_key(entry)}))
    found = []
    for task in TASKS:
        documents = Path(layout.documents_for("tiny", task))
        tasks.write(dataclasses.replace(MANY, task=task, made_from=Recipe(task).made_from), documents)
        made_by = fingerprint.of_result(config, "tiny", task)
        job = Job(config, "tiny", task, Path(layout.model_marker("tiny")), documents, made_by)
        job.run_files([Path(layout.coalition("tiny", task, name)) for name in Plan(config, "tiny", task).names])
        found.append(job)
    return found


def measured(jobs: list[Job], **changes: Any) -> Any:
    changed = {"noise": jobs[0].config.noise.model_copy(update=changes)}
    jobs = [dataclasses.replace(job, config=job.config.model_copy(update=changed)) for job in jobs]
    path = Path(Layout(jobs[0].config).noise("tiny")[0])
    noise.write(jobs, path)
    return read_csv(path).set_index(["task", "change", "function"]).sort_index()


def scores_of(job: Job) -> np.ndarray:
    """All log-likelihoods that are stored."""
    paths = sorted(Path(Layout(job.config).coalitions("tiny", job.task)).glob("*.json"))
    return np.concatenate([flat(result.read(path)["documents"]["loglikelihood"]) for path in paths])


def test_it_finds_what_is_there_and_loads_a_model_once(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: list[int]
) -> None:
    """All coalitions in float32. One log-likelihood of task beta is changed by so much that its answer flips."""
    monkeypatch.chdir(tmp_path)
    jobs = jobs_of(saved, **{"noise.coalitions": 100, "models.tiny.batch_tokens": 64})
    hurt = Path(Layout(jobs[0].config).coalition("tiny", "beta", "full"))
    rows, gold = (result.read(hurt)["documents"][key] for key in ("loglikelihood", "gold"))
    right = result.read(hurt)["documents"][METRIC][3]
    choice = gold[3] if not right else (gold[3] + 1) % len(rows[3])
    rows[3][choice] += 1000
    edit(hurt, "documents", loglikelihood=rows)
    loads: list[str] = []
    usual = loading.load

    def load(*given: Any) -> Any:
        loads.append(given[1])
        return usual(*given)

    monkeypatch.setattr(loading, "load", load)
    threads.clear()
    found = measured(jobs)
    assert loads == ["float32"]
    assert threads == [1, 2, 1, 2]
    assert set(found.index.get_level_values("change")) == {"batches", "threads"}
    assert set(found.index.get_level_values("function")) == {"log-likelihood", *MANY.metrics, *noise.FUNCTIONS}
    assert set(found["coalitions"]) == {PLANNED}
    assert set(found["documents"]) == {24}
    assert set(found.loc[("alpha", "threads"), "how"]) == {"2 threads"}
    alpha, beta = found.loc["alpha"], found.loc["beta"]
    assert alpha.loc[("batches", "log-likelihood"), "largest"] < 1e-3
    assert alpha.loc[("batches", METRIC), ["largest", "rms", "document_rms", "flipped"]].tolist() == [0] * 4
    for change in ("batches", "threads"):
        assert beta.loc[(change, "log-likelihood"), "largest"] == pytest.approx(1000, abs=1e-3)
        said = beta.loc[(change, METRIC)]
        share = 1 / (24 * PLANNED)
        assert said["flipped"] == pytest.approx(share)
        assert said["document_rms"] == pytest.approx(np.sqrt(share))
        assert said["largest"] == pytest.approx(1 / 24)
        assert said["rms"] == pytest.approx(1 / 24 / np.sqrt(PLANNED))
        assert np.isnan(beta.loc[(change, "margin"), "flipped"])


def test_half_precision_is_set_beside_float32(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The differences are those of a run whose config says float32."""
    monkeypatch.chdir(tmp_path)
    half = {"noise.coalitions": 100, "models.tiny.dtype": "bfloat16", "models.tiny.threads": 2}
    jobs, full = jobs_of(saved, **half), jobs_of(saved, **{"paths.results": "full"})
    counts: list[int] = []
    usual_part = Loaded.part

    def part(loaded: Loaded, *given: Any) -> Part:
        made = usual_part(loaded, *given)
        counts.append(len(made.batches))
        return made

    monkeypatch.setattr(Loaded, "part", part)
    found = measured(jobs)
    assert counts[0] == 24 > counts[1]  # each document by itself
    assert set(found.loc[("alpha", "threads"), "how"]) == {"1 thread"}
    for one, other in zip(jobs, full, strict=True):
        scores = [scores_of(job) for job in (one, other)]
        away = np.abs(scores[1] - scores[0])
        said = found.loc[(one.task, "dtype", "log-likelihood")]
        assert said[["largest", "rms"]].tolist() == pytest.approx([away.max(), np.sqrt((away**2).mean())], rel=1e-3)
        assert away.max() > 1e-3
    some = measured(jobs, coalitions=2)
    assert set(some["coalitions"]) == {2}
    again = measured(jobs, coalitions=2, float32=False)
    assert "dtype" not in set(again.index.get_level_values("change"))
    pd.testing.assert_frame_equal(again, some.loc[again.index])  # the same coalitions each time
    usual = Job.scores

    def overflown(*given: Any, **named: Any) -> list[list[list[float]]]:
        return [[[np.inf] * len(row) for row in rows] for rows in usual(*given, **named)]

    monkeypatch.setattr(Job, "scores", overflown)
    with pytest.raises(StoreError, match=r"alpha got a log-likelihood that is no finite number"):
        measured(jobs)
