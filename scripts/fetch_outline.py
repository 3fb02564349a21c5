"""Fetch config and tokenizer of one hub model, for planning."""

from pathlib import Path
from typing import TYPE_CHECKING

from cornerstone import log

if TYPE_CHECKING:  # Snakemake puts it there
    from snakemake.script import snakemake

with log.script(snakemake.log[0]):
    from cornerstone.plan.snakemake import online

    online()
    from cornerstone.assets import fetch
    from cornerstone.config.config import load
    from cornerstone.plan.layout import Layout

    config, name = load(snakemake.config), snakemake.wildcards.model
    fetch.fetch_outline(config.models[name], Path(Layout(config).outline(name)), Path(snakemake.output[0]))
