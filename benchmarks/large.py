"""Models of random weights, larger than memory: written shard by shard, and evaluated by a job in a process of its own.

`python -m benchmarks.large FOLDER SETTINGS` is that process: it runs one evaluate job of the package on made-up
documents and prints what it took, as JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cornerstone.assets import documents as tasks
from cornerstone.assets import fetch
from cornerstone.assets.recipe import Recipe
from cornerstone.config.config import load
from cornerstone.engine.loading import shapes_only
from cornerstone.engine.streaming.checkpoint import Reader, parameters
from cornerstone.engine.streaming.streamed import Streamed
from cornerstone.engine.weights import names_by_sublayer
from cornerstone.evaluate import job as job_module
from cornerstone.evaluate import result
from cornerstone.game.coalitions import parse
from cornerstone.plan.fingerprint import of_result

ROOT = Path(__file__).parents[1]
WORDS = 1000


@dataclass(frozen=True)
class Shape:
    """A Llama model; by default the blocks of Llama-2-7B, 0.4 GB each in bfloat16."""

    blocks: int
    hidden: int = 4096
    intermediate: int = 11008
    heads: int = 32
    key_heads: int = 32
    vocabulary: int = 32000

    def config(self) -> Any:
        """As transformers wants it."""
        from transformers import LlamaConfig

        return LlamaConfig(
            architectures=["LlamaForCausalLM"],
            hidden_size=self.hidden,
            intermediate_size=self.intermediate,
            num_hidden_layers=self.blocks,
            num_attention_heads=self.heads,
            num_key_value_heads=self.key_heads,
            vocab_size=self.vocabulary,
            max_position_embeddings=2048,
        )


def generate(folder: Path, shape: Shape, seed: int = 0) -> int:
    """Write a model of random weights (bfloat16), a shard per block, so that no more than one block is in memory.

    Returns:
        Bytes of weights.
    """
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    folder.mkdir(parents=True)
    shape.config().save_pretrained(folder)
    vocabulary = {"<s>": 0, "</s>": 1, "<unk>": 2, **{f"w{i}": 3 + i for i in range(WORDS)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", model_max_length=2048
    ).save_pretrained(folder)
    model, _ = shapes_only(folder, "bfloat16")
    draw = torch.Generator().manual_seed(seed)
    wanted = dict(model.named_parameters())
    streamed = names_by_sublayer(model)
    inside = [
        [*attention, *feed_forward] for attention, feed_forward in zip(streamed[::2], streamed[1::2], strict=True)
    ]
    shards = [[name for name in wanted if not any(name in names for names in inside)], *inside]
    index: dict[str, str] = {}
    total = 0
    for i, names in enumerate(shards):
        file = f"model-{i:05d}-of-{len(shards) - 1:05d}.safetensors"
        tensors = {}
        for name in names:
            tensor = torch.empty(wanted[name].shape, dtype=torch.bfloat16)
            tensors[name] = tensor.fill_(1) if tensor.ndim == 1 else tensor.normal_(0, 0.02, generator=draw)
        save_file(tensors, folder / file, {"format": "pt"})
        index |= dict.fromkeys(names, file)
        total += sum(tensor.nbytes for tensor in tensors.values())
    text = json.dumps({"metadata": {"total_size": total}, "weight_map": index})
    (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")
    os.sync()
    return total


def forget(folder: Path) -> None:
    """Drop the files' pages from the page cache, so that the next reading comes from the disk."""
    for path in folder.glob("*.safetensors"):
        file = os.open(path, os.O_RDONLY)
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


def read_rate(folder: Path) -> float:
    """Bytes per second at which the blocks' weights are read when nothing else is done: one thread, as in a walk."""
    model, _ = shapes_only(folder, "bfloat16")
    found, reader = parameters(model, folder), Reader()
    names = [name for own in names_by_sublayer(model) for name in own]
    into = torch.empty(max(found[name].bytes for name in names), dtype=torch.uint8).fill_(0)
    begun = time.perf_counter()
    for name in names:
        parameter = found[name]
        reader.read(parameter, into[: parameter.bytes].view(parameter.dtype).view(parameter.shape))
    rate = reader.bytes / (time.perf_counter() - begun)
    reader.close()
    return rate


@dataclass(frozen=True)
class Settings:
    """One evaluate job."""

    blocks: int
    weights: str
    budget_gb: float
    coalitions: tuple[str, ...]
    documents: int
    context: int = 80
    threads: int = 2
    gpus: int = 0
    host_gb: float = 0.0
    batch_tokens: int = 1024


@dataclass(frozen=True)
class Outcome:
    """What a job took.

    Attributes:
        seconds: of the walks, all of them.
        waited: of these, seconds of waiting for weights.
        walks: over the weights; 0 where they are resident.
        read: bytes read from files during the walks.
        from_disk: bytes that the process fetched from storage, page cache aside.
        peak: the most memory that the process held, bytes; with a GPU, what it held of the GPU's.
        tokens: of the documents, packed and padded.
        scores: digest of all log-likelihoods.
    """

    seconds: float
    waited: float
    walks: int
    read: int
    from_disk: int
    peak: int
    tokens: int
    scores: str


def run(folder: Path, settings: Settings) -> Outcome:
    """Run a job in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.large", str(folder), json.dumps(asdict(settings))]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return Outcome(**json.loads(done.stdout.splitlines()[-1]))


def documents(count: int, context: int) -> tasks.TaskDocuments:
    """Documents of random words with two choices of four words."""
    rng = np.random.default_rng(0)

    def words(number: int) -> str:
        return " ".join(f"w{i}" for i in rng.integers(0, WORDS, number))

    made = []
    for i in range(count):
        start = words(context)
        requests = [(start, f" {words(4)}") for _ in range(2)]
        lengths = [len(continuation) for _, continuation in requests]
        made.append(tasks.Document(i, str(i), str(i), requests, lengths, 0))
    return tasks.TaskDocuments(
        task="made-up",
        version="1",
        source="embedded",
        split="validation",
        metrics=["acc"],
        made_from=Recipe("made-up").made_from,
        total=count,
        documents=made,
    )


def job(folder: Path, settings: Settings, scratch: Path) -> Outcome:
    """Run a job in this process; its files are below `scratch`."""
    model = {
        "source": "folder",
        "id": str(folder),
        "blocks": settings.blocks,
        "batch_tokens": settings.batch_tokens,
        "threads": settings.threads,
        "memory": {"weights": settings.weights, "budget_gb": settings.budget_gb, "host_gb": settings.host_gb},
        "resources": {"gpus": settings.gpus},
    }
    checked = load(
        {
            "run": ["large"],
            "run_tasks": ["made-up"],
            "tasks": {"made-up": {"metric": "acc"}},
            "models": {"large": model},
            "paths": {"results": str(scratch / "results"), "resources": str(scratch / "resources")},
        }
    )
    marker, texts = scratch / "large.json", scratch / "made-up.json"
    marker.write_text(json.dumps({"path": str(folder), "asset": fetch.asset_key(checked.models["large"])}))
    tasks.write(documents(settings.documents, settings.context), texts)
    made: list[Streamed] = []
    tokens: list[int] = []

    class Noted(Streamed):
        """Streaming that can be asked afterwards what it cost."""

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            made.append(self)

    original, job_module.Streamed = job_module.Streamed, Noted  # type: ignore[misc]
    packed = job_module.batches_for

    def batches(*args: Any) -> Any:
        found = packed(*args)
        tokens.append(sum(batch.tokens for batch in found))
        return found

    job_module.batches_for = batches  # type: ignore[assignment]
    try:
        fingerprint = of_result(checked, "large", "made-up")
        runner = job_module.Job(checked, "large", "made-up", marker, texts, fingerprint)
        players = checked.models["large"].all_players()
        targets = [
            job_module.Target(parse(name, players), scratch / "results" / f"{name}.json")
            for name in settings.coalitions
        ]
        runner.run(targets)
    finally:
        job_module.Streamed, job_module.batches_for = original, packed  # type: ignore[misc]
    results = [result.read(target.path) for target in targets]
    digest = hashlib.sha256(json.dumps([r["documents"]["loglikelihood"] for r in results]).encode()).hexdigest()[:16]
    traffic = made[0].traffic if made else None
    return Outcome(
        seconds=traffic.seconds if traffic else sum(job["seconds"] for r in results for job in r["provenance"]["jobs"]),
        waited=traffic.waited if traffic else 0.0,
        walks=traffic.walks if traffic else 0,
        read=traffic.bytes if traffic else 0,
        from_disk=_from_disk(),
        peak=torch.cuda.max_memory_allocated() if settings.gpus else _peak(),
        tokens=sum(tokens),
        scores=digest,
    )


def _peak() -> int:
    """The most memory that this process held, bytes; what its parent held before it began does not count."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _from_disk() -> int:
    try:
        lines = Path("/proc/self/io").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))
    except OSError:
        return 0


def main() -> None:
    """The process of one job."""
    import tempfile

    raw = json.loads(sys.argv[2])
    settings = Settings(**{**raw, "coalitions": tuple(raw["coalitions"])})
    with tempfile.TemporaryDirectory(prefix="cornerstone-") as scratch:
        print(json.dumps(asdict(job(Path(sys.argv[1]), settings, Path(scratch)))))


if __name__ == "__main__":
    main()
