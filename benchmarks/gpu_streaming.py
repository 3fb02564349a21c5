"""What streaming to a GPU costs: `python -m benchmarks.gpu_streaming`, part of `make bench-gpu`; needs 4 GB of disk.

Random weights in the shape of Llama-2-7B's blocks, in files. One evaluate job scores the coalitions of the window
estimator (K = 2) on made-up documents, each time in a process of its own:

- *resident*, before and after: all weights are in the GPU's memory;
- *from host memory*: a walk copies each sublayer's weights from pinned host memory while the one before computes;
- *from files*: it reads them from the page cache, too.

Scores must be equal, and the peak of the GPU's memory must stay within the budget.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from benchmarks import large, report
from benchmarks.large import Outcome, Settings, Shape
from benchmarks.workflow import ROOT, Row, at_most
from cornerstone.files import need_space
from cornerstone.game.coalitions import name, window_coalitions
from cornerstone.game.players import alike, players_of
from cornerstone.log import log
from cornerstone.plan.plan import union


def rows(folder: Path, shape: Shape, settings: Settings) -> list[Row]:
    """All rows; the model is written below `folder` and removed again."""
    folder.mkdir(parents=True, exist_ok=True)
    need_space(folder, round(4e9))
    with tempfile.TemporaryDirectory(dir=folder, prefix="streaming-") as scratch:
        model = Path(scratch) / "model"
        log(f"writing a model of {shape.blocks} blocks")
        size = large.generate(model, shape)
        whole = replace(settings, weights="resident", budget_gb=70.0)
        log("resident")
        before = large.run(model, whole)
        made = [Row("weights", size / 1e9, "GB"), Row("coalitions", len(settings.coalitions), "")]
        made.append(Row("tokens", before.tokens, ""))
        streamed: dict[str, Outcome] = {}
        for source, host in (("host memory", 2 * size / 2**30), ("files", 0.0)):
            log(f"streamed from {source}")
            streamed[source] = large.run(model, replace(settings, host_gb=host))
        log("resident once more")
        resident = (before.seconds + large.run(model, whole).seconds) / 2
    made.append(Row("resident: peak of the GPU's memory", before.peak / 2**30, "GiB"))
    for source, found in streamed.items():
        same = found.scores == before.scores
        made += [
            Row(f"from {source}: scores that differ", float(not same), "", "<= 0", same),
            at_most(f"from {source}: peak of the GPU's memory", found.peak / 2**30, settings.budget_gb, "GiB"),
            Row(f"from {source}: time against resident", found.seconds / resident, "x"),
            Row(f"from {source}: waiting", 100 * found.waited / found.seconds, "%"),
            Row(f"from {source}: walks", found.walks, ""),
        ]
    return made


def main() -> None:
    """Measure, print the table, and write benchmarks/results/gpu_streaming.{csv,md}."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / ".cache", help="where the model is written")
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--budget", type=float, default=3.0, help="of the GPU's memory, GiB")
    parser.add_argument("--documents", type=int, default=100)
    parser.add_argument("--output", type=Path, default=report.RESULTS)
    chosen = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("torch sees no GPU here. `python -m benchmarks.streaming` measures the same on a CPU.")
    players = players_of(alike(chosen.blocks))
    names = tuple(name(wanted, players) for wanted in union(players, [window_coalitions(players, 2)]))
    settings = Settings(
        chosen.blocks, "streamed", chosen.budget, names, chosen.documents, threads=4, gpus=1, batch_tokens=8192
    )
    frame = pd.DataFrame(rows(chosen.folder, Shape(chosen.blocks), settings), columns=Row._fields)
    told = {"device": torch.cuda.get_device_name(), "budget": f"{chosen.budget:g} GiB", "documents": chosen.documents}
    shown = frame.assign(met=frame["met"].map({True: "yes", False: "no"}))
    text = "# Streaming to a GPU\n\n" + report.origin(told, report.MODEL_PACKAGES) + "\n"
    text += report.markdown(shown, {"value": ".3g"})
    report.write(chosen.output, "gpu_streaming", frame, text)
    print(text)


if __name__ == "__main__":
    main()
