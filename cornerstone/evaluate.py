"""One evaluate job: load a model, walk its coalitions, write a JSON file for each."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from cornerstone import assets, coalitions, models, packing, plan, store, sweep, tasks
from cornerstone.config import Config
from cornerstone.console import Progress, say
from cornerstone.errors import CornerstoneError
from cornerstone.network import Network
from cornerstone.workflow import Layout, fingerprint, forget_backup

PACKAGES = ("torch", "transformers", "lm_eval", "numpy")


@dataclass(frozen=True)
class Target:
    """A coalition and the file that its result goes to."""

    coalition: int
    path: Path


@dataclass(frozen=True)
class Job:
    """A model, a task, and the files that fetch made for them."""

    config: Config
    model: str
    task: str
    marker: Path
    documents: Path

    def run_files(self, paths: Sequence[Path]) -> int:
        """`run` for files that are named after their coalitions.

        Raises:
            CoalitionError: a file's name is no coalition of the model.
        """
        players = self.config.models[self.model].players
        return self.run([Target(coalitions.parse(path.stem, players), path) for path in paths])

    def run_table(self, wanted: Sequence[int], table: Path) -> None:
        """Evaluate coalitions into the model's folder of results, then write them as one table (Parquet)."""
        players = self.config.models[self.model].players
        folder = Path(Layout(self.config).coalition(self.model, self.task, "")).parent
        distinct = plan.in_sweep_order(wanted, players)
        targets = [Target(c, folder / f"{coalitions.name(c, players)}.json") for c in distinct]
        self.run(targets)
        store.write_table(
            [target.path for target in targets],
            players,
            fingerprint(self.config, self.model, self.task),
            tasks.read(self.documents).first(self.config.limit(self.model, self.task)),
            table,
        )

    def run(self, targets: Sequence[Target]) -> int:
        """Make every target that is not there or was made by other settings or code.

        Targets are written group by group, so that what is finished stays when the job dies. Each is looked
        at again just before it would be computed: another job may have made it in the meantime.

        Returns:
            How many were computed.

        Raises:
            CornerstoneError: bad assets, bad config, too little memory.
        """
        entry = self.config.models[self.model]
        wanted = fingerprint(self.config, self.model, self.task)
        missing = self._missing(targets, wanted)
        label = f"{self.model} {self.task}"
        say(f"{label}: {len(targets) - len(missing)} of {len(targets)} coalitions are there, {len(missing)} to do")
        if not missing:
            return 0
        torch.set_num_threads(entry.threads)
        whole = tasks.read(self.documents)
        whole.need_metric(self.config.tasks[self.task].metric)
        data = whole.first(self.config.limit(self.model, self.task))
        model, tokenizer = models.load(assets.model_folder(self.marker), entry.dtype, entry.device_map)
        network = Network(model, entry.players)
        batches = packing.batches(models.encode(model, tokenizer, data.documents), entry.batch_tokens)
        origin = store.Origin(
            fingerprint=wanted,
            model={
                **entry.model_dump(include={"source", "id", "revision", "file", "dtype"}),
                "name": self.model,
            },
            versions={package: importlib.metadata.version(package) for package in PACKAGES},
            device=_device_name(network.device),
        )
        state_bytes = max(batch.tokens for batch in batches) * network.hidden_size * network.dtype.itemsize
        groups = sweep.groups_within(missing, state_bytes, entry.memory_budget_gb * 2**30)
        tokens = sum(batch.tokens for batch in batches)
        progress = Progress(label, len(missing), sum(sweep.work(g, network.stages) for g in groups) * tokens)
        computed = 0
        for group in groups:
            group = self._missing([t for t in targets if t.coalition in group], wanted)
            if not group:
                continue
            started = time.monotonic()
            try:
                scores = sweep.choice_scores(network, batches, group, progress.advance)
            except (torch.OutOfMemoryError, MemoryError) as error:
                raise CornerstoneError(
                    f"{label}: out of memory with {len(group)} coalitions at once. Lower memory_budget_gb or "
                    f"batch_tokens of models.{self.model} in config.yaml; what is finished is kept. ({error})"
                ) from error
            seconds = (time.monotonic() - started) / len(group)
            path_of = {target.coalition: target.path for target in targets}
            for coalition, rows in zip(group, scores, strict=True):
                rows_as_lists = [row.tolist() for row in rows]
                store.write(
                    path_of[coalition],
                    coalition,
                    entry.players,
                    data,
                    len(whole.documents),
                    rows_as_lists,
                    origin,
                    seconds,
                )
                forget_backup(path_of[coalition])
            computed += len(group)
            progress.finished(computed)
        return computed

    def _missing(self, targets: Sequence[Target], wanted: str) -> list[int]:
        players = self.config.models[self.model].players
        return [t.coalition for t in targets if not store.is_current(t.path, wanted, t.coalition, players)]


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
