"""One evaluate job: load a model, walk its coalitions, write a JSON file for each."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from cornerstone.assets import documents as tasks
from cornerstone.assets import fetch
from cornerstone.config.config import Config
from cornerstone.engine import encoding, sweep, tries
from cornerstone.engine.loading import skeleton
from cornerstone.engine.network import Network
from cornerstone.engine.streaming.streamed import Streamed
from cornerstone.engine.weights import Resident, Weights
from cornerstone.errors import AssetError, CornerstoneError
from cornerstone.evaluate import result
from cornerstone.game import coalitions
from cornerstone.log import Progress, say
from cornerstone.plan import plan
from cornerstone.plan.layout import Layout, fingerprint, forget_backup
from cornerstone.schedule import memory
from cornerstone.schedule.groups import Division
from cornerstone.schedule.malloc import keep_freed_memory

PACKAGES = ("torch", "transformers", "lm_eval", "numpy")


@dataclass(frozen=True)
class Target:
    """A coalition and the file that its result goes to."""

    coalition: int
    path: Path


@dataclass(frozen=True)
class _Loaded:
    """A model and the documents in its tokens, and what memory is there."""

    network: Network
    batches: list[tries.Batch]
    room: memory.Room

    @property
    def division(self) -> Division:
        """What decides how coalitions are divided."""
        token_bytes = self.network.hidden_size * self.network.dtype.itemsize
        return Division(tuple(batch.tokens for batch in self.batches), token_bytes, self.room)


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
        players = self.config.models[self.model].all_players()
        return self.run([Target(coalitions.parse(path.stem, players), path) for path in paths])

    def run_table(self, wanted: Sequence[int], table: Path) -> None:
        """Evaluate coalitions that are not there yet, then write all of them as one table (Parquet).

        What the plan has evaluated is read where it is; the rest goes to the folder `deletion` of the task.
        """
        players = self.config.models[self.model].all_players()
        layout = Layout(self.config)
        made_by = fingerprint(self.config, self.model, self.task)
        data = self._documents()
        targets = []
        for coalition in plan.in_sweep_order(wanted, players):
            planned = Path(layout.coalition(self.model, self.task, coalitions.name(coalition, players)))
            there = result.is_current(planned, made_by, data, coalition, players)
            # not among the targets of Snakemake, which would not know what made them
            own = planned.parents[1] / "deletion" / planned.name
            targets.append(Target(coalition, planned if there else own))
        self.run(targets)
        result.write_table(
            [target.path for target in targets],
            players,
            made_by,
            data,
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
        data = self._documents()
        missing = self._missing(targets, wanted, data)
        label = f"{self.model} {self.task}"
        say(f"{label}: {len(targets) - len(missing)} of {len(targets)} coalitions are there, {len(missing)} to do")
        if not missing:
            return 0
        torch.set_num_threads(entry.threads)
        keep_freed_memory()
        loaded = self._load(data)
        network, batches = loaded.network, loaded.batches
        origin = result.Origin(
            fingerprint=wanted,
            documents=data.digest,
            model={
                **entry.model_dump(include={"source", "id", "revision", "file", "dtype"}),
                "name": self.model,
            },
            versions={package: importlib.metadata.version(package) for package in PACKAGES},
            device=_device_name(network.device),
            weights=loaded.room.weights,
        )
        found = loaded.division.grouping(missing, network.stages)
        groups = found.groups(missing)
        if loaded.room.streamed:
            walks = found.count(len(missing))
            say(
                f"{label}: {walks} walk{'s' * (walks != 1)} over the weights, up to {found.together} coalitions in each"
            )
        tokens = sum(batch.tokens for batch in batches)
        progress = Progress(label, len(missing), sum(sweep.work(g, network.stages) for g in groups) * tokens)
        computed = 0
        for group in groups:
            group = self._missing([t for t in targets if t.coalition in group], wanted, data)
            if not group:
                continue
            started = time.monotonic()
            try:
                scores = sweep.choice_scores(network, batches, group, progress.advance, found.tokens_together)
            except (torch.OutOfMemoryError, MemoryError) as error:
                raise CornerstoneError(
                    f"{label}: out of memory with {len(group)} coalitions at once. Lower memory.budget_gb or "
                    f"batch_tokens of models.{self.model} in config.yaml; what is finished is kept. ({error})"
                ) from error
            seconds = (time.monotonic() - started) / len(group)
            path_of = {target.coalition: target.path for target in targets}
            # a second job for the same files may have been faster: what it wrote stays, with its date
            still_missing = set(self._missing([t for t in targets if t.coalition in group], wanted, data))
            for coalition, rows in zip(group, scores, strict=True):
                if coalition in still_missing:
                    rows_as_lists = [row.tolist() for row in rows]
                    result.write(
                        path_of[coalition],
                        coalition,
                        entry.all_players(),
                        data,
                        rows_as_lists,
                        origin,
                        seconds,
                    )
                forget_backup(path_of[coalition])
            computed += len(group)
            progress.finished(computed)
        if isinstance(network.weights, Streamed):
            say(f"{label}: {network.weights.traffic}")
        return computed

    def _load(self, data: tasks.TaskDocuments) -> _Loaded:
        """The model as the memory budget allows it, and the documents in its tokens.

        Documents are encoded before any weight is read: how many tokens they have decides what fits.

        Raises:
            CornerstoneError: weights that do not fit the config or the budget, or can't be read.
        """
        entry = self.config.models[self.model]
        if entry.compile:
            encoding.need_compiler(self.model)
        folder = fetch.model_folder(self.marker, entry)
        device = encoding.device_of(entry.device_map, entry.resources.gpus)
        outline, tokenizer = skeleton(folder, entry.dtype)
        batches = tries.batches(encoding.encode(outline, tokenizer, data.documents), entry.batch_tokens)
        width = max(batch.input_ids.shape[1] for batch in batches)
        sizes = [batch.tokens for batch in batches]
        room = memory.room(entry.memory, outline, sizes, width, entry.resources.gpus)
        say(f"{self.model} {self.task}: {room}")
        weights: Weights
        if room.streamed:
            weights = Streamed(outline, folder, device, host_bytes=int(entry.memory.host_gb * memory.GIB))
            model = outline
        else:
            weights = Resident()
            model, _ = encoding.load(folder, entry.dtype, entry.device_map, entry.resources.gpus)
        network = Network(model, entry.all_players(), entry.blocks, entry.feed_forward, weights, compiled=entry.compile)
        return _Loaded(network, batches, room)

    def _documents(self) -> tasks.TaskDocuments:
        """The documents that are scored, checked against the config."""
        whole = tasks.read(self.documents)
        source = self.config.documents_source(self.model)
        wanted = tasks.made_from(self.task, source, self.config.tasks[self.task].revision)
        if whole.made_from != wanted:
            raise AssetError(
                f"{self.documents} was made from '{whole.made_from}', now '{wanted}' is asked for. Delete it and run "
                "`snakemake fetch`."
            )
        whole.need_metric(self.config.tasks[self.task].metric)
        return whole.first(self.config.limit(self.model, self.task))

    def _missing(self, targets: Sequence[Target], wanted: str, data: tasks.TaskDocuments) -> list[int]:
        players = self.config.models[self.model].all_players()
        return [t.coalition for t in targets if not result.is_current(t.path, wanted, data, t.coalition, players)]


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
