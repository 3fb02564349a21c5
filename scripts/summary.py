"""What was found, in one page."""

from pathlib import Path

from cornerstone import console

with console.script(snakemake.log[0]):
    from cornerstone import present
    from cornerstone.config import check

    present.write_summary(check(snakemake.config), Path(snakemake.output[0]))
