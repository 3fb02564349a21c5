"""One evaluate job: load a model, walk its coalitions, write a JSON file for each."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cornerstone.assets import fetch
from cornerstone.assets.documents import TaskDocuments, made_from, read
from cornerstone.config.config import Config
from cornerstone.config.models import Model
from cornerstone.engine import loading, structure, sweep, tries
from cornerstone.engine.batching import batches_for
from cornerstone.engine.encoding import encode
from cornerstone.engine.network import Network
from cornerstone.engine.proof import prove, prove_streamed
from cornerstone.engine.streaming.streamed import Streamed
from cornerstone.engine.weights import Resident, Traffic, Weights
from cornerstone.errors import AssetError, CornerstoneError
from cornerstone.evaluate import means, result, table
from cornerstone.game import coalitions
from cornerstone.game.players import Player
from cornerstone.log import Progress, log
from cornerstone.plan.fingerprint import settings
from cornerstone.plan.layout import Layout
from cornerstone.plan.snakemake import forget_backup
from cornerstone.schedule import limits, memory
from cornerstone.schedule.groups import Division, Grouping
from cornerstone.schedule.malloc import keep_freed_memory

PACKAGES = ("torch", "transformers", "lm_eval", "numpy")


@dataclass(frozen=True)
class Target:
    """A coalition and the file that its result goes to."""

    coalition: int
    path: Path


@dataclass(frozen=True)
class Loaded:
    """A model and the documents in its tokens, and what memory is there."""

    network: Network
    packed: list[tries.PackedDocument]
    batches: list[tries.Batch]
    room: memory.Room

    @property
    def tokens(self) -> int:
        """Tokens of all batches, padding included."""
        return sum(batch.tokens for batch in self.batches)

    @property
    def division(self) -> Division:
        """What decides how coalitions are divided."""
        token_bytes = self.network.hidden_size * self.network.dtype.itemsize
        return Division(tuple(batch.tokens for batch in self.batches), token_bytes, self.room)


@dataclass(frozen=True)
class Job:
    """A model, a task, the files that fetch made for them, and the fingerprint that their results carry.

    `asked_mb` is the host memory in MiB that the job asked for, if it was submitted to a cluster.
    """

    config: Config
    model: str
    task: str
    marker: Path
    documents: Path
    fingerprint: str
    asked_mb: int | None = None

    @property
    def entry(self) -> Model:
        """The model's section of the config."""
        return self.config.models[self.model]

    @property
    def players(self) -> tuple[Player, ...]:
        """The model's players."""
        return self.entry.all_players()

    @property
    def described(self) -> dict[str, Any]:
        """What results say of the model."""
        told = {**self.entry.model_dump(include={"source", "id", "revision", "file", "dtype"}), "name": self.model}
        return told if self.entry.reference is None else {**told, "removal": self.entry.model_dump()["removal"]}

    def run_files(self, paths: Sequence[Path]) -> int:
        """`run` for files that are named after their coalitions.

        Raises:
            CoalitionError: a file's name is no coalition of the model.
        """
        return self.run([Target(coalitions.parse(path.stem, self.players), path) for path in paths])

    def run_table(self, wanted: Sequence[int], target: Path, made_by: str) -> None:
        """Evaluate coalitions that are not there yet, then write all of them as one table (Parquet).

        What the plan has evaluated is read where it is; the rest goes to a folder of its own: it is not among the
        targets of Snakemake, which would not know what made it.
        """
        layout, data, targets = Layout(self.config), self.data(), []
        for coalition in coalitions.in_sweep_order(wanted, self.players):
            name = coalitions.name(coalition, self.players)
            planned = Target(coalition, Path(layout.coalition(self.model, self.task, name)))
            own = Target(coalition, Path(layout.deletion_coalition(self.model, self.task, name)))
            targets.append(planned if self._is_there(planned, data) else own)
        self.run(targets)
        paths = [each.path for each in targets]
        table.write(paths, self.players, self.fingerprint, made_by, data, target)

    def run(self, targets: Sequence[Target]) -> int:
        """Make every target that is not there or was made by other settings or code.

        Targets are written group by group, so that what is finished stays when the job dies. Each is looked
        at again just before it would be computed: another job may have made it in the meantime.

        Returns:
            How many were computed.

        Raises:
            CornerstoneError: bad assets, bad config, too little memory.
        """
        data = self.data()
        missing = self._missing(targets, data)
        label = f"{self.model} {self.task}"
        log(f"{label}: {len(targets) - len(missing)} of {len(targets)} coalitions are there, {len(missing)} to do")
        if not missing:
            return 0
        torch.set_num_threads(self.entry.threads)
        keep_freed_memory()
        loaded = self.load(data)
        found = [target.coalition for target in missing]
        grouping = loaded.division.grouping(found, loaded.network.stages)
        if loaded.room.streamed:
            walks = grouping.count(len(found))
            together = grouping.together
            log(f"{label}: {walks} walk{'s' * (walks != 1)} over the weights, up to {together} coalitions in each")
        groups = grouping.groups(missing)
        work = sum(sweep.work([t.coalition for t in group], loaded.network.stages) for group in groups)
        progress = Progress(label, len(missing), work * loaded.tokens)
        computed = 0
        for group in groups:
            still_missing = self._missing(group, data)
            if still_missing:
                self._make(still_missing, loaded, grouping, data, progress)
                computed += len(still_missing)
                progress.finished(computed)
        if isinstance(loaded.network.weights, Streamed):
            log(f"{label}: {loaded.network.weights.traffic}")
        return computed

    def scores(
        self, group: Sequence[int], loaded: Loaded, grouping: Grouping, progress: Progress | None = None
    ) -> list[list[list[float]]]:
        """The log-likelihoods [coalition][document][choice] of coalitions that are walked together.

        Raises:
            CornerstoneError: out of memory.
        """
        runs = grouping.runs([batch.tokens for batch in loaded.batches])
        advance = progress.advance if progress else lambda done: None
        try:
            found = sweep.choice_scores(loaded.network, loaded.batches, group, advance, runs)
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise CornerstoneError(
                f"{self.model} {self.task}: out of memory with {len(group)} coalitions at once. Set memory.budget_gb "
                f"of models.{self.model} in config.yaml to less than {loaded.room.total / limits.GIB:.1f}, or lower "
                f"its batch_tokens; what is finished is kept. ({error})"
            ) from error
        return [[row.tolist() for row in rows] for rows in found]

    def load(self, data: TaskDocuments) -> Loaded:
        """The model as the job's memory allows it, and the documents in its tokens.

        Documents are encoded before any weight is read: how many tokens they have decides what fits.

        Raises:
            CornerstoneError: weights that do not fit the config or into memory even streamed, or can't be read.
        """
        entry = self.entry
        if entry.compile:
            loading.need_compiler(self.model)
        folder = fetch.model_folder(self.marker, entry)
        device = loading.device_of(entry.device_map, entry.resources.gpus)
        shapes, tokenizer = loading.shapes_only(folder, entry.dtype)
        packed = encode(shapes, tokenizer, [document.requests for document in data.documents])
        batches = batches_for(shapes, packed, entry.batch_tokens)
        if structure.unfolded(shapes):
            log(f"{self.model} {self.task}: its sublayers see no token trie, so each choice is a row of its own")
        width = max(batch.input_ids.shape[1] for batch in batches)
        limit = limits.of_job(self.model, entry, self.asked_mb)
        log(f"{self.model} {self.task}: the memory of this job: {limit}")
        room = memory.room(self.model, entry, limit, shapes, [batch.tokens for batch in batches], width)
        log(f"{self.model} {self.task}: {room}")
        if room.streamed and entry.memory.weights == "auto":
            log(f"{self.model} {self.task}: {memory.why_streamed(entry)}")
        weights: Weights
        if room.streamed:
            weights = Streamed(shapes, folder, device, host_bytes=int(entry.memory.host_gb * limits.GIB))
            model = shapes
        else:
            weights = Resident()
            model, _ = loading.load(folder, entry.dtype, entry.device_map, entry.resources.gpus)
        network = Network(model, self.players, entry.kinds(), weights, compiled=entry.compile)
        (prove_streamed if room.streamed else prove)(network, packed)
        network.means = means.of(self.config, self.model, network, tokenizer, room)
        if isinstance(weights, Streamed):
            weights.traffic = Traffic()  # these walks are none of the sweep's
        return Loaded(network, packed, batches, room)

    def data(self) -> TaskDocuments:
        """The documents that are scored, checked against the config.

        Raises:
            AssetError: they are missing, or were made from other settings.
            TaskError: the task lacks the metric that the config names.
        """
        whole = read(self.documents)
        source = self.config.documents_source(self.model)
        revision = self.config.revision(self.model, self.task)
        wanted = made_from(self.task, source, revision, self.config.documents.seed)
        if whole.made_from != wanted:
            raise AssetError(
                f"{self.documents} was made from '{whole.made_from}', now '{wanted}' is asked for. Delete it and run "
                "`snakemake fetch`."
            )
        whole.need_metric(self.config.tasks[self.task].metric)
        return whole.first(self.config.limit(self.model, self.task))

    def _make(
        self,
        targets: Sequence[Target],
        loaded: Loaded,
        grouping: Grouping,
        data: TaskDocuments,
        progress: Progress,
    ) -> None:
        """Walk coalitions together and write their files."""
        started = time.monotonic()
        scores = self.scores([target.coalition for target in targets], loaded, grouping, progress)
        seconds = (time.monotonic() - started) / len(targets)
        origin = self._origin(loaded, data)
        for target, rows in zip(targets, scores, strict=True):
            # a second job for the same file may have been faster: what it wrote stays, with its date
            if not self._is_there(target, data):
                result.write(target.path, target.coalition, self.players, data, rows, origin, seconds)
            forget_backup(target.path)

    def _origin(self, loaded: Loaded, data: TaskDocuments) -> result.Origin:
        return result.Origin(
            fingerprint=self.fingerprint,
            documents=data.digest,
            settings=settings(self.config, self.model, self.task),
            model=self.described,
            versions={package: importlib.metadata.version(package) for package in PACKAGES},
            device=_device_name(loaded.network.device),
            weights=loaded.room.weights,
        )

    def _is_there(self, target: Target, data: TaskDocuments) -> bool:
        return result.is_current(target.path, self.fingerprint, data, target.coalition, self.players)

    def _missing(self, targets: Sequence[Target], data: TaskDocuments) -> list[Target]:
        return [target for target in targets if not self._is_there(target, data)]


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
