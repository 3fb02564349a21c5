"""The noise floor of a model: some of its stored coalitions, computed again in other ways."""

from pathlib import Path
from typing import TYPE_CHECKING

from cornerstone import log

if TYPE_CHECKING:  # Snakemake puts it there
    from snakemake.script import snakemake

with log.script(snakemake.log[0]):
    from cornerstone.config.config import load
    from cornerstone.evaluate import noise
    from cornerstone.evaluate.job import Job

    config, given, params = load(snakemake.config), snakemake.input, snakemake.params
    jobs = [
        Job(config, params.model, task, Path(given.marker), Path(path), made_by, snakemake.resources.mem_mb)
        for task, path, made_by in zip(config.sampled_tasks, given.documents, params.fingerprints, strict=True)
    ]
    noise.write(jobs, Path(snakemake.output[0]))
