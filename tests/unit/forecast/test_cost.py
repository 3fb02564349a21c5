from __future__ import annotations

import math
import re
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from cornerstone.analysis import power
from cornerstone.assets import documents as tasks
from cornerstone.assets.fetch import asset_key
from cornerstone.config.config import Config
from cornerstone.engine import encoding, loading, sweep
from cornerstone.engine.network import Network
from cornerstone.engine.tries import Batch, batches
from cornerstone.engine.weights import footprint
from cornerstone.files import write_csv
from cornerstone.forecast import cost, outline
from cornerstone.forecast import table as forecast
from cornerstone.forecast.cost import ALL, TaskCost
from cornerstone.forecast.flop import Arithmetic, Documents
from cornerstone.game.coalitions import in_sweep_order, parse, window_coalitions
from cornerstone.game.players import alike, experts_of, heads_of, players_of
from cornerstone.plan.plan import Plan, union
from cornerstone.schedule import limits, memory
from cornerstone.schedule.groups import MOST_TOGETHER, Division, divided, walks
from cornerstone.schedule.memory import Room
from tests import tiny
from tests.helpers import configured, documents, packed, windows

TWO_BLOCKS = {"models.tiny.blocks": 2, "estimators": windows(2, 1), "deletion.orders": []}
SMALL = Documents(count=3, tokens=100, pairs=2000, rows=9, batches=(40, 60), width=20)


LARGE = Division((1,), 1, Room("resident", 0, 0, 10**6))
"""Room for everything."""


@cache
def network(name: str, blocks: int = tiny.BLOCKS) -> Network:
    """A tiny model whose parameters have no values."""
    entry = tiny.TINY[name]
    config = tiny.make(name).config
    config.num_hidden_layers = blocks
    with torch.device("meta"):
        model = tiny.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return Network(model, players_of(alike(blocks, entry.kind)), alike(blocks, entry.kind))


def rows(changes: dict[str, Any], name: str = "llama") -> Any:
    """The table of a task, by estimator."""
    config = configured(changes)
    made = TaskCost(config, "tiny", "alpha", network(name, config.models["tiny"].blocks), SMALL)
    return pd.DataFrame(made.rows()).set_index("estimator")


ATTENTION, FEED_FORWARD, HEAD, WIDTH = 2 * 32 * 32 + 2 * 16 * 32, 3 * 32 * 64, 320 * 32, 4 * 8


def test_the_shapes_of_a_llama() -> None:
    found = Arithmetic.of(network("llama", 2))
    assert found == Arithmetic((ATTENTION, FEED_FORWARD) * 2, WIDTH, HEAD, (64, 32), mixing=frozenset({0, 2}))


def test_only_the_chosen_experts_of_a_mixture_count() -> None:
    router, expert = 4 * 32, 3 * 32 * 64
    assert Arithmetic.of(network("mixtral", 2)).weights == (ATTENTION, router + 2 * expert) * 2  # 2 of 4 experts


def test_a_small_plan_by_hand() -> None:
    # Four players. Full, empty and each removed: 1 + 2 + 3 + 4 evaluations (see test_sweep); windows of two add
    # drop-01, drop-12 and drop-23, and with them an evaluation of player 2 and two of player 3.
    found = rows(TWO_BLOCKS)
    assert found.index.tolist() == ["ablation", "window-k2", "window-k1"]
    assert found["coalitions"].tolist() == [6, 8, 5]
    assert found["shared"].tolist() == [0, 5, 5]
    assert found["new"].tolist() == [6, 3, 0]
    assert found["tokens"].tolist() == [600, 300, 0]
    assert found["evaluations"].tolist() == [10, 3, 0]
    attention, feed_forward = 2 * ATTENTION * 100 + 4 * WIDTH * 2000, 2 * FEED_FORWARD * 100
    last, head = 2 * FEED_FORWARD * 9, 2 * HEAD * 9  # only where something is predicted
    assert found["flops"].tolist() == [
        (1 + 3) * attention + 2 * feed_forward + 4 * last + 6 * head,
        1 * attention + 2 * last + 3 * head,
        0,
    ]


@pytest.mark.parametrize(
    "changes", [{}, {"models.tiny.chunks": 3}, {"models.tiny.memory": {"weights": "resident", "budget_gb": 1e-9}}]
)
def test_rows_add_up_to_the_work_of_the_sweep(changes: dict[str, Any]) -> None:
    estimators = [*windows(3, 2), {"kind": "exact"}]
    config = configured({"estimators": estimators, "deletion.orders": [], **changes})
    net, entry = network("llama"), config.models["tiny"]
    found = pd.DataFrame(TaskCost(config, "tiny", "alpha", net, SMALL).rows())

    def cut(group: list[int], together: int) -> int:
        starts = range(0, len(group), together)
        return sum(sweep.work(group[start : start + together], net.stages) for start in starts)

    work, planned = 0, 0
    for names in Plan(config, "tiny", "alpha").chunks:
        group = [parse(name, net.players) for name in names]
        room_for_one = entry.memory.weights == "resident"
        work += cut(group, 1 if room_for_one else divided(len(group), MOST_TOGETHER, partial(cut, group)))
        planned += len(group)
    assert found["evaluations"].sum() == work
    assert found["new"].sum() == planned == 256
    assert (found["new"] + found["shared"] == found["coalitions"]).all()


def test_deletion_curves_are_walked_after_the_plan() -> None:
    found = rows({"estimators": windows(2), "deletion": {"share": 0.5, "points": 4, "orders": ["depth"]}})
    # least and most important first, 1 to 4 of 8 removed: of these the plan has windows of one and two at both ends
    assert found.loc["deletion", ["coalitions", "shared", "new"]].tolist() == [8, 4, 4]
    # drop-012, drop-0123, drop-567, drop-4567 walked by themselves: players 0 to 3 are evaluated once for two, player
    # 4 for drop-567 and both others, 3 for drop-012 only, and so on
    assert found.loc["deletion", "evaluations"] == 3 * 1 + 2 + 3 + 2 * 3
    assert "deletion" not in rows({"deletion.orders": []}).index


def test_each_document_of_a_nested_design_sees_one_sample() -> None:
    drawn = {"kind": "truncated-permutation", "removed": 8, "budget": 9, "replicates": 4}
    found = rows({"estimators": [{**drawn, "design": "nested"}], "deletion.orders": []})
    name = "truncated-permutation-k8-nested-b9"
    plan = Plan(configured({"estimators": [{**drawn, "design": "nested"}]}), "tiny", "alpha")
    always, stages = set(union(plan.players, [])), network("llama").stages
    each = [sweep.work(in_sweep_order(set(part) - always, plan.players), stages) for part in plan.samples[name]]
    assert found.loc[name, "evaluations"] == pytest.approx(np.mean(each), abs=8)  # each sublayer's mean is rounded
    assert found.loc[name, "tokens"] == found.loc[name, "new"] * 100 // 4
    assert 4 * 5 <= found.loc[name, "new"] <= 4 * 7


def test_results_that_are_there_are_counted(tmp_path: Path) -> None:
    folder = tmp_path / "tiny" / "alpha" / "coalitions"
    folder.mkdir(parents=True)
    for name in ("full", "drop-attn0", "drop-attn0-ffn0", "drop-ffn0-ffn1", ".drop-ffn1.json.x"):
        (folder / f"{name}.json").touch()
    found = rows({**TWO_BLOCKS, "paths.results": str(tmp_path)})
    assert found["done"].tolist() == [2, 1, 0]


def real_sweep(name: str, coalitions: list[int], players: Any = None) -> tuple[Network, list[Batch], int]:
    """What torch counts while a model really walks; attention is written out, or torch would not see it."""
    net = tiny.network(tiny.make(name), name, players)
    net.model.set_attn_implementation("eager")
    if hasattr(net.model, "set_experts_implementation"):
        net.model.set_experts_implementation("eager")
    made = batches(packed(seed=3, count=6), 150)
    assert len(made) > 1
    with FlopCounterMode(display=False) as counter:
        for group in LARGE.grouping(coalitions, net.stages).groups(coalitions):
            sweep.choice_scores(net, made, group)
    return net, made, counter.get_total_flops()


@pytest.mark.parametrize("name", tiny.TINY)
def test_operations_are_those_that_torch_counts(name: str) -> None:
    players = players_of(alike(tiny.BLOCKS, tiny.TINY[name].kind))
    coalitions = union(players, [window_coalitions(players, 3)])
    net, made, counted = real_sweep(name, coalitions)
    work = cost.effort(tuple(coalitions), players, tuple(net.stages), 1, LARGE).evaluations
    forecast = Arithmetic.of(network(name)).flops(work, len(coalitions), Documents.of(made))
    # rotary angles, computed once a batch, are matrix products, too
    assert forecast == pytest.approx(counted, rel=0 if name in ("gpt2", "opt") else 1e-3)
    assert forecast <= counted


def test_operations_where_experts_play() -> None:
    players = experts_of(alike(tiny.BLOCKS, "moe"), 4)
    coalitions = union(players, [window_coalitions(players, 2)])
    net, made, counted = real_sweep("mixtral", coalitions, players)
    work = cost.effort(tuple(coalitions), players, tuple(net.stages), 1, LARGE).evaluations
    forecast = Arithmetic.of(net).flops(work, len(coalitions), Documents.of(made))
    assert forecast == pytest.approx(counted, rel=1e-3)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_operations_where_heads_play(name: str) -> None:
    """Attention is computed once for all sets of heads, the output projection once more for each."""
    players = heads_of(alike(tiny.BLOCKS), 4)
    coalitions = union(players, [window_coalitions(players, 3)])
    net, made, counted = real_sweep(name, coalitions, players)
    work = cost.effort(tuple(coalitions), players, tuple(net.stages), 1, LARGE).evaluations
    forecast = Arithmetic.of(net).flops(work, len(coalitions), Documents.of(made))
    assert forecast == pytest.approx(counted, rel=0 if name == "gpt2" else 1e-3)
    sublayers = sum(work[p] for p in range(8))
    assert work.total() - sublayers == sum(work[~p] for p in range(0, 8, 2)) > 0


TEXTS = [
    [("Where is the sun?", " there"), ("Where is the sun?", " in the water")],
    [("Sarah", " was"), ("Sarah", " no")],
]


@pytest.fixture
def planned(tmp_path: Path) -> Any:
    """A whole forecast of two tasks, from a model without weights."""
    for name in ("tiny", "second"):
        folder = tiny.save("llama", tmp_path / name)
        (folder / "model.safetensors").unlink()
        (tmp_path / f"{name}.json").write_text("{}")
    for task in ("alpha", "beta"):
        (tmp_path / "documents" / "embedded").mkdir(parents=True, exist_ok=True)
        tasks.write(documents(TEXTS, task), tmp_path / "documents" / "embedded" / f"{task}.json")

    def make(changes: dict[str, Any]) -> tuple[Config, dict[str, Path]]:
        paths = {"results": f"{tmp_path}-results", "resources": str(tmp_path)}
        second = {"source": "folder", "id": str(tmp_path / "second"), "blocks": 4, "dtype": "float32", "tflops": 1e-6}
        own = {"paths": paths, "models.tiny.id": str(tmp_path / "tiny"), "models.second": second}
        config = configured({**own, "models.tiny.tflops": 2e-6, "models.tiny.chunks": 2, **changes})
        markers = {}
        for name in config.run:
            entry = config.models[name]
            markers[name] = tmp_path / f"{name}.json"
            facts = {"path": entry.id, "asset": asset_key(entry)}
            markers[name].write_text(pd.Series(facts).to_json())
        return config, markers

    return make


def test_totals(planned: Any) -> None:
    config, markers = planned({"run": ["tiny", "second"]})
    found, _ = forecast.table(config, markers)
    for model in config.run:
        of_model = found[found["model"] == model].set_index(["task", "estimator"])
        for task in config.run_tasks:
            parts = of_model.loc[task].drop(index=ALL)
            for column in (
                "coalitions",
                "shared",
                "new",
                "done",
                "tokens",
                "evaluations",
                "flops",
                "hours",
                "wall_hours",
            ):
                assert of_model.loc[(task, ALL), column] == pytest.approx(parts[column].sum()), column
        ends = of_model.xs(ALL, level="estimator").drop(index=ALL)
        assert of_model.loc[(ALL, ALL), "hours"] == pytest.approx(ends["hours"].sum())
        assert of_model.loc[(ALL, ALL), "wall_hours"] == pytest.approx(ends["wall_hours"].max())
    last = found.iloc[-1]
    ends = found[(found["task"] == ALL) & (found["model"] != ALL)]
    assert last[["model", "task", "estimator"]].tolist() == [ALL] * 3
    assert last["flops"] == ends["flops"].sum()
    assert last["wall_hours"] == ends["wall_hours"].max()
    assert math.isnan(last["tflops"])


def test_hours_are_operations_by_speed_and_chunks_run_side_by_side(planned: Any) -> None:
    found, _ = forecast.table(*planned({}))
    assert found["hours"].to_numpy() == pytest.approx(found["flops"].to_numpy() / 2e6 / 3600)
    plain: Any = found.set_index(["task", "estimator"]).loc["alpha"]
    assert plain.loc["ablation", "wall_hours"] == pytest.approx(plain.loc["ablation", "hours"] / 2)
    assert plain.loc["deletion", "wall_hours"] == plain.loc["deletion", "hours"]


def test_unknown_hours_stay_empty(planned: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    changes = {"run": ["tiny", "second"], "models.tiny.tflops": None, "models.tiny.resources": {"gpus": 1}}
    config, markers = planned(changes)
    pilot = power.forecast(power.Pilot.stated(8, 0.05, 0.4), power.POINT, 0.95, 0, there=9)
    write_csv(pilot.assign(model="tiny", value_function="accuracy"), Path(f"{tmp_path}-results") / "tiny" / "power.csv")
    text = forecast.write(config, markers)
    found: Any = pd.read_csv(Path(f"{tmp_path}-results") / "plan.csv").set_index("model")
    assert "- tiny, with the run that is there as a pilot: by accuracy: +-1 point on the median layer about" in text
    assert found.loc["tiny", "hours"].isna().all()
    assert found.loc["second", "hours"].notna().all()
    assert math.isnan(found.loc[ALL, "hours"])
    assert "- tiny: no hours, because its jobs ask for 1 GPU(s)" in text
    assert text in (Path(f"{tmp_path}-results") / "plan.md").read_text()
    assert "nan" not in text


def test_tokens_are_those_that_a_job_would_score(tmp_path: Path) -> None:
    folder = tiny.save("llama", tmp_path)
    model, tokenizer = loading.load(folder, "float32")
    (folder / "model.safetensors").unlink()
    entry = configured({"models.tiny.id": str(folder)}).models["tiny"]
    found = outline.read(folder, entry)
    assert encoding.encode(found.network.model, found.tokenizer, TEXTS) == encoding.encode(model, tokenizer, TEXTS)


def test_large_numbers_are_shortened() -> None:
    shown = [forecast._si(n) for n in (0, 7, 999, 1000, 12_345, 999_600, 3.2e15, 5e21)]
    assert shown == ["0", "7", "999", "1 k", "12.3 k", "1 M", "3.2 P", "5e+03 E"]


STREAMED = {"models.tiny.memory": {"weights": "streamed", "budget_gb": 0.7525, "read_gb_per_s": 1e-6}}


def test_walks_of_a_streamed_model_add_up(planned: Any, tmp_path: Path) -> None:
    config, markers = planned({**STREAMED, "run_tasks": ["alpha"]})
    text = forecast.write(config, markers)
    found = pd.read_csv(Path(f"{tmp_path}-results") / "plan.csv").set_index("estimator")
    units = footprint(tiny.make("llama")).units
    assert found["weights"].eq("streamed").all()
    assert (found["read_bytes"] == found["walks"] * sum(units)).all()
    total = int(found["walks"].iloc[-1])
    assert found.drop(index=ALL)["walks"].sum() == total > 2
    # at a rate this low, walks do little else than wait: all that is read, at 1 kB/s
    reading = found["read_bytes"] / 1e3 / 3600
    assert found["wait_hours"].iloc[-1] == pytest.approx(reading.iloc[-1], rel=0.05)
    arithmetic = found["flops"] / 2e6 / 3600
    assert found["hours"].to_numpy() == pytest.approx((arithmetic + found["wait_hours"]).to_numpy())
    assert f"- tiny: its weights do not stay in memory, they are streamed: {total} walks" in text
    assert "At 1e-06 GB/s walks wait" in text


def test_walks_are_those_of_the_jobs(planned: Any) -> None:
    config, markers = planned({**STREAMED, "run_tasks": ["alpha"], "deletion.orders": []})
    found, _ = forecast.table(config, markers)
    entry = config.models["tiny"]
    opened = outline.read(Path(entry.id), entry)
    made = batches(encoding.encode(opened.network.model, opened.tokenizer, TEXTS), 96)
    width, limit = max(b.input_ids.shape[1] for b in made), limits.foreseen("tiny", entry, None)
    room = memory.room("tiny", entry, limit, opened.network.model, [b.tokens for b in made], width)
    division = Division(tuple(batch.tokens for batch in made), 32 * 4, room)
    players, stages = opened.network.players, opened.network.stages
    total = 0
    for names in Plan(config, "tiny", "alpha").chunks:
        group = [parse(name, players) for name in names]
        grouping = division.grouping(group, stages)
        for part in grouping.groups(group):
            assert len(part) <= grouping.together
            total += len(walks([batch.tokens for batch in made], grouping.tokens_together))
    assert found.iloc[-1]["walks"] == total


def test_without_a_rate_nobody_can_say_how_long_walks_wait(planned: Any) -> None:
    section = {**STREAMED["models.tiny.memory"], "read_gb_per_s": None}
    found, notes = forecast.table(*planned({"models.tiny.memory": section}))
    assert found["wait_hours"].isna().all()
    assert found["hours"].to_numpy() == pytest.approx(found["flops"].to_numpy() / 2e6 / 3600)
    assert any("Set `models.tiny.memory.read_gb_per_s`" in note for note in notes)


def test_resident_weights_are_not_read_again(planned: Any) -> None:
    found, notes = forecast.table(*planned({}))
    assert found["weights"].eq("resident").all()
    assert found[["walks", "read_bytes", "wait_hours"]].eq(0).all(axis=None)
    assert not any("they are streamed" in note for note in notes)


def test_the_memory_of_jobs_is_said(planned: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, notes = forecast.table(*planned({}))
    assert any(
        re.match(r"tiny: its weights take 0\.00 GiB\. A job has [\d.]+ GiB \(\d+% of the", note) for note in notes
    )
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    found, notes = forecast.table(*planned({"models.tiny.resources": {"gpus": 2}}))
    assert found["weights"].eq("resident").all()
    (note,) = [note for note in notes if "is not known here" in note]
    assert note.startswith("tiny: its weights take 0.00 GiB. How much memory its jobs' GPUs (2) have")
    assert "Set `models.tiny.memory.budget_gb`" in note
