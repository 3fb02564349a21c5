"""Evaluate the coalitions of a task's deletion curves."""

from pathlib import Path

from cornerstone import console

with console.script(snakemake.log[0]):
    import pandas as pd

    from cornerstone import deletion
    from cornerstone.config import check
    from cornerstone.evaluate import Job

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
