"""Block influence of a model's players on a task."""

from pathlib import Path
from typing import TYPE_CHECKING

from cornerstone import log

if TYPE_CHECKING:  # Snakemake puts it there
    from snakemake.script import snakemake

with log.script(snakemake.log[0]):
    from cornerstone.config.config import load
    from cornerstone.evaluate import influence
    from cornerstone.evaluate.job import Job

    job = Job(
        load(snakemake.config),
        snakemake.params.model,
        snakemake.wildcards.task,
        Path(snakemake.input.marker),
        Path(snakemake.input.documents),
        snakemake.params.fingerprint,
        snakemake.resources.mem_mb,
    )
    influence.write(job, Path(snakemake.output[0]))
