from __future__ import annotations

import dataclasses
import errno
import json
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from cornerstone import files, stopping
from cornerstone.assets import documents as tasks
from cornerstone.assets import fetch
from cornerstone.engine import blocks, encoding, loading, sweep
from cornerstone.errors import AssetError, CoalitionError, CornerstoneError, ModelError, StoreError, TaskError
from cornerstone.evaluate import result as store
from cornerstone.evaluate.job import Job
from cornerstone.evaluate.parts import Target
from cornerstone.evaluate.wanted import Wanted
from cornerstone.game import coalitions
from cornerstone.game.coalitions import full, without
from cornerstone.game.players import alike, players_of
from cornerstone.plan import fingerprint
from cornerstone.plan.layout import Layout
from cornerstone.plan.plan import Plan
from cornerstone.schedule import groups as grouping
from cornerstone.schedule import limits
from cornerstone.schedule.limits import Limit
from tests import tiny
from tests.helpers import configured, documents, left_over

PLAYERS = players_of(alike(tiny.BLOCKS))
DATA = documents(
    [
        [("Question: Which of these is hot?\nAnswer:", f" {choice}") for choice in ("the sun", "water", "no egg")],
        [("Sarah was better than Maria so Sarah", " won."), ("Sarah was better than Maria so Maria", " won.")],
        [("Is the wind a source of energy?", " yes"), ("Is the wind a source of energy?", " no")],
        [("How do you boil an egg?", f" {choice}") for choice in ("Hot water.", "Cold water.", "In a tree.", "No.")],
        [("yes and", " no"), ("yes and", " yes")],
    ]
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save("llama", tmp_path_factory.mktemp("model"))


Maker = Callable[..., Job]


@pytest.fixture
def job(saved: Path, tmp_path: Path) -> Maker:
    """Makes a job on the tiny model; its files are below tmp_path."""
    marker = tmp_path / "tiny.json"
    asset = fetch.asset_key(configured({"models.tiny.id": str(saved)}).models["tiny"])
    files.write_text(marker, json.dumps({"path": str(saved), "asset": asset}))
    tasks.write(DATA, tmp_path / "alpha.json")

    def make(changes: dict[str, Any] | None = None, results: str = "results") -> Job:
        paths = {"results": str(tmp_path / results), "resources": str(tmp_path / "resources")}
        config = configured({"models.tiny.id": str(saved), "paths": paths, **(changes or {})})
        made_by = fingerprint.of_result(config, "tiny", "alpha")
        return Job(config, "tiny", "alpha", marker, tmp_path / "alpha.json", made_by)

    return make


def planned(job: Job) -> list[Path]:
    layout = Layout(job.config)
    return [Path(layout.coalition("tiny", "alpha", name)) for name in Plan(job.config, "tiny", job.task).names]


def contents(paths: list[Path]) -> dict[str, Any]:
    return {path.name: store.read(path)["documents"] for path in paths}


def straight(job: Maker) -> dict[str, Any]:
    """What an undisturbed run in a folder of its own computes."""
    other = job(results="straight")
    assert other.run_files(planned(other)) == len(planned(other))
    return contents(planned(other))


def dies_in_call(number: int, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> list[list[int]]:
    """Make the walk over the `number`th group raise; returns the groups walked, as they come."""
    real, groups = sweep.choice_scores, []

    def choice_scores(network: Any, batches: Any, group: list[int], *rest: Any) -> Any:
        groups.append(group)
        if len(groups) == number:
            raise error
        return real(network, batches, group, *rest)

    monkeypatch.setattr(sweep, "choice_scores", choice_scores)
    return groups


def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on no model may be loaded, nor its shapes."""
    for name in ("load", "shapes_only"):
        monkeypatch.setattr(loading, name, lambda *_: pytest.fail("the model was loaded"))


def test_a_straight_run(job: Maker) -> None:
    made = job()
    paths = planned(made)
    assert made.run_files(paths) == len(paths) == len(set(paths)) == 1 + 2 * 8 - 1 + 1
    for path in paths:
        result = store.read(path)
        assert result["coalition"]["name"] == path.stem
        assert not store.missing(path, made.fingerprint, Wanted(DATA), coalitions.parse(path.stem, PLAYERS), PLAYERS)
        assert result["documents"]["doc_hash"] == [d.doc_hash for d in DATA.documents]
        assert [len(row) for row in result["documents"]["loglikelihood"]] == [3, 2, 2, 4, 2]
        assert result["provenance"]["model"]["name"] == "tiny"
        assert result["provenance"]["jobs"][0]["device"] == "cpu"
        assert result["provenance"]["jobs"][0]["versions"]["torch"] == torch.__version__
    scores = [json.dumps(found["loglikelihood"]) for found in contents(paths).values()]
    assert len(set(scores)) == len(paths)  # each removal changes something
    assert left_over(Path(made.config.paths.results)) == []


def test_the_full_coalition_is_the_model_itself(job: Maker, saved: Path) -> None:
    made = job()
    (path,) = [path for path in planned(made) if path.stem == "full"]
    made.run_files([path])
    model, tokenizer = loading.load(saved, "float32", "cpu")
    for document, row in zip(DATA.documents, store.read(path)["documents"]["loglikelihood"], strict=True):
        for (context, continuation), found in zip(document.requests, row, strict=True):
            whole = tokenizer.encode(context + continuation, add_special_tokens=False)
            start = len(tokenizer.encode(context, add_special_tokens=False))
            with torch.inference_mode():
                logits = model(torch.tensor([whole])).logits[0].log_softmax(-1)
            wanted = sum(logits[i - 1, whole[i]].item() for i in range(start, len(whole)))
            assert found == pytest.approx(wanted, rel=1e-4, abs=1e-4)


def test_a_second_run_has_nothing_to_do(job: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    made = job()
    made.run_files(planned(made))
    before = {path: path.stat().st_mtime_ns for path in planned(made)}
    no_model(monkeypatch)
    assert made.run_files(planned(made)) == 0
    assert {path: path.stat().st_mtime_ns for path in planned(made)} == before


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("power")])
def test_an_interrupted_run_goes_on_where_it_stopped(
    job: Maker, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    made = job()
    paths = planned(made)
    monkeypatch.setattr(grouping, "MOST_TOGETHER", 4)
    with monkeypatch.context() as context:
        dies_in_call(3, context, error)
        with pytest.raises(type(error)):
            made.run_files(paths)
    kept = [path for path in paths if path.exists()]
    assert kept == paths[:8]  # two whole groups
    before = {path: path.stat().st_mtime_ns for path in kept}
    assert made.run_files(paths) == len(paths) - 8
    assert {path: path.stat().st_mtime_ns for path in kept} == before
    assert contents(paths) == straight(job)
    assert left_over(Path(made.config.paths.results)) == []


@pytest.mark.parametrize(("streamed", "together", "stopped_in"), [(False, 1, 3), (True, 2, 2)])
def test_a_run_that_is_stopped_in_a_walk_keeps_the_blocks_that_are_finished(
    job: Maker, monkeypatch: pytest.MonkeyPatch, streamed: bool, together: int, stopped_in: int
) -> None:
    """SIGTERM after three of five documents, in blocks of 2, 2, 1: what is finished stays, and the rest is computed."""
    monkeypatch.setattr(blocks, "FIRST", (2, 4))

    def runs(grouping: grouping.Grouping, batches: list[int]) -> list[list[int]]:
        return [list(range(len(batches)))[i : i + together] for i in range(0, len(batches), together)]

    monkeypatch.setattr(grouping.Grouping, "runs", runs)
    memory = {"weights": "streamed", "budget_gb": 1} if streamed else {}
    settings = {"models.tiny.memory": memory, "models.tiny.batch_tokens": 8}  # four batches: 2, 1, 1, 1
    made = job(settings)
    paths, real, walks = planned(made), sweep.sweep, []

    def walk(network: Any, batches: Any, group: Any, progress: Any = None, *rest: Any) -> Any:
        if progress is None:  # the proof at load
            return real(network, batches, group)
        walks.append(len(group) * sum(len(batch.documents) for batch in batches))

        def told(done: int) -> None:
            if len(walks) == stopped_in:
                with suppress(stopping.Stop):  # it gets lost, as in the deletion of an object
                    signal.raise_signal(signal.SIGTERM)
                signal.raise_signal(signal.SIGTERM)  # the second is passed over
            progress(done)

        return real(network, batches, group, told, *rest)

    monkeypatch.setattr(sweep, "sweep", walk)
    with pytest.raises(stopping.Stop) as caught, stopping.stoppable():
        made.run_files(paths)
    before = {path: store.read(path)["documents"]["loglikelihood"] for path in paths if path.exists()}
    assert {len(rows) for rows in before.values()} == {2}
    assert str(caught.value) == (
        f"stopped by SIGTERM. 0 of the {len(paths)} coalitions of tiny alpha that it had to do are there, and "
        f"{len(before)} more for 2 of 5 documents. Run the same command again: it goes on with the rest."
    )
    assert made.run_files(paths) == len(paths)
    assert sum(walks[stopped_in:]) == 5 * len(paths) - 2 * len(before)  # what is there is not computed again
    for path, rows in before.items():
        assert store.read(path)["documents"]["loglikelihood"][:2] == rows
    other = job(settings, results="straight")
    other.run_files(planned(other))
    assert contents(paths) == contents(planned(other))


@pytest.mark.parametrize("how", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_a_run_that_ended_while_writing_goes_on(
    job: Maker, monkeypatch: pytest.MonkeyPatch, how: BaseException
) -> None:
    """It was stopped, or the disk is full: what was written is whole, and stays."""
    made = job()
    paths, real = planned(made), store.write
    written: list[Path] = []

    def write(path: Path, *rest: Any) -> None:
        if len(written) == 5:
            raise how
        real(path, *rest)
        written.append(path)

    with monkeypatch.context() as context:
        context.setattr(store, "write", write)
        with pytest.raises(type(how)):
            made.run_files(paths)
    assert [path for path in paths if path.exists()] == written
    assert left_over(Path(made.config.paths.results)) == []
    assert made.run_files(paths) == len(paths) - 5
    assert contents(paths) == straight(job)


def test_deleting_one_file_computes_exactly_that_one(job: Maker) -> None:
    made = job()
    paths = planned(made)
    made.run_files(paths)
    before, times = contents(paths), {path: path.stat().st_mtime_ns for path in paths}
    paths[7].unlink()
    assert made.run_files(paths) == 1
    assert contents(paths) == before
    assert [path for path in paths if path.stat().st_mtime_ns != times[path]] == [paths[7]]


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.EACCES])
def test_a_result_that_can_not_be_read_now_is_not_made_again(
    job: Maker, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Nothing is known of what it holds: it may be whole, and hold more documents than are asked for."""
    made = job()
    paths = planned(made)[:4]
    made.run_files(paths)
    before = {path: path.stat().st_ino for path in paths}
    real = os.open

    def fail(path: Any, *rest: Any, **options: Any) -> int:
        if Path(path) == paths[2]:
            raise OSError(number, os.strerror(number), str(path))
        return real(path, *rest, **options)

    with monkeypatch.context() as context:
        context.setattr(os, "open", fail)
        with pytest.raises(StoreError, match=rf"{paths[2].name} can't be read"):
            made.run_files(paths)
    assert {path: path.stat().st_ino for path in paths} == before
    assert made.run_files(paths) == 0


@pytest.mark.parametrize("damage", [b"", b'{"results": {', None])
def test_damaged_and_foreign_files_are_computed_again(job: Maker, damage: bytes | None) -> None:
    made = job()
    paths = planned(made)[:4]
    made.run_files(paths)
    before = contents(paths)
    paths[2].write_bytes(paths[1].read_bytes() if damage is None else damage)  # None: another coalition's
    assert made.run_files(paths) == 1
    assert contents(paths) == before


@pytest.mark.parametrize("change", [{"models.tiny.dtype": "bfloat16"}, {"models.tiny.batch_tokens": 40}])
def test_other_settings_compute_everything_again(job: Maker, change: dict[str, Any]) -> None:
    made = job()
    paths = planned(made)
    made.run_files(paths)
    changed = job(change)
    assert changed.run_files(paths) == len(paths)
    assert changed.run_files(paths) == 0


def test_settings_that_decide_nothing_compute_nothing(job: Maker) -> None:
    made = job()
    paths = planned(made)
    made.run_files(paths)
    other = {"models.tiny.chunks": 3, "models.tiny.threads": 2, "tasks.alpha.metric": "acc_norm", "seed": 4}
    assert job(other).run_files(paths) == 0


@pytest.mark.parametrize("budget", [1e-9, 1e-4])
def test_memory_changes_no_result(job: Maker, budget: float) -> None:
    made = job({"models.tiny.memory": {"weights": "resident", "budget_gb": budget}})
    made.run_files(planned(made))
    assert contents(planned(made)) == straight(job)


def test_chunks_change_no_result(job: Maker) -> None:
    made = job({"models.tiny.chunks": 4})
    layout = Layout(made.config)
    for chunk in Plan(made.config, "tiny", made.task).chunks:
        assert made.run_files([Path(layout.coalition("tiny", "alpha", name)) for name in chunk]) == len(chunk)
    assert contents(planned(made)) == straight(job)


def test_what_another_job_made_meanwhile_is_not_made_again(job: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    made = job()
    paths = planned(made)[:6]
    monkeypatch.setattr(grouping, "MOST_TOGETHER", 2)
    groups = dies_in_call(-1, monkeypatch, RuntimeError())
    real, other = store.write, job()
    done: list[bool] = []

    def write(path: Path, *rest: Any) -> None:
        real(path, *rest)
        if not done:  # the other job runs while the first group is written
            done.append(True)
            other.run_files(paths[2:5])

    monkeypatch.setattr(store, "write", write)
    assert made.run_files(paths) == 3
    wanted = [coalitions.parse(path.stem, PLAYERS) for path in paths]
    assert groups == [wanted[:2], wanted[2:4], [wanted[4]], [wanted[5]]]


def test_too_little_memory_names_the_settings(job: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    dies_in_call(1, monkeypatch, torch.OutOfMemoryError("of CUDA"))
    made = job()
    with pytest.raises(CornerstoneError, match=r"tiny alpha: out of memory with 17 .*memory.budget_gb.*models\.tiny"):
        made.run_files(planned(made))


@pytest.mark.parametrize("blocks", [3, 5])
def test_a_wrong_number_of_blocks(job: Maker, blocks: int) -> None:
    made = job({"models.tiny.blocks": blocks})
    with pytest.raises(ModelError, match=rf"says blocks: {blocks}, but the weights have 4. Set blocks: 4"):
        made.run_files(planned(made))


def test_a_wrong_kind_of_feed_forward(job: Maker) -> None:
    made = job({"models.tiny.feed_forward": "moe"})
    with pytest.raises(ModelError, match=r"says feed_forward: moe, .* Set feed_forward: ffn"):
        made.run_files(planned(made))


def test_a_metric_that_the_task_lacks(job: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = job({"tasks.alpha.metric": "acc_norm"})
    tasks.write(documents([[("q", " a"), ("q", " b")]] * 2, metrics=["acc"]), tmp_path / "alpha.json")
    no_model(monkeypatch)
    with pytest.raises(TaskError, match=r"tasks\.alpha\.metric: alpha does not define 'acc_norm', it has acc"):
        made.run_files(planned(made))


def test_missing_assets(job: Maker, tmp_path: Path) -> None:
    made = job()
    (tmp_path / "tiny.json").unlink()
    with pytest.raises(AssetError, match=r"tiny\.json is missing"):
        made.run_files(planned(made))
    (tmp_path / "alpha.json").unlink()
    with pytest.raises(AssetError, match=r"alpha\.json is missing\. Run `snakemake fetch`"):
        made.run_files(planned(made))


def test_files_are_named_after_coalitions(job: Maker, tmp_path: Path) -> None:
    with pytest.raises(CoalitionError, match="no player 'moe0'"):
        job().run_files([tmp_path / "drop-moe0.json"])


def test_overflow_is_an_error_and_not_a_result(job: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    real = sweep.choice_scores

    def choice_scores(network: Any, batches: Any, group: list[int], *rest: Any) -> Any:
        scores = real(network, batches, group, *rest)
        scores[1][0][0] = float("nan")
        return scores

    monkeypatch.setattr(sweep, "choice_scores", choice_scores)
    made = job()
    bad = planned(made)[1]
    said = (
        rf"{bad.stem} of alpha .* no finite number: nan for choice 0 of document \d+, in the block of documents 0 to 4"
    )
    with pytest.raises(StoreError, match=said):
        made.run_files(planned(made))
    # a quarter of the coalitions are walked together: the others of these stay
    assert [path for path in planned(made)[:4] if not path.exists()] == [bad]


def test_a_table_of_coalitions_that_are_in_no_plan(job: Maker, tmp_path: Path) -> None:
    made = job()
    wanted = [full(PLAYERS), without([0, 7], PLAYERS), full(PLAYERS), without([1, 3, 5], PLAYERS)]
    made.run_table(wanted, tmp_path / "deletion.parquet", "made by")
    found = pd.read_parquet(tmp_path / "deletion.parquet")
    names = {coalitions.name(c, PLAYERS) for c in wanted}
    assert found.attrs["fingerprint"] == "made by"
    assert set(found["coalition"]) == names
    assert len(found) == 3 * 5
    folder = tmp_path / "results" / "tiny" / "alpha" / "deletion"
    assert {path.stem for path in folder.iterdir()} == names
    for name in names:
        rows = found[found["coalition"] == name]
        assert rows["acc"].tolist() == store.read(folder / f"{name}.json")["documents"]["acc"]
    assert made.run([Target(c, folder / f"{coalitions.name(c, PLAYERS)}.json") for c in set(wanted)]) == 0


def test_a_table_reads_what_the_plan_has_evaluated(job: Maker, tmp_path: Path) -> None:
    made = job()
    made.run_files(planned(made))
    made.run_table([full(PLAYERS), without([0, 7], PLAYERS)], tmp_path / "deletion.parquet", "made by")
    folder = tmp_path / "results" / "tiny" / "alpha" / "deletion"
    assert [path.stem for path in folder.iterdir()] == ["drop-attn0-ffn3"]


def test_other_documents_compute_everything_again(job: Maker) -> None:
    made = job()
    assert made.run_files(planned(made)) == 17
    first, *rest = DATA.documents
    changed = dataclasses.replace(first, requests=[(c, t + "!") for c, t in first.requests])
    tasks.write(dataclasses.replace(DATA, documents=[changed, *rest]), made.documents)
    assert made.run_files(planned(made)) == 17


def test_documents_of_another_source_are_refused(job: Maker) -> None:
    made = job({"documents.source": "hub"})
    with pytest.raises(AssetError, match="was made from 'alpha embedded"):
        made.run_files(planned(made))


def test_two_jobs_for_the_same_files(job: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one computes a group, another finishes it: the first leaves those files alone and goes on with the rest."""
    made, wanted = job({"models.tiny.memory": {"weights": "resident", "budget_gb": 0.0001}}), straight(job)
    paths = planned(made)
    real, groups, between = sweep.choice_scores, [], {}

    def choice_scores(network: Any, batches: Any, group: list[int], *rest: Any) -> Any:
        groups.append(group)
        scores = real(network, batches, group, *rest)
        if len(groups) == 1:
            monkeypatch.setattr(sweep, "choice_scores", real)
            assert job({"models.tiny.memory": {"weights": "resident", "budget_gb": 0.0001}}).run_files(paths) == len(
                paths
            )
            between.update({path: path.stat().st_ino for path in paths})
        return scores

    monkeypatch.setattr(sweep, "choice_scores", choice_scores)
    assert made.run_files(paths) == len(groups[0])  # it had these in hand; the rest it found finished
    assert len(groups) == 1
    assert {path: path.stat().st_ino for path in paths} == between
    assert contents(paths) == wanted
    assert left_over(Path(made.config.paths.results)) == []


def streamed(job: Maker, states: int, **memory: Any) -> tuple[Job, Any]:
    """A job that streams and has room for so many states of its largest batch."""
    from cornerstone.engine import tries
    from cornerstone.engine.weights import footprint
    from cornerstone.schedule import memory as budgets

    entry = job().config.models["tiny"]
    model, tokenizer = loading.shapes_only(Path(entry.id), entry.dtype)
    batches = tries.batches(
        encoding.encode(model, tokenizer, [document.requests for document in DATA.documents]), entry.batch_tokens
    )
    largest = max(batch.tokens for batch in batches)
    width = max(batch.input_ids.shape[1] for batch in batches)
    state = largest * 32 * 4
    working = budgets.working_bytes(model, largest, width)
    needed = budgets.PROCESS + working + (states + budgets.IN_HAND) * state + footprint(model).streamed(2)
    section = {"weights": "streamed", "budget_gb": (needed + 1) / 2**30, **memory}
    return job({"models.tiny.memory": section}), batches


@pytest.mark.parametrize("states", [1, 3, 9, 10_000])
def test_streaming_changes_no_result(
    job: Maker, states: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made, batches = streamed(job, states)
    live: list[int] = []
    real = sweep.sweep

    def walk(network: Any, walked: Any, group: Any, *rest: Any) -> Any:
        live.append(len(group) * sum(batch.tokens for batch in walked))
        return real(network, walked, group, *rest)

    monkeypatch.setattr(sweep, "sweep", walk)
    assert made.run_files(planned(made)) == 17
    monkeypatch.undo()
    assert contents(planned(made)) == straight(job)
    assert {store.read(path)["provenance"]["jobs"][0]["weights"] for path in planned(made)} == {"streamed"}
    largest, total = max(batch.tokens for batch in batches), sum(batch.tokens for batch in batches)
    assert max(live) <= states * largest  # the budget is kept
    assert len(live) >= 17 * total / (states * largest)
    assert (len(live) == 1) == (states == 10_000)
    said = capsys.readouterr().err
    assert "tiny alpha: weights streamed" in said
    assert f"tiny alpha: {len(live)} walk" in said
    assert "waiting for weights" in said


def test_a_budget_decides_by_itself(job: Maker) -> None:
    small, _ = streamed(job, 4, weights="auto")
    for made, weights in ((job(results="large"), "resident"), (small, "streamed")):
        assert made.run_files(planned(made)[:1]) == 1
        assert store.read(planned(made)[0])["provenance"]["jobs"][0]["weights"] == weights


def pretend(free: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which so many bytes may be used."""
    monkeypatch.setattr(limits, "host", lambda own=0: [Limit(int(free) + 1, "what is pretended", 1.0, 1, "{least}!")])


def test_without_a_key_a_job_uses_what_it_has(
    job: Maker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model is streamed where it does not fit, which the log says, and no result changes."""
    wanted = straight(job)
    said = capsys.readouterr().err
    assert "tiny alpha: the memory of this job:" in said
    assert "tiny alpha: weights resident" in said
    assert "do not fit" not in said
    small, _ = streamed(job, 4)
    budget = small.config.models["tiny"].memory.budget_gb
    assert budget is not None
    pretend(budget * limits.GIB, monkeypatch)
    made = job()
    assert made.run_files(planned(made)) == 17
    assert contents(planned(made)) == wanted
    said = capsys.readouterr().err
    assert "GiB (what is pretended)" in said
    assert "tiny alpha: weights streamed" in said
    assert "tiny alpha: its weights do not fit beside a sensible number of hidden states, so they are streamed" in said
    assert store.read(planned(made)[0])["provenance"]["fingerprint"] == job().fingerprint


def test_what_cannot_be_streamed_is_refused(job: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(0.7 * limits.GIB, monkeypatch)
    made = job()
    with pytest.raises(CornerstoneError, match=r"models\.tiny: .*too little even to stream.* 0\.7\d!$"):
        made.run_files(planned(made))


def test_a_budget_that_is_too_small(job: Maker) -> None:
    made = job({"models.tiny.memory.budget_gb": 0.7})
    with pytest.raises(CornerstoneError, match=r"0\.7 GiB \(memory\.budget_gb\) is too little"):
        made.run_files(planned(made))
