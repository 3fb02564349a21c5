"""Evaluate the coalitions of a task's deletion curves."""

from pathlib import Path
from typing import TYPE_CHECKING

from cornerstone import log

if TYPE_CHECKING:  # Snakemake puts it there
    from snakemake.script import snakemake

with log.script(snakemake.log[0]):
    from cornerstone.analysis import deletion
    from cornerstone.config.config import load
    from cornerstone.evaluate.job import Job
    from cornerstone.files import read_csv

    job = Job(
        load(snakemake.config),
        snakemake.params.model,
        snakemake.wildcards.task,
        Path(snakemake.input.marker),
        Path(snakemake.input.documents),
        snakemake.params.fingerprint,
        snakemake.resources.mem_mb,
    )
    values, drops = read_csv(Path(snakemake.input["values"])), read_csv(Path(snakemake.input["drops"]))
    drops = deletion.with_influence(drops, [read_csv(Path(path)) for path in snakemake.input.influence])
    points = deletion.deletion_points(job.config, job.players, values, drops)
    job.run_table(points["coalition"].tolist(), Path(snakemake.output[0]), snakemake.params.made_by)
