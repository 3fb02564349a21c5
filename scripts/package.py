"""What every file and column of the results is, for programs."""

from pathlib import Path
from typing import TYPE_CHECKING

from cornerstone import log

if TYPE_CHECKING:  # Snakemake puts it there
    from snakemake.script import snakemake

with log.script(snakemake.log[0]):
    from cornerstone.config.config import load
    from cornerstone.files import write_noted
    from cornerstone.outputs.package import text

    paths = dict.fromkeys(Path(path) for path in snakemake.input)
    write_noted(Path(snakemake.output[0]), text(load(snakemake.config), paths))
