"""What was found, in one page."""

from pathlib import Path

from cornerstone import log

with log.script(snakemake.log[0]):
    from cornerstone.config.config import check
    from cornerstone.present import summary

    summary.write_summary(check(snakemake.config), Path(snakemake.output[0]))
