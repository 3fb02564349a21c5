"""FLOP are what torch counts, and peers score what the sweep scores."""

from __future__ import annotations

import time

import pandas as pd
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedConfig

from benchmarks import flop, gpu, performance
from benchmarks.flop import Product, Shapes, Task
from cornerstone.engine import sweep, tries
from cornerstone.game.coalitions import window_coalitions
from cornerstone.plan.plan import union
from cornerstone.schedule.groups import groups_within
from tests import tiny
from tests.helpers import documents, packed

WEIGHTS = ("mm", "addmm")
"""Products with weights; those of attention's scores are batched (bmm) or fused."""


def counted(counter: FlopCounterMode) -> int:
    """FLOP of products with weights."""
    return sum(
        count
        for operation, count in counter.get_flop_counts()["Global"].items()
        if str(operation).split(".")[1] in WEIGHTS
    )


def requests(count: int) -> list[list[tuple[str, str]]]:
    """Documents with two choices."""
    return [[(f"Question: the number {i}" + " and more" * i, f" {c}{c}") for c in "ab"] for i in range(count)]


@pytest.mark.parametrize("name", ["llama", "mixtral"])
def test_flop_done_are_those_that_torch_counts(name: str) -> None:
    model = tiny.make(name)
    model.set_experts_implementation("eager")  # torch does not count grouped products
    network = tiny.network(model, name)
    trees = packed(0, 6)
    task = Task("made up", tries.batches(trees, 64), sum(map(len, trees)))
    coalitions = union(network.players, [window_coalitions(network.players, 2)])
    groups = groups_within(coalitions, 1, 16)
    assert len(groups) > 1
    shapes = Shapes.of(network)
    with FlopCounterMode(display=False) as counter:
        for group in groups:
            sweep.choice_scores(network, task.batches, group)
    assert flop.done(shapes, network, task, groups) == counted(counter)
    assert flop.done(shapes, network, task, groups) > flop.done(shapes, network, task, [coalitions])


def test_useful_flop_by_hand() -> None:
    network = tiny.network(tiny.make("llama"), "llama")
    trees = packed(0, 3)
    task = Task("made up", tries.batches(trees, 64), 100)
    full = 2 ** len(network.players) - 1
    last_gone = full - 2 ** (len(network.players) - 1)
    attention = 2 * (32 * 32 + 2 * 16 * 32 + 32 * 32)
    feed_forward = 2 * 3 * 64 * 32
    head = 2 * tiny.VOCABULARY * 32 * task.head_rows
    last = feed_forward * task.head_rows  # behind the last attention, only the tokens that predict
    both = (tiny.BLOCKS * attention + (tiny.BLOCKS - 1) * feed_forward) * 100 + last + 2 * head
    assert flop.useful(Shapes.of(network), network, task, [full, last_gone]) == both
    first_gone = full - 1
    again = (tiny.BLOCKS - 1) * (attention + feed_forward) * 100 + last
    assert flop.useful(Shapes.of(network), network, task, [full, first_gone]) == both + again


def test_experts_have_their_share_of_the_tokens() -> None:
    shapes = Shapes.of(tiny.network(tiny.make("mixtral"), "mixtral"))
    assert shapes.feed_forward == (Product(4, 32), Product(128, 32, 0.5, 4), Product(32, 64, 0.5, 4))
    assert shapes.sublayer(1) == 2 * (4 * 32 + 2 * 3 * 64 * 32)


@pytest.mark.parametrize("name", ["llama", "mixtral"])
def test_a_product_rate(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If every product ran at one rate, that would be the rate of all, whatever their shares."""
    monkeypatch.setattr(flop, "timed", lambda run, *_, **__: 2.0 * run.args[0].shape[0] * run.args[1].numel() / 1e9)
    network = tiny.network(tiny.make(name), name)
    trees = packed(0, 3)
    task = Task("made up", tries.batches(trees, 64), sum(map(len, trees)))
    assert flop.product_rate(Shapes.of(network), network, task, [1, 3], 64) == pytest.approx(1e9)


def test_seconds_of_a_call() -> None:
    found = flop.timed(lambda: time.sleep(0.01), torch.device("cpu"), times=3, calls=2)
    assert 0.01 < found < 0.1


def test_the_table_over_tasks() -> None:
    frame = pd.DataFrame(
        {
            "sweep_s": [10.0, 30.0], "p1_s": [200.0, 600.0], "p2_s": [150.0, 150.0], "helped_s": [100.0, 100.0],
            "p2_batch": [8, 8], "product_flops": [2.0, 2.0], "useful_flop": [10.0, 30.0],
            "done_flop": [10.0, 34.0], "task": ["short", "long"], "difference": [0.1, 0.3], "p2_difference": [0.5, 0.2],
        }
    )  # fmt: skip
    made = performance.summary(frame, "bfloat16")
    assert [row.value for row in made if row.figure.startswith("  limit")] == [15, 40]
    assert [row.value for row in made if row.figure.startswith("  median")] == [10, 20]
    rows = {row.figure: row for row in made}
    against = "sweep against P2 (best batch size of each task), bfloat16, all tasks"
    assert rows[against][1:] == (7.5, "x", ">= 10", False)
    assert rows["sweep against P1 (batches of 2), bfloat16, all tasks"][1:] == (20.0, "x", ">= 20", True)
    assert rows["useful FLOP rate against the product rate, bfloat16"].value == 50
    assert rows["work done against the unique work"].value == pytest.approx(1.1)
    assert [row.value for row in made[-2:]] == [0.3, 0.2]
    assert "long" in made[-2].figure


@pytest.mark.parametrize("name", ["llama", "mixtral"])
def test_the_benchmark_of_gpus_on_a_cpu(name: str) -> None:
    made = tiny.make(name)
    config: PreTrainedConfig = made.config
    trial = gpu.Trial(
        config, torch.float32, torch.device("cpu"), documents(requests(5)).documents, tiny.tokenizer(), 64, False
    )
    parity = trial.parity()
    assert parity < 1e-4
    figures = gpu.measured(trial, batches=(2, 4))
    assert figures["coalitions"] == len(trial.coalitions) == 1 + 8 + 7 + 6 + 5 + 1
    assert figures["useful_flop"] < figures["product_flops"] * figures["sweep_s"]
    rows = gpu.rows_of(name, figures, parity)
    assert [rows[0].met, gpu.rows_of(name, figures, 1.0)[0].met] == [True, False]
    assert {row.figure.partition(": ")[2] for row in rows} >= {"sweep against P2", "product rate"}


def test_shapes_are_those_of_the_models() -> None:
    llama, mixtral = gpu.shapes().values()
    with torch.device("meta"):
        sizes = [sum(p.numel() for p in gpu.AutoModelForCausalLM.from_config(c).parameters()) for c in (llama, mixtral)]
    assert sizes[0] == 8_030_261_248  # https://huggingface.co/meta-llama/Meta-Llama-3-8B
    assert 17e9 < sizes[1] < 19e9


def test_the_page_shows_what_was_measured_on_a_gpu() -> None:
    text = gpu.PAGE.read_text(encoding="utf-8")
    assert gpu.page(text) == text
