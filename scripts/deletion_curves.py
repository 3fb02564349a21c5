"""Deletion curves of a model, over all tasks."""

from pathlib import Path
from typing import TYPE_CHECKING

from cornerstone import log

if TYPE_CHECKING:  # Snakemake puts it there
    from snakemake.script import snakemake

with log.script(snakemake.log[0]):
    from cornerstone.analysis import deletion, games
    from cornerstone.config.config import load
    from cornerstone.files import read_csv, write_frames

    config = load(snakemake.config)
    model = snakemake.wildcards.model
    tables = games.read_all(config, model, [Path(path) for path in snakemake.input.tables])
    values, drops = read_csv(Path(snakemake.input["values"])), read_csv(Path(snakemake.input["drops"]))
    drops = deletion.with_influence(drops, [read_csv(Path(path)) for path in snakemake.input.influence])
    points = deletion.deletion_points(config, config.models[model].all_players(), values, drops)
    frames = {
        "deletion": deletion.deletion_curves(config, model, points, tables),
        "orders": deletion.order_quality(config, model, points, tables),
    }
    write_frames(frames, [Path(path) for path in snakemake.output])
