"""Fetch the weights of one model."""

from pathlib import Path

from cornerstone import assets, console
from cornerstone.config import check

with console.script(snakemake.log[0]):
    config = check(snakemake.config)
    name = snakemake.wildcards.model
    assets.fetch_model(name, config.models[name], Path(config.paths.resources), Path(snakemake.output[0]))
