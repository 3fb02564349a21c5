"""Fetch the weights of one model."""

import os
from pathlib import Path

from cornerstone import log

os.environ["HF_HUB_OFFLINE"] = "0"  # fetching is the only step with network

with log.script(snakemake.log[0]):
    from cornerstone.assets import fetch
    from cornerstone.config.config import check

    config = check(snakemake.config)
    name = snakemake.wildcards.model
    fetch.fetch_model(name, config.models[name], Path(config.paths.resources), Path(snakemake.output[0]))
