"""Evaluate the coalitions of one chunk: one JSON file each."""

from pathlib import Path

from cornerstone import log

with log.script(snakemake.log[0]):
    from cornerstone.config.config import check
    from cornerstone.evaluate.job import Job

    job = Job(
        check(snakemake.config),
        snakemake.params.model,
        snakemake.wildcards.task,
        Path(snakemake.input.marker),
        Path(snakemake.input.documents),
    )
    job.run_files([Path(path) for path in snakemake.output])
