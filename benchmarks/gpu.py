"""The sweep on a GPU: `python -m benchmarks.gpu`.

Random weights, made on the device, in the shape of Llama3-8B and of Mixtral-8x7B with 12 of its 32 blocks (the whole
does not fit 80 GB); documents of ARC-Easy with the tokens of SmolLM2. All on one device, in one run:

- *Parity*: the largest difference between the sweep's log-likelihood of a choice and stock lm-eval's, in float32 on the
  same shape with two blocks, for some coalitions.
- *Sweep*: all coalitions of the window estimator (K = 4), bfloat16, compiled; compiling is not counted.
- *P2*: the best stock loop (benchmarks/peers.py) at its best batch size, timed on one coalition just before and just
  after the sweep, and scaled to the number of coalitions.
- *Useful FLOP* and *product rate*: as in benchmarks/performance.py.

docs/performance.md shows the table, and which tests of parity passed on the GPU
(benchmarks/results/gpu_tests.csv, counted by hand in what pytest said).

`--device cpu --scale 32` runs the same on narrower models without a GPU: it shows that the command works, no speed.
"""

from __future__ import annotations

import argparse
import gc
import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, MixtralConfig, PreTrainedConfig

from benchmarks import report
from benchmarks.flop import Shapes, Task, done, product_rate, timed, useful
from benchmarks.peers import Peers
from benchmarks.workflow import ROOT, Row, at_least, at_most
from cornerstone.assets import documents as tasks
from cornerstone.assets import fetch
from cornerstone.assets.documents import Document
from cornerstone.config.config import load_files
from cornerstone.engine import encoding, sweep, tries
from cornerstone.engine.network import Network
from cornerstone.game.coalitions import removed_from, window_coalitions
from cornerstone.game.players import alike, players_of
from cornerstone.log import log
from cornerstone.plan.plan import union
from cornerstone.present.findings import filled
from cornerstone.schedule.groups import groups_within

TASK = "arc_easy"
VOCABULARY = 49_152
"""Of SmolLM2's tokenizer, where the model's own is smaller."""
BATCHES = (8, 16, 32, 64, 128, 256)
"""Batch sizes among which P2 may choose."""
PARITY_BLOCKS = 2
PAGE = ROOT / "docs" / "performance.md"


def shapes(scale: int = 1) -> dict[str, PreTrainedConfig]:
    """The models, by name; each `scale` times narrower, and with as many blocks divided by the square root of that."""
    narrow: dict[str, Any] = {
        "hidden_size": 4096 // scale,
        "intermediate_size": 14_336 // scale,
        "num_attention_heads": 32 // min(scale, 4),
        "num_key_value_heads": 8 // min(scale, 4),
        "max_position_embeddings": 8192,
        "tie_word_embeddings": False,
    }
    fewer = max(1, int(scale**0.5))
    llama = LlamaConfig(vocab_size=128_256 if scale == 1 else VOCABULARY, num_hidden_layers=32 // fewer, **narrow)
    mixtral = MixtralConfig(vocab_size=VOCABULARY, num_hidden_layers=12 // fewer, **narrow)
    return {"llama3-8b": llama, "mixtral-8x7b, 12 of 32 blocks": mixtral}


def random_model(config: PreTrainedConfig, dtype: torch.dtype, device: torch.device) -> Any:
    """A model of random weights, made where it is used."""
    torch.manual_seed(0)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()


class Trial:
    """A model and the documents, as the sweep and as P2 see them.

    Args:
        config: of the model.
        dtype: number format.
        device: where the model is made and everything is computed.
        documents: of ARC-Easy.
        tokenizer: of the embedded model.
        batch_tokens: most tokens of a batch of the sweep.
        compiled: as in the config.
    """

    def __init__(
        self,
        config: PreTrainedConfig,
        dtype: torch.dtype,
        device: torch.device,
        documents: Sequence[Document],
        tokenizer: Any,
        batch_tokens: int,
        compiled: bool,
    ) -> None:
        self.device = device
        model = random_model(config, dtype, device)
        kind: Literal["ffn", "moe"] = "moe" if hasattr(config, "num_local_experts") else "ffn"
        self.players = players_of(alike(config.num_hidden_layers, kind))
        self.peers = Peers(model, tokenizer, {TASK: documents})
        self.network = Network(model, self.players, alike(config.num_hidden_layers, kind), compiled=compiled)
        self.shapes = Shapes.of(self.network)
        packed = encoding.encode(model, tokenizer, [document.requests for document in documents])
        self.task = Task(TASK, tries.batches(packed, batch_tokens), sum(map(len, packed)))
        self.coalitions = union(self.players, [window_coalitions(self.players, 4)])
        self.groups = groups_within(self.coalitions, 1, 2**62)

    def sweep(self, groups: Sequence[Sequence[int]]) -> list[list[torch.Tensor]]:
        """[coalition][document] -> log-likelihoods of the choices, the groups one after another."""
        return [row for group in groups for row in sweep.choice_scores(self.network, self.task.batches, group)]

    def p2(self, coalition: int, batch: int) -> list[float]:
        """The log-likelihood of every choice, by the best stock loop."""
        return self.peers.p2(TASK, removed_from(coalition, self.players), batch)

    def rate(self) -> float:
        """FLOP/s of torch's products at the model's shapes."""
        largest = max(batch.tokens for batch in self.task.batches)
        return product_rate(self.shapes, self.network, self.task, self.coalitions, largest)

    def parity(self, count: int = 4) -> float:
        """Largest difference to stock lm-eval over some coalitions: without any removal, with few and with many."""
        chosen = [self.coalitions[i * (len(self.coalitions) - 1) // (count - 1)] for i in range(count)]
        found = self.sweep([chosen])
        return max(
            (torch.cat(row) - torch.tensor(self.p2(coalition, 8), dtype=torch.float64)).abs().max().item()
            for coalition, row in zip(chosen, found, strict=True)
        )


def measured(trial: Trial, batches: Sequence[int] = BATCHES) -> Mapping[str, float]:
    """Seconds of the sweep and of P2, FLOP and rates."""
    middle = trial.coalitions[len(trial.coalitions) // 2]
    trial.sweep([[middle]])  # compiles, and warms up
    of_batch: dict[int, float] = {}
    for batch in batches:
        trial.p2(middle, batch)
        of_batch[batch] = timed(partial(trial.p2, middle, batch), trial.device)
        log(f"P2 in batches of {batch}: {of_batch[batch]:.2f} s a coalition")
    best = min(of_batch, key=lambda batch: of_batch[batch])
    p2 = [timed(partial(trial.p2, middle, best), trial.device)]
    rates = [trial.rate()]
    on_gpu = trial.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(trial.device)
    seconds = timed(partial(trial.sweep, trial.groups), trial.device)
    peak = torch.cuda.max_memory_allocated(trial.device) if on_gpu else 0
    rates.append(trial.rate())
    p2.append(timed(partial(trial.p2, middle, best), trial.device))
    log(f"sweep of {len(trial.coalitions)} coalitions: {seconds:.1f} s; P2: {statistics.mean(p2):.2f} s a coalition")
    return {
        "coalitions": len(trial.coalitions),
        "tokens": trial.task.tokens,
        "sweep_s": seconds,
        "p2_s": statistics.mean(p2) * len(trial.coalitions),
        "p2_batch": best,
        "product_flops": statistics.mean(rates),
        "useful_flop": useful(trial.shapes, trial.network, trial.task, trial.coalitions),
        "done_flop": done(trial.shapes, trial.network, trial.task, trial.groups),
        "peak_bytes": peak,
    }


def rows_of(name: str, figures: Mapping[str, float], parity: float) -> list[Row]:
    """A model's lines of the table."""
    limit = figures["useful_flop"] / figures["product_flops"]
    made = [
        at_most(f"{name}: largest difference to lm-eval, float32, {PARITY_BLOCKS} blocks", parity, 1e-2, "nats"),
        at_least(f"{name}: sweep against P2", figures["p2_s"] / figures["sweep_s"], 8, "x"),
        at_least(f"{name}: useful rate against product rate", 100 * limit / figures["sweep_s"], 60, "%"),
        Row(f"{name}: limit against P2", figures["p2_s"] / limit, "x"),
        Row(f"{name}: product rate", figures["product_flops"] / 1e12, "TFLOP/s"),
        at_most(f"{name}: work done against unique work", figures["done_flop"] / figures["useful_flop"], 1.10, "x"),
    ]
    if figures["peak_bytes"]:
        made.append(Row(f"{name}: peak memory of the sweep", figures["peak_bytes"] / 2**30, "GiB"))
    return made


def trials(
    configs: Mapping[str, PreTrainedConfig], device: torch.device, documents: int, batch_tokens: int
) -> tuple[list[Row], pd.DataFrame]:
    """Every model, one after another.

    Raises:
        FileNotFoundError: there are no documents and no tokenizer here yet.
    """
    config = load_files([ROOT / "config.yaml"])
    resources = ROOT / config.paths.resources
    entry = config.models["smollm2-135m"]
    if not (resources / "documents" / "embedded" / f"{TASK}.json").is_file():
        raise FileNotFoundError(f"there are no documents in {resources}. Run `snakemake fetch --cores 1` first.")
    folder = ROOT / fetch.model_folder(resources / "models" / "smollm2-135m.json", entry)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    scored = tasks.read(resources / "documents" / "embedded" / f"{TASK}.json").first(documents).documents
    rows, table = [], []
    for name, shape in configs.items():
        log(f"{name}: parity")
        small = type(shape)(**{**shape.to_dict(), "num_hidden_layers": PARITY_BLOCKS})
        parity = Trial(small, torch.float32, device, scored[:8], tokenizer, batch_tokens, True).parity()
        _free(device)
        log(f"{name}: weights of {shape.num_hidden_layers} blocks")
        trial = Trial(shape, torch.bfloat16, device, scored, tokenizer, batch_tokens, True)
        figures = measured(trial)
        del trial
        _free(device)
        rows += rows_of(name, figures, parity)
        table.append({"model": name, **figures})
    return rows, pd.DataFrame(table)


def page(text: str) -> str:
    """The page of the documentation with the tables in benchmarks/results/, if there are any."""
    made = {"gpu": (report.RESULTS / "gpu.md").read_text(encoding="utf-8").partition("\n\n")[2].rstrip()}
    tests = pd.read_csv(report.RESULTS / "gpu_tests.csv")
    made["gputests"] = report.markdown(tests, {}).rstrip()
    return filled(text, made)


def _free(device: torch.device) -> None:
    torch.compiler.reset()  # or the limit of compilations of one function would be reached by one model after another
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def main() -> None:
    """Run it, print the table and write benchmarks/results/gpu.{csv,md}."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--scale", type=int, default=1, help="how much narrower the models are; a power of two")
    parser.add_argument("--documents", type=int, default=400)
    parser.add_argument("--batch-tokens", type=int, default=8192, help="tokens of a batch of the sweep")
    parser.add_argument("--output", type=Path, default=report.RESULTS)
    chosen = parser.parse_args()
    device = torch.device(chosen.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no GPU here. `--device cpu --scale 32` tries the command without one.")
    rows, table = trials(shapes(chosen.scale), device, chosen.documents, chosen.batch_tokens)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    settings = {"device": name, "documents": chosen.documents, "scale": chosen.scale}
    text = (
        "# The sweep on a GPU\n\n"
        + report.origin(settings, report.MODEL_PACKAGES)
        + "\n"
        + report.markdown(pd.DataFrame(rows), {"value": ".3g"})
    )
    report.write(chosen.output, "gpu", table, text)
    if chosen.output == report.RESULTS:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
