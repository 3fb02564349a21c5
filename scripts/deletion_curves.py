"""Deletion curves of a model, over all tasks."""

from pathlib import Path

from cornerstone import log

with log.script(snakemake.log[0]):
    import pandas as pd

    from cornerstone.analysis import deletion
    from cornerstone.config.config import check
    from cornerstone.files import write_csv
    from cornerstone.game import game

    config = check(snakemake.config)
    model = snakemake.wildcards.model
    paths = [Path(path) for path in snakemake.input if path.endswith("deletion.parquet")]
    games = game.read_all(config, model, paths)
    values, drops = pd.read_csv(snakemake.input["values"]), pd.read_csv(snakemake.input["drops"])
    points = deletion.deletion_points(config, config.models[model].all_players(), values, drops)
    write_csv(deletion.deletion_curves(config, model, points, games), Path(snakemake.output[0]))
