"""Forecast what the active config costs: a table on the terminal, and the files that hold it."""

from pathlib import Path
from typing import TYPE_CHECKING

from cornerstone import log

if TYPE_CHECKING:  # Snakemake puts it there
    from snakemake.script import snakemake

with log.script(snakemake.log[0]):
    from cornerstone.config.config import load
    from cornerstone.forecast import table
    from cornerstone.plan.layout import Layout

    config = load(snakemake.config)
    markers = dict(zip(config.run, map(Path, snakemake.input.outlines), strict=True))
    text = table.write(config, markers)
    print(f"\n{text}\nwritten to {' and '.join(Layout(config).forecast)}\n", flush=True)
