"""How fast the sweep is: `python -m benchmarks.performance`, part of `make bench`.

All on the same documents, in the same number format, with the same threads, in one run:

- The *sweep* evaluates all coalitions of the window estimator (K = 4) on every task. Its *peers* (benchmarks/peers.py)
  are timed on one coalition of each task, just before and just after the sweep of that task, and scaled to the number
  of coalitions: a coalition costs them the same, whatever it removes (a hooked module is still computed). A ratio is
  the peer's time over the sweep's, task by task and over all tasks.
- *Useful FLOP*: matrix products that any method must do at least once: unique packed tokens (no padding) x unique
  paths (all coalitions walked together) through the weights of sublayers, and the head at the tokens that predict,
  once for each coalition. Products of attention's scores are left out.
- *Product rate*: FLOP/s of torch's own product of [batch_tokens, in] and [out, in], for the shapes of the model,
  weighted by their share of the useful FLOP, timed just before and after each sweep.
- *Difference*: of the log-likelihoods of the coalition that was timed with P2, beside that of P2 with itself in batches
  of another size: both are rounding.
- *Work done*: FLOP of the products with weights that the sweep really does (padding, groups of coalitions, fewer
  tokens in the last feed-forward sublayer) over useful FLOP.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch

from benchmarks import report
from benchmarks.flop import Shapes, Task, done, product_rate, useful
from benchmarks.peers import BATCHES, P1_BATCH, Apart
from benchmarks.workflow import Row, at_least, at_most
from cornerstone.assets import documents as tasks
from cornerstone.assets import fetch
from cornerstone.config.config import Config, load_files
from cornerstone.config.models import Model
from cornerstone.engine import encoding, sweep
from cornerstone.engine.batching import batches_by_piece
from cornerstone.engine.blocks import pieces
from cornerstone.engine.loading import load
from cornerstone.engine.network import Network
from cornerstone.game.coalitions import removed_from, window_coalitions
from cornerstone.log import log
from cornerstone.plan.layout import Layout
from cornerstone.plan.plan import union
from cornerstone.schedule.groups import groups_within
from cornerstone.schedule.malloc import keep_freed_memory

ROOT = Path(__file__).parents[1]
MODEL = "smollm2-135m"


class Bench:
    """The embedded model on the first documents of the tasks.

    Args:
        config: the configuration.
        dtype: number format.
        documents: of each task.
        compiled: as in the config.
        names: of the tasks; all that are scored by default.
    """

    def __init__(
        self, config: Config, dtype: str, documents: int, compiled: bool, names: Sequence[str] | None = None
    ) -> None:
        self.entry: Model = config.models[MODEL]
        resources = ROOT / config.paths.resources
        folder = fetch.model_folder(resources / "models" / f"{MODEL}.json", self.entry)
        model, tokenizer = load(ROOT / folder, dtype)
        self.players = self.entry.all_players()
        self.network = Network(model, self.players, self.entry.kinds(), compiled=compiled)
        self.shapes = Shapes.of(self.network)
        scored = {
            task: tasks.read(resources / "documents" / "embedded" / f"{task}.json").first(documents).documents
            for task in names or config.scored_tasks
        }
        self.model, self.tasks = model, []
        self.packed = {}
        for name, chosen in scored.items():
            packed = encoding.encode(model, tokenizer, [document.requests for document in chosen])
            self.packed[name] = packed
            in_blocks = pieces([document.cluster for document in chosen])
            made = batches_by_piece(model, packed, in_blocks, self.entry.batch_tokens)
            self.tasks.append(Task(name, made, sum(map(len, packed))))
        self.coalitions = union(self.players, [window_coalitions(self.players, 4)])
        self.peers_need = (ROOT / folder, dtype, scored, ROOT / Layout(config).wheels)

    def groups(self, coalitions: Sequence[int]) -> list[list[int]]:
        """As an evaluate job walks them, memory permitting."""
        return groups_within(coalitions, 1, 2**62)

    def sweep(self, task: Task, coalitions: Sequence[int]) -> list[list[torch.Tensor]]:
        """Evaluate coalitions on a task: [coalition][document] -> log-likelihoods of the choices."""
        groups = self.groups(coalitions)
        return [row for group in groups for row in sweep.choice_scores(self.network, task.batches, group)]


def best_batches(peers: Apart, names: Sequence[str]) -> dict[str, int]:
    """P2's batch size on each task: the fastest on that task."""
    best = {}
    for task in names:
        seconds = {batch: peers.seconds("p2", task, [], batch) for batch in BATCHES}
        best[task] = min(seconds, key=lambda batch: seconds[batch])
        shown = ", ".join(f"{batch}: {time:.1f} s" for batch, time in seconds.items())
        log(f"P2 on {task}, seconds of a coalition in batches of {shown}")
    return best


def against_peers(bench: Bench, threads: int) -> pd.DataFrame:
    """Seconds of sweep and peers, FLOP and rates, for each task."""
    stock, helped = Apart(threads, False, *bench.peers_need), Apart(threads, True, *bench.peers_need)
    names = [task.name for task in bench.tasks]
    batches = best_batches(stock, names)
    helped.seconds("p2", names[-1], [], batches[names[-1]])  # warms up
    bench.sweep(bench.tasks[0], bench.coalitions[:1])  # compiles, and warms up
    count = len(bench.coalitions)
    rows = []
    for i, task in enumerate(bench.tasks):
        chosen = (37 * i + 5) % count
        removed = removed_from(bench.coalitions[chosen], bench.players)
        batch = batches[task.name]
        before, stock_scores = stock.scored("p2", task.name, removed, batch)
        rate_before = product_rate(bench.shapes, bench.network, task, bench.coalitions, bench.entry.batch_tokens)
        started = time.perf_counter()
        scores = bench.sweep(task, bench.coalitions)[chosen]
        seconds = time.perf_counter() - started
        rate_after = product_rate(bench.shapes, bench.network, task, bench.coalitions, bench.entry.batch_tokens)
        after = stock.seconds("p2", task.name, removed, batch)
        helped_s, _ = helped.scored("p2", task.name, removed, batch)
        _, other = stock.scored("p2", task.name, removed, 2 * batch)
        row = {
            "task": task.name,
            "coalitions": count,
            "sweep_s": seconds,
            "p1_s": stock.seconds("p1", task.name, removed) * count,
            "p2_s": (before + after) / 2 * count,
            "helped_s": helped_s * count,
            "p2_batch": batch,
            "product_flops": (rate_before + rate_after) / 2,
            "useful_flop": useful(bench.shapes, bench.network, task, bench.coalitions),
            "done_flop": done(bench.shapes, bench.network, task, bench.groups(bench.coalitions)),
            "difference": typical_difference(torch.cat(scores).tolist(), stock_scores),
            "p2_difference": typical_difference(other, stock_scores),
        }
        rows.append(row)
        log(f"{task.name}: " + ", ".join(f"{key} {value:.4g}" for key, value in row.items() if key.endswith("_s")))
    stock.close()
    helped.close()
    return pd.DataFrame(rows)


def typical_difference(scores: Sequence[float], others: Sequence[float]) -> float:
    """Root mean square difference of the log-likelihoods of all choices, nats."""
    pairs = zip(scores, others, strict=True)
    return float(statistics.fmean((a - b) ** 2 for a, b in pairs) ** 0.5)


def efficiency(bench: Bench, coalitions: int, task_name: str = "arc_easy") -> float:
    """Useful FLOP rate over product rate, median of three, on one task and some coalitions in the middle."""
    task = next(task for task in bench.tasks if task.name == task_name)
    middle = len(bench.coalitions) // 2
    chosen = bench.coalitions[middle : middle + coalitions]
    bench.sweep(task, chosen[:1])
    shares = []
    for _ in range(3):
        before = product_rate(bench.shapes, bench.network, task, chosen, bench.entry.batch_tokens)
        started = time.perf_counter()
        bench.sweep(task, chosen)
        seconds = time.perf_counter() - started
        after = product_rate(bench.shapes, bench.network, task, chosen, bench.entry.batch_tokens)
        flop = sum(useful(bench.shapes, bench.network, task, group) for group in bench.groups(chosen))
        shares.append(flop / seconds / ((before + after) / 2))
    return statistics.median(shares)


def summary(frame: pd.DataFrame, dtype: str) -> list[Row]:
    """The rows of the table: over all tasks together, and the median and the range over tasks."""
    total = frame.select_dtypes("number").sum()
    limit = frame["useful_flop"] / frame["product_flops"]
    rows = []
    names = {"p2": "P2 (best batch size of each task)", "p1": f"P1 (batches of {P1_BATCH})"}
    for peer, least in (("p2", 10.0), ("p1", 20.0)):
        ratio = total[f"{peer}_s"] / total["sweep_s"]
        each = frame[f"{peer}_s"] / frame["sweep_s"]
        rows += [
            at_least(f"sweep against {names[peer]}, {dtype}, all tasks", ratio, least, "x"),
            Row("  median task", each.median(), f"x ({each.min():.1f} to {each.max():.1f})"),
            Row("  limit: useful FLOP at the product rate", total[f"{peer}_s"] / limit.sum(), "x"),
        ]
    ratio = total["helped_s"] / total["sweep_s"]
    rows.append(Row("against P2 with the sweep's memory setting", ratio, "x"))
    rate = limit.sum() / total["sweep_s"]
    rows.append(at_least(f"useful FLOP rate against the product rate, {dtype}", 100 * rate, 45, "%"))
    rows.append(Row("product rate", total["useful_flop"] / limit.sum() / 1e12, "TFLOP/s"))
    work = total["done_flop"] / total["useful_flop"]
    rows.append(at_most("work done against the unique work", work, 1.10, "x"))
    worst = frame.sort_values("difference").iloc[-1]
    rows.append(
        Row(f"log-likelihoods of choices against P2's, RMS, {worst['task']} (the largest)", worst["difference"], "nats")
    )
    rows.append(Row("  P2 against itself with another batch size, the same", worst["p2_difference"], "nats"))
    return rows


def machine() -> str:
    """Processor, cores, memory, in words."""
    facts: Mapping[str, str] = {}
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        facts = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    flags = facts.get("flags", "").split()
    wanted = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{facts.get('model name', 'unknown CPU')} ({', '.join(wanted)}), {os.cpu_count()} cores, {memory:.0f} GiB"


def main() -> None:
    """Run it, print the table and write benchmarks/results/performance.{csv,md}."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=100, help="of each task")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--output", type=Path, default=report.RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    config = load_files([ROOT / "config.yaml"])
    kept = keep_freed_memory()
    eager = Bench(config, "bfloat16", arguments.documents, compiled=False)
    rows = [Row("eager path, bfloat16, arc_easy, 16 coalitions: useful rate", 100 * efficiency(eager, 16), "%")]
    bench = Bench(config, "bfloat16", arguments.documents, compiled=True)
    rows.append(Row("compiled path, the same", 100 * efficiency(bench, 16), "%"))
    frame = against_peers(bench, arguments.threads)
    rows = [*summary(frame, "bfloat16"), *rows]
    torch.compiler.reset()  # or models of two number formats would share one limit of compilations
    full = Bench(config, "float32", min(arguments.documents, 50), compiled=True)
    share = 100 * efficiency(full, 8)
    rows.append(at_least("useful FLOP rate, float32, arc_easy, 8 coalitions", share, 75, "%"))
    table = pd.DataFrame(rows)
    settings = {"documents": arguments.documents, "threads": arguments.threads, "keep_freed_memory": kept}
    text = "# How fast the sweep is\n\n" + report.origin({**settings, "machine": machine()}, report.MODEL_PACKAGES)
    text += "\n" + report.markdown(table, {"value": ".3g"}) + "\nEach task; seconds of all coalitions:\n\n"
    shown = frame.assign(p1=frame["p1_s"] / frame["sweep_s"], p2=frame["p2_s"] / frame["sweep_s"])
    text += report.markdown(shown, dict.fromkeys(shown.select_dtypes("float").columns, ".3g"))
    report.write(arguments.output, "performance", frame, text)
    print(text)


if __name__ == "__main__":
    main()
