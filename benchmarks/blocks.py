"""What packing documents in blocks costs: `python -m benchmarks.blocks`, part of `make bench`.

The documents of each task are packed twice for the embedded model: in blocks (`cornerstone.engine.blocks`), as jobs do
it, and all together. *More tokens* is by how much the batches of the blocks are larger, padding included; the target is
under 2 % for all tasks together. *More time* is measured on the first documents of each task: one coalition is walked
with both packings in turn, and the fastest of the repeats count. These are seconds of the processor, so keep to one
thread. Where a task has fewer documents than a row says, it has them all.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pandas as pd
import torch

from benchmarks import report
from cornerstone.assets import documents as tasks
from cornerstone.assets import fetch
from cornerstone.config.config import load_files
from cornerstone.engine import encoding, sweep
from cornerstone.engine.batching import batches_by_piece, batches_for
from cornerstone.engine.blocks import FIRST, SIZE, pieces
from cornerstone.engine.loading import load
from cornerstone.engine.network import Network
from cornerstone.engine.tries import Batch
from cornerstone.game.coalitions import full
from cornerstone.log import log

ROOT = Path(__file__).parents[1]
MODEL = "smollm2-135m"
COUNTS = (24, 100, 100_000)
"""Documents of each task; the last stands for all."""
ALL, TOGETHER = "all", "all six"


def seconds(network: Network, packings: list[list[Batch]], repeats: int) -> list[float]:
    """The least time of the processor that the whole model takes for each packing."""
    taken: list[list[float]] = [[] for _ in packings]
    for _ in range(repeats):
        for batches, times in zip(packings, taken, strict=True):
            started = time.process_time()
            sweep.choice_scores(network, batches, [full(network.players)])
            times.append(time.process_time() - started)
    return [min(times) for times in taken]


def measured(timed: int, repeats: int) -> pd.DataFrame:
    """A row for each task and number of documents, and for all tasks together."""
    config = load_files([ROOT / "config.yaml"])
    entry = config.models[MODEL]
    resources = ROOT / config.paths.resources
    folder = fetch.model_folder(resources / "models" / f"{MODEL}.json", entry)
    model, tokenizer = load(ROOT / folder, entry.dtype)
    network = Network(model, entry.all_players(), entry.kinds())
    rows = []
    for task in config.run_tasks:
        whole = tasks.read(resources / "documents" / "embedded" / f"{task}.json").documents
        packed = encoding.encode(model, tokenizer, [document.requests for document in whole])
        for count in COUNTS:
            some, clusters = packed[:count], [document.cluster for document in whole[:count]]
            together = batches_for(model, some, entry.batch_tokens)
            in_blocks = batches_by_piece(model, some, pieces(clusters), entry.batch_tokens)
            times = seconds(network, [together, in_blocks], repeats) if count == timed else [float("nan")] * 2
            rows.append(
                {
                    "task": task,
                    "documents": ALL if count > len(whole) else str(count),
                    "unpadded": sum(map(len, some)),
                    "together": sum(batch.tokens for batch in together),
                    "in_blocks": sum(batch.tokens for batch in in_blocks),
                    "batches_together": len(together),
                    "batches_in_blocks": len(in_blocks),
                    "seconds_together": times[0],
                    "seconds_in_blocks": times[1],
                }
            )
            log(f"{task}, {rows[-1]['documents']} documents: {rows[-1]['in_blocks']} tokens")
    frame = pd.DataFrame(rows)
    sums = frame.drop(columns="task").groupby("documents", sort=False).sum(min_count=1).reset_index()
    frame = pd.concat([frame, sums.assign(task=TOGETHER)], ignore_index=True)
    frame["more_tokens_percent"] = 100 * (frame["in_blocks"] / frame["together"] - 1)
    frame["more_time_percent"] = 100 * (frame["seconds_in_blocks"] / frame["seconds_together"] - 1)
    return frame


def main() -> None:
    """Run it and write benchmarks/results/blocks.{csv,md}."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--timed", type=int, default=24, help="time is measured on so many documents (default 24)")
    parser.add_argument("--repeats", type=int, default=3, help="of each timing (default 3)")
    parser.add_argument("--threads", type=int, default=1, help="of the model (default 1)")
    parser.add_argument("--out", type=Path, default=report.RESULTS, help="folder of the results")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    frame = measured(arguments.timed, arguments.repeats)
    stops = ", ".join(map(str, FIRST))
    settings = {"threads": arguments.threads, "repeats": arguments.repeats}
    formats = {"seconds_together": ".1f", "seconds_in_blocks": ".1f"}
    formats |= {"more_tokens_percent": ".1f", "more_time_percent": ".1f"}
    most = frame.loc[frame["task"] == TOGETHER, "more_tokens_percent"].max()
    text = (
        f"# Documents in blocks\n\n{report.origin(settings, report.MODEL_PACKAGES)}\n"
        f"Blocks stop after {stops} documents, then after every {SIZE}. Target: under 2 % more tokens for all six "
        f"tasks together. Most: {most:.1f} % ({'met' if most < 2 else 'missed'}).\n\n{report.markdown(frame, formats)}"
    )
    report.write(arguments.out, "blocks", frame, text)


if __name__ == "__main__":
    main()
