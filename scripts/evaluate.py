"""Evaluate the coalitions of one chunk, or those that were asked for by name: one JSON file each."""

from pathlib import Path
from typing import TYPE_CHECKING

from cornerstone import log

if TYPE_CHECKING:  # Snakemake puts it there
    from snakemake.script import snakemake

with log.script(snakemake.log[0]):
    from cornerstone.config.config import load
    from cornerstone.evaluate.job import Job
    from cornerstone.plan.asked import forced

    job = Job(
        load(snakemake.config),
        snakemake.params.model,
        snakemake.params.task,
        Path(snakemake.input.marker),
        Path(snakemake.input.documents),
        snakemake.params.fingerprint,
        snakemake.resources.mem_mb,
    )
    if snakemake.params.chunk is None:
        job.run_files([Path(path) for path in snakemake.output], again=forced(job.config, snakemake.rule))
    else:
        job.run_chunk(snakemake.params.chunk)
