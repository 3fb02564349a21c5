"""Deletion curves of a model, over all tasks."""

from pathlib import Path
from typing import TYPE_CHECKING

from cornerstone import log

if TYPE_CHECKING:  # Snakemake puts it there
    from snakemake.script import snakemake

with log.script(snakemake.log[0]):
    from cornerstone.analysis import deletion, games
    from cornerstone.config.config import load
    from cornerstone.files import read_csv, write_csv

    config = load(snakemake.config)
    model = snakemake.wildcards.model
    tables = games.read_all(config, model, [Path(path) for path in snakemake.input.tables])
    orders = read_csv(Path(snakemake.input["orders"]))
    points = deletion.deletion_points(config, config.models[model].all_players(), orders)
    made_from = [Path(path) for path in snakemake.input]
    write_csv(deletion.deletion_curves(config, model, points, tables), Path(snakemake.output[0]), made_from)
