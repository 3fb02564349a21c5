"""All tables of a model: those that the layout names, from the same games."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cornerstone.analysis import games, looks, paper, shapley, shares, write
from cornerstone.assets.documents import TaskDocuments
from cornerstone.config.config import Config
from cornerstone.engine import sweep
from cornerstone.engine.stages import stages_of
from cornerstone.errors import StoreError
from cornerstone.estimators import ablation
from cornerstone.files import write_csv, write_frames
from cornerstone.game.coalitions import name
from cornerstone.game.players import alike, players_of
from cornerstone.plan import fingerprint
from cornerstone.plan.layout import Layout
from cornerstone.plan.plan import Plan
from tests.helpers import SEQUENTIAL, configured, documents, windows

PLAYERS = players_of(alike(2))
DATA = {task: documents([[("q", " a"), ("q", " b")]] * 9, task) for task in ("alpha", "beta")}
ASKED: dict[str, Any] = {
    "models.tiny.blocks": 2,
    "estimators": windows(2, 1),
    "interactions": [{"kind": "exact"}],
    "value_functions": ["margin"],
}


class Run:
    """Values of every coalition, as evaluate jobs leave them."""

    def __init__(self, folder: Path, changes: dict[str, Any] | None = None) -> None:
        self.config: Config = configured({**ASKED, "paths.results": str(folder), **(changes or {})})
        self.layout = Layout(self.config)
        rng = np.random.default_rng(0)
        self.values = [self._save(task, rng) for task in self.config.run_tasks]

    def _save(self, task: str, rng: np.random.Generator) -> Path:
        rows = []
        for coalition in range(16):
            right = (rng.random(9) < 0.2 + 0.35 * (coalition & 1) + 0.35 * (coalition >> 1 & 1)).astype(np.int8)
            who = {
                "coalition": name(coalition, PLAYERS),
                "doc_id": range(9),
                "cluster": [str(i // 2) for i in range(9)],
            }
            rows.append(pd.DataFrame({**who, "acc": right, "acc_norm": right, "margin": right - rng.random(9)}))
        frame = pd.concat(rows, ignore_index=True)
        made_by = fingerprint.of_values(self.config, "tiny", task)
        frame.attrs = {"fingerprint": made_by, "documents": DATA[task].digest}
        path = Path(self.layout.values("tiny", task))
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(path, index=False)
        return path

    def estimates(self, data: dict[str, TaskDocuments] | None = None) -> write.Frames:
        for task, path in zip(self.config.run_tasks, self.values if data else [], strict=False):
            frame = pd.read_parquet(path)
            frame.attrs["documents"] = (data or DATA)[task].digest
            frame.to_parquet(path, index=False)
        return write.estimates(self.config, "tiny", self.values, data or DATA)

    def relations(self) -> write.Frames:
        frames = self.estimates()
        paths = [Path(self.layout.csv("tiny", stem)) for stem in ("baselines", "cornerstones")]
        for path in paths:
            write_csv(frames[path.stem], path)
        return write.relations(self.config, "tiny", self.values, *paths)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [{}, {"interactions": [], "estimators": windows(1)}, {"value_functions": []}, {"estimators": [{"kind": "exact"}]}],
)
def test_the_tables_are_those_of_the_layout(tmp_path: Path, changes: dict[str, Any]) -> None:
    run = Run(tmp_path, changes)
    for frames, paths in (
        (run.estimates(), run.layout.estimates("tiny")),
        (run.relations(), run.layout.relations("tiny")),
    ):
        assert set(frames) == {Path(path).stem for path in paths}
        write_frames(frames, [Path(path) for path in paths])
        assert all(Path(path).is_file() for path in paths)
        assert all(len(frame) for frame in frames.values())


def test_each_estimator_and_value_function_has_its_own_values(run: Run) -> None:
    frames = run.estimates()
    for entry in run.config.estimators:
        for function, ending in (("accuracy", ""), ("margin", "_margin")):
            by_task = games.read_all(run.config, "tiny", run.values, function)
            found = shapley.samples(run.config, entry, {function: by_task})[function]
            expected = shapley.shapley(run.config, "tiny", entry, found, by_task, function)
            pd.testing.assert_frame_equal(frames[f"shapley_{entry.name}{ending}"], expected)
    headline = frames["shapley_window-k2"].query("task == 'mean'").sort_values("rank")
    assert frames["cornerstones"]["player"].tolist() == headline["player"].tolist()
    assert frames["estimators"]["estimator"].unique().tolist() == ["window-k2", "window-k1"]


def test_shares_and_drops_are_those_of_the_top_players(run: Run) -> None:
    frames, config = run.estimates(), run.config
    by_task = games.read_all(config, "tiny", run.values)
    found = shapley.samples(config, config.headline, {"accuracy": by_task})["accuracy"]
    top = paper.top_players(frames["cornerstones"], "tiny")
    names, clusters = [p.name for p in PLAYERS], {task: game.clusters for task, game in by_task.items()}
    share = shares.share(found, names, "tiny", top, selected=True, seed=config.seed, repetitions=100, level=0.95)
    pd.testing.assert_frame_equal(frames["share"], share)
    drops = {task: ablation.estimate(game) for task, game in by_task.items()}
    both = shares.mean_drop(drops, names, "tiny", top, level=0.95, clusters=clusters)
    pd.testing.assert_frame_equal(frames["mean_drop"], both)
    assert frames["mean_drop_by_task"]["task"].tolist() == ["alpha", "beta"]
    mean = frames["ablation"].query("task != 'mean'").groupby("player")["drop"].mean()
    assert both["unclipped_percent"][0] == pytest.approx(100 * mean[top].mean())


def test_the_comparison_counts_the_coalitions_of_the_plan(run: Run) -> None:
    rows = run.estimates()["estimators"].drop_duplicates("estimator").set_index("estimator")
    wanted = Plan(run.config, "tiny", "alpha").wanted
    assert rows["coalitions"].to_dict() == {entry: len(wanted[entry]) for entry in ("window-k2", "window-k1")}
    done = {entry: sweep.work(wanted[entry], stages_of(PLAYERS, [SEQUENTIAL] * 2)) for entry in rows.index}
    assert rows["evaluations"].to_dict() == done


def test_baselines_hold_the_chance_of_the_documents(run: Run) -> None:
    four = documents([[("q", f" {letter}") for letter in "abcd"]] * 9, "beta")
    assert run.estimates({**DATA, "beta": four})["baselines"]["chance"].tolist() == [0.5, 0.25]


def test_interactions_are_written_for_each_value_function_and_profiles_for_accuracy(run: Run) -> None:
    frames = run.relations()
    assert set(frames) == {
        *("interactions_exact-k-sii", "interactions_exact-k-sii_margin"),
        *("interactions_windows-k4", "interactions_windows-k4_margin"),
        *("by_distance", "by_removed", "hypotheses"),
    }
    assert set(frames["by_distance"]["interactions"]) == {"exact-k-sii", "windows-k4"}
    assert set(frames["interactions_exact-k-sii_margin"]["metric"]) == {"margin", "margin/sd"}


def test_a_coalition_that_is_missing_is_an_error(run: Run) -> None:
    frame = pd.read_parquet(run.values[1])
    frame[frame["coalition"] != "drop-attn0-ffn0"].to_parquet(run.values[1], index=False)
    with pytest.raises(StoreError, match="drop-attn0-ffn0 was not evaluated"):
        run.estimates()


def test_estimates_are_of_one_configuration(run: Run, tmp_path: Path) -> None:
    other = configured({**ASKED, "paths.results": str(tmp_path), "models.tiny.dtype": "bfloat16"})
    with pytest.raises(StoreError, match="was made from results of other settings"):
        write.estimates(other, "tiny", run.values, DATA)


def test_provenance_holds_the_fingerprints(run: Run) -> None:
    found = write.provenance(run.config, "tiny")
    assert found["fingerprint"] == fingerprint.of_estimates(run.config, "tiny")
    assert found["values"] == {task: fingerprint.of_values(run.config, "tiny", task) for task in run.config.run_tasks}


def test_values_of_other_documents_are_refused(run: Run) -> None:
    other = {task: data.first(len(data.documents) - 1) for task, data in DATA.items()}
    with pytest.raises(StoreError, match=r"alpha/values\.parquet was made from other documents\. Delete it"):
        write.estimates(run.config, "tiny", run.values, other)


def test_the_verdict_of_a_model_is_read_off_its_tables(tmp_path: Path) -> None:
    changes = {"until": {"settled": "top1", "by": "margin", "at_most": 40}, "documents.limit": 9}
    run = Run(tmp_path, changes)
    for task, path in zip(run.config.run_tasks, run.values, strict=True):
        frame = pd.read_parquet(path)
        frame.attrs["documents"] = DATA[task].digest
        frame.to_parquet(path, index=False)
    said = looks.verdict(run.config, "tiny", run.values, DATA)
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    by_name = {part["value_function"]: part for part in said["value_functions"]}
    assert [name for name, part in by_name.items() if part["decides"]] == ["margin"]
    assert said["settled"] == by_name["margin"]["settled"]
    assert said["last"]  # the tasks have no more than these documents
    assert (said["look"], said["documents"], said["level"]) == (1, 9, 0.95)
    assert said["made_from"]["settings"] == run.config.made_for("tiny")
    headline = run.estimates()["shapley_window-k2_margin"].query("task == 'mean'").sort_values("rank")
    rows = pd.DataFrame(by_name["margin"]["players"])
    assert rows["player"].tolist() == headline["player"].tolist()
    assert rows["value"].to_numpy() == pytest.approx(headline["value"].to_numpy())
    word = "settled" if said["settled"] else "not settled"
    assert said["text"].startswith(f"tiny: {word} at 9 documents a task")
