"""Evaluate the coalitions of one chunk, or those that were asked for by name: one JSON file each."""

from pathlib import Path
from typing import TYPE_CHECKING

from cornerstone import log

if TYPE_CHECKING:  # Snakemake puts it there
    from snakemake.script import snakemake

with log.script(snakemake.log[0]):
    from cornerstone.config.config import load
    from cornerstone.evaluate.job import Job
    from cornerstone.evaluate.stale import Results
    from cornerstone.plan.asked import Asked
    from cornerstone.plan.layout import Layout
    from cornerstone.plan.plan import Plan

    config, model, task = load(snakemake.config), snakemake.params.model, snakemake.params.task
    layout, number = Layout(config), snakemake.params.chunk
    job = Job(
        config,
        model,
        task,
        Path(snakemake.input.marker),
        Path(snakemake.input.documents),
        snakemake.params.fingerprint,
        snakemake.resources.mem_mb,
    )
    if number is None:
        again = Asked.read(snakemake.rule).again if snakemake.params.named else ()
        paths = [Path(layout.coalition(model, task, name)) for name in again]
        job.run_files([Path(path) for path in snakemake.output], again=paths)
    else:
        names = Plan(config, model).chunks[number]
        job.run_files([Path(layout.coalition(model, task, name)) for name in names])
        Results(config, model, task).say_covered(number, names)
