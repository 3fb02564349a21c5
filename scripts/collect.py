"""Read all results of a model and task into one table."""

from pathlib import Path
from typing import TYPE_CHECKING

from cornerstone import log

if TYPE_CHECKING:  # Snakemake puts it there
    from snakemake.script import snakemake

with log.script(snakemake.log[0]):
    from cornerstone.assets import documents
    from cornerstone.config.config import load
    from cornerstone.evaluate import table
    from cornerstone.evaluate.wanted import Wanted
    from cornerstone.plan.layout import Layout
    from cornerstone.plan.plan import Plan

    config = load(snakemake.config)
    model, task = snakemake.wildcards.model, snakemake.wildcards.task
    layout, plan = Layout(config), Plan(config, model, task)
    table.write(
        [Path(layout.coalition(model, task, name)) for name in plan.names],
        config.models[model].all_players(),
        snakemake.params.fingerprint,
        snakemake.params.made_by,
        Wanted.of(config, model, task, documents.read(Path(snakemake.input.documents))),
        config,
        Path(snakemake.output[0]),
        plan.shares,
    )
