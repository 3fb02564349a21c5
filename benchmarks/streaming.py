"""What streaming costs: `python -m benchmarks.streaming`, part of `make bench`; needs 16 GB of disk for the time being.

- A model of random weights several times as large as its memory budget is evaluated, its files in the page cache and
  not. *Peak memory* is the most that the whole process held. *Waiting* is the share of the walks' time in which no
  arithmetic could go on because weights were missing.
- A smaller model of the same blocks is evaluated resident and streamed: scores must be equal.
- A model of small weights is evaluated with so many coalitions and documents that hidden states fill the budget.
- The calculation of `cornerstone.forecast.walk_time` is checked: from the speed of the small resident run, just before
  and just after, and the rate of reading alone, how long should the walks of the large model take, and how long do
  they? It knows nothing of what reading takes from the cores that compute, and nothing of other work on the machine.
- The same calculation says what Llama3-70B would take on one GPU of 80 GB and on four. These rows are calculated, not
  measured; what they assume stands below the table.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmarks import large, report
from benchmarks.large import Outcome, Settings, Shape
from benchmarks.workflow import Row, at_least, at_most
from cornerstone.config.models import Model, Resources
from cornerstone.engine.network import Network
from cornerstone.engine.streaming.streamed import SLOTS
from cornerstone.engine.weights import footprint
from cornerstone.files import need_space
from cornerstone.forecast.cost import Effort, effort
from cornerstone.forecast.flop import Arithmetic, Documents
from cornerstone.forecast.walk_time import WalkTime, walk_time
from cornerstone.game.coalitions import in_sweep_order, name, parse, window_coalitions
from cornerstone.game.players import alike, players_of
from cornerstone.log import log
from cornerstone.plan.plan import union
from cornerstone.schedule import memory
from cornerstone.schedule.groups import Division
from cornerstone.schedule.limits import stated

ROOT = Path(__file__).parents[1]
FEW = ("full",)
SOME = ("full", "drop-attn0", "drop-ffn0")
"""They differ from the first sublayers on, so that little is computed once for all."""
CROWDED = Shape(blocks=6, hidden=512, intermediate=1408, heads=8, key_heads=8)
"""Of little arithmetic for each byte of its hidden states."""
WIDTH = 256
LLAMA3_70B = Shape(80, 8192, 28672, 64, 8, 128256)
GPU_TFLOPS, PCIE, NVME, GPU_BUDGET = 125.0, 25e9, 6e9, 72.0
ASSUMED = (
    "Assumed for Llama3-70B, none of it measured: "
    f"{GPU_TFLOPS:g} TFLOP/s in bfloat16 (40 % of an A100's peak, as in config.yaml); "
    f"{PCIE / 1e9:g} GB/s from pinned host memory to one GPU (PCIe 4.0 x16: 32 in theory), which must hold 137 GB; "
    f"{NVME / 1e9:g} GB/s from NVMe; a budget of {GPU_BUDGET:g} GiB of each GPU's 80 GB; "
    f"batches of 16,384 tokens, none of them padding, in rows of {WIDTH}; "
    "the window estimator with K = 4 (636 coalitions) on one task, all in one job. "
    "15 thousand tokens are about 300 documents of ARC-Easy, 45 thousand 300 of BoolQ. "
    "Embedding, norms, copies of hidden states and the start of the job are left out. "
    "Four GPUs hold the layers in turn and work one after another; loading their weights from NVMe comes first.\n"
)


def outline(shape: Shape, dtype: torch.dtype = torch.bfloat16) -> Network:
    """The model without values."""
    from transformers import LlamaForCausalLM

    with torch.device("meta"):
        model: Any = LlamaForCausalLM(shape.config())
        model.to(dtype)
    return Network(model.eval(), players_of(alike(shape.blocks)), alike(shape.blocks))


@dataclass(frozen=True)
class Forecast:
    """What walks should take.

    Attributes:
        walk: one of them.
        walks: how many.
        head: seconds of the head, in all.
    """

    walk: WalkTime
    walks: int
    head: float

    @property
    def seconds(self) -> float:
        """All of them."""
        return self.walks * self.walk.seconds + self.head

    @property
    def share_waited(self) -> float:
        """Share of that in which they wait."""
        return self.walks * self.walk.waited / self.seconds


def forecast(
    network: Network, needed: Effort, coalitions: int, documents: Documents, flops: float, rate: float
) -> Forecast:
    """The time of walks, as the sum over sublayers of reading or computing, whichever takes longer.

    Args:
        network: the model; its parameters need no values.
        needed: evaluations and walks.
        coalitions: how many.
        documents: which are scored.
        flops: per second.
        rate: bytes of weights per second.
    """
    arithmetic, walks = Arithmetic.of(network), max(1, needed.walks)
    reads = [unit / rate for unit in footprint(network.model).units]
    computes = [
        arithmetic.flops({sublayer: needed.evaluations[sublayer]}, 0, documents) / walks / flops
        for sublayer in range(len(reads))
    ]
    return Forecast(walk_time(reads, computes, SLOTS), walks, arithmetic.flops({}, coalitions, documents) / flops)


def made_up(tokens: int, count: int, batch: int) -> Documents:
    """Documents of that many tokens."""
    parts = tuple(min(batch, tokens - start) for start in range(0, tokens, batch))
    return Documents(count, tokens, tokens * WIDTH, 8 * count, parts, WIDTH)


def needs(network: Network, names: Sequence[str], walks: int) -> Effort:
    """What named coalitions need in one group."""
    wanted = tuple(in_sweep_order({parse(name, network.players) for name in names}, network.players))
    everything = Division((1,), 1, memory.Room("resident", 0, 0, 10**9))
    found = effort(wanted, network.players, tuple(network.stages), 1, everything)
    return Effort(found.evaluations, walks)


def llama3_70b() -> list[Row]:
    """The calculation for one GPU of 80 GB, streamed, and for four, resident."""
    network = outline(LLAMA3_70B)
    players, stages = network.players, tuple(network.stages)
    wanted = tuple(union(players, [window_coalitions(players, 4)]))
    # bfloat16: two bytes are read for each weight, and two operations made for each weight and token
    rows = [
        Row(
            f"Llama3-70B: tokens x states a sublayer must see to hide reading from {source}",
            GPU_TFLOPS * 1e12 / rate,
            "",
        )
        for source, rate in (("host memory", PCIE), ("NVMe", NVME))
    ]
    for tokens in (15_000, 45_000):
        documents = made_up(tokens, 300, 16_384)
        what = f"Llama3-70B, {tokens // 1000} k tokens"
        needed: dict[int, Effort] = {}
        for gpus in (1, 4):
            entry = Model(source="folder", id="-", blocks=LLAMA3_70B.blocks, resources=Resources(gpus=gpus))
            limit = stated(gpus * GPU_BUDGET)
            room = memory.room("llama3-70b", entry, limit, network.model, documents.batches, WIDTH)
            assert room.streamed == (gpus == 1)
            division = Division(documents.batches, network.hidden_size * 2, room)
            needed[gpus] = effort(wanted, players, stages, 1, division)
        flops = GPU_TFLOPS * 1e12
        rows.append(Row(f"{what}: walks on one GPU", needed[1].walks, ""))
        for source, rate in (("host memory", PCIE), ("NVMe", NVME)):
            found = forecast(network, needed[1], len(wanted), documents, flops, rate)
            rows.append(Row(f"{what}, one GPU, from {source}: calculated", found.seconds / 3600, "GPU h"))
            rows.append(Row(f"{what}, one GPU, from {source}: waiting, calculated", 100 * found.share_waited, "%"))
        arithmetic = Arithmetic.of(network)
        loading = footprint(network.model).resident / NVME
        seconds = arithmetic.flops(needed[4].evaluations, len(wanted), documents) / flops + loading
        rows.append(Row(f"{what}, four GPUs, resident: calculated", seconds / 3600, "h"))
        rows.append(Row(f"{what}, four GPUs, resident: calculated", 4 * seconds / 3600, "GPU h"))
    return rows


def speed(folder: Path, blocks: int, settings: Settings) -> tuple[float, Outcome]:
    """FLOP/s of a resident run of the small model with these settings, and what it took."""
    found = large.run(folder, replace(settings, blocks=blocks, weights="resident", budget_gb=8.0))
    network, documents = outline(Shape(blocks)), made_up(found.tokens, settings.documents, found.tokens)
    needed = needs(network, settings.coalitions, 0)
    total = Arithmetic.of(network).flops(needed.evaluations, len(settings.coalitions), documents)
    return total / found.seconds, found


def small(folder: Path, blocks: int, threads: int) -> list[Row]:
    """Streamed against resident on a model that fits."""
    log("a small model, resident and streamed")
    size = large.generate(folder, Shape(blocks))
    settings = Settings(blocks, "streamed", 8.0, SOME, 4, threads=threads)
    _, before = speed(folder, blocks, settings)
    streamed = large.run(folder, settings)
    _, resident = speed(folder, blocks, settings)
    slower = 2 * streamed.seconds / (before.seconds + resident.seconds)
    what = f"small model ({size / 1e9:.1f} GB)"
    return [
        Row(f"{what}: scores streamed and resident differ", float(resident.scores != streamed.scores), "", "<= 0",
            resident.scores == streamed.scores),
        Row(f"{what}: time streamed / resident (mean of before and after)", slower, "x"),
        Row(f"{what}: waiting", 100 * streamed.waited / streamed.seconds, "%"),
        Row(f"{what}: peak memory, resident", resident.peak / 2**30, "GiB"),
        Row(f"{what}: peak memory, streamed", streamed.peak / 2**30, "GiB"),
    ]  # fmt: skip


def crowded(folder: Path, threads: int, budget: float = 1.5, documents: int = 350) -> list[Row]:
    """Peak memory where hidden states fill all that weights leave: small weights, many coalitions and documents."""
    log("a small model, memory full of hidden states")
    size = large.generate(folder, CROWDED)
    players = players_of(alike(CROWDED.blocks))
    names = tuple(name(wanted, players) for wanted in union(players, [window_coalitions(players, 2)]))
    found = large.run(folder, Settings(CROWDED.blocks, "streamed", budget, names, documents, threads=threads))
    what = f"{size / 1e9:.2f} GB of weights, {len(names)} coalitions, {found.tokens:,} tokens, budget {budget:g} GiB"
    return [
        at_most(f"{what}: peak memory", found.peak / 2**30, budget, "GiB"),
        at_least(f"{what}: walks", found.walks, 2, ""),
        Row(f"{what}: waiting", 100 * found.waited / found.seconds, "%"),
    ]


def beyond(folder: Path, gigabytes: float, budget: float, threads: int, reference: Path, blocks: int) -> list[Row]:
    """A model several times as large as the budget; `reference` holds the small one, of so many blocks."""
    one = footprint(outline(Shape(1)).model)
    count = round((gigabytes * 1e9 - one.fixed) / sum(one.units))
    log(f"writing a model of {count} blocks")
    size = large.generate(folder, Shape(count))
    network = outline(Shape(count))
    what = f"{size / 1e9:.1f} GB of weights, budget {budget:g} GiB"
    rows = [Row(f"{what}: weights / budget", size / (budget * 2**30), "x")]
    base = Settings(count, "auto", budget, SOME, 4, threads=threads)
    digests: dict[tuple[str, ...], set[str]] = {}
    cases: list[tuple[str, Callable[[Path], None], Settings]] = [
        ("cold, 1 document, 1 coalition", large.forget, replace(base, coalitions=FEW, documents=1)),
        ("cached, 1 document, 1 coalition", lambda _: None, replace(base, coalitions=FEW, documents=1)),
        ("cold, 4 documents, 3 coalitions", large.forget, base),
        ("cached, 4 documents, 3 coalitions", lambda _: None, base),
    ]
    for case, prepare, settings in cases:
        log(f"{what}: {case}")
        before, _ = speed(reference, blocks, settings)
        prepare(folder)
        rate = large.read_rate(folder)
        prepare(folder)
        found = large.run(folder, settings)
        after, _ = speed(reference, blocks, settings)
        digests.setdefault(settings.coalitions, set()).add(found.scores)
        documents = made_up(found.tokens, settings.documents, found.tokens)
        needed = needs(network, settings.coalitions, found.walks)
        mean = (before + after) / 2
        expected = forecast(network, needed, len(settings.coalitions), documents, mean, rate)
        name = f"{what}, {case}"
        rows += [
            Row(f"{name}: speed of a small resident run before", before / 1e9, "GFLOP/s"),
            Row(f"{name}: speed of a small resident run after", after / 1e9, "GFLOP/s"),
            *_rows(name, found, expected, rate, size, budget),
        ]
    rows.append(Row(f"{what}: different scores of one run repeated", sum(map(len, digests.values())) - 2, "", "<= 0",
                    all(len(found) == 1 for found in digests.values())))  # fmt: skip
    return rows


def _rows(what: str, found: Outcome, expected: Forecast, rate: float, size: int, budget: float) -> list[Row]:
    assert found.walks > 0
    return [
        at_most(f"{what}: peak memory", found.peak / 2**30, budget, "GiB"),
        Row(f"{what}: walks", found.walks, ""),
        at_most(f"{what}: read a walk / weights", found.read / found.walks / size, 1, "x"),
        Row(f"{what}: from the disk / read", found.from_disk / found.read, "x"),
        Row(f"{what}: rate of reading alone", rate / 1e9, "GB/s"),
        Row(f"{what}: rate while walking", found.read / found.seconds / 1e9, "GB/s"),
        Row(f"{what}: time", found.seconds, "s"),
        Row(f"{what}: time, calculated", expected.seconds, "s"),
        Row(f"{what}: waiting", 100 * found.waited / found.seconds, "%"),
        Row(f"{what}: waiting, calculated", 100 * expected.share_waited, "%"),
    ]


def rows(folder: Path, gigabytes: float = 12.0, budget: float = 3.0, threads: int = 2) -> list[Row]:
    """All rows; models are written below `folder` and removed again."""
    blocks = 4
    folder.mkdir(parents=True, exist_ok=True)
    need_space(folder, round(gigabytes * 1e9 + 4e9))
    with tempfile.TemporaryDirectory(dir=folder, prefix="streaming-") as scratch:
        reference = Path(scratch) / "small"
        compared = small(reference, blocks, threads)
        compared += crowded(Path(scratch) / "crowded", threads)
        measured = beyond(Path(scratch) / "large", gigabytes, budget, threads, reference, blocks)
    return [*compared, *measured, *llama3_70b()]


def text(frame: pd.DataFrame, made: str) -> str:
    """The table in Markdown."""
    shown = frame.assign(met=frame["met"].map({True: "yes", False: "no"}))
    return f"# Streaming\n\n{made}\n{report.markdown(shown, {'value': '.3g'})}\n{ASSUMED}"


def main() -> None:
    """Measure, print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / ".cache", help="where models are written")
    parser.add_argument("--gb", type=float, default=12.0, help="weights of the large model, 10^9 bytes")
    parser.add_argument("--budget", type=float, default=3.0, help="memory budget, GiB")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--results", type=Path, default=report.RESULTS)
    chosen = parser.parse_args()
    frame = pd.DataFrame(rows(chosen.folder, chosen.gb, chosen.budget, chosen.threads), columns=Row._fields)
    written = text(frame, report.origin({"cores": os.cpu_count(), "threads": chosen.threads}, report.MODEL_PACKAGES))
    print(written)
    report.write(chosen.results, "streaming", frame, written)


if __name__ == "__main__":
    main()
