"""What was found, in one page."""

from pathlib import Path

from cornerstone import console, present
from cornerstone.config import check

with console.script(snakemake.log[0]):
    present.write_summary(check(snakemake.config), Path(snakemake.output[0]))
