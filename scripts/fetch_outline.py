"""Fetch config and tokenizer of one hub model, for planning."""

import os
from pathlib import Path

from cornerstone import log

os.environ["HF_HUB_OFFLINE"] = "0"  # fetching is the only step with network

with log.script(snakemake.log[0]):
    from cornerstone.config.config import check
    from cornerstone.forecast import outline

    config = check(snakemake.config)
    name = snakemake.wildcards.model
    outline.fetch(name, config.models[name], Path(config.paths.resources), Path(snakemake.output[0]))
