"""Evaluate the coalitions of a task's deletion curves."""

from pathlib import Path

from cornerstone import log

with log.script(snakemake.log[0]):
    import pandas as pd

    from cornerstone.analysis import deletion
    from cornerstone.config.config import check
    from cornerstone.evaluate.job import Job

    config = check(snakemake.config)
    model = snakemake.params.model
    players = config.models[model].all_players()
    job = Job(
        config,
        model,
        snakemake.wildcards.task,
        Path(snakemake.input.marker),
        Path(snakemake.input.documents),
    )
    points = deletion.deletion_points(
        config, players, pd.read_csv(snakemake.input.values), pd.read_csv(snakemake.input.drops)
    )
    job.run_table(points["coalition"].tolist(), Path(snakemake.output[0]))
