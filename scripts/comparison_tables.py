"""The tables of all comparisons."""

from pathlib import Path
from typing import TYPE_CHECKING

from cornerstone import log

if TYPE_CHECKING:  # Snakemake puts it there
    from snakemake.script import snakemake

with log.script(snakemake.log[0]):
    from cornerstone.present import comparisons, tables

    sources = {name: [Path(path) for path in paths] for name, paths in snakemake.input.items()}
    tables.write(sources, [Path(path) for path in snakemake.output], comparisons.there(sources))
