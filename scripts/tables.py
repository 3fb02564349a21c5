"""Tables 1-4 of the paper, and those of hypotheses and estimators, for all active models."""

from pathlib import Path
from typing import TYPE_CHECKING

from cornerstone import log

if TYPE_CHECKING:  # Snakemake puts it there
    from snakemake.script import snakemake

with log.script(snakemake.log[0]):
    from cornerstone.present import tables

    sources = {name: [Path(path) for path in paths] for name, paths in snakemake.input.items()}
    tables.write(sources, [Path(path) for path in snakemake.output], note=snakemake.params.note)
