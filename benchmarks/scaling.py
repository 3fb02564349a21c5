"""How the cost grows with blocks, documents and K: `python -m benchmarks.scaling`, part of `make bench`.

One task (ARC-Easy), bfloat16, the window estimator, one thread. Each point is a sweep of the whole plan, twice over all
points in turn. CPU seconds, the mean of both, are shown beside what the plan predicts: the useful FLOP of the point
(benchmarks/performance.py), scaled so that the largest point of its panel fits.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from matplotlib.figure import Figure

from benchmarks import plots, report
from benchmarks.performance import MODEL, ROOT, Shapes, Task, machine, useful
from cornerstone.assets import documents, fetch
from cornerstone.config.config import load_files
from cornerstone.engine import encoding, sweep, tries
from cornerstone.engine.loading import load
from cornerstone.engine.network import Network
from cornerstone.game.coalitions import window_coalitions
from cornerstone.game.players import alike, players_of
from cornerstone.log import log
from cornerstone.plan.plan import union
from cornerstone.present.figures.drawing import BLUE, GREY, styled
from cornerstone.schedule.groups import groups_within
from cornerstone.schedule.malloc import keep_freed_memory

BLOCKS, DOCUMENTS, LARGEST = 30, 10, 2
"""What a point has that varies something else: blocks of the model, documents, K."""
POINTS = {"blocks": (6, 12, 18, 24, 30), "documents": (5, 10, 20, 40), "K": (1, 2, 3, 4)}
REPEATS = 2


def shortened(model: Any, blocks: int) -> Any:
    """The model's first blocks; the model itself is changed."""
    model.model.layers = model.model.layers[:blocks]
    model.config.num_hidden_layers = blocks
    return model


def measure() -> pd.DataFrame:
    """CPU seconds and useful FLOP of each point."""
    config = load_files([ROOT / "config.yaml"])
    entry, resources = config.models[MODEL], ROOT / config.paths.resources
    folder = ROOT / fetch.model_folder(resources / "models" / f"{MODEL}.json", entry)
    scored = documents.read(resources / "documents" / "embedded" / "arc_easy.json").documents
    made = []
    for varied, points in POINTS.items():
        for point in points:
            setting = {"blocks": BLOCKS, "documents": DOCUMENTS, "K": LARGEST, varied: point}
            model, tokenizer = load(folder, "bfloat16")
            requests = [document.requests for document in scored[: setting["documents"]]]
            packed = encoding.encode(model, tokenizer, requests)
            players = players_of(alike(setting["blocks"]))
            network = Network(shortened(model, setting["blocks"]), players, alike(setting["blocks"]))
            task = Task("arc_easy", tries.batches(packed, entry.batch_tokens), sum(map(len, packed)))
            coalitions = union(players, [window_coalitions(players, setting["K"])])
            made.append((varied, point, setting, network, task, coalitions, list[float]()))
    for _ in range(REPEATS):
        for varied, point, _, network, task, coalitions, seconds in made:
            started = time.process_time()
            for group in groups_within(coalitions, 1, 2**62):
                sweep.choice_scores(network, task.batches, group)
            seconds.append(time.process_time() - started)
            log(f"{varied} {point}: {seconds[-1]:.2f} s")
    rows = []
    for varied, point, setting, network, task, coalitions, seconds in made:
        flop = useful(Shapes.of(network), network, task, coalitions)
        facts = {**setting, "coalitions": len(coalitions), "tokens": task.tokens}
        row = {"varied": varied, "point": point, **facts, "useful_flop": flop}
        rows.append(row | {"seconds": statistics.mean(seconds), "least": min(seconds), "most": max(seconds)})
    return pd.DataFrame(rows)


def figure(frame: pd.DataFrame) -> Figure:
    """A panel for each quantity that varies: CPU seconds measured, and as the plan predicts."""
    with styled():
        made = Figure(figsize=(7.2, 2.3), layout="constrained")
        axes = made.subplots(1, 3)
        labels = {"blocks": "blocks of the model", "documents": "documents", "K": "K of the window estimator"}
        for ax, (varied, label) in zip(axes, labels.items(), strict=True):
            part = frame[frame["varied"] == varied].sort_values("point")
            predicted = part["useful_flop"] * (part["seconds"].iloc[-1] / part["useful_flop"].iloc[-1])
            ax.plot(part["point"], predicted, color=GREY, linestyle="--", label="useful FLOP, scaled")
            below, above = part["seconds"] - part["least"], part["most"] - part["seconds"]
            ax.errorbar(part["point"], part["seconds"], [below, above], color=BLUE, fmt="o", label="measured")
            ax.set_xticks(list(part["point"]))
            ax.set_xlabel(label)
            ax.set_ylim(0)
        axes[0].set_ylabel("CPU seconds")
        axes[0].legend()
    return made


def main() -> None:
    """Run it; write benchmarks/results/scaling.{csv,md} and docs/figures/scaling.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=report.RESULTS)
    parser.add_argument("--figures", type=Path, default=ROOT / "docs" / "figures")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    frame = measure()
    text = (
        "# How the cost grows\n\n" + report.origin({"threads": 1, "machine": machine()}, report.MODEL_PACKAGES) + "\n"
    )
    text += report.markdown(frame, {"useful_flop": ".3g", "seconds": ".2f", "least": ".2f", "most": ".2f"})
    report.write(arguments.output, "scaling", frame, text)
    plots.save(figure(frame), arguments.figures / "scaling.png")
    print(text)


if __name__ == "__main__":
    main()
