"""Read all results of a model and task into one table."""

from pathlib import Path

from cornerstone import console

with console.script(snakemake.log[0]):
    from cornerstone import store, tasks
    from cornerstone.config import check

    config = check(snakemake.config)
    model, task = snakemake.wildcards.model, snakemake.wildcards.task
    data = tasks.read(Path(snakemake.input.documents)).first(config.limit(model, task))
    store.write_table(
        [Path(path) for path in snakemake.input.results],
        config.models[model].all_players(),
        snakemake.params.fingerprint,
        data,
        Path(snakemake.output[0]),
    )
