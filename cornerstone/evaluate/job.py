"""One evaluate job: load a model, walk its coalitions, write a JSON file for each."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from cornerstone import stopping
from cornerstone.assets import fetch
from cornerstone.assets.documents import read
from cornerstone.assets.recipe import recipe
from cornerstone.config.config import Config
from cornerstone.config.models import Model
from cornerstone.engine import loading, structure, sweep
from cornerstone.engine.batching import batches_for
from cornerstone.engine.blocks import Piece
from cornerstone.engine.network import Network
from cornerstone.engine.proof import prove, prove_streamed
from cornerstone.engine.streaming.streamed import Streamed
from cornerstone.engine.weights import Resident, Traffic, Weights
from cornerstone.errors import AssetError, CornerstoneError, StoreError
from cornerstone.evaluate import means, result, table, tokens
from cornerstone.evaluate.parts import Loaded, Part, Target, Walked
from cornerstone.evaluate.stale import Results
from cornerstone.evaluate.wanted import Wanted
from cornerstone.game import coalitions
from cornerstone.game.players import Player
from cornerstone.log import Progress, log
from cornerstone.plan.fingerprint import settings
from cornerstone.plan.layout import Layout
from cornerstone.plan.plan import Plan
from cornerstone.plan.snakemake import forget_backup
from cornerstone.schedule import limits, memory
from cornerstone.schedule.malloc import keep_freed_memory
from cornerstone.stopping import Stop

PACKAGES = ("torch", "transformers", "lm_eval", "numpy")
NOWHERE: Mapping[str, frozenset[int]] = {}


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

    def run_files(
        self, paths: Sequence[Path], again: Collection[Path] = (), shares: Mapping[str, frozenset[int]] = NOWHERE
    ) -> int:
        """`run` for files that are named after their coalitions; shares: see `Plan`.

        Raises:
            CoalitionError: a file's name is no coalition of the model.
        """
        parsed = ((path, coalitions.parse(path.stem, self.players)) for path in paths)
        targets = [Target(coalition, path, path in again, shares.get(path.stem)) for path, coalition in parsed]
        order = {c: i for i, c in enumerate(coalitions.in_sweep_order({t.coalition for t in targets}, self.players))}
        return self.run(sorted(targets, key=lambda target: order[target.coalition]))

    def run_chunk(self, number: int) -> None:
        """`run` for a chunk of the plan; then write the file that says that its results are there."""
        layout, plan = Layout(self.config), Plan(self.config, self.model, self.task)
        names, shares = plan.chunks[number], plan.shares
        self.run_files([Path(layout.coalition(self.model, self.task, name)) for name in names], shares=shares)
        Results(self.config, self.model, self.task).say_covered(number, names)

    def run_table(self, coalitions_of_table: Sequence[int], target: Path, made_by: str) -> None:
        """Evaluate coalitions that are not there yet, then write all of them as one table (Parquet).

        What the plan has evaluated is read where it is; the rest goes to a folder of its own: it is not among the
        targets of Snakemake, which would not know what made it.
        """
        layout, wanted, targets = Layout(self.config), self.wanted(), []
        for coalition in coalitions.in_sweep_order(coalitions_of_table, self.players):
            name = coalitions.name(coalition, self.players)
            planned = Target(coalition, Path(layout.coalition(self.model, self.task, name)))
            own = Target(coalition, Path(layout.deletion_coalition(self.model, self.task, name)))
            targets.append(own if self._lacks(planned, wanted) else planned)
        self.run(targets)
        table.write(
            [each.path for each in targets], self.players, self.fingerprint, made_by, wanted, self.config, target
        )

    def run(self, targets: Sequence[Target]) -> int:
        """Score every target on the documents that it lacks: all, where its file was made by other settings or code.

        Targets are written group by group, so that what is finished stays when the job dies. Where it is stopped, or
        fails, so do the blocks of documents that the group has finished. Each target is looked at again just before it
        would be computed: another job may have made it in the meantime.

        Args:
            targets: in sweep order.

        Returns:
            How many were computed.

        Raises:
            CornerstoneError: bad assets, bad config, too little memory.
            Stop: the job was asked to end; says what is kept.
        """
        wanted = self.wanted()
        lacking: dict[tuple[Piece, ...], list[Target]] = {}
        for target in targets:
            if lacks := self._lacks(target, wanted):
                lacking.setdefault(lacks, []).append(target)
        missing = sum(map(len, lacking.values()))
        label = f"{self.model} {self.task}"
        log(f"{label}: {len(targets) - missing} of {len(targets)} coalitions are there, {missing} to do")
        if not missing:
            return 0
        for pieces, lackers in lacking.items():
            if (lacked := sum(piece.count for piece in pieces)) < len(wanted.data.documents):
                log(f"{label}: {len(lackers)} lack {lacked} of {len(wanted.data.documents)} documents")
        torch.set_num_threads(self.entry.threads)
        keep_freed_memory()
        loaded = self.load(wanted, list(lacking))
        parts = [loaded.part(pieces, lackers) for pieces, lackers in lacking.items()]
        if loaded.room.streamed:
            walks = sum(part.grouping.count(len(part.targets)) for part in parts)
            together = max(part.grouping.together for part in parts)
            log(f"{label}: {walks} walk{'s' * (walks != 1)} over the weights, up to {together} coalitions in each")
        stages = loaded.network.stages
        work = sum(sweep.work([t.coalition for t in g], stages) * part.tokens for part in parts for g in part.groups)
        progress = Progress(label, missing, work)
        computed = 0
        for part in parts:
            for group in part.groups:
                still_missing = [target for target in group if self._lacks(target, wanted)]
                if still_missing:
                    try:
                        self._make(still_missing, loaded, part, wanted, progress)
                    except KeyboardInterrupt as stop:
                        kept = f"{computed} of the {missing} coalitions of {label} that it had to do are there"
                        raise Stop.of(stop, kept + self._begun(still_missing, wanted)) from None
                    computed += len(still_missing)
                    progress.finished(computed)
        if isinstance(loaded.network.weights, Streamed):
            log(f"{label}: {loaded.network.weights.traffic}")
        return computed

    def scores(
        self,
        group: Sequence[int],
        loaded: Loaded,
        part: Part,
        progress: Progress | None = None,
        walked: Walked | None = None,
    ) -> list[list[list[float]]]:
        """The log-likelihoods [coalition][document][choice] of coalitions that are walked together; the documents are
        those of the part's pieces, one piece after another. `walked`: is filled, and stays where an error ends this.

        Raises:
            CornerstoneError: out of memory.
            Stop: the job was asked to end.
        """

        def advance(done: int) -> None:
            stopping.check()
            if progress:
                progress.advance(done)

        walked = loaded.nothing(part, group) if walked is None else walked
        try:
            walked.walk(loaded.network, part, group, advance)
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise CornerstoneError(
                f"{self.model} {self.task}: out of memory with {len(group)} coalitions at once. Set memory.budget_gb "
                f"of models.{self.model} in config.yaml to less than {loaded.room.total / limits.GIB:.1f}, or lower "
                f"its batch_tokens; what is finished is kept. ({error})"
            ) from error
        return loaded.rows(walked.scores)

    def load(self, wanted: Wanted, lacking: Sequence[Sequence[Piece]], like: Loaded | None = None) -> Loaded:
        """The model as the job's memory allows it, and documents in its tokens.

        Args:
            wanted: the task.
            lacking: for each part, the pieces whose documents are encoded; each part is walked by itself.
            like: this model, loaded for another task: it is not read again, unless it is streamed.

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
        places = sorted({place for pieces in lacking for piece in pieces for place in piece.places})
        packed = tokens.encoded(f"{self.model} {self.task}", shapes, tokenizer, wanted, places)
        if like is not None and not like.room.streamed:
            return replace(like, packed=packed, rolling=wanted.whole.rolling, greedy=wanted.whole.greedy)
        batches = [
            batch
            for piece in {piece for pieces in lacking for piece in pieces}
            for batch in batches_for(shapes, [packed[place] for place in piece.places], entry.batch_tokens)
        ]
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
        (prove_streamed if room.streamed else prove)(network, list(packed.values()))
        network.means = means.of(self.config, self.model, network, tokenizer, room)
        if isinstance(weights, Streamed):
            weights.traffic = Traffic()  # these walks are none of the sweep's
        return Loaded(network, packed, entry.batch_tokens, room, wanted.whole.rolling, wanted.whole.greedy)

    def wanted(self) -> Wanted:
        """The documents that are to be scored, checked against the config.

        Raises:
            AssetError: they are missing, or were made from other settings.
            TaskError: the task lacks the metric that the config names.
        """
        whole = read(self.documents)
        wanted = recipe(self.config, self.model, self.task).made_from
        if whole.made_from != wanted:
            raise AssetError(
                f"{self.documents} was made from '{whole.made_from}', now '{wanted}' is asked for. Delete it and run "
                "`snakemake fetch`."
            )
        whole.need_metric(self.config.task(self.task).metric, self.config.value_functions)
        return Wanted.of(self.config, self.model, self.task, whole)

    def _make(self, targets: Sequence[Target], loaded: Loaded, part: Part, wanted: Wanted, progress: Progress) -> None:
        """Walk coalitions together and write their files; of a walk that ends early, the pieces that are finished."""
        group = [target.coalition for target in targets]
        started, walked = time.monotonic(), loaded.nothing(part, group)
        try:
            self.scores(group, loaded, part, progress, walked)
        finally:
            if finished := part.finished(walked.batches):
                seconds = (time.monotonic() - started) / len(targets)
                self._write(targets, loaded, part, wanted, walked, finished, seconds)

    def _write(
        self,
        targets: Sequence[Target],
        loaded: Loaded,
        part: Part,
        wanted: Wanted,
        walked: Walked,
        finished: Collection[Piece],
        seconds: float,
    ) -> None:
        """Write what coalitions that were walked together scored on the finished ones of the part's pieces.

        Raises:
            StoreError: one can't be written, such as for a score that is no finite number; the others are.
        """
        origin, wrong = self._origin(loaded), None
        for i, (target, rows) in enumerate(zip(targets, loaded.rows(walked.scores), strict=True)):
            # a second job for the same file may have been faster: what it wrote stays, with its date
            if self._lacks(target, wanted):
                greedy = walked.greedy[i] if walked.greedy else ()
                scored = tokens.scored(part.pieces, rows, greedy, loaded.packed, loaded.rolling)
                whole = [each for each in scored if each.piece in finished]
                at, coalition = target.path, target.coalition
                try:
                    result.write(at, coalition, self.players, wanted, whole, origin, seconds, target.again)
                except StoreError as error:
                    wrong = wrong or error
                    continue
            forget_backup(target.path)
        if wrong:
            raise wrong

    def _begun(self, targets: Sequence[Target], wanted: Wanted) -> str:
        """What coalitions that were walked together when a walk ended early have of what they lacked, for people."""
        asked = [wanted.within(target.only).missing([]) for target in targets]
        lacks = [self._lacks(replace(target, again=False), wanted) for target in targets]
        lacked = max(sum(piece.count for piece in pieces) for pieces in lacks)
        whole = max(sum(piece.count for piece in pieces) for pieces in asked)
        return f", and {len(targets)} more for {whole - lacked} of {whole} documents." if lacked < whole else "."

    def _origin(self, loaded: Loaded) -> result.Origin:
        return result.Origin(
            fingerprint=self.fingerprint,
            settings=settings(self.config, self.model, self.task),
            model=self.described,
            versions={package: importlib.metadata.version(package) for package in PACKAGES},
            device=_name_of(loaded.network.device),
            weights=loaded.room.weights,
        )

    def _lacks(self, target: Target, wanted: Wanted) -> tuple[Piece, ...]:
        """What must be scored for a target."""
        own = wanted.within(target.only)
        if target.again:
            return own.missing([])
        return result.missing(target.path, self.fingerprint, own, target.coalition, self.players)


def _name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
